"""What is wrong with labelled recordings: every clip with what was found, the worst first.

Nothing that stops training stops here: an unreadable clip, or one recording with two intents, is
what is looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from . import clip_checks, data, frozen_head, label_checks, model
from .batches import Collator
from .clip_checks import Finding, Heard
from .copies import representatives
from .errors import AudioError, DataError
from .recipes import Recipe
from .tables import Listing, lone_intent

if TYPE_CHECKING:
    from datasets import Dataset

SPEECHLESS = "speechless"
# How far down a finding pulls a clip's score: 0 is a fault beyond doubt, 0.5 something to listen
# to once the labels that are likely wrong are through. What is not here says nothing by itself.
WORST_SCORES = {
    "unreadable": 0.0,
    "no intent": 0.0,
    "two intents": 0.0,
    "silent": 0.0,
    SPEECHLESS: 0.1,
    "damaged": 0.5,
    "cut": 0.5,
    "clipped": 0.5,
    "quiet": 0.5,
    "short": 0.5,
    "long": 0.5,
    "outlier": 0.5,
}
NOTHING = "it has no clip that can be read and has an intent"
WRONG = "wrong label"
NO_LABELS = ("", " ")  # of a head that nobody asks
DOUBTFUL = "doubtful label"
COLUMNS = (
    "rank",
    "file_name",
    "intent",
    "suggested",  # the likeliest intent, where it is another
    "probability",  # of the intent that is given; nothing where it cannot be judged
    "suggested_probability",
    "score",  # 0 to 1: the lower, the likelier something is wrong
    "issues",  # kinds, with commas
    "reasons",  # the same in words
    "seconds",
    "speaker",
    "text",
    "split",
)


@dataclass(frozen=True)
class Findings:
    """What was found in labelled recordings."""

    table: pd.DataFrame  # `COLUMNS`, the worst first; the index is the row in `listing`
    listing: Listing  # the clips, and what is wrong with rows of the data's table


def find(recipe: Recipe) -> Findings:
    """Look at every clip that a recipe's data list, in all splits, with its encoder, frozen.

    Raises `DataError` for data without a table, and where there are not two intents, and two
    different clips of one of them, that can be read.
    """
    listing = data.list_clips(recipe, "part")
    heard = clip_checks.hear_all(listing.clips["audio"])
    _check(listing, heard, recipe)
    pooled = encode(listing.clips, heard, recipe)
    return rank(listing, heard, pooled, recipe)


def encode(clips: "Dataset", heard: Sequence[Heard | AudioError], recipe: Recipe) -> np.ndarray:
    """Run the frozen encoder once over all clips: (n_clips, size), NaN for unreadable ones."""
    seconds = [clip.seconds if isinstance(clip, Heard) else 0.0 for clip in heard]
    rows = clips.add_column("seconds", seconds)
    rows = rows.add_column("label", [0] * len(rows))  # a batch has one; it is not looked at
    readable = [row for row, clip in enumerate(heard) if isinstance(clip, Heard)]
    numbers = recipe.numbers
    classifier = model.build_model(
        recipe.encoder, NO_LABELS, seed=numbers.seed, cut_to_clip=recipe.cut_to_clip
    )
    collator = Collator(classifier.extractor, classifier.model.config, numbers, training=False)
    outputs = frozen_head.pooled_outputs(classifier.model, rows.select(readable), collator)
    pooled = np.full((len(rows), outputs.shape[1]), np.nan)
    pooled[readable] = outputs
    return pooled


def rank(
    listing: Listing, heard: Sequence[Heard | AudioError], pooled: np.ndarray, recipe: Recipe
) -> Findings:
    """Judge clips that were heard and encoded, and sort them."""
    found = clip_checks.findings_of(heard, recipe.numbers.max_seconds)
    table = _with_digests(listing, heard)
    labelled = _labelled(table)
    _name_unlabelled(table, found)
    _name_copies(labelled, found)
    judged = _judge(labelled, pooled, recipe.numbers.seed)
    _name_judged(judged, found)
    return Findings(_ranked(table.join(judged), found), listing)


def _with_digests(listing: Listing, heard: Sequence[Heard | AudioError]) -> pd.DataFrame:
    return listing.table.assign(
        seconds=[clip.seconds if isinstance(clip, Heard) else np.nan for clip in heard],
        digest=[clip.digest if isinstance(clip, Heard) else "" for clip in heard],
    )


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Give the clips that can be read and have an intent."""
    return table[(table["digest"] != "") & (table["intent"] != "")]


def _check(listing: Listing, heard: Sequence[Heard | AudioError], recipe: Recipe) -> None:
    """Raise `DataError` for clips that teach nothing about each other's intents."""
    labelled = _labelled(_with_digests(listing, heard))
    problems = list(lone_intent(labelled)) if len(labelled) else [NOTHING]
    if not problems and representatives(labelled)["intent"].value_counts().max() < 2:
        problems.append("no intent has two different clips; record more")
    if problems:
        unread = [
            f"{name}: {clip.reason}"
            for name, clip in zip(listing.table["file_name"], heard, strict=True)
            if isinstance(clip, AudioError)
        ]
        raise DataError(recipe.data, [*problems, *listing.problems, *unread])


