"""Which tables or folders of a data folder say what its clips are.

What there is of these, the first wins; `docs/data.md` shows each:

1. `metadata.csv`, `.tsv` or `.jsonl` at the top;
2. a table for each split (`train.csv`, `test.csv`, ...) in `csv/` or at the top;
3. a `metadata.csv` in each of `train/`, `test/`, ...;
4. the only table at the top, whatever its name;
5. a folder for each intent, in each of `train/`, `test/`, ... or at the top.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from .decoding import SUFFIXES
from .errors import DataError
from .tables import SPLITS, split_name

TABLE_SUFFIXES = {".csv", ".tsv", ".jsonl"}
OTHER_TABLES = {".xlsx", ".xls", ".ods", ".numbers", ".parquet"}
JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}  # what systems leave beside people's files
HALVES = re.compile("[\ud800-\udfff]")  # how Python reads bytes in a name that are no text
NONE = (
    "it has neither metadata.csv nor anything else that says what its clips are: no metadata.jsonl,"
    " no train.csv and test.csv, no folder for each intent (docs/data.md shows what can be read)"
)


@dataclass(frozen=True)
class Part:
    """A table, or a folder for each intent, and what their place says of their clips."""

    table: str | None  # the file; None: a folder for each intent
    split: str  # "" where the place does not say
    base: str  # the folder that file names count from, or that holds the intents' folders
    others: tuple[str, ...] = ()  # from which file names may count as well

    @property
    def is_base_sure(self) -> bool:
        """Whether a convention says that file names count from the base if any of them can.

        None says so of a split's table at the top, beside a folder of the same split.
        """
        return bool(self.base) or not self.split


@dataclass(frozen=True)
class Layout:
    """What a data folder holds. Every name is relative to it, with "/"."""

    parts: tuple[Part, ...]
    clips: tuple[str, ...]  # every audio file whose name is text
    tables: tuple[str, ...] = ()  # every file that may be a table, whether it is read or not


def audio_files(folder: Path) -> list[str]:
    """List every audio file of a folder, at any depth, whatever describes it."""
    return [name for name in _visible_names(folder) if _suffix(name) in SUFFIXES]


def find_layout(folder: Path, fewest_intents: int = 2) -> Layout:
    """Look through a folder. Raises `DataError` for one whose clips nothing describes.

    Folders of clips are taken for intents where there are `fewest_intents` of them.
    """
    try:
        os.listdir(folder)
    except OSError as error:  # os.walk would find nothing and say nothing
        raise DataError(folder, [f"it cannot be read ({error.strerror})"]) from error
    names = _visible_names(folder)
    files = [name for name in names if _suffix(name) in SUFFIXES]
    clips = tuple(name for name in files if not HALVES.search(name))
    tables = [name for name in names if _suffix(name) in TABLE_SUFFIXES]
    parts = (
        _metadata(folder, "", tables, clips)
        or _split_tables(folder, tables, clips)
        or _split_metadata(folder, tables, clips)
        or _only_table(folder, tables, clips)
        or _split_intents(clips)
        or _intents(clips, fewest_intents)
    )
    if not parts:
        raise DataError(folder, [_missing(names)])
    if parts[0].table is None and len(clips) < len(files):
        others = [name for name in files if HALVES.search(name)]
        raise DataError(folder, (f"{name}: its name is not UTF-8; rename it" for name in others))
    if len({part.split for part in parts}) == 1:  # there is nothing to be told apart
        parts = [replace(part, split="") for part in parts]
    return Layout(tuple(parts), clips, tuple(tables))


def _missing(names: list[str]) -> str:
    """Say that no table was found, or which file might be one."""
    at_top = [name for name in names if not _parent(name)]
    others = [name for name in at_top if _suffix(name) in OTHER_TABLES or _is_named_table(name)]
    return f"{others[0]} cannot be read; save it as metadata.csv" if others else NONE


def _is_named_table(name: str) -> bool:
    """Whether a file is called as a table is, whatever its suffix: metadata.csv.txt."""
    return name.casefold().startswith("metadata.")


def without_wrapping(folder: Path) -> Path:
    """Find the data folder in a folder that may hold nothing else."""
    try:
        inside = [name for name in os.listdir(folder) if not is_junk(name)]
    except OSError:
        return folder  # `find_layout` says why it cannot be read
    if len(inside) != 1 or is_split(inside[0]):
        return folder
    inner = folder / inside[0]
    if not inner.is_dir() or inner.is_symlink() or _is_intent(inner):
        return folder
    return without_wrapping(inner)


def _is_intent(folder: Path) -> bool:
    """Whether a folder holds clips and no table: all of them may be of the intent that it names."""
    try:
        suffixes = {_suffix(name) for name in os.listdir(folder)}
    except OSError:
        return False
    return bool(suffixes & SUFFIXES) and not suffixes & TABLE_SUFFIXES


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden, or none of the user's making."""
    return name.startswith(".") or name in JUNK


