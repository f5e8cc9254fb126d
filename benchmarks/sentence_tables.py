"""Write the figures of docs/sentences.md, from `benchmarks/results/`.

    python benchmarks/sentence_tables.py

The results come from benchmarks/figures.sh. What has none was not measured.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from blocks import UNMEASURED, table, write_block
from tables import Result, load, span

from speech_intent.intervals import wilson_interval
from speech_intent.paths import ROOT

PAGE = ROOT / "docs" / "sentences.md"
NAME = "sentences: benchmarks/sentence_tables.py"
TASKS = {
    "digits": "spoken digits: zero to nine",
    "commands": "six spoken commands",
}
WAYS = {"-frozen": "frozen", "": "fine-tuned"}


def alone() -> list[str]:
    """Write what models score on people that have heard sentences alone."""
    rows = []
    for task, title in TASKS.items():
        for suffix, way in WAYS.items():
            result = load(f"sentences-{task}{suffix}")
            if not result:
                continue
            score = f"{result['accuracy']:.4f}"
            right = f"{result['correct']}/{result['n']}"
            rows.append([title, way, score, right, span(result["accuracy_interval"])])
    if not rows:
        return [f"Sentences alone: {UNMEASURED}."]
    header = ["trained on synthetic clips alone, scored on all clips of people", "encoder"]
    return [
        "**Sentences alone.** No person was heard in training, and no clip of a person chose "
        "anything:",
        "",
        *table([*header, "accuracy", "right / clips", "95 % interval"], rows),
        "",
        "Intervals are Wilson's, over clips; the digits are six people's, and 3,000 clips of six "
        "people are not 3,000 people.",
    ]


def gap(result: Result) -> list[str]:
    """Write what closes the gap between synthetic voices and people's."""
    if not result:
        return [f"What closes the gap: {UNMEASURED}."]
    rows = []
    for row in result["rows"]:
        cells = [f"{row[way]['correct'] / row[way]['n']:.3f}" for way in ("as it is", "adapted")]
        edge = "0.1 s" if row["edge_samples"] else "none"
        rows.append([row["part"], str(row["clips"]), str(row["voices"]), edge, *cells])
    header = ["trained on", "clips", "voices", "silence at both ends", "accuracy", "adapted"]
    n = result["rows"][0]["as it is"]["n"]
    return [
        f"**What closes the gap**, on the digits of people (n = {n:,}), encoder frozen; `adapted` "
        "maps the statistics of people's clips, without their labels, to those of training:",
        "",
        *table(header, rows),
    ]


def few(result: Result, title: str) -> list[str]:
    """Write a few clips of people, with and without sentences."""
    if not result:
        return [f"{title}: {UNMEASURED}."]
    runs = pd.DataFrame(result["rows"])
    runs["with"] = runs["n_added"] > 0
    rows = []
    for count, group in runs.groupby("clips_per_intent"):
        rows.append(
            [str(count), *(few_cell(group[group["with"] == said]) for said in (False, True))]
        )
    header = ["clips of people an intent", "these alone", "with sentences"]
    return [f"{title}:", "", *table(header, rows)]


def few_cell(runs: pd.DataFrame) -> str:
    """Write the mean accuracy over draws, with the lowest and the highest."""
    if runs.empty:
        return ""
    scores = runs["accuracy"]
    text = f"{scores.mean():.3f}"
    if len(runs) > 1:
        return f"{text} ({scores.min():.3f} to {scores.max():.3f})"
    right, n = int(runs["correct"].iloc[0]), int(runs["n"].iloc[0])
    return f"{text} = {right}/{n} ({span(wilson_interval(right, n))})"


def lines() -> list[str]:
    """Write all of it."""
    digits = load("few-digits")
    n = f"{np.mean([row['n'] for row in digits['rows']]):,.0f}" if digits else ""
    parts = [
        alone(),
        gap(load("voice-gap")),
        few(
            digits,
            "**A few clips of one speaker**, each of six in turn, scored on the other five "
            f"(n = {n}), encoder frozen; mean, lowest and highest",
        ),
        few(
            load("few-bundled"),
            "**The bundled requests** (synthetic, n = 400), fine-tuned; the sentences are the "
            "training phrasings, by voices that the test split has not",
        ),
    ]
    return [line for part in parts for line in [*part, ""]][:-1]


def block() -> tuple[Path, str, str]:
    """Name what this program writes: file, name of the block, content."""
    return PAGE, NAME, "\n".join(lines()) + "\n"


def main() -> None:
    """Write the block."""
    write_block(*block())


if __name__ == "__main__":
    main()
