"""A share of the clips is drawn for a split; corrected clips are never among them."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .copies import and_copies, representatives
from .errors import DataError
from .recipes import Recipe
from .tables import is_corrected

TRIES = 200  # orders of the speakers that are drawn; a few dozen nearly always hold a good one
SLACK = 0.02  # by which a share may be exceeded, since speakers come whole
LEAST_GAIN = 1e-9  # a share that is closer by less is no better

logger = logging.getLogger("speech_intent")


def draw(
    table: pd.DataFrame, among: pd.Index, split: str, share: float, recipe: Recipe
) -> str | None:
    """Move a share of the train rows among some, by their index, to a split, in place.

    Says by which rule; None where no clip can be spared. For corrected clips see `hold_out`.
    """
    rows = uncorrected(table.loc[among])
    rows = rows[rows["split"] == "train"]
    seed = recipe.numbers.seed
    percent = f"{100 * share:.0f} %"
    if recipe.by_speaker and rows["speaker"].nunique() > 1:
        held_out = _draw_speakers(rows, share, seed)
        if held_out is not None:
            hold_out(table, held_out, split, by_speaker=True)
            return f"by speaker {percent}, seed {seed}"
        logger.warning(
            "warning: too few speakers to hold some out for %s with every intent on both sides; "
            "split by clip instead, so speakers are shared",
            split,
        )
    held_out = and_copies(rows, _draw_clips(representatives(rows), share, seed))
    if not held_out:
        return None
    hold_out(table, held_out, split, by_speaker=False)
    return f"stratified by clip {percent}, seed {seed}"


def uncorrected(table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows that a split may be drawn from: all but those of corrected clips."""
    return table[~is_corrected(table)]


def eligible(table: pd.DataFrame, recipe: Recipe, split: str) -> pd.DataFrame:
    """Give the rows that are not of corrected clips. Raises `DataError` where there is none."""
    rows = uncorrected(table)
    if rows.empty and len(table):
        problem = f"there is no clip for {split}: all are corrected ones, and those only train"
        raise DataError(recipe.data, [f"{problem}; record others as well"])
    return rows


def hold_out(table: pd.DataFrame, rows: Sequence[int], split: str, by_speaker: bool) -> None:
    """Move rows, by their index, to a split, in place.

    Corrected clips stay in train, but for copies of those rows: what is tested would be learned.
    Those are left out, as are the corrected clips of the rows' speakers where voices are kept
    apart: with "" in `split`, and a warning.
    """
    table.loc[rows, "split"] = split
    held_out = table.loc[rows]
    is_known = table["digest"].isin(held_out["digest"])
    if by_speaker:
        is_known |= table["speaker"].isin(set(held_out["speaker"]) - {""})
    leave_out_corrected(table, is_known, split)


def leave_out_corrected(table: pd.DataFrame, is_known: pd.Series, split: str) -> None:
    """Take the corrected clips among some rows out of train, in place, with a warning.

    `is_known`, bool, (n_rows,), tells which rows may not be learned for what stands in a split.
    """
    left_out = is_known & is_corrected(table) & table["split"].eq("train")
    table.loc[left_out, "split"] = ""
    if left_out.any():
        text = "warning: left out of training %d corrected clips: their recordings or speakers are "
        logger.warning(text + "in %s", left_out.sum(), split)


def check_recordings(rows: pd.DataFrame, recipe: Recipe) -> None:
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
