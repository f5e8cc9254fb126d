"""What adding an intent did, as counts for a record and as words for people."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .added_rows import by_speaker
from .extended_head import Given, Learned
from .intervals import wilson_interval

FEW_POINTS = 0.05  # of an intent's validation clips; a larger loss is warned of
FEW_CLIPS = 1  # one clip of few is not
HALF = 0.5  # of an intent's new clips; if fewer are right, that is warned of

Report = dict[str, Any]


def report(learned: Learned, old: list[str], new: Given) -> Report:
    """Count what the model's `old` intents kept, and what the new clips get when left out.

    Gives `old` (`n`, and `before` and `after`: see `share`), `per_intent` (of each old intent `n`,
    `before`, `after` and `lost_to`, counts by the intent that is answered now) and `added` (of each
    intent of the new clips `is_new`, `clips`, its share, `held_out` and the `answers`).
    """
    is_right = [answers == learned.truth for answers in (learned.before, learned.after)]
    n = len(learned.truth)
    before, after = (share(int(right.sum()), n) for right in is_right)
    return {
        "old": {"n": n, "before": before, "after": after},
        "per_intent": {label: _kept(learned, label) for label in old},
        "added": {intent: _added(learned, intent, old, new) for intent in learned.left_out},
    }


def share(correct: int, n: int) -> dict[str, Any]:
    """Give `correct`, `n`, `accuracy` (None of no clips) and its 95 % interval (Wilson)."""
    return {
        "correct": correct,
        "n": n,
        "accuracy": correct / n if n else None,
        "accuracy_interval": wilson_interval(correct, n),
    }


def _kept(learned: Learned, label: str) -> dict[str, Any]:
    number = learned.labels.index(label)
    rows = learned.truth == number
    was_right = learned.before[rows] == number
    answers = learned.after[rows]
    lost = answers[was_right & (answers != number)]
    return {
        "n": int(rows.sum()),
        "before": int(was_right.sum()),
        "after": int((answers == number).sum()),
        "lost_to": _counts(learned.labels, lost),
    }


def _added(learned: Learned, intent: str, old: list[str], new: Given) -> dict[str, Any]:
    answers = learned.left_out[intent]
    pairs = zip(new.intents, new.speakers, strict=True)
    speakers = [speaker for each, speaker in pairs if each == intent]
    n_correct = int((answers == learned.labels.index(intent)).sum())
    return {
        "is_new": intent not in old,
        **share(n_correct, len(answers)),
        "held_out": "speakers" if by_speaker(speakers) else "clips",
        "answers": _counts(learned.labels, answers),
    }


def _counts(labels: list[str], answers: np.ndarray) -> dict[str, int]:
    """Count label ids (n,) by name, the most frequent first."""
    numbers, counts = np.unique(answers, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {labels[numbers[i]]: int(counts[i]) for i in order}


def in_words(report: Report) -> Iterator[str]:
    """Say a report in lines."""
    yield f"The old intents, by the {report['old']['n']} validation clips kept in the model:"
    yield from _table(report["per_intent"])
    for name in ("before", "after"):
        yield f"Right {name}: {_share_in_words(report['old'][name])}"
    for intent, entry in report["added"].items():
        if entry["is_new"]:
            yield f"New intent {intent}, learned from {entry['n']} clips."
        else:
            yield f"More clips of the old intent {intent}: {entry['n']}."
        share_in_words = _share_in_words(entry)
        yield f"Right by heads that never heard the {_unheard(entry)}: {share_in_words}"
        others = {name: n for name, n in entry["answers"].items() if name != intent}
        if others:
            yield f"The others were taken for: {_listed(others)}"


def warnings(report: Report) -> Iterator[str]:
    """Say which old intents lost more than a few points, and which new ones are hardly known."""
    for intent, entry in report["per_intent"].items():
        n_lost = entry["before"] - entry["after"]
        if n_lost > max(FEW_CLIPS, FEW_POINTS * entry["n"]):
            counts = f"{entry['before']} of {entry['n']} validation clips were right before"
            yield f"{intent} lost answers: {counts}, {entry['after']} are now"
    for intent, entry in report["added"].items():
        if entry["correct"] < HALF * entry["n"]:
            counts = f"{entry['correct']} of {entry['n']} new clips were right"
            how = f"by heads that never heard the {_unheard(entry)}"
            yield f"{intent} is hardly recognised: {counts} {how}; record more"


def _table(per_intent: dict[str, dict[str, Any]]) -> Iterator[str]:
    width = max(map(len, per_intent))
    yield f"  {'':{width}}   before    after  lost to"
    for intent, entry in per_intent.items():
        if entry["n"]:
            before, after = (f"{entry[name]}/{entry['n']}" for name in ("before", "after"))
            line = f"  {intent:{width}} {before:>8} {after:>8}  {_listed(entry['lost_to'])}"
            yield line.rstrip()
        else:
            yield f"  {intent:{width}} (no validation clips)"


def _unheard(entry: dict[str, Any]) -> str:
    return "speaker" if entry["held_out"] == "speakers" else "clip"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def _share_in_words(entry: dict[str, Any]) -> str:
    low, high = entry["accuracy_interval"]
    interval = f"95 % interval {low:.3f} to {high:.3f}"
    return f"{entry['correct']}/{entry['n']} = {entry['accuracy']:.3f} ({interval})"
