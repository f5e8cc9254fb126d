"""Labelled recordings, from a folder or from the Hub, become tables for training and testing.

Waveforms stay in their files until they are needed.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from . import additions, audio, folders, hub_datasets, quality
from .errors import DataError
from .hub_names import is_hub_id
from .recipes import PLAIN, Recipe
from .splits import SplitTable, assign_splits
from .tables import (
    ORIGINAL,
    SPLITS,
    UNKNOWN,
    Listing,
    Role,
    is_corrected,
    is_unknown,
    split_problems,
    warn_of_speakers,
)

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

TICKS = 16_000  # a second: durations are rounded to samples at the usual rate of a model
DIGEST_LENGTH = 32  # hexadecimal digits, 128 bits
TAKEN = {"audio", "file_name", "label", "seconds", "speaker", "intent", "split"}  # columns


@dataclass(frozen=True)
class Recordings:
    """Clips that were decoded once and found sound, not split yet."""

    table: pd.DataFrame  # a row a clip: file_name, intent, speaker, split, seconds, digest, others
    clips: "Dataset"  # the same clips: the column `audio` ({"bytes", "path"}, not decoded)


@dataclass(frozen=True)
class Splits:
    """Clips in train, validation and test, ready to be trained on and scored."""

    tables: "DatasetDict"  # by split; see `to_datasets`
    note: str  # how they were split, in words, for the record
    unknown: "DatasetDict"  # by split, the clips that are of no intent; see `unknown_datasets`


def load_data(recipe: Recipe = PLAIN) -> Splits:
    """Read, check and split the labelled recordings that a recipe names.

    `recipe.data` is a folder as `folders` describes, "bundled" for the scooter requests in
    `dataset/`, or a Hub id; the recipe's seed decides the split where the data do not. Raises
    `DataError` with every problem of the data: columns, labels, paths, files, duplicates.
    """
    recordings = read_recordings(recipe)
    split = assign_splits(recordings.table, recipe)
    problems = list(split_problems(split.table))  # where copies were left out of train
    if problems:
        raise DataError(recipe.data, problems)
    return make_splits(recordings, split)


def make_splits(recordings: Recordings, split: SplitTable) -> Splits:
    """Put recordings into their splits."""
    tables = to_datasets(split.table, recordings.clips)
    return Splits(tables, split.note, unknown_datasets(split.table, recordings.clips))


def read_recordings(recipe: Recipe = PLAIN, role: Role = "alone") -> Recordings:
    """Read and check recordings without splitting them. Raises `DataError` as `load_data` does.

    Those that the recipe adds to the data stand behind them (`additions`).
    """
    listing = _with_added(recipe) if recipe.add else list_clips(recipe, role)
    decoded = _decode(listing.table["file_name"], listing.clips["audio"])
    problems = [*listing.problems, *decoded.problems]
    if problems:
        raise DataError(recipe.data, problems)
    warn_of_speakers(listing.table)
    digests = _known_digests(listing.table, decoded.digests)
    columns = {"seconds": decoded.seconds, "digest": digests}
    return Recordings(listing.table.assign(**columns), listing.clips)


def _known_digests(table: pd.DataFrame, measured: list[str]) -> list[str]:
    """Give the digests by which clips are known again: of corrected ones those that they had.

    Samples that are no 16-bit ones were rounded when the clip was kept; as what it was made of, it
    could not be told from a test clip otherwise.
    """
    if ORIGINAL not in table:
        return measured
    original = table[ORIGINAL].str[:DIGEST_LENGTH]
    is_known = is_corrected(table) & original.str.fullmatch(rf"[0-9a-f]{{{DIGEST_LENGTH}}}")
    return original.where(is_known, pd.Series(measured, table.index)).tolist()


def _with_added(recipe: Recipe) -> Listing:
    """Read the tables of the data and of what is added to them."""
    additions.check_names(recipe)
    own = list_clips(recipe, "part")
    recipes = {name: additions.recipe_of(name, recipe) for name in recipe.add}
    others = {name: list_clips(added, "added") for name, added in recipes.items()}
    return additions.joined(own, others, recipe)


def list_clips(recipe: Recipe, role: Role) -> Listing:
    """Read a table by the reader that the data need; no clip is opened.

    Raises `DataError` where there is no table; what is wrong with a row stands in the listing.
    """
    if is_hub_id(recipe.data):
        folder = hub_datasets.as_folder(recipe.data)
        if folder is None:
            return hub_datasets.read_hub(recipe.data, recipe, role)
    else:
        folder = folders.find_folder(recipe.data)
    try:
        return folders.read_folder(folder, recipe, role)
    except DataError as error:  # a zip or a dataset on the Hub is unpacked somewhere else
        raise DataError(recipe.data, error.problems) from error


@dataclass(frozen=True)
class _Decoded:
    seconds: list[float]  # of the clips that are sound
    digests: list[str]  # of the same: equal for equal samples, in whatever format
    problems: list[str]  # of the others


def _decode(names: Iterable[str], clips: Iterable[audio.Source | None]) -> _Decoded:
    """Decode every clip once."""
    names = list(names)
    seconds = []
    digests = []
    problems = []
    bar = tqdm(clips, "Checking clips", len(names), unit="clip", disable=None, leave=False)
    for name, clip in zip(names, bar, strict=True):
        if clip is None:
            continue  # listed among the problems already
        try:
            measured = quality.measure(clip)
        except audio.AudioError as error:
            problems.append(f"{name}: {error.reason}")
            continue
        seconds.append(round(measured.seconds * TICKS) / TICKS)
        digests.append(measured.digest[:DIGEST_LENGTH])
    return _Decoded(seconds, digests, problems)


def to_datasets(table: pd.DataFrame, clips: "Dataset") -> "DatasetDict":
    """Put a checked table with `split` and `seconds` beside its clips, split by split.

    Gives train, validation and test with the columns `audio` ({"bytes", "path"}, not decoded),
    `file_name`, `label` (ClassLabel, sorted by name), `seconds`, `speaker` ("" where it is not
    known) and the table's other columns, as text. Rows whose intent is "unknown" are left out.
    """
    is_known = ~is_unknown(table)
    return _datasets(table, is_known, clips, sorted(table.loc[is_known, "intent"].unique()))


def unknown_datasets(table: pd.DataFrame, clips: "Dataset") -> "DatasetDict":
    """Give the rows that `to_datasets` leaves out, in the same form.

    Their label, "unknown", stands behind those of the intents.
    """
    is_left = is_unknown(table)
    intents = sorted(table.loc[~is_left, "intent"].unique())
    table = table.assign(intent=table["intent"].mask(is_left, UNKNOWN))
    return _datasets(table, is_left, clips, [*intents, UNKNOWN])


def _datasets(
    table: pd.DataFrame, is_wanted: pd.Series, clips: "Dataset", labels: list[str]
) -> "DatasetDict":
    """Put the wanted rows of a table beside their clips, split by split."""
    from datasets import ClassLabel, DatasetDict, Value

    label = ClassLabel(names=labels)
    numbers = {name: i for i, name in enumerate(labels)}
    text = Value("string")
    columns = {
        "file_name": (list(table["file_name"]), text),
        "label": ([numbers.get(intent, -1) for intent in table["intent"]], label),
        "seconds": (list(table["seconds"]), Value("float32")),
        "speaker": (list(table["speaker"]), text),
    }
    for name in table.columns:
        if name not in TAKEN:
            columns[name] = (list(table[name]), text)
    for name, (values, kind) in columns.items():
        clips = clips.add_column(name, values, feature=kind)
    # The rows last: `datasets` gives no columns to what was chosen of a joined table, and is empty.
    rows = {split: np.flatnonzero(is_wanted & (table["split"] == split)) for split in SPLITS}
    return DatasetDict({split: clips.select(rows[split]) for split in SPLITS})


def facts(tables: "DatasetDict") -> dict[str, int | str]:
    """Say for a record which clips these are.

    Gives the numbers of known speakers, and a hash of the list of clips with their labels.
    """
    rows = []
    for split, table in tables.items():
        clips = zip(table["file_name"], table["label"], strict=True)
        rows += [f"{split} {name} {label}" for name, label in clips]
    listing = "\n".join(sorted(rows)).encode()
    return {
        "speakers_train": len(_speakers(tables["train"])),
        "speakers_test": len(_speakers(tables["test"])),
        "data_hash": hashlib.sha256(listing).hexdigest()[:16],
    }


def summary(tables: "DatasetDict") -> pd.DataFrame:
    """Count what stands in each split: clips, minutes, intents, speakers, and shared speakers."""
    known = _speakers(tables["train"])
    rows = {}
    for split, table in tables.items():
        speakers = _speakers(table)
        rows[split] = {
            "clips": len(table),
            "minutes": round(sum(table["seconds"]) / 60, 1),
            "intents": len(set(table["label"])),
            "speakers": len(speakers) or "unknown",
            "speakers also in train": len(speakers & known) if speakers else "unknown",
        }
    rows["train"]["speakers also in train"] = "-"
    return pd.DataFrame.from_dict(rows, orient="index")


def _speakers(table: "Dataset") -> set[str]:
    return set(table["speaker"]) - {""}
