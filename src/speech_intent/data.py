"""A folder of labelled recordings becomes checked train, validation and test tables with integer labels.

The folder holds either `metadata.csv` (`file_name,intent[,speaker][,split]`, the AudioFolder convention) or
`csv/train.csv`, `csv/test.csv` and, if there is one, `csv/validation.csv` (`file_name,intent[,speaker]`).
`file_name` is relative to the folder; other columns are ignored. Waveforms stay in their files until they are needed.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from . import audio

if TYPE_CHECKING:
    from datasets import DatasetDict

ROOT = Path(__file__).resolve().parents[2]  # the clone: the package is installed from it with `pip install -e`
BUNDLED = ROOT / "dataset"
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "testing": "test"}
TEST_SHARE = 0.3  # seed system 000: TRAIN-TEST [70:30]
VALIDATION_SHARE = 0.15  # of the clips left for training

logger = logging.getLogger("speech_intent")


class DataError(ValueError):
    """A dataset that cannot be used. The message lists everything that is wrong with it."""

    def __init__(self, folder: str | Path, problems: Iterable[str]):
        super().__init__(f"{folder} cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))


def load_data(data: str | Path, seed: int = 0) -> "tuple[DatasetDict, str]":
    """Read, check and split a folder of labelled recordings.

    Parameters
    ----------
    data : path
        A folder as described above, or "bundled" for the scooter requests in `dataset/`.
    seed : int
        Decides the split where the folder does not.

    Returns
    -------
    DatasetDict
        train, validation and test with the columns `file_name`, `audio` ({"bytes", "path"}, not decoded), `label`
        (ClassLabel, sorted by name), `seconds` and `speaker` (empty where it is not known).
    str
        How it was split, for the record.

    Raises
    ------
    DataError
        With every problem of the folder: columns, labels, paths, files, duplicates.
    """
    folder = resolve(data)
    table = read_table(folder)
    table["seconds"] = clip_seconds(folder, table)
    table, how = assign_splits(table, seed)
    return to_datasets(folder, table), how


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


def assign_splits(table: pd.DataFrame, seed: int = 0) -> tuple[pd.DataFrame, str]:
    """Fill the `split` column where the folder left it open, and say how.

    Test clips: as given, else 30 % of the clips by speaker where speakers are known and every intent then stands on
    both sides, else stratified by intent. Validation clips are carved out of train in the same way. Clips of a
    speaker who is not named count as one speaker's.
    """
    table, how = table.copy(), "given"
    if not table["split"].ne("").any():
        table["split"] = "train"
        how = _hold_out(table, "test", TEST_SHARE, seed)
    if "validation" not in set(table["split"]):
        validation = _hold_out(table, "validation", VALIDATION_SHARE, seed)
        how += f"; validation {validation} of train"
    return table, how


def _hold_out(table: pd.DataFrame, split: str, share: float, seed: int) -> str:
    """Move a share of the train rows to another split, in place; return how."""
    train = table.index[table["split"] == "train"]
    rows, percent = table.loc[train], f"{100 * share:.0f} %"
    if rows["speaker"].nunique() > 1:
        held_out = _by_speaker(rows, share, seed)
        if held_out is not None:
            table.loc[held_out, "split"] = split
            return f"by speaker {percent}, seed {seed}"
        logger.warning(
            "warning: too few speakers to hold some out for %s with every intent on both sides; "
            "split by clip instead, so speakers are shared",
            split,
        )
    held_out = _by_clip(rows, share, seed)
    if not len(held_out):
        raise DataError("the data", [f"no clip can be spared for {split}: every intent needs at least three"])
    table.loc[held_out, "split"] = split
    return f"stratified by clip {percent}, seed {seed}"


def _by_clip(rows: pd.DataFrame, share: float, seed: int) -> list[int]:
    """Draw a share of each intent's rows, at least one and never all."""
    rng, drawn = np.random.default_rng(seed), []
    for _, group in rows.groupby("intent"):
        n = min(max(round(share * len(group)), 1), len(group) - 1)
        drawn.extend(rng.permutation(group.index.to_numpy())[:n])
    return drawn


def _by_speaker(rows: pd.DataFrame, share: float, seed: int) -> pd.Index | None:
    """Draw whole speakers whose clips come closest to a share, with every intent on both sides; None if impossible."""
    rng, intents, best, best_gap = np.random.default_rng(seed), rows["intent"].nunique(), None, np.inf
    sizes = rows["speaker"].value_counts()
    for _ in range(200):
        order = rng.permutation(sizes.index.to_numpy())
        n = max(1, int((sizes[order].cumsum() <= (share + 0.02) * len(rows)).sum()))
        held_out = rows["speaker"].isin(order[:n])
        gap = abs(held_out.mean() - share)
        both = rows[held_out]["intent"].nunique() == rows[~held_out]["intent"].nunique() == intents
        if both and gap < best_gap - 1e-9:
            best, best_gap = rows.index[held_out], gap
    return best


def to_datasets(folder: Path, table: pd.DataFrame) -> "DatasetDict":
    """Turn a checked table with `split` and `seconds` into the DatasetDict that `load_data` describes."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    # What Audio(decode=False) stores, written out: datasets' Audio imports torchcodec even for a plain path.
    clip = {"bytes": Value("binary"), "path": Value("string")}
    label = ClassLabel(names=sorted(table["intent"].unique()))
    features = Features(
        {
            "file_name": Value("string"),
            "audio": clip,
            "label": label,
            "seconds": Value("float32"),
            "speaker": Value("string"),
        }
    )
    splits = {}
    for split in SPLITS:
        rows = table[table["split"] == split]
        columns = {
            "file_name": list(rows["file_name"]),
            "label": label.str2int(list(rows["intent"])),
            "audio": [{"bytes": None, "path": str(folder / name)} for name in rows["file_name"]],
            "seconds": list(rows["seconds"]),
            "speaker": list(rows["speaker"]),
        }
        splits[split] = Dataset.from_dict(columns, features=features)
    return DatasetDict(splits)


def summary(splits: "DatasetDict") -> pd.DataFrame:
    """Count what stands in each split: clips, minutes, intents, speakers, and speakers shared with train."""
    known = {split: set(table["speaker"]) - {""} for split, table in splits.items()}
    rows = {
        split: {
            "clips": len(table),
            "minutes": round(sum(table["seconds"]) / 60, 1),
            "intents": len(set(table["label"])),
            "speakers": len(known[split]) or "unknown",
            "speakers also in train": len(known[split] & known["train"]) if known[split] else "unknown",
        }
        for split, table in splits.items()
    }
    rows["train"]["speakers also in train"] = "-"
    return pd.DataFrame.from_dict(rows, orient="index")
