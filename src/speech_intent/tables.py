"""A folder of labelled recordings becomes one table, or a list of everything that is wrong with it.

The folder holds either `metadata.csv` (`file_name,intent[,speaker][,split]`, the AudioFolder convention) or
`csv/train.csv`, `csv/test.csv` and, if there is one, `csv/validation.csv` (`file_name,intent[,speaker]`).
`file_name` is relative to the folder; other columns are ignored.
"""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd
from tqdm import tqdm

from . import audio

ROOT = Path(__file__).resolve().parents[2]  # the clone: the package is installed from it with `pip install -e`
BUNDLED = ROOT / "dataset"
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "testing": "test"}


class DataError(ValueError):
    """A dataset that cannot be used. The message lists everything that is wrong with it."""

    def __init__(self, folder: str | Path, problems: Iterable[str]):
        super().__init__(f"{folder} cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))


def resolve(data: str | Path) -> Path:
    """Turn "bundled" or a path into a folder."""
    folder = BUNDLED if str(data) == "bundled" else Path(data)
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise DataError(data, ["there is no such folder; give one with metadata.csv, or 'bundled'"])
    return folder


def read_table(folder: Path) -> pd.DataFrame:
    """Read the CSV files of a folder and check what can be checked without opening a clip.

    Returns
    -------
    pd.DataFrame
        Columns `file_name`, `intent`, `speaker` and `split` ("" where unknown), then any others, all strings.
    """
    single, several = folder / "metadata.csv", [folder / "csv" / f"{split}.csv" for split in SPLITS]
    if not single.is_file() and not (several[0].is_file() and several[2].is_file()):
        raise DataError(folder, ["it has neither metadata.csv nor csv/train.csv and csv/test.csv"])
    tables, problems = [], []
    for path in [single] if single.is_file() else filter(Path.is_file, several):
        try:
            tables.append(_read_csv(path) if path == single else _read_csv(path).assign(split=path.stem))
        except (ValueError, OSError) as error:  # ValueError: pandas' parser errors, an empty file, a wrong encoding
            problems.append(f"{path.relative_to(folder)} cannot be read: {error}")
    if problems:
        raise DataError(folder, problems)
    table = pd.concat(tables, ignore_index=True)
    table = table.reindex(
        columns=list(dict.fromkeys(["file_name", "intent", "speaker", "split", *table])), fill_value=""
    )
    table[["speaker", "split"]] = table[["speaker", "split"]].fillna("")
    table["split"] = table["split"].str.lower().replace(SPLIT_NAMES)
    table["file_name"] = table["file_name"].str.replace("\\", "/")  # as Windows writes paths
    paths = {row: _path_problem(folder, name) for row, name in table["file_name"].items()}
    problems = [f"row {row + 1} ({table.at[row, 'file_name']}): {problem}" for row, problem in paths.items() if problem]
    if problems := problems + list(_table_problems(table)):
        _, broken = _decode(folder, [table.at[row, "file_name"] for row, problem in paths.items() if not problem])
        raise DataError(folder, problems + broken)
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    """Read one CSV file as text, "" where a row is short; ValueError where it lacks columns or rows."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    table = table.fillna("")
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first column for an index
        raise ValueError("its rows have more fields than its header; quote fields with commas")
    table.columns = table.columns.str.strip()
    if missing := [column for column in ("file_name", "intent") if column not in table]:
        raise ValueError(f"it has no column {', '.join(missing)}; it has {', '.join(table)}")
    if table.empty:
        raise ValueError("it has no rows")
    return table.apply(lambda column: column.str.strip())


def _path_problem(folder: Path, name: str) -> str | None:
    path = PurePosixPath(name)
    if not name:
        return "file_name is empty"
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        return "file_name leaves the folder; it must be relative to it, without '..'"
    return None if (folder / path).is_file() else "there is no such file"


def _table_problems(table: pd.DataFrame) -> Iterable[str]:
    normal = table["file_name"].map(lambda name: str(PurePosixPath(name)))
    for name in normal[normal.duplicated()].unique():
        yield f"{name}: is listed {(normal == name).sum()} times"
    for name in table.loc[table["intent"] == "", "file_name"]:
        yield f"{name}: its intent is empty"
    if has_split := table["split"].ne("").any():
        for row in table.loc[~table["split"].isin(SPLITS)].itertuples():
            yield f"{row.file_name}: unknown split {row.split!r}; use train, validation or test"
        train = set(table.loc[table["split"] == "train", "intent"])
        for split in ("test", "validation"):
            unknown = set(table.loc[table["split"] == split, "intent"]) - train - {""}
            yield from (f"intent {intent!r} is in {split} but not in train" for intent in sorted(unknown))
        yield from (
            f"the split column has no {split} rows" for split in ("train", "test") if split not in set(table["split"])
        )
    counts = table.loc[(table["split"] == "train") | ~has_split, "intent"].value_counts().drop("", errors="ignore")
    yield from (f"intent {intent!r} has one clip; record more" for intent in counts.index[counts == 1] if not has_split)
    if len(counts) < 2 and not (table["intent"] == "").all():
        yield f"there is one intent only ({', '.join(counts.index)}); a classifier needs two"


def clip_seconds(folder: Path, table: pd.DataFrame) -> list[float]:
    """Decode every clip once; return their durations in seconds, or raise `DataError` naming each that is broken."""
    seconds, problems = _decode(folder, table["file_name"])
    if problems:
        raise DataError(folder, problems)
    return seconds


def _decode(folder: Path, names: Iterable[str]) -> tuple[list[float], list[str]]:
    rate, problems, seconds = 16_000, [], []
    for name in tqdm(names, desc="Checking clips", unit="clip", disable=None, leave=False):
        try:
            seconds.append(sum(map(len, audio.blocks(folder / name, rate))) / rate)
        except audio.AudioError as error:
            problems.append(str(error))
    return seconds, problems
