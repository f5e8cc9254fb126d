"""The same clips split several ways, a fold each: `train --protocol`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from . import additions
from .copies import and_copies, representatives
from .drawing import eligible, hold_out
from .errors import DataError
from .recipes import Recipe
from .splits import assign_splits
from .tables import is_unknown


@dataclass(frozen=True)
class Fold:
    """One split of the clips."""

    name: str  # for people: "fold-0", a speaker
    table: pd.DataFrame  # a row a clip, every `split` filled
    note: str  # how it was split, in words, for the record


def folds(table: pd.DataFrame, protocol_name: str, n_folds: int, recipe: Recipe) -> Iterator[Fold]:
    """Fill the `split` column once a fold; the recipe's seed decides.

    "given" leaves a folder's own split; "random" and "speaker" draw one by clip or by whole
    speakers; "kfold" is stratified by intent, each clip tested once; "leave-one-speaker-out" tests
    each speaker in turn. Validation clips are taken out of train, added clips are in every fold's
    train, and corrected clips only train; those of no intent are shared out as in `unknown_rows`.
    Raises `DataError` where speakers are needed and not known, or clips are fewer than folds.
    """
    own = additions.apart(table).own  # stands before what is added
    if protocol_name not in ("given", "speaker"):
        recipe = replace(recipe, by_speaker=False)
    if protocol_name in ("given", "speaker", "random"):
        table = table if protocol_name == "given" else _resplit(table, own.assign(split=""))
        yield _fold(protocol_name, table, recipe)
        return
    is_known = ~is_unknown(own)
    if protocol_name == "kfold":
        test_rows = _k_folds(own[is_known], n_folds, recipe)
    elif protocol_name == "leave-one-speaker-out":
        test_rows = _speakers(own[is_known], recipe)
    else:
        raise ValueError(f"there is no protocol {protocol_name!r}")
    for name, rows in test_rows.items():
        tested = own.assign(split=np.where(is_known, "train", ""))
        hold_out(tested, rows, "test", by_speaker=protocol_name != "kfold")
        yield _fold(name, _resplit(table, tested), recipe)


def _resplit(table: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Give the data's own rows, as they stand in the table, the splits that they have here."""
    table = table.copy()
    table.loc[own.index, "split"] = own["split"]
    return table


def _fold(name: str, table: pd.DataFrame, recipe: Recipe) -> Fold:
    split = assign_splits(table, recipe)
    return Fold(name, split.table, split.note)


def _k_folds(table: pd.DataFrame, n_folds: int, recipe: Recipe) -> dict[str, list[int]]:
    """Give the index of the test rows of each fold, by its name."""
    table = eligible(table, recipe, "test")
    different = representatives(table)
    most = int(different["intent"].value_counts().max())
    if most < n_folds:
        problem = f"no intent has enough clips for {n_folds} folds: the most are {most}"
        raise DataError(recipe.data, [problem])
    parts = StratifiedKFold(n_folds, shuffle=True, random_state=recipe.numbers.seed)
    test_rows = {}
    for i, (_, rows) in enumerate(parts.split(different, different["intent"])):
        test_rows[f"fold-{i}"] = and_copies(table, different.index[rows].tolist())
    return test_rows


def _speakers(table: pd.DataFrame, recipe: Recipe) -> dict[str, list[int]]:
    """Give the index of the test rows of each speaker, by name."""
    table = eligible(table, recipe, "test")
    names = sorted(set(table["speaker"]) - {""})
    if len(names) < 2:
        problem = "leave-one-speaker-out needs a column that names two speakers or more; use kfold"
        raise DataError(recipe.data, [problem])
    return {name: table.index[table["speaker"] == name].tolist() for name in names}
