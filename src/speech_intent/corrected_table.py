"""A data folder's table with other intents where its own are likely wrong, as a new file."""

from pathlib import Path

import pandas as pd

from . import folders, layouts
from .columns import find_column, intent_names, known_names, usual_columns
from .errors import OutputError, UserError
from .findings import WRONG, Findings
from .hub_names import is_hub_id
from .recipes import Recipe
from .table_files import read_rows

BEFORE = "intent_before"  # the column of the intent that stood there; "" where none was replaced


def check_target(path: Path, recipe: Recipe) -> None:
    """Raise `UserError` for a file that is there, or data whose table cannot be replaced."""
    if is_hub_id(recipe.data):
        problem = "is a dataset on the Hub: there is no table to correct"
        raise UserError(recipe.data, problem, "download it, and name the folder")
    if path.exists() or path.is_symlink():
        raise OutputError(path, "is there already", "choose another name for the corrected table")
    if not path.parent.is_dir():
        raise OutputError(path.parent, "there is no such folder", "make it first")


def write(findings: Findings, recipe: Recipe, path: Path) -> None:
    """Write a table with the suggested intents in the place of those that are likely wrong.

    Raises `OutputError` for a file that is there, or cannot be written.
    """
    table = corrected(findings, recipe)
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            table.to_csv(file, index=False)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise OutputError(path, problem, "choose another name for the corrected table") from error


def corrected(findings: Findings, recipe: Recipe) -> pd.DataFrame:
    """Give the table that `write` writes, all text.

    It has the rows and columns of the folder's only table, whose place it can take. Where there are
    several or none, it has the usual columns, and can lie in the folder as `metadata.csv`.
    """
    found = findings.table
    is_wrong = found["issues"].str.split(", ").map(lambda kinds: WRONG in kinds)
    suggested = found.loc[is_wrong, "suggested"]  # by the row of the listing
    folder = folders.find_folder(recipe.data)
    parts = layouts.find_layout(folder).parts
    if len(parts) > 1 or parts[0].table is None:
        return _replaced(_usual(findings), "intent", suggested)
    rows = read_rows(folder / parts[0].table, known_names(recipe)).table
    column = find_column(rows.columns, intent_names(recipe))
    assert column is not None  # the listing was read from it
    rows[column] = usual_columns(rows, recipe)["intent"]  # names in the place of numbers
    lines = {f"{parts[0].table}: line {line}": line for line in rows.index}
    suggested.index = pd.Index([lines[findings.listing.places[row]] for row in suggested.index])
    return _replaced(rows, column, suggested)


def _usual(findings: Findings) -> pd.DataFrame:
    """Give the clips of all tables in one, without usual columns that nothing fills."""
    table = findings.listing.table
    empty = [name for name in ("speaker", "split") if not table[name].ne("").any()]
    return table.drop(columns=empty)


def _replaced(rows: pd.DataFrame, column: str, suggested: pd.Series) -> pd.DataFrame:
    """Put suggestions into a column of rows, and beside each what stood there."""
    rows = rows.copy()
    if BEFORE not in rows:
        rows[BEFORE] = ""
    rows.loc[suggested.index, BEFORE] = rows.loc[suggested.index, column]
    rows.loc[suggested.index, column] = suggested
    return rows
