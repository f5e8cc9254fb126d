"""What both readers of data, of folders and of the Hub, share: the table and its checks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    "training": "train",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "testing": "test",
}


@dataclass(frozen=True)
class Listing:
    """Clips that a folder or a Hub dataset lists, before any of them is decoded."""

    table: pd.DataFrame  # a row a clip: file_name, intent, speaker, split ("": unknown), others
    clips: "Dataset"  # the same clips: the column `audio` ({"bytes", "path"}, not decoded)
    problems: tuple[str, ...]  # of clips and rows; such a clip may be missing from both


def name_intents(column: pd.Series, intents: tuple[str, ...]) -> pd.Series:
    """Put names in the place of numbered intents; ValueError for a number without a name."""
    if not intents or not column.astype(str).str.fullmatch(r"\d+").all():
        return column
    ids = column.astype(int)
    unknown = sorted(set(ids) - set(range(len(intents))))
    if unknown:
        highest = len(intents) - 1
        raise ValueError(f"the intents {unknown} are unknown; they run from 0 to {highest}")
    return ids.map(dict(enumerate(intents)))


def split_name(name: str) -> str:
    """Give a split its usual name."""
    return SPLIT_NAMES.get(name.lower(), name.lower())


def table_problems(table: pd.DataFrame) -> list[str]:
    """Say what is wrong with a table's names, intents and splits."""
    problems = [*_name_problems(table)]
    has_splits = table["split"].ne("").any()
    if has_splits:
        problems += _split_problems(table)
    problems += _count_problems(table, has_splits)
    return problems


def _name_problems(table: pd.DataFrame) -> Iterator[str]:
    normal = table["file_name"].map(lambda name: str(PurePosixPath(name)))
    for name in normal[normal.duplicated()].unique():
        yield f"{name}: is listed {(normal == name).sum()} times"
    for name in table.loc[table["intent"] == "", "file_name"]:
        yield f"{name}: its intent is empty"


def _split_problems(table: pd.DataFrame) -> Iterator[str]:
    strange = table.loc[~table["split"].isin(SPLITS)]
    for name, split in zip(strange["file_name"], strange["split"], strict=True):
        yield f"{name}: unknown split {split!r}; use train, validation or test"
    intents = {split: _intents_of(table, split) for split in SPLITS}
    for split in ("test", "validation"):
        for intent in sorted(intents[split] - intents["train"]):
            yield f"intent {intent!r} is in {split} but not in train"
    for split in ("train", "test"):
        if split not in set(table["split"]):
            yield f"the split column has no {split} rows"


def _intents_of(table: pd.DataFrame, split: str) -> set[str]:
    return set(table.loc[table["split"] == split, "intent"]) - {""}


def _count_problems(table: pd.DataFrame, has_splits: bool) -> Iterator[str]:
    if has_splits:
        table = table.loc[table["split"] == "train"]
    counts = table["intent"].value_counts().drop("", errors="ignore")
    if not has_splits:
        for intent in counts.index[counts == 1]:
            yield f"intent {intent!r} has one clip; record more"
    some_intent = table["intent"].ne("").any()
    if some_intent and len(counts) < 2:
        names = ", ".join(counts.index)
        yield f"there is one intent only ({names}); a classifier needs two"
