"""A checked table of recordings becomes train, validation and test splits with integer labels.

Waveforms stay in their files until they are needed.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .tables import SPLITS, DataError, clip_seconds, read_table, resolve

if TYPE_CHECKING:
    from datasets import DatasetDict

TEST_SHARE = 0.3  # seed system 000: TRAIN-TEST [70:30]
VALIDATION_SHARE = 0.15  # of the clips left for training

logger = logging.getLogger("speech_intent")


def load_data(data: str | Path, seed: int = 0) -> "tuple[DatasetDict, str]":
    """Read, check and split a folder of labelled recordings.

    Parameters
    ----------
    data : path
        A folder as `tables` describes, or "bundled" for the scooter requests in `dataset/`.
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
