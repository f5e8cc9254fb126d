"""Clips of other folders that are added to training, such as synthetic ones: `train --add`.

Their names get their folder's in front, so that no two clips of a run have one name.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .errors import UserError
from .hub_names import is_hub_id
from .names import file_stem
from .recipes import Recipe
from .tables import (
    SPLITS,
    Listing,
    is_unknown,
    lone_intent,
    lookalike_problems,
    untrained_intents,
)

ADDED = "added"  # column: the folder that a clip was added from; "": one of the data's own
N_NAMED = 10  # intents that a warning names

logger = logging.getLogger("speech_intent")


@dataclass(frozen=True)
class Apart:
    """A table with the rows of the data themselves, and those that were added."""

    own: pd.DataFrame
    added: pd.DataFrame


def apart(table: pd.DataFrame) -> Apart:
    """Take a table of `joined` apart; of one without added clips all rows are the data's own."""
    if ADDED not in table:
        return Apart(table, table.iloc[:0])
    is_own = table[ADDED] == ""
    return Apart(table[is_own], table[~is_own])


def recipe_of(name: str, recipe: Recipe) -> Recipe:
    """Give the recipe by which an added folder is read: usual names, or those of the data."""
    return Recipe(
        data=name,
        file_name=recipe.file_name,
        intent=recipe.intent,
        speaker=recipe.speaker,
        intents=recipe.intents,
    )


def check_names(recipe: Recipe) -> None:
    """Raise `UserError` for data that are named twice."""
    seen = {_place(recipe.data)}
    for name in recipe.add:
        if _place(name) in seen:
            remedy = "name each folder once, by --data or by --add"
            raise UserError(name, "is named twice", remedy)
        seen.add(_place(name))


def _place(name: str) -> str:
    return name if is_hub_id(name) else os.path.realpath(name)


def prefixes(recipe: Recipe, taken: Iterable[str] = ()) -> dict[str, str]:
    """Name each added folder by its last part, so that no clip's name begins with another's.

    `taken` are the names of the data's own clips. Gives prefixes without "/" by folder.
    """
    used = {name.partition("/")[0] for name in taken} | {last_part(recipe.data)}
    found = {}
    for name in recipe.add:
        stem = last_part(name)
        number = 1
        prefix = stem
        while prefix in used:
            number += 1
            prefix = f"{stem}-{number}"
        used.add(prefix)
        found[name] = prefix
    return found


def last_part(name: str) -> str:
    """Name a folder, a zip or a dataset on the Hub by its last part."""
    path = Path(name) if is_hub_id(name) else Path(os.path.abspath(name))
    is_zip = path.suffix.lower() == ".zip"
    return file_stem(path.stem if is_zip else path.name)


def joined(own: Listing, others: Mapping[str, Listing], recipe: Recipe) -> Listing:
    """Put added clips, by their folders' names, behind the data's own.

    The column `added` tells which are which. Split names that are none are "" for added clips.
    """
    from datasets import concatenate_datasets

    named = prefixes(recipe, own.table["file_name"])
    tables = [own.table.assign(**{ADDED: ""})]
    problems = [*own.problems]
    for name, listing in others.items():
        prefix = named[name]
        table = listing.table.assign(**{ADDED: prefix})
        table["file_name"] = f"{prefix}/" + table["file_name"]
        table["split"] = table["split"].where(table["split"].isin(SPLITS), "")
        tables.append(table)
        problems += [f"{prefix}/{problem}" for problem in listing.problems]
    table = pd.concat(tables, ignore_index=True).fillna("")
    if not problems:
        problems += _problems(table)
    if not problems:
        _warn_of_intents(table, recipe)
    parts = [own.clips]
    for listing in others.values():
        is_alike = listing.clips.features == own.clips.features  # a folder's are not the Hub's
        parts.append(listing.clips if is_alike else listing.clips.cast(own.clips.features))
    return Listing(table, concatenate_datasets(parts), tuple(problems))


def _problems(table: pd.DataFrame) -> Iterator[str]:
    """Say what is wrong with data and added clips as a whole."""
    table = table[~is_unknown(table)]
    taught = table.assign(split=table["split"].mask(table[ADDED] != "", "train"))
    if apart(table).own["split"].ne("").any():
        yield from untrained_intents(taught)
        taught = taught[taught["split"] == "train"]
    yield from lone_intent(taught)
    yield from lookalike_problems(table["intent"])


def _warn_of_intents(table: pd.DataFrame, recipe: Recipe) -> None:
    """Name the intents that only one side says."""
    parts = apart(table[~is_unknown(table)])
    own, added = set(parts.own["intent"]), set(parts.added["intent"])
    if added - own:
        text = "warning: %s: intents without a clip, which are learned from added ones alone: %s"
        logger.warning(text, recipe.data, _listed(added - own))
    if own - added:
        text = "warning: %s: intents of which no clip was added: %s"
        logger.warning(text, recipe.data, _listed(own - added))


def _listed(intents: set[str]) -> str:
    names = sorted(intents)
    return ", ".join(names[:N_NAMED]) + ", ..." * (len(names) > N_NAMED)


def without_held_out_speakers(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Leave out added clips of speakers whom the data's own split keeps out of training.

    A speaker of one name is one, wherever the clips come from. Such a row's split is "".
    """
    parts = apart(table)
    heard = set(parts.own.loc[parts.own["split"] == "train", "speaker"])
    is_held_out = parts.own["split"].isin(["validation", "test"])
    held_out = set(parts.own.loc[is_held_out, "speaker"]) - heard - {""}
    is_added = table.index.isin(parts.added.index)
    is_left_out = is_added & table["speaker"].isin(held_out)
    if is_left_out.any():
        names = sorted(set(table.loc[is_left_out, "speaker"]))
        text = "warning: %s: left out of training %d added clips of held-out speakers: %s"
        logger.warning(text, recipe.data, is_left_out.sum(), ", ".join(names[:N_NAMED]))
    return table.assign(split=table["split"].mask(is_left_out, ""))
