"""A checked table of recordings becomes train, validation and test splits with integer labels.

Waveforms stay in their files until they are needed.
"""

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from . import hub_data
from .recipes import PLAIN, Recipe
from .tables import SPLITS, DataError, clip_seconds, read_table, resolve

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

logger = logging.getLogger("speech_intent")


def load_data(data: str | Path, seed: int = 0, recipe: Recipe = PLAIN) -> "tuple[DatasetDict, str]":
    """Read, check and split labelled recordings; also say how they were split, for the record.

    `data` is a folder as `tables` describes, "bundled" for the scooter requests in `dataset/`, or a Hub id. `seed`
    decides the split where the data do not; `recipe` names columns and intents and gives the shares of splits (its own
    `data` is not looked at).

    Gives train, validation and test with the columns `audio` ({"bytes", "path"}, not decoded), `file_name`, `label`
    (ClassLabel, sorted by name), `seconds` and `speaker` ("" where it is not known). Raises `DataError` with every
    problem of the data: columns, labels, paths, files, duplicates.
    """
    table, clips = read_recordings(data, recipe)
    table, how = assign_splits(table, seed, recipe)
    return to_datasets(table, clips), how


def read_recordings(data: str | Path, recipe: Recipe = PLAIN) -> "tuple[pd.DataFrame, Dataset]":
    """Read and check recordings without splitting them.

    Gives a table with a row a clip (`file_name`, `intent`, `speaker`, `split` ("" where unknown), `seconds`, and a
    folder's other columns) and the same clips as a Dataset with the column `audio` ({"bytes", "path"}, not decoded).
    """
    from datasets import Dataset, Features, Value

    on_hub = hub_data.is_hub_id(data)
    folder = hub_data.as_folder(str(data)) if on_hub else resolve(data)
    if folder is None:
        table, clips = hub_data.read_hub(str(data), recipe)
    else:
        table = read_table(folder, recipe)
        # What Audio(decode=False) stores, written out: datasets' Audio imports torchcodec even for a plain path.
        features = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}})
        paths = [{"bytes": None, "path": str(folder / name)} for name in table["file_name"]]
        clips = Dataset.from_dict({"audio": paths}, features=features)
    table["seconds"] = clip_seconds(data, table["file_name"], clips["audio"])
    return table, clips


def assign_splits(table: pd.DataFrame, seed: int = 0, recipe: Recipe = PLAIN) -> tuple[pd.DataFrame, str]:
    """Fill the `split` column where the data left it open, and say how.

    Test clips: as given, else the recipe's share of the clips, by speaker where speakers are known and every intent
    then stands on both sides, else stratified by intent. Validation clips are carved out of train in the same way.
    Clips of a speaker who is not named count as one speaker's.
    """
    table, how = table.copy(), "given"
    if not table["split"].ne("").any():
        table["split"] = "train"
        how = _hold_out(table, "test", recipe.test_share, seed, recipe.by_speaker)
    if "validation" not in set(table["split"]):
        validation = _hold_out(table, "validation", recipe.validation_share, seed, recipe.by_speaker)
        how += f"; validation {validation} of train"
    return table, how + _shared(table)


def _shared(table: pd.DataFrame) -> str:
    """Warn of what stands on both sides of the test: its figure says less about what is new."""
    shared = []
    for column, what in (("speaker", "speakers"), ("text", "phrasings")):
        if column in table:
            train, test = (set(table.loc[table["split"] == split, column]) - {""} for split in ("train", "test"))
            shared += [f"{len(train & test)} of {len(test)} {what}"] if train & test else []
    return f"; WARNING: test shares {' and '.join(shared)} with train" if shared else ""


def _hold_out(table: pd.DataFrame, split: str, share: float, seed: int, by_speaker: bool) -> str:
    """Move a share of the train rows to another split, in place; return how."""
    train = table.index[table["split"] == "train"]
    rows, percent = table.loc[train], f"{100 * share:.0f} %"
    if by_speaker and rows["speaker"].nunique() > 1:
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


def to_datasets(table: pd.DataFrame, clips: "Dataset") -> "DatasetDict":
    """Put a checked table with `split` and `seconds` beside its clips: the DatasetDict that `load_data` describes."""
    from datasets import ClassLabel, DatasetDict, Value

    label = ClassLabel(names=sorted(table["intent"].unique()))
    clips = clips.add_column("file_name", list(table["file_name"]), feature=Value("string"))
    clips = clips.add_column("label", label.str2int(list(table["intent"])), feature=label)
    clips = clips.add_column("seconds", list(table["seconds"]), feature=Value("float32"))
    clips = clips.add_column("speaker", list(table["speaker"]), feature=Value("string"))
    return DatasetDict({split: clips.select(np.flatnonzero(table["split"] == split)) for split in SPLITS})


def facts(splits: "DatasetDict") -> dict:
    """Say for a record which clips these are: numbers of known speakers, and a hash of the list with its labels."""
    rows = []
    for split, table in splits.items():
        rows += [f"{split} {name} {label}" for name, label in zip(table["file_name"], table["label"], strict=True)]
    speakers = {f"speakers_{split}": len(set(splits[split]["speaker"]) - {""}) for split in ("train", "test")}
    return speakers | {"data_hash": hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()[:16]}


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
