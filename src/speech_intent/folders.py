"""A folder of labelled recordings becomes a table of clips, with everything wrong about it.

The folder holds either `metadata.csv` (`file_name,intent[,speaker][,split]`, the AudioFolder
convention) or `train.csv`, `test.csv` and, if there is one, `validation.csv`
(`file_name,intent[,speaker]`), in it or in its `csv/`. `file_name` is relative to the folder; other
columns are kept. A recipe may say that columns are named otherwise.
"""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from .errors import DataError
from .paths import BUNDLED
from .recipes import PLAIN, Recipe
from .tables import SPLITS, Listing, name_intents, split_name, table_problems

COLUMNS = ["file_name", "intent", "speaker", "split"]
SEPARATORS = ",;\t|"


def find_folder(data: str | Path) -> Path:
    """Turn "bundled" or a path into a folder. Raises `DataError` where there is none."""
    folder = BUNDLED if str(data) == "bundled" else Path(data)
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        problem = "there is no such folder; give one with metadata.csv, or 'bundled'"
        raise DataError(data, [problem])
    return folder


def read_folder(folder: Path, recipe: Recipe = PLAIN) -> Listing:
    """List the clips of a folder, without opening one; see `Listing`.

    Raises `DataError` where there is no table, or it cannot be read.
    """
    from datasets import Dataset, Features, Value

    table = _read_tables(folder, recipe)
    path_problems = [_path_problem(folder, name) for name in table["file_name"]]
    problems = [
        f"row {row} ({name}): {problem}"
        for row, (name, problem) in enumerate(
            zip(table["file_name"], path_problems, strict=True), start=1
        )
        if problem
    ]
    problems += table_problems(table)
    readable = [problem is None for problem in path_problems]
    table = table[readable].reset_index(drop=True)
    # As Audio(decode=False) stores it: datasets' Audio imports torchcodec even for a plain path.
    features = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}})
    audio = [{"bytes": None, "path": str(folder / name)} for name in table["file_name"]]
    clips = Dataset.from_dict({"audio": audio}, features=features)
    return Listing(table, clips, tuple(problems))


def read_table(folder: Path, recipe: Recipe = PLAIN) -> pd.DataFrame:
    """Read the table of a folder that is sound, without decoding its clips, or raise `DataError`.

    Gives the columns `file_name`, `intent`, `speaker` and `split` ("" where unknown), then any
    others, all strings.
    """
    listing = read_folder(folder, recipe)
    if listing.problems:
        raise DataError(folder, listing.problems)
    return listing.table


def _read_tables(folder: Path, recipe: Recipe) -> pd.DataFrame:
    tables = []
    problems = []
    for path in _csv_files(folder):
        try:
            table = _read_csv(path, recipe)
        except (ValueError, OSError) as error:  # pandas' errors, an empty file, a wrong encoding
            problems.append(f"{path.relative_to(folder)} cannot be read: {error}")
            continue
        if path.stem != "metadata":
            table = table.assign(split=path.stem)
        tables.append(table)
    if problems:
        raise DataError(folder, problems)
    return _normalised(pd.concat(tables, ignore_index=True))


def _normalised(table: pd.DataFrame) -> pd.DataFrame:
    columns = list(dict.fromkeys([*COLUMNS, *table.columns]))
    table = table.reindex(columns=columns, fill_value="").fillna("")
    table["split"] = table["split"].map(split_name)
    table["file_name"] = table["file_name"].str.replace("\\", "/")  # as Windows writes paths
    return table


def _csv_files(folder: Path) -> list[Path]:
    if (folder / "metadata.csv").is_file():
        return [folder / "metadata.csv"]
    for place in (folder / "csv", folder):
        paths = {split: place / f"{split}.csv" for split in SPLITS}
        if paths["train"].is_file() and paths["test"].is_file():
            return [path for path in paths.values() if path.is_file()]
    problem = "it has neither metadata.csv nor csv/train.csv and csv/test.csv"
    raise DataError(folder, [problem])


def _read_csv(path: Path, recipe: Recipe) -> pd.DataFrame:
    """Read one CSV file as text, "" where a row is short.

    Raises ValueError where it lacks columns or rows.
    """
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    table = pd.read_csv(
        path,
        sep=max(SEPARATORS, key=header.count),  # the comma where none occurs
        dtype=str,
        keep_default_na=False,
        encoding="utf-8-sig",
        skipinitialspace=True,
    ).fillna("")
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first column for an index
        raise ValueError("its rows have more fields than its header; quote fields with commas")
    table = _usual_columns(table, recipe)
    if table.empty:
        raise ValueError("it has no rows")
    table = table.apply(lambda column: column.str.strip())
    return table.assign(intent=name_intents(table["intent"], recipe.intents))


def _usual_columns(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    table.columns = table.columns.str.strip()
    names = {
        recipe.file_name: "file_name",
        recipe.intent: "intent",
        recipe.speaker: "speaker",
    }
    renamed = {old: new for old, new in names.items() if new not in table}
    table = table.rename(columns=renamed)
    missing = [column for column in ("file_name", "intent") if column not in table]
    if missing:
        columns = ", ".join(table.columns)
        raise ValueError(f"it has no column {', '.join(missing)}; it has {columns}")
    return table


def _path_problem(folder: Path, name: str) -> str | None:
    path = PurePosixPath(name)
    if not name:
        return "file_name is empty"
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        return "file_name leaves the folder; it must be relative to it, without '..'"
    if not (folder / path).is_file():
        return "there is no such file"
    return None
