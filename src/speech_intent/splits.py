"""Which clips train a model, which choose its checkpoint, and which test it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from . import additions
from .copies import and_copies, check_copies, representatives
from .errors import DataError
from .recipes import PLAIN, Recipe

TRIES = 200  # orders of the speakers that are drawn; a few dozen nearly always hold a good one
SLACK = 0.02  # by which a share may be exceeded, since speakers come whole
LEAST_GAIN = 1e-9  # a share that is closer by less is no better
ENOUGH = 0.5  # share of the intents that must spare a clip, where added clips could do so instead
BORROWED = {  # what it means that added clips stand in for the data's own
    "validation": "the checkpoint and how sure answers sound are chosen on added clips",
    "test": "the figure is about added clips, and says nothing about the others",
}

logger = logging.getLogger("speech_intent")


@dataclass(frozen=True)
class SplitTable:
    """A table whose `split` is filled, and how that came about."""

    table: pd.DataFrame  # "" in `split`: left out
    note: str  # in words, for the record; with a warning of what stands on both sides


def assign_splits(
    table: pd.DataFrame, recipe: Recipe = PLAIN, scored: str | None = None
) -> SplitTable:
    """Fill the `split` column where the data left it open; the recipe's seed decides.

    Test clips: as given, else the recipe's share of the clips, by speaker where speakers are known
    and every intent then stands on both sides, else stratified by intent. Validation clips are
    carved out of train in the same way. Clips of a speaker who is not named count as one speaker's.
    Clips with the same samples (`digest`) stay together, or see `check_copies`. For clips that were
    added see `_fill_with_added`. Raises `DataError` where no clip can be spared for a split; where
    one split is `scored` and nothing trained, for that one only.
    """
    table = table.copy()
    if recipe.add:
        table, note = _fill_with_added(table, recipe)
    else:
        note = _fill(table, recipe, scored)
    table = check_copies(table, recipe.data, recipe.drop_copies)
    return SplitTable(table, note + shared_note(table))


def _fill(table: pd.DataFrame, recipe: Recipe, scored: str | None) -> str:
    """Fill the `split` column in place; say how."""
    note = "given"
    if not table["split"].ne("").any():
        table["split"] = "train"
        if scored is None:
            _check_recordings(table, recipe)
        rule = _hold_out(table, "test", recipe.test_share, recipe)
        note = _needed(rule, "test", scored) or "all train"
    if "validation" not in set(table["split"]):
        rule = _hold_out(table, "validation", recipe.validation_share, recipe)
        if _needed(rule, "validation", scored):
            note += f"; validation {rule} of train"
    return note


def _needed(rule: str | None, split: str, scored: str | None) -> str | None:
    """Raise `DataError` where no rule fills a split that is needed."""
    if rule is None and scored in (None, split):
        problem = f"no clip can be spared for {split}: every intent needs at least three"
        raise DataError("the data", [problem])
    return rule


def _fill_with_added(table: pd.DataFrame, recipe: Recipe) -> tuple[pd.DataFrame, str]:
    """Give a table with added clips its splits; say how.

    Added clips are train, whatever split they name, and validation and test are the data's own:
    as given, else drawn from them alone. Where they have none, and fewer than half of their intents
    can spare a clip, all of them are train, and of the added clips those that are named for the
    split stand in, else a share of them, by speaker. Added clips of speakers who are held out are
    left out.
    """
    parts = additions.apart(table)
    own, added = parts.own.copy(), parts.added.copy()
    named = added["split"].copy()
    added["split"] = "train"
    is_given = own["split"].ne("").any()
    if not is_given:
        own["split"] = "train"
    notes = ["given"] if is_given else []
    for split, share in (("test", recipe.test_share), ("validation", recipe.validation_share)):
        if split in set(own["split"]):
            continue
        if _can_spare(own) and not (is_given and split == "test"):
            rule = _hold_out(own, split, share, recipe)
            notes.append(str(rule) if split == "test" else f"validation {rule} of train")
        else:
            notes.append(_borrow(added, named == split, split, share, recipe))
    table = additions.without_held_out_speakers(pd.concat([own, added]), recipe)
    names = ", ".join(added[additions.ADDED].unique())
    n_added = int((table.loc[added.index, "split"] == "train").sum())
    return table, "; ".join([*notes, f"{n_added} clips added to train from {names}"])


def _can_spare(own: pd.DataFrame) -> bool:
    """Whether enough intents of the data's own training clips have two recordings or more."""
    rows = representatives(own[own["split"] == "train"])
    counts = rows["intent"].value_counts()
    return len(counts) > 0 and (counts > 1).mean() >= ENOUGH


