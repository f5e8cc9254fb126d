"""Clips for an intent that a trained classifier is to learn: read, and compared with its own."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from . import data, provenance
from .copies import check_copies, representatives
from .errors import DataError
from .names import likeness
from .recipes import Recipe
from .tables import is_unknown

if TYPE_CHECKING:
    from datasets import DatasetDict

FEWEST_CLIPS = 2  # of an intent: one is learned from while another is held out
N_SHOWN = 3  # names in a message

logger = logging.getLogger("speech_intent")


@dataclass(frozen=True)
class NewClips:
    """Recordings that a model does not know, in their splits; without a split they are train."""

    tables: "DatasetDict"  # see `data.to_datasets`; its label ids are those of the new clips alone
    listing: pd.DataFrame  # `provenance.COLUMNS`

    def intents(self, split: str) -> list[str]:
        """Give the intent of each clip of a split."""
        names = self.tables[split].features["label"].names
        return [names[label] for label in self.tables[split]["label"]]


def read_new_clips(recipe: Recipe, labels: list[str], known: pd.DataFrame) -> NewClips:
    """Read the recordings that a recipe names, for a model of these labels.

    `known` lists the model's own clips (`provenance.COLUMNS`): the same samples are left out, with
    a warning, and so are clips of no intent. Clips in the test split are listed and not learned
    from. Raises `DataError` for data that cannot be used, with names too much like the model's, or
    without any clip that is new.
    """
    recordings = data.read_recordings(recipe, role="more")
    table = recordings.table
    table = table.assign(split=table["split"].where(table["split"] != "", "train"))
    table = _without_unknown(table, recipe)
    problems = _lookalike_problems(table.loc[~is_unknown(table), "intent"], labels)
    if problems:
        raise DataError(recipe.data, problems)
    table = _without_known(table, known, recipe)
    table = check_copies(table, recipe.data, recipe.drop_copies)
    table.loc[~table.index.isin(representatives(table[table["split"] != ""]).index), "split"] = ""
    problems = _count_problems(table, labels)
    if problems:
        raise DataError(recipe.data, problems)
    tables = data.to_datasets(table, recordings.clips)
    return NewClips(tables, provenance.clips_of(tables))


def _without_unknown(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Take out the clips that are no request: only training learns from them; say so."""
    is_left_out = is_unknown(table)
    if is_left_out.any():
        text = (
            "warning: %s: left out %d clips whose intent is unknown; only `train` learns from them"
        )
        logger.warning(text, recipe.data, is_left_out.sum())
    return table.assign(split=table["split"].mask(is_left_out, ""))


def _lookalike_problems(intents: pd.Series, labels: list[str]) -> list[str]:
    """Name intents that only a computer tells from the model's."""
    looks = {likeness(label): label for label in labels}
    problems = []
    for intent in intents.unique():
        label = looks.get(likeness(intent), intent)
        if label != intent:
            problem = f"the intent {intent!r} looks like {label!r}, which the model knows"
            problems.append(f"{problem}; write {label!r}, or a name that differs more")
    return problems


def _without_known(table: pd.DataFrame, known: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Take out the clips whose samples stand in the model's list; say so."""
    splits = table["digest"].map(known.drop_duplicates("digest").set_index("digest")["split"])
    is_known = splits.notna()
    if not is_known.any():
        return table
    counts = splits[is_known].value_counts()
    where = ", ".join(f"{n} in {split}" for split, n in counts.items())
    named = ", ".join(table.loc[is_known, "file_name"].head(N_SHOWN))
    n = int(is_known.sum())
    if is_known.all():
        problem = f"the model was made with all {n} clips ({where}), such as {named}"
        raise DataError(recipe.data, [f"{problem}; give it others"])
    text = "warning: %s: left out %d clips that the model was made with (%s), such as %s"
    logger.warning(text, recipe.data, n, where, named)
    return table.assign(split=table["split"].mask(is_known, ""))


def _count_problems(table: pd.DataFrame, labels: list[str]) -> list[str]:
    """Name intents with too few clips to learn from, and data with none."""
    counts = table.loc[table["split"] == "train", "intent"].value_counts()
    if counts.empty:
        return ["it has no clips to learn from; put some into the train split"]
    problems = []
    for intent, n in counts.items():
        if n < FEWEST_CLIPS:
            problems.append(f"intent {intent!r} has one new clip to learn from; record more")
    others = set(table.loc[table["split"] != "", "intent"]) - set(counts.index) - set(labels)
    for intent in sorted(others):
        problems.append(f"intent {intent!r} is in validation or test, and not in train")
    return problems
