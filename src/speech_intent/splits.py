"""Which clips train a model, which choose its checkpoint, and which test it."""

from dataclasses import dataclass

import pandas as pd

from .added_splits import fill_with_added
from .copies import check_copies
from .drawing import check_recordings, draw, eligible, uncorrected
from .errors import DataError
from .recipes import PLAIN, Recipe
from .tables import is_corrected, is_unknown
from .unknown_rows import with_splits


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
    Clips with the same samples (`digest`) stay together, or see `check_copies`. Corrected clips are
    held out in no split that is drawn; see `is_corrected` and `hold_out`. For clips that were added
    see `fill_with_added`, for those of no intent `unknown_rows`. Raises `DataError` where no clip
    can be spared for a split; where one split is `scored` and nothing trained, for that one only.
    """
    is_known = ~is_unknown(table)
    known = table[is_known].copy()
    note = fill_with_added(known, recipe) if recipe.add else _fill(known, recipe, scored)
    unknown = with_splits(table[~is_known], known, recipe)
    table = pd.concat([known, unknown]).loc[table.index]
    table = check_copies(table, recipe.data, recipe.drop_copies)
    return SplitTable(table, note + shared_note(table))


def _fill(table: pd.DataFrame, recipe: Recipe, scored: str | None) -> str:
    """Fill the `split` column in place; say how."""
    note = "given"
    if not table["split"].ne("").any():
        table["split"] = "train"
        if scored is None:
            check_recordings(uncorrected(table), recipe)
        note = _draw(table, "test", recipe.test_share, recipe, scored) or "all train"
    if "validation" not in set(table["split"]):
        rule = _draw(table, "validation", recipe.validation_share, recipe, scored)
        if rule is not None:
            note += f"; validation {rule} of train"
    return note


def _draw(
    table: pd.DataFrame, split: str, share: float, recipe: Recipe, scored: str | None
) -> str | None:
    """Draw a split. Raises `DataError` where no clip can be spared for one that is needed."""
    rule = draw(table, table.index, split, share, recipe)
    if rule is None and scored in (None, split):
        eligible(table[table["split"] == "train"], recipe, split)
        problem = f"no clip can be spared for {split}: every intent needs at least three"
        if is_corrected(table).any():
            problem += " that are not corrected ones"
        raise DataError("the data", [problem])
    return rule


def shared_note(table: pd.DataFrame) -> str:
    """Say, for a note, what train shares with the test, or may; "" where it is nothing."""
    shared = _shared(table)
    note = f"; WARNING: test shares {' and '.join(shared)} with train" if shared else ""
    train = table[is_corrected(table) & table["split"].eq("train")]
    if len(train):
        note += f"; {len(train)} corrected clips, in train only"
    n_unknown = int(train["speaker"].eq("").sum())
    if n_unknown and _values(table, "speaker", "test"):
        note += f"; WARNING: who speaks {n_unknown} of them is not known, and may be tested"
    return note


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