def _borrow(
    added: pd.DataFrame, is_named: pd.Series, split: str, share: float, recipe: Recipe
) -> str:
    """Move added clips to a split that the data cannot fill, in place; say how, and warn."""
    rule = "named so"
    if is_named.any():
        added.loc[is_named, "split"] = split
    else:
        drawn = _hold_out(added, split, share, replace(recipe, by_speaker=True))
        if drawn is None:
            problem = f"no clip can be spared for {split}, and none of the added ones"
            raise DataError(recipe.data, [f"{problem}; record more"])
        rule = drawn
    text = "warning: %s has no clips to spare for %s; added ones stand in: %s"
    logger.warning(text, recipe.data, split, BORROWED[split])
    return f"WARNING: {split} of added clips, {rule}: {BORROWED[split]}"


def shared_note(table: pd.DataFrame) -> str:
    """Warn, for a note, of speakers and phrasings on both sides of the test; "" of none."""
    shared = _shared(table)
    return f"; WARNING: test shares {' and '.join(shared)} with train" if shared else ""


def _shared(table: pd.DataFrame) -> list[str]:
    """Name what stands on both sides of the test: its figure says less about what is new."""
    shared = []
    for column, what in (("speaker", "speakers"), ("text", "phrasings")):
        if column not in table:
            continue
        train = _values(table, column, "train")
        test = _values(table, column, "test")
        if train & test:
            shared.append(f"{len(train & test)} of {len(test)} {what}")
    return shared


def _values(table: pd.DataFrame, column: str, split: str) -> set[str]:
    return set(table.loc[table["split"] == split, column]) - {""}


def _hold_out(table: pd.DataFrame, split: str, share: float, recipe: Recipe) -> str | None:
    """Move a share of the train rows to another split, in place; say by which rule.

    None where no clip can be spared.
    """
    rows = table[table["split"] == "train"]
    seed = recipe.numbers.seed
    percent = f"{100 * share:.0f} %"
    if recipe.by_speaker and rows["speaker"].nunique() > 1:
        held_out = _draw_speakers(rows, share, seed)
        if held_out is not None:
            table.loc[held_out, "split"] = split
            return f"by speaker {percent}, seed {seed}"
        logger.warning(
            "warning: too few speakers to hold some out for %s with every intent on both sides; "
            "split by clip instead, so speakers are shared",
            split,
        )
    held_out = and_copies(rows, _draw_clips(representatives(rows), share, seed))
    if not held_out:
        return None
    table.loc[held_out, "split"] = split
    return f"stratified by clip {percent}, seed {seed}"


def _check_recordings(rows: pd.DataFrame, recipe: Recipe) -> None:
    """Raise `DataError` for intents that could be learned or tested, not both."""
    counts = representatives(rows)["intent"].value_counts(sort=False)
    names = rows["intent"].value_counts()
    lone = [intent for intent in counts.index[counts == 1] if names[intent] > 1]
    if lone:
        problem = "has one recording only, under several names; record more"
        raise DataError(recipe.data, [f"intent {intent!r} {problem}" for intent in lone])


def _draw_clips(rows: pd.DataFrame, share: float, seed: int) -> list[int]:
    """Draw a share of each intent's rows, at least one and never all; give their index."""
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for _, group in rows.groupby("intent"):
        n = max(round(share * len(group)), 1)
        n = min(n, len(group) - 1)
        drawn.extend(rng.permutation(group.index.to_numpy())[:n])
    return drawn


def _draw_speakers(rows: pd.DataFrame, share: float, seed: int) -> Sequence[int] | None:
    """Draw whole speakers whose clips come closest to a share; give the rows' index.

    Every intent stands on both sides; None where no draw does that.
    """
    rng = np.random.default_rng(seed)
    n_intents = rows["intent"].nunique()
    clips_by = rows["speaker"].value_counts()
    best = None
    best_gap = np.inf
    for _ in range(TRIES):
        order = rng.permutation(clips_by.index.to_numpy())
        fits = clips_by[order].cumsum() <= (share + SLACK) * len(rows)
        n_speakers = max(1, int(fits.sum()))
        held_out = rows["speaker"].isin(order[:n_speakers])
        gap = abs(held_out.mean() - share)
        n_held_out = rows.loc[held_out, "intent"].nunique()
        n_kept = rows.loc[~held_out, "intent"].nunique()
        complete = n_held_out == n_kept == n_intents
        if complete and gap < best_gap - LEAST_GAIN:
            best = rows.index[held_out]
            best_gap = gap
    return best
