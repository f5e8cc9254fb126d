"""The splits of data that clips were added to (`additions`): those train, the data's own test."""

import logging
from dataclasses import replace

import pandas as pd

from . import additions
from .copies import representatives
from .drawing import draw, hold_out, leave_out_corrected, uncorrected
from .errors import DataError
from .recipes import Recipe

ENOUGH = 0.5  # share of the intents that must spare a clip, where added clips could do so instead
BORROWED = {  # what it means that added clips stand in for the data's own
    "validation": "the checkpoint and how sure answers sound are chosen on added clips",
    "test": "the figure is about added clips, and says nothing about the others",
}

logger = logging.getLogger("speech_intent")


def fill_with_added(table: pd.DataFrame, recipe: Recipe) -> str:
    """Give a table with added clips its splits, in place; say how.

    Added clips are train, whatever split they name, and validation and test are the data's own:
    as given, else drawn from them alone. Where they have none, and fewer than half of their intents
    can spare a clip, all of them are train, and of the added clips those that are named for the
    split stand in, else a share of them, by speaker. Added clips of speakers who are held out are
    left out. Corrected clips, the data's own or added, train only; see `drawing.hold_out`.
    """
    parts = additions.apart(table)
    own, added = parts.own.index, parts.added.index
    is_added = table.index.isin(added)
    is_given = parts.own["split"].ne("").any()
    table.loc[added if is_given else table.index, "split"] = "train"
    notes = ["given"] if is_given else []
    for split, share in (("test", recipe.test_share), ("validation", recipe.validation_share)):
        given = table[table["split"].eq(split) & ~is_added]
        if len(given):
            leave_out_corrected(table, is_added & table["digest"].isin(given["digest"]), split)
        elif _can_spare(table.loc[own]) and not (is_given and split == "test"):
            rule = draw(table, own, split, share, recipe)
            notes.append(str(rule) if split == "test" else f"validation {rule} of train")
        else:
            notes.append(_borrow(table, parts.added, split, share, recipe))
    left = additions.without_held_out_speakers(table, recipe)
    table["split"] = left["split"]
    names = ", ".join(parts.added[additions.ADDED].unique())
    n_added = int((table.loc[added, "split"] == "train").sum())
    return "; ".join([*notes, f"{n_added} clips added to train from {names}"])


def _can_spare(own: pd.DataFrame) -> bool:
    """Whether enough intents of the data's own training clips have two recordings or more."""
    rows = representatives(uncorrected(own[own["split"] == "train"]))
    counts = rows["intent"].value_counts()
    return len(counts) > 0 and (counts > 1).mean() >= ENOUGH


def _borrow(
    table: pd.DataFrame, added: pd.DataFrame, split: str, share: float, recipe: Recipe
) -> str:
    """Move added clips to a split that the data cannot fill, in place; say how, and warn.

    `added` names the splits that they came with.
    """
    rule: str | None = "named so"
    named = uncorrected(added[added["split"] == split])
    if len(named):
        hold_out(table, named.index, split, by_speaker=False)
    else:
        rule = draw(table, added.index, split, share, replace(recipe, by_speaker=True))
    if rule is None:
        problem = f"no clip can be spared for {split}, and none of the added ones"
        raise DataError(recipe.data, [f"{problem}; record more"])
    text = "warning: %s has no clips to spare for %s; added ones stand in: %s"
    logger.warning(text, recipe.data, split, BORROWED[split])
    return f"WARNING: {split} of added clips, {rule}: {BORROWED[split]}"
