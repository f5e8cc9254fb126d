"""Clips of no intent that a classifier learns to tell from its own, and is tested on.

They come from the data (rows whose intent is "unknown"), from a folder or the pack in `dataset/`,
and from training clips whose words are put into another order (`mixtures`).
"""

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import soundfile

from . import audio, mixtures, paths, unlabelled
from .digests import sha256
from .recipes import Recipe
from .tables import SPLITS, UNKNOWN

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, Features

TABLE = "metadata.csv"
BUNDLED = "bundled"
NONE = "none"
OWN = "unknown in the data"  # kinds of clips
GIVEN = "unknown in the folder"
MIXED = "words of the taught requests in another order"
RATE = 16_000  # Hz
MIXED_SHARE = 0.25  # of the training clips
MOST_MIXED = 300
MOST_SHARE = 1.6  # of the training clips: more would drown them
FEWEST = 100
VALIDATION_SHARE = 0.15  # of a folder's clips


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep `datasets` from drawing a bar for each table that it casts."""
    import datasets

    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


@_quietly()
def of_split(
    recipe: Recipe, tables: "DatasetDict", unknown: "DatasetDict | None", split: str
) -> "Dataset":
    """Collect the clips of no intent that a recipe names for a split of its tables.

    `tables` and `unknown` are those of `data.Splits`; without the latter the data have none. The
    columns are `audio` ({"bytes", "path"}, not decoded), `seconds`, `label` (a ClassLabel in which
    "unknown" stands last) and `kind`, in words. Raises `DataError` for a folder that cannot be
    used.
    """
    from datasets import ClassLabel, Features, Value, concatenate_datasets

    known = tables["train"].features
    label = ClassLabel(names=[*known["label"].names, UNKNOWN])
    columns = {name: known[name] for name in ("audio", "seconds")}
    features = Features({**columns, "label": label, "kind": Value("string")})
    parts = [_labelled(_others(recipe).get(split, []), features)]
    if unknown is not None:
        own = unknown[split].select_columns(["audio", "seconds", "label"])
        own = own.add_column("kind", [OWN] * len(own), feature=features["kind"])
        parts.insert(0, own.cast(features))
    return concatenate_datasets(parts)


@_quietly()
def collect(
    recipe: Recipe, tables: "DatasetDict", unknown: "DatasetDict | None" = None
) -> "DatasetDict":
    """Collect the clips of no intent of all splits (`of_split`), as training takes them.

    Of train, no more than so many others bear, and with them `mixtures`. All are empty where there
    are no such clips, and none are asked for.
    """
    from datasets import DatasetDict, concatenate_datasets

    found = {split: of_split(recipe, tables, unknown, split) for split in SPLITS}
    if len(found["train"]):
        train = _few_enough(found["train"], len(tables["train"]), recipe.numbers.seed)
        mixed = _labelled(_mixed(tables["train"], recipe.numbers.seed), train.features)
        found["train"] = concatenate_datasets([train, mixed])
    return DatasetDict(found)


def facts(recipe: Recipe) -> dict[str, Any]:
    """Say for a record which clips a recipe's pack or folder has."""
    if recipe.unknown == BUNDLED:
        return {"folder": BUNDLED, "digest": sha256(paths.UNKNOWN / TABLE)[:16]}
    return unlabelled.read(recipe.unknown).facts()


@_quietly()
def with_negatives(tables: "DatasetDict", negatives: "DatasetDict") -> "DatasetDict":
    """Put training clips of no intent behind those of the intents; the other splits stay.

    "unknown" becomes the last label. Each such clip counts as a speaker's own.
    """
    from datasets import DatasetDict, concatenate_datasets

    more = negatives["train"].remove_columns("kind")
    more = more.add_column("speaker", [f"unknown {i}" for i in range(len(more))])
    known = tables["train"].cast_column("label", more.features["label"])
    return DatasetDict({**tables, "train": concatenate_datasets([known, more])})


def _few_enough(table: "Dataset", n_known: int, seed: int) -> "Dataset":
    """Draw as many clips as training on so many others bears; the data's own come first."""
    n = max(FEWEST, round((MOST_SHARE - MIXED_SHARE) * n_known))
    if len(table) <= n:
        return table
    is_own = np.array([kind == OWN for kind in table["kind"]])
    order = np.random.default_rng(seed).permutation(len(table))
    order = order[np.argsort(~is_own[order], kind="stable")]
    return table.select(sorted(order[:n].tolist()))


def _others(recipe: Recipe) -> dict[str, list[dict[str, Any]]]:
    """Read the pack or folder that a recipe names: rows by split."""
    if recipe.unknown == NONE:
        return {}
    if recipe.unknown == BUNDLED:
        return _read_pack()
    clips = unlabelled.read(recipe.unknown).clips
    rows = [
        {"audio": row["audio"], "seconds": row["seconds"], "kind": GIVEN}
        for row in clips.sort("digest")
    ]
    order = np.random.default_rng(recipe.numbers.seed).permutation(len(rows))
    n_held_out = round(VALIDATION_SHARE * len(rows))
    return {
        "validation": [rows[i] for i in order[:n_held_out]],
        "train": [rows[i] for i in order[n_held_out:]],
    }


def _read_pack() -> dict[str, list[dict[str, Any]]]:
    table = pd.read_csv(paths.UNKNOWN / TABLE, keep_default_na=False)
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for clip in table.itertuples():
        source = {"bytes": None, "path": str(paths.UNKNOWN / clip.file_name)}
        row = {"audio": source, "seconds": clip.seconds, "kind": clip.kind}
        rows[clip.split].append(row)
    return rows


def _mixed(table: "Dataset", seed: int) -> list[dict[str, Any]]:
    """Make clips of the training clips' pieces."""
    n = min(MOST_MIXED, round(MIXED_SHARE * len(table)))
    rows = np.random.default_rng(seed).permutation(len(table))[: 2 * MOST_MIXED]
    table = table.select(rows)
    waveforms = [audio.load(clip, RATE, warn=audio.say_nothing) for clip in table["audio"]]
    made = mixtures.mixtures(waveforms, table["label"], table["speaker"], RATE, n, seed)
    return [
        {
            "audio": {"bytes": _encoded(waveform), "path": None},
            "seconds": len(waveform) / RATE,
            "kind": MIXED,
        }
        for waveform in made
    ]


def _encoded(waveform: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, RATE, "PCM_16", format="FLAC")
    return file.getvalue()


def _labelled(rows: list[dict[str, Any]], features: "Features") -> "Dataset":
    """Make a table of rows, all of the last label."""
    from datasets import Dataset

    last = features["label"].num_classes - 1
    # Column by column: of no rows, `from_list` would know no columns.
    columns = {name: [{**row, "label": last}[name] for row in rows] for name in features}
    return Dataset.from_dict(columns, features=features)
