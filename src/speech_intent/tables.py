"""What both readers of data, of folders and of the Hub, share: the table and its checks."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import pandas as pd

from .names import composed, likeness

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger("speech_intent")

# What clips are for: to train and test a model alone; to do so with others, or to be scored only;
# to be added to others, in train, whatever their split; to teach a trained model more, for which a
# single intent will do.
Role = Literal["alone", "part", "added", "more"]

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    "training": "train",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "devel": "validation",
    "development": "validation",
    "testing": "test",
}
CORRECTED = "corrected"  # the column of clips that a model got wrong and people put right
ORIGINAL = "original_digest"  # the column with the digest of such a clip before it was rewritten
YES = "yes"
UNKNOWN = "unknown"  # the intent of clips that are none of the taught ones


@dataclass(frozen=True)
class Listing:
    """Clips that a folder or a Hub dataset lists, before any of them is decoded."""

    table: pd.DataFrame  # a row a clip: file_name, intent, speaker, split ("": unknown), others
    clips: "Dataset"  # the same clips: the column `audio` ({"bytes", "path"}, not decoded)
    problems: tuple[str, ...]  # of clips and rows; such a clip may be missing from both
    places: tuple[str, ...] = ()  # of the rows in a folder's tables: "metadata.csv: line 4"


@dataclass(frozen=True)
class Rows:
    """What the file of a table holds, and everything in it that is no row."""

    table: pd.DataFrame  # text; the index is the line, from 1, on which a row begins
    problems: tuple[str, ...]  # to follow the file's name: "line 4: ...", "is empty"


def no_rows(problem: str) -> Rows:
    """Say why a file holds nothing that could be used."""
    return Rows(pd.DataFrame(), (problem,))


@dataclass
class Collected:
    """Rows and problems while a file is read."""

    rows: list[dict[str, str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, line: int, row: dict[str, str]) -> None:
        """Take a row that begins on this line."""
        self.rows.append(row)
        self.lines.append(line)

    def finished(self) -> Rows:
        """Give all of it, "" where a row has nothing in a column."""
        if not self.rows and not self.problems:
            self.problems.append("has no rows")
        table = pd.DataFrame(self.rows, index=self.lines, dtype=object).fillna("")
        return Rows(table, tuple(self.problems))


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
    key = likeness(name)
    return SPLIT_NAMES.get(key, key)


def is_corrected(table: pd.DataFrame) -> pd.Series:
    """Tell which rows are of clips that a model got wrong and people put right; bool, (n_rows,).

    They train only. Chosen for being hard, as test clips they would make a model look worse than it
    is, as validation clips they would choose the checkpoint that is best at the odd ones; and who
    speaks them is mostly not known, so that they could not be kept apart from their speaker's rest.
    """
    columns = [column for column in table.columns if likeness(column) == CORRECTED]
    said = table[columns].astype(str)
    return (said.map(likeness) == YES).any(axis=1)


def is_unknown(table: pd.DataFrame) -> pd.Series:
    """Tell which rows are of clips that are no request of anybody's; bool, (n_rows,).

    Their intent is "unknown", in capitals or not: examples of what is not to be answered, and no
    intent that a classifier could give.
    """
    return table["intent"].astype(str).map(likeness).eq(UNKNOWN)


def table_problems(table: pd.DataFrame, is_whole: bool = True, role: Role = "alone") -> list[str]:
    """Say what is wrong with a table's names, intents and splits.

    Nothing is said of the clips that an intent or split has if rows of the table are missing, or
    if they are not to do alone.
    """
    problems = [*_name_problems(table)]
    has_splits = table["split"].ne("").any()
    is_whole = is_whole and role == "alone"
    if has_splits and role != "added":
        problems += _strange_splits(table)
        problems += _held_out_corrections(table)
    table = table[~is_unknown(table)]
    if has_splits and is_whole:
        problems += split_problems(table)
    if is_whole:
        problems += _count_problems(table, has_splits)
    problems += lookalike_problems(table["intent"])
    return problems


def _name_problems(table: pd.DataFrame) -> Iterator[str]:
    counts = table["file_name"].map(lambda name: str(PurePosixPath(name))).value_counts(sort=False)
    for name, count in counts[counts > 1].items():
        yield f"{name}: is listed {count} times"
    for name in table.loc[table["intent"] == "", "file_name"]:
        yield f"{name}: its intent is empty"


def _strange_splits(table: pd.DataFrame) -> Iterator[str]:
    strange = table.loc[~table["split"].isin(SPLITS)]
    for name, split in zip(strange["file_name"], strange["split"], strict=True):
        yield f"{name}: unknown split {split!r}; use train, validation or test"


def _held_out_corrections(table: pd.DataFrame) -> Iterator[str]:
    wrong = table.loc[is_corrected(table) & table["split"].isin(["validation", "test"])]
    for name, split in zip(wrong["file_name"], wrong["split"], strict=True):
        yield f"{name}: is a corrected clip and stands in {split}; those only train"


def split_problems(table: pd.DataFrame) -> Iterator[str]:
    """Name what train lacks of the intents of the other splits, and splits without rows."""
    table = table[~is_unknown(table)]
    yield from untrained_intents(table)
    for split in ("train", "test"):
        if split not in set(table["split"]):
            yield f"the split column has no {split} rows"


def untrained_intents(table: pd.DataFrame) -> Iterator[str]:
    """Name what train lacks of the intents of the other splits."""
    intents = {split: _intents_of(table, split) for split in SPLITS}
    for split in ("test", "validation"):
        for intent in sorted(intents[split] - intents["train"]):
            yield f"intent {intent!r} is in {split} but not in train"


def _intents_of(table: pd.DataFrame, split: str) -> set[str]:
    return set(table.loc[table["split"] == split, "intent"]) - {""}


def _count_problems(table: pd.DataFrame, has_splits: bool) -> Iterator[str]:
    if has_splits:
        table = table.loc[table["split"] == "train"]
    counts = table["intent"].value_counts().drop("", errors="ignore")
    if not has_splits:
        for intent in counts.index[counts == 1]:
            yield f"intent {intent!r} has one clip; record more"
    if table["intent"].ne("").any():
        yield from lone_intent(table)


def lone_intent(table: pd.DataFrame) -> Iterator[str]:
    """Say that training clips have less than two intents."""
    names = sorted(set(table["intent"]) - {""})
    if len(names) < 2:
        yield f"there is one intent only ({', '.join(names)}); a classifier needs two"


def lookalike_problems(intents: pd.Series) -> Iterator[str]:
    """Name intents that only a computer takes for different ones, and the spelling to keep."""
    for group in _lookalikes(intents):
        problem = f"the intents {' and '.join(group.named)} look alike"
        yield f"{problem}; write {group.usual} for all of them, or names that differ more"


def warn_of_speakers(table: pd.DataFrame) -> None:
    """Log which speakers may be one: they could stand on both sides of a split."""
    for group in _lookalikes(table["speaker"]):
        named = " and ".join(group.named)
        logger.warning("warning: the speakers %s look alike, and count as several", named)


@dataclass(frozen=True)
class _Lookalikes:
    """Spellings of what may be one name."""

    named: list[str]  # each with its number of clips
    usual: str  # the most frequent


def _lookalikes(column: pd.Series) -> Iterator[_Lookalikes]:
    counts = column[column != ""].value_counts()  # the most frequent first
    looks = counts.index.map(likeness)
    is_shared = looks.duplicated(keep=False)  # to group them all takes long where they are many
    for _, spellings in counts[is_shared].groupby(looks[is_shared]):
        # Names that differ in their Unicode form only would be printed alike.
        show = ascii if spellings.index.map(composed).duplicated().any() else repr
        named = [f"{show(name)} ({count} of the clips)" for name, count in spellings.items()]
        yield _Lookalikes(named, show(spellings.index[0]))
