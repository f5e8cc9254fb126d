"""Rows of the data whose intent is "unknown": which of them train, and which test."""

import numpy as np
import pandas as pd

from .additions import apart
from .recipes import Recipe
from .tables import is_corrected

HELD_OUT = ("test", "validation")


def with_splits(unknown: pd.DataFrame, known: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Give unknown rows their splits, beside the known rows of the same data, which have theirs.

    A split that the data name holds. Else clips of a voice stand where its other clips do, and of
    the others a share is drawn, whole voices again, by the recipe's seed. Corrected clips train, as
    do added ones, but for those of voices that are held out, which are left out.
    """
    parts = apart(unknown)
    held_out = known.loc[known["split"].isin(HELD_OUT), "speaker"]
    heard = known.loc[known["split"] == "train", "speaker"]
    is_held_out = parts.added["speaker"].isin(set(held_out) - set(heard) - {""})
    added = parts.added.assign(split=np.where(is_held_out, "", "train"))
    return pd.concat([_own(parts.own, known, recipe), added]).loc[unknown.index]


def _own(unknown: pd.DataFrame, known: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Give the data's own unknown rows their splits."""
    if unknown.empty:
        return unknown
    splits = unknown["split"].copy()
    is_given = splits.ne("").any()
    splits = splits.mask(splits.eq(""), "train")
    shares = {"test": recipe.test_share, "validation": recipe.validation_share}
    if is_given:
        del shares["test"]
    if "validation" in set(splits):
        shares.pop("validation", None)
    may_move = splits.eq("train") & ~is_corrected(unknown)
    for split, share in shares.items():
        rows = unknown[may_move & splits.eq("train")]
        splits[_drawn(rows, known, split, share, recipe.numbers.seed)] = split
    return unknown.assign(split=splits)


def _drawn(
    rows: pd.DataFrame, known: pd.DataFrame, split: str, share: float, seed: int
) -> list[int]:
    """Draw rows for a split, by their index: those of its voices, and a share of the others."""
    named = known[known["speaker"] != ""]
    voices = {name: set(clips["split"]) for name, clips in named.groupby("speaker")}
    speakers = rows["speaker"].tolist()
    own = [i for i, name in zip(rows.index, speakers, strict=True) if voices.get(name) == {split}]
    others = rows.loc[~rows["speaker"].isin(list(voices))]
    groups = others["speaker"].where(others["speaker"] != "", others["digest"])
    names = np.random.default_rng(seed).permutation(np.array(sorted(set(groups)), dtype=object))
    drawn = names[: round(share * len(names))]
    return own + others.index[groups.isin(drawn)].tolist()
