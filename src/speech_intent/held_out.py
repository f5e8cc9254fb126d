"""What may test a model: the split that it was trained with, and never what it learned from."""

import json
import logging
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from . import additions, data, hub_models, provenance
from .data import Splits
from .decoding import SUFFIXES
from .drawing import eligible
from .errors import DataError
from .recipes import Recipe
from .splits import SplitTable, assign_splits, shared_note
from .tables import is_corrected

SAME_LIST = 0.9  # of the names on two lists must have the same intent, or they are two datasets
LEARNED = {  # by what is scored: the splits that the model has learned from
    "test": ("train", "validation"),
    "validation": ("train",),
    "train": (),
}
ALL = "all"  # in the place of a split: every clip that the model has not learned from
N_SHOWN = 3  # names in a message

logger = logging.getLogger("speech_intent")


def load_splits(
    model: str | Path, recipe: Recipe, split: str = "test", seed: int | None = None
) -> Splits:
    """Load the recordings that a recipe names, in the splits that a model was trained with.

    See `assign_held_out`. Raises `DataError`, `ModelError`.
    """
    recordings = data.read_recordings(recipe, role="part")
    folder = hub_models.model_folder(model)
    table = assign_held_out(folder, recordings.table, recipe, split, seed)
    return data.make_splits(recordings, table)


def assign_held_out(
    folder: Path,
    table: pd.DataFrame,
    recipe: Recipe,
    split: str = "test",
    seed: int | None = None,
) -> SplitTable:
    """Split a table as the model in a folder was trained, so that `split` may be scored.

    Clips are recognised by their samples, or by their names in the same dataset. Where the data
    name splits, those hold; `seed` draws new ones where they do not. Either way clips that the
    model has learned from are left out of `split`, with a warning. Of a model that does not list
    its clips, the seed decides. Corrected clips are in train or in no split. `ALL` puts every clip
    that is neither into the test split. Raises `DataError` where no clip may be scored.
    """
    clips = provenance.read_clips(folder)
    if split == ALL:
        return _everything(table, clips, recipe)
    if split != "train":
        eligible(table, recipe, split)
    recipe = recipe.with_seed(split_seed(folder, seed))
    if clips is None:
        return assign_splits(table, recipe, split)
    learned = trained_splits(table, clips, additions.last_part(recipe.data))
    _warn_of_other_samples(table, learned, clips, recipe)
    assigned = _as_trained(table, learned, recipe, split, redraw=seed is not None)
    if not assigned.table["split"].eq(split).any():
        problem = f"none of its clips is in the {split} split that the model was trained with"
        remedy = "give the data a split column, or draw one with evaluate's --seed"
        raise DataError(recipe.data, [f"{problem}; {remedy}"])
    return _without_learned(assigned, learned, split, recipe)


def _everything(table: pd.DataFrame, clips: pd.DataFrame | None, recipe: Recipe) -> SplitTable:
    """Put every clip into the test split, but for corrected ones and what a model learned from."""
    eligible(table, recipe, "test")
    assigned = table.assign(split=np.where(is_corrected(table), "", "test"))
    if clips is None:
        note = "all clips; WARNING: the model does not say what it was trained on"
        return SplitTable(assigned, note)
    learned = trained_splits(table, clips, additions.last_part(recipe.data))
    _warn_of_other_samples(table, learned, clips, recipe)
    return _without_learned(SplitTable(assigned, "all clips"), learned, "test", recipe)


def split_seed(folder: Path, given: int | None = None) -> int:
    """Choose the seed of a split: what was given, else what the model was trained with, else 0."""
    if given is not None:
        return given
    try:
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        return int(record["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def trained_splits(table: pd.DataFrame, clips: pd.DataFrame, name: str) -> pd.Series:
    """Find for each row of a table its split in a model's `clips`; "" for clips that are new.

    `name` is that of the data: where they were added to others, it stands before their clips'.
    """
    by_digest = clips.drop_duplicates("digest").set_index("digest")["split"]
    found = table["digest"].map(by_digest)
    as_added = table.assign(file_name=f"{name}/" + table["file_name"])
    for named in (as_added, table):
        for key in (str, _without_suffix):  # the second: clips may have been converted
            found = found.fillna(_splits_by_name(named, clips, key))
    return found.fillna("").astype(str)


def _splits_by_name(
    table: pd.DataFrame, clips: pd.DataFrame, key: Callable[[str], str]
) -> pd.Series:
    """Find the splits of clips by their names, as far as both lists are of the same dataset."""
    listed = clips.set_index(clips["file_name"].map(key))
    listed = listed[~listed.index.duplicated()]
    keys = table["file_name"].map(key)
    common = keys[keys.isin(listed.index)]
    same_intent = common.map(listed["intent"]) == table["intent"][common.index]
    if not len(common) or same_intent.mean() < SAME_LIST:
        return pd.Series(None, table.index, dtype=object)
    return keys.map(listed["split"])


def _without_suffix(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else name


def _warn_of_other_samples(
    table: pd.DataFrame, learned: pd.Series, clips: pd.DataFrame, recipe: Recipe
) -> None:
    """Say which clips are known by their names alone: they were converted, or recorded anew."""
    others = table[learned.ne("") & ~table["digest"].isin(clips["digest"])]
    if len(others):
        text = (
            "warning: %s: %d clips have other samples than the clips of these names in training, "
            "and count as the same; rename those that were recorded anew, such as %s"
        )
        logger.warning(text, recipe.data, len(others), _named(others))


def _as_trained(
    table: pd.DataFrame, learned: pd.Series, recipe: Recipe, scored: str, redraw: bool
) -> SplitTable:
    """Give a table the splits of a model's training, as far as it leaves them open."""
    is_known = learned.ne("")
    if redraw or not is_known.any():
        return assign_splits(table, recipe, scored)
    may_score = ~is_corrected(table)
    if table["split"].ne("").any():
        is_open = (table["split"] == "train") & learned.isin(["train", "validation"]) & may_score
        table = table.assign(split=table["split"].mask(is_open, learned))
        return assign_splits(table, recipe, scored)
    table = table.assign(split=learned.where(may_score | learned.eq("train"), ""))
    note = "as the model was trained"
    is_new = ~is_known & may_score
    if is_new.any():
        n_new = int(is_new.sum())
        note += f"; {n_new} clips are new since then, in no split"
        text = (
            "warning: %s: left out %d clips that are new since training, such as %s; "
            "a split column would say which of them are to be scored"
        )
        logger.warning(text, recipe.data, n_new, _named(table[is_new]))
    return SplitTable(table, note + shared_note(table))


def _without_learned(
    split_table: SplitTable, learned: pd.Series, split: str, recipe: Recipe
) -> SplitTable:
    """Take out of a split what the model has learned from; warn of it."""
    table = split_table.table
    is_scored = table["split"] == split
    is_learned = is_scored & learned.isin(LEARNED[split])
    if not is_learned.any():
        return split_table
    n = int(is_learned.sum())
    if n == is_scored.sum():
        problem = f"the model was trained on all {n} {split} clips; give it others"
        raise DataError(recipe.data, [problem])
    text = "warning: %s: left out of %s %d clips that the model was trained on, such as %s"
    logger.warning(text, recipe.data, split, n, _named(table[is_learned]))
    table = table.assign(split=table["split"].mask(is_learned, ""))
    note = f"; WARNING: {n} clips that the model was trained on are left out"
    return SplitTable(table, split_table.note + note)


def _named(table: pd.DataFrame) -> str:
    return ", ".join(table["file_name"].head(N_SHOWN))
