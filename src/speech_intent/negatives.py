"""Clips of no intent that a classifier learns to tell from its own, and is tested on.

They come from the data, rows whose intent is "unknown", and from a folder or the pack in dataset/.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import paths, unlabelled
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
    if unknown is not None and len(unknown[split]):
        own = unknown[split].select_columns(["audio", "seconds", "label"])
        own = own.add_column("kind", [OWN] * len(own), feature=features["kind"])
        parts.insert(0, own.cast(features))
    return concatenate_datasets(parts)


def facts(recipe: Recipe) -> dict[str, Any]:
    """Say for a record which clips a recipe's pack or folder has."""
    if recipe.unknown == BUNDLED:
        return {"folder": BUNDLED, "digest": sha256(paths.UNKNOWN / TABLE)[:16]}
    return unlabelled.read(recipe.unknown).facts()


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


def _labelled(rows: list[dict[str, Any]], features: "Features") -> "Dataset":
    """Make a table of rows, all of the last label."""
    from datasets import Dataset

    last = features["label"].num_classes - 1
    # Column by column: of no rows, `from_list` would know no columns.
    columns = {name: [{**row, "label": last}[name] for row in rows] for name in features}
    return Dataset.from_dict(columns, features=features)
