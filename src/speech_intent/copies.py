"""The same recording under two names: kept together in a split, and never learned and tested."""

import logging
from collections.abc import Iterator

import pandas as pd

from .errors import DataError
from .tables import SPLITS

N_SHOWN = 3  # copies that a warning names

logger = logging.getLogger("speech_intent")


def representatives(table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of a table whose samples no row before them has."""
    return table[~table["digest"].duplicated()]


def and_copies(table: pd.DataFrame, rows: list[int]) -> list[int]:
    """Add to rows, by their index, those of the table that have the same samples."""
    has_them = table["digest"].isin(table.loc[rows, "digest"])
    return table.index[has_them].tolist()


def check_copies(table: pd.DataFrame, name: str, drop: bool) -> pd.DataFrame:
    """Look for the same samples on both sides of a split, and warn of those on one side.

    `table` has `file_name`, `intent`, `split` and `digest`. With `drop`, what stands in validation
    or test is left out of training, and what stands in test out of validation: such a row's split
    is "". Without, `DataError` names the copies of the data called `name`.
    """
    across = [group for group in _groups(table) if group["split"].nunique() > 1]
    if across and not drop:
        raise DataError(name, [_problem(group) for group in across])
    table = table.copy()
    left_out: list[int] = []
    for group in across:
        last = max(group["split"], key=SPLITS.index)  # test, else validation
        left_out += group.index[group["split"] != last].tolist()
    table.loc[left_out, "split"] = ""
    if left_out:
        text = "warning: %s: left out of training %d clips that are copies of held-out ones"
        logger.warning(text, name, len(left_out))
    _warn_of_copies(list(_groups(table)), name)
    return table


def _groups(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Give the rows of each recording that has several names."""
    used = table[table["split"].isin(SPLITS)]
    several = used[used["digest"].duplicated(keep=False)]
    for _, group in several.groupby("digest", sort=False):
        yield group


def _problem(group: pd.DataFrame) -> str:
    names = zip(group["file_name"], group["split"], strict=True)
    listed = " and ".join(f"{name} ({split})" for name, split in names)
    return f"{listed} have the same samples; remove all but one, or add --drop-copies"


def _warn_of_copies(groups: list[pd.DataFrame], name: str) -> None:
    if not groups:
        return
    n_copies = sum(len(group) - 1 for group in groups)
    shown = "; ".join(_listed(group) for group in groups[:N_SHOWN])
    text = "warning: %s: %d clips have the samples of another clip in the same split: %s"
    logger.warning(text, name, n_copies, shown + (", ..." if len(groups) > N_SHOWN else ""))


def _listed(group: pd.DataFrame) -> str:
    names = " and ".join(group["file_name"])
    intents = group["intent"].unique()
    return names if len(intents) == 1 else f"{names} (intents {', '.join(intents)})"