def is_split(name: str) -> bool:
    """Whether a folder is named for a split."""
    return bool(_split(name))


def _visible_names(folder: Path) -> list[str]:
    """List all files. Links to folders are not followed: they may lead anywhere."""
    names = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_junk(name)]
        relative = Path(place).relative_to(folder)
        names += [(relative / name).as_posix() for name in files if not is_junk(name)]
    return sorted(names)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _parent(name: str) -> str:
    """Name the folder of a file, "" for the top."""
    return name.rpartition("/")[0]


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.casefold()


def _top(name: str) -> str:
    """Name the folder at the top that a file is in, "" if it is in none."""
    return name.partition("/")[0] if "/" in name else ""


def _tops(names: Iterable[str]) -> tuple[str, ...]:
    """List the folders at the top that hold any of these files, at any depth."""
    return tuple(sorted({_top(name) for name in names} - {""}))


def _split(name: str) -> str:
    """Give the split that a file or folder is named for, "" where it is none."""
    split = split_name(PurePosixPath(name).stem)
    return split if split in SPLITS else ""


def _metadata(folder: Path, base: str, tables: list[str], clips: tuple[str, ...]) -> list[Part]:
    found = [name for name in tables if _parent(name) == base and _stem(name) == "metadata"]
    if len(found) > 1:
        raise DataError(folder, [f"it has {' and '.join(found)}; keep the one that holds"])
    others = ("",) if base else _tops(clips)
    return [Part(name, _split(base), base, others) for name in found]


def _split_tables(folder: Path, tables: list[str], clips: tuple[str, ...]) -> list[Part]:
    for place in ("csv", ""):
        found = [name for name in tables if _parent(name) == place and _split(name)]
        counts = Counter(map(_split, found))
        if len(counts) < 2:
            continue
        twice = [split for split, count in counts.items() if count > 1]
        if twice:
            same = " and ".join(name for name in found if _split(name) == twice[0])
            raise DataError(folder, [f"{same} are both tables of {twice[0]}; keep one"])
        return [Part(name, _split(name), "", _split_bases(name, clips)) for name in found]
    return []


def _split_bases(table: str, clips: tuple[str, ...]) -> tuple[str, ...]:
    """Name the folders that file names of a split's table may count from, besides the top."""
    tops = _tops(clips)
    own = tuple(top for top in tops if _split(top) == _split(table))
    return own or tuple(top for top in tops if not _split(top))


def _split_metadata(folder: Path, tables: list[str], clips: tuple[str, ...]) -> list[Part]:
    tops = [top for top in _tops([*tables, *clips]) if _split(top)]
    found = {top: _metadata(folder, top, tables, clips) for top in tops}
    lacking = [top for top in tops if not found[top]]
    if len(lacking) == len(tops):
        return []
    if lacking:
        raise DataError(folder, [f"{lacking[0]}/ has no metadata.csv, and other splits have one"])
    return [part for parts in found.values() for part in parts]


def _only_table(folder: Path, tables: list[str], clips: tuple[str, ...]) -> list[Part]:
    found = [name for name in tables if not _parent(name)]
    if len(found) > 1:
        named = ", ".join(found)
        problem = f"it has several tables ({named}); call the one that lists all clips metadata.csv"
        raise DataError(folder, [problem])
    return [Part(name, "", "", _tops(clips)) for name in found]


def _split_intents(clips: tuple[str, ...]) -> list[Part]:
    parts = [Part(None, _split(top), top) for top in _tops(clips) if _split(top)]
    return [part for part in parts if intents_of(part, clips)]


def _intents(clips: tuple[str, ...], fewest: int) -> list[Part]:
    part = Part(None, "", "")
    intents = set(intents_of(part, clips).values())
    if len(intents) < fewest or all(map(is_split, intents)):  # folders of clips that lack a table
        return []
    return [part]


def intents_of(part: Part, clips: tuple[str, ...]) -> dict[str, str]:
    """Give the intent of each clip that lies in the folder of one."""
    prefix = f"{part.base}/" if part.base else ""
    inside = [name.removeprefix(prefix) for name in clips if name.startswith(prefix)]
    return {prefix + name: _parent(name) for name in inside if name.count("/") == 1}