def _name_unlabelled(table: pd.DataFrame, found: list[list[Finding]]) -> None:
    for row in np.flatnonzero(table["intent"] == ""):
        found[row].append(Finding("no intent", "its intent is empty"))


def _name_copies(labelled: pd.DataFrame, found: list[list[Finding]]) -> None:
    """Name clips with the samples of another; one recording with two intents is a fault."""
    copies = labelled[labelled["digest"].duplicated(keep=False)]
    for _, group in copies.groupby("digest", sort=False):
        kind = "copy" if group["intent"].nunique() == 1 else "two intents"
        for row in group.index:
            others = group.drop(row)
            pairs = zip(others["file_name"], others["intent"], strict=True)
            named = ", ".join(f"{name} ({intent})" for name, intent in pairs)
            found[row].append(Finding(kind, f"the same recording as {named}"))


def _judge(labelled: pd.DataFrame, pooled: np.ndarray, seed: int) -> pd.DataFrame:
    """Judge every label by the pooled outputs of all clips; of copies one stands for all.

    Gives `suggested`, `probability`, `suggested_probability`, `is_wrong`, `is_outlier`, and `near`,
    the name of a clip that is nearly the same.
    """
    intents = sorted(labelled["intent"].unique())
    ids = labelled["intent"].map({intent: i for i, intent in enumerate(intents)})
    different = representatives(labelled)
    own = ids[different.index].to_numpy()
    judgement = label_checks.judge(pooled[different.index], own, len(intents), seed)
    positions = pd.Series(np.arange(len(different)), different["digest"])
    rows = positions[labelled["digest"]].to_numpy()
    probabilities = judgement.probabilities[rows]  # (n_labelled, n_intents)
    best = probabilities.argmax(axis=1)
    is_known = np.bincount(own, minlength=len(intents))[ids] > 1
    nearest = different["file_name"].to_numpy()[judgement.nearest]
    judged = pd.DataFrame(
        {
            "suggested": np.array(intents, dtype=object)[best],
            "probability": probabilities[np.arange(len(rows)), ids],
            "suggested_probability": probabilities.max(axis=1),
            "is_wrong": label_checks.likely_wrong(probabilities, ids.to_numpy()),
            "is_outlier": judgement.is_outlier[rows],
            "near": np.where(judgement.is_near, nearest, "")[rows],
        },
        labelled.index,
    )
    judged.loc[(best == ids) | ~is_known, ["suggested", "suggested_probability"]] = ["", np.nan]
    judged.loc[~is_known, "probability"] = np.nan
    return judged


def _name_judged(judged: pd.DataFrame, found: list[list[Finding]]) -> None:
    """Say in words what the judgement of each clip is."""
    for row in judged.itertuples():
        findings = found[row.Index]
        if row.suggested:
            kind = WRONG if row.is_wrong else DOUBTFUL
            sure = f"{row.suggested_probability:.2f}, as given {row.probability:.2f}"
            findings.append(Finding(kind, f"sounds like {row.suggested} ({sure})"))
        elif np.isnan(row.probability):
            findings.append(Finding("single clip", "no other clip has its intent: not judged"))
        if row.is_outlier:
            findings.append(Finding("outlier", "it is like no other clip"))
        if row.near:
            findings.append(Finding("near duplicate", f"nearly the same as {row.near}"))


def _worst_scores(found: list[list[Finding]]) -> dict[str, float]:
    """Give `WORST_SCORES`, in which sounds that are no speech, where most are, are not at fault."""
    n_speechless = sum(any(f.kind == SPEECHLESS for f in each) for each in found)
    if n_speechless <= len(found) / 2:
        return WORST_SCORES
    return {kind: score for kind, score in WORST_SCORES.items() if kind != SPEECHLESS}


def _ranked(table: pd.DataFrame, found: list[list[Finding]]) -> pd.DataFrame:
    """Sort clips by how likely something is wrong with each: `COLUMNS`."""
    scores = _worst_scores(found)
    worst = [min((scores.get(f.kind, 1.0) for f in each), default=1.0) for each in found]
    quality = table["probability"].fillna(1.0)
    table = table.assign(
        score=np.minimum(quality, worst),
        quality=quality,
        issues=[", ".join(dict.fromkeys(f.kind for f in each)) for each in found],
        reasons=["; ".join(f.reason for f in each) for each in found],
    )
    if "text" not in table:
        table["text"] = ""
    table["suggested"] = table["suggested"].fillna("")
    table = table.sort_values(["score", "quality"], kind="stable")
    return table.assign(rank=np.arange(1, len(table) + 1))[list(COLUMNS)]
