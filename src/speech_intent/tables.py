"""A folder of labelled recordings becomes one table, or a list of everything that is wrong with it.

The folder holds either `metadata.csv` (`file_name,intent[,speaker][,split]`, the AudioFolder convention) or
`train.csv`, `test.csv` and, if there is one, `validation.csv` (`file_name,intent[,speaker]`), in it or in its `csv/`.
`file_name` is relative to the folder; other columns are ignored. A recipe may say that columns are named otherwise.
"""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd
from tqdm import tqdm

from . import audio
from .recipes import PLAIN, Recipe

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


def read_table(folder: Path, recipe: Recipe = PLAIN) -> pd.DataFrame:
    """Read the CSV files of a folder and check what can be checked without opening a clip.

    Gives the columns `file_name`, `intent`, `speaker` and `split` ("" where unknown), then any others, all strings.
    """
    tables, problems = [], []
    for path in _csv_files(folder):
        try:
            table = _read_csv(path, recipe)
            tables.append(table if path.stem == "metadata" else table.assign(split=path.stem))
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
    if problems := problems + list(table_problems(table)):
        readable = [table.at[row, "file_name"] for row, problem in paths.items() if not problem]
        _, broken = _decode(readable, [folder / name for name in readable])
        raise DataError(folder, problems + broken)
    return table


def _csv_files(folder: Path) -> list[Path]:
    if (folder / "metadata.csv").is_file():
        return [folder / "metadata.csv"]
    for place in (folder / "csv", folder):
        paths = [place / f"{split}.csv" for split in SPLITS]
        if paths[0].is_file() and paths[2].is_file():
            return [path for path in paths if path.is_file()]
    raise DataError(folder, ["it has neither metadata.csv nor csv/train.csv and csv/test.csv"])


def _read_csv(path: Path, recipe: Recipe) -> pd.DataFrame:
    """Read one CSV file as text, "" where a row is short; ValueError where it lacks columns or rows."""
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    separator = max(",;\t|", key=header.count)  # the comma where none occurs
    options = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig", "skipinitialspace": True}
    table = pd.read_csv(path, sep=separator, **options).fillna("")
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first column for an index
        raise ValueError("its rows have more fields than its header; quote fields with commas")
    table.columns = table.columns.str.strip()
    names = {recipe.file_name: "file_name", recipe.intent: "intent", recipe.speaker: "speaker"}
    table = table.rename(columns={old: new for old, new in names.items() if new not in table})
    if missing := [column for column in ("file_name", "intent") if column not in table]:
        raise ValueError(f"it has no column {', '.join(missing)}; it has {', '.join(table)}")
    if table.empty:
        raise ValueError("it has no rows")
    table = table.apply(lambda column: column.str.strip())
    return table.assign(intent=name_intents(table["intent"], recipe.intents))


def name_intents(column: pd.Series, intents: tuple[str, ...]) -> pd.Series:
    """Put names in the place of numbered intents; ValueError for a number without a name."""
    if not intents or not column.astype(str).str.fullmatch(r"\d+").all():
        return column
    if unknown := sorted(set(column.astype(int)) - set(range(len(intents)))):
        raise ValueError(f"the intents {unknown} are unknown; they run from 0 to {len(intents) - 1}")
    return column.astype(int).map(dict(enumerate(intents)))


def _path_problem(folder: Path, name: str) -> str | None:
    path = PurePosixPath(name)
    if not name:
        return "file_name is empty"
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        return "file_name leaves the folder; it must be relative to it, without '..'"
    return None if (folder / path).is_file() else "there is no such file"


def table_problems(table: pd.DataFrame) -> Iterable[str]:
    """Say what is wrong with a table's names, intents and splits."""
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


def clip_seconds(data: str | Path, names: Iterable[str], clips: Iterable[audio.Source]) -> list[float]:
    """Decode every clip once; return their durations in seconds, or raise `DataError` naming each that is broken."""
    seconds, problems = _decode(names, clips)
    if problems:
        raise DataError(data, problems)
    return seconds


def _decode(names: Iterable[str], clips: Iterable[audio.Source]) -> tuple[list[float], list[str]]:
    rate, names, problems, seconds = 16_000, list(names), [], []
    bar = tqdm(clips, total=len(names), desc="Checking clips", unit="clip", disable=None, leave=False)
    for name, clip in zip(names, bar, strict=True):
        try:
            seconds.append(sum(map(len, audio.blocks(clip, rate))) / rate)
        except audio.AudioError as error:
            problems.append(str(error) if name in str(error) else f"{name}: {error}")
    return seconds, problems
