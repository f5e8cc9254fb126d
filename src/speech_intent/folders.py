"""A folder of labelled recordings becomes a table of clips, with everything wrong about it.

`layouts` says which tables, or folders of clips, a folder may hold, and `table_files` which forms
a table may have. A zip of such a folder is as good as the folder. The columns are `file_name`,
`intent` (or `label`), and where they are known `speaker`, `split` and `text`, the transcript; a
recipe may say that they are named otherwise. Others are kept.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from . import archives, layouts
from .clip_files import ClipFiles, leaves
from .columns import known_names, usual_columns
from .errors import DataError
from .layouts import Layout, Part
from .names import printable
from .paths import BUNDLED
from .recipes import PLAIN, Recipe
from .table_files import read_rows
from .tables import Listing, Role, Rows, table_problems, warn_of_speakers

N_NAMED = 3  # files that a warning names

logger = logging.getLogger("speech_intent")


def find_folder(data: str | Path) -> Path:
    """Turn "bundled", a folder or a zip into a folder. Raises `DataError` where there is none."""
    if str(data) == "bundled":
        return BUNDLED
    if os.path.isfile(data):  # Path.is_file raises for a name that is too long
        return archives.unpack(Path(data))
    if not os.path.isdir(data):
        problem = "there is no such folder; give one with metadata.csv, a zip of it, or 'bundled'"
        raise DataError(data, [problem])
    return layouts.without_wrapping(Path(data))


def read_folder(folder: Path, recipe: Recipe = PLAIN, role: Role = "alone") -> Listing:
    """List the clips of a folder, without opening one; see `Listing`.

    `role` decides which problems of the table as a whole are looked for. Raises `DataError` where
    there is no table, or it cannot be read.
    """
    from datasets import Dataset, Features, Value

    layout = layouts.find_layout(folder, 1 if role == "more" else 2)
    files = ClipFiles(folder, layout.clips)
    parts = [_read_part(files, part, layout, recipe) for part in layout.parts]
    problems = [problem for part in parts for problem in part.problems]
    if any(part.table.empty for part in parts):
        raise DataError(folder, problems)
    is_whole = not problems
    table = pd.concat([part.table for part in parts]).fillna("")
    found = [files.find(name) for name in table["file_name"]]
    for place, clip in zip(table.index, found, strict=True):
        if clip.problem:
            named = f"{place} ({clip.name})" if place else clip.name
            problems.append(f"{named}: {clip.problem}")
    table["file_name"] = [clip.name for clip in found]
    problems += table_problems(table[table["file_name"] != ""], is_whole, role)
    if not problems:
        _warn_of_unlisted(folder, layout, table["file_name"])
    sound = [clip.problem is None for clip in found]
    places = tuple(table.index[sound])
    table = table[sound].reset_index(drop=True).astype(str)
    # As Audio(decode=False) stores it: datasets' Audio imports torchcodec even for a plain path.
    features = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}})
    audio = [{"bytes": None, "path": str(folder / name)} for name in table["file_name"]]
    clips = Dataset.from_dict({"audio": audio}, features=features)
    return Listing(table, clips, tuple(problems), places)


def read_table(folder: Path, recipe: Recipe = PLAIN) -> pd.DataFrame:
    """Read the table of a folder that is sound, without decoding its clips, or raise `DataError`.

    Gives the columns `file_name`, `intent`, `speaker` and `split` ("" where unknown), then any
    others, all strings.
    """
    listing = read_folder(folder, recipe)
    if listing.problems:
        raise DataError(folder, listing.problems)
    warn_of_speakers(listing.table)
    return listing.table


def _read_part(files: ClipFiles, part: Part, layout: Layout, recipe: Recipe) -> Rows:
    """Read rows with the usual columns; their index says where they stand, for messages."""
    if part.table is None:
        return _intent_rows(part, layout)
    rows = read_rows(files.folder / part.table, known_names(recipe))
    problems = [f"{part.table}: {problem}" for problem in rows.problems]
    if rows.table.empty:
        return Rows(rows.table, tuple(problems))
    try:
        table = usual_columns(rows.table, recipe)
    except ValueError as error:
        return Rows(pd.DataFrame(), (*problems, f"{part.table}: {error}"))
    table.index = pd.Index([f"{part.table}: line {line}" for line in table.index])
    if part.split:
        problems += _split_conflicts(table, part.split)
        table["split"] = part.split
    names = table["file_name"].str.replace("\\", "/")  # as Windows writes paths
    bases = _bases(part, names, files)
    table["file_name"] = [_joined(bases[0], name) for name in names]
    if len(bases) > 1:
        places = " and in ".join(f"{place}/" if place else "the folder itself" for place in bases)
        problems.append(f"{part.table}: its files are in {places}; put the folder into their names")
    return Rows(table, tuple(problems))


def _intent_rows(part: Part, layout: Layout) -> Rows:
    """List the clips that lie in the folder of their intent."""
    intents = layouts.intents_of(part, layout.clips)
    columns = {"file_name": list(intents), "intent": list(intents.values())}
    table = pd.DataFrame(columns, index=[""] * len(intents))
    return Rows(table.assign(speaker="", split=part.split), ())


def _split_conflicts(table: pd.DataFrame, split: str) -> Iterator[str]:
    """Name rows that say another split than the place of their table does."""
    others = table[~table["split"].isin(["", split])]
    for place, name, other in zip(others.index, others["file_name"], others["split"], strict=True):
        yield f"{place} ({name}): its split is {other!r}, and that of its table {split}"


def _bases(part: Part, names: Iterable[str], files: ClipFiles) -> list[str]:
    """Find the folder that file names count from; several if it cannot be told which."""
    if not part.others:
        return [part.base]
    found = [
        base
        for base in (part.base, *part.others)
        if any(files.find(_joined(base, name)).problem is None for name in names)
    ]
    if not found or (found[0] == part.base and part.is_base_sure):
        return [part.base]
    return found


def _joined(base: str, name: str) -> str:
    return f"{base}/{name}" if base and name and not leaves(name) else name


def _other_datasets(layout: Layout) -> set[str]:
    """Name folders whose clips are described by tables that are not read: datasets of their own.

    A split of the data themselves is none: where its table is not read, somebody should know.
    """
    used = {part.table for part in layout.parts}
    tables = [PurePosixPath(name) for name in layout.tables if name not in used]
    places = set()
    for table in tables:
        is_named = table.stem.casefold() == "metadata" or layouts.is_split(table.name)
        if is_named and not layouts.is_split(table.parts[0]):
            is_csv = table.parent.name == "csv"  # holds tables of the folder above it
            places.add(str(table.parent.parent if is_csv else table.parent))
    return places - {"."}


def _warn_of_unlisted(folder: Path, layout: Layout, listed: Iterable[str]) -> None:
    """Count clips that no row names; those of a dataset inside this one are its own business."""
    names = {str(PurePosixPath(name)) for name in listed}
    others = tuple(f"{place}/" for place in _other_datasets(layout))
    unlisted = [name for name in layout.clips if name not in names and not name.startswith(others)]
    if unlisted:
        logger.warning(
            "warning: %s: audio files that are listed nowhere, and are not used: %d (%s)",
            folder,
            len(unlisted),
            printable(", ".join(unlisted[:N_NAMED])) + ", ..." * (len(unlisted) > N_NAMED),
        )
