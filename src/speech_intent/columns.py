"""What people call the columns of a table, and what we call them."""

from collections.abc import Collection, Sequence

import pandas as pd

from .names import likeness
from .recipes import Recipe
from .tables import name_intents, split_name

COLUMNS = ["file_name", "intent", "speaker", "split"]
FILE_NAMES = ("audio", "path", "filename", "file")  # what people call `file_name`
ENGINE = "engine"  # what spoke a synthetic clip; "" for a person
LABEL = "label"  # what `intent` is called where AudioFolder wrote the table
# What people call a transcript; the English one of other languages only where it is the only one.
TRANSCRIPTS = (
    "text",
    "transcription",
    "transcript",
    "template",
    "sentence",
    "utterance",
    "english_transcription",
)


def find_column(columns: Collection[str], names: Sequence[str]) -> str | None:
    """Find the first of some names among columns, else one that looks like it."""
    for name in names:
        if name in columns:
            return name
    for name in names:
        for column in columns:
            if likeness(column) == likeness(name):
                return column
    return None


def intent_names(recipe: Recipe) -> tuple[str, ...]:
    """Give the names that the column of intents may have, the likeliest first."""
    usual = Recipe.intent
    if recipe.intent != usual:  # the user says how it is called: `label` is another column
        return (recipe.intent, usual)
    return (usual, LABEL)


def speaker_names(recipe: Recipe) -> tuple[str, ...]:
    """Give the names that the column of speakers may have, the likeliest first."""
    return (recipe.speaker, Recipe.speaker)


def transcript_names(recipe: Recipe) -> tuple[str, ...]:
    """Give the names that the column of transcripts may have, the likeliest first."""
    return TRANSCRIPTS if recipe.text is None else (recipe.text,)


def known_names(recipe: Recipe) -> set[str]:
    """Give names by which a header is known from other lines."""
    names = {*COLUMNS, *FILE_NAMES, *intent_names(recipe), *transcript_names(recipe)}
    return names | {recipe.file_name, recipe.speaker}


def usual_columns(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Give a folder's table our columns, then its others. Raises ValueError for missing ones."""
    found = {
        "file_name": _file_name_column(table.columns, recipe),
        "intent": find_column(table.columns, intent_names(recipe)),
        "speaker": find_column(table.columns, speaker_names(recipe)),
        "split": find_column(table.columns, ("split",)),
    }
    missing = [repr(name) for name in ("file_name", "intent") if found[name] is None]
    taken = {column for column in found.values() if column is not None}
    others = [column for column in table.columns if column not in taken]
    names = transcript_names(recipe)
    filled = [column for column in others if table[column].ne("").any()]
    transcript = find_column(filled, names) or find_column(others, names)
    if recipe.text is not None and transcript is None:
        missing.append(repr(recipe.text))
    if missing:
        present = ", ".join(table.columns)
        raise ValueError(f"has no column {' or '.join(missing)}; it has {present}")
    empty = pd.Series("", index=table.index)
    columns = {name: empty if old is None else table[old] for name, old in found.items()}
    columns["intent"] = name_intents(columns["intent"], recipe.intents)
    columns["split"] = columns["split"].map(split_name)
    for other in others:
        columns.setdefault(other, table[other])
    if transcript is not None:
        columns["text"] = columns.pop(transcript)
    return pd.DataFrame(columns)


def _file_name_column(columns: Collection[str], recipe: Recipe) -> str | None:
    """Find the column of file names; one of several that may be meant is none."""
    usual = find_column(columns, (recipe.file_name, "file_name"))
    if usual is not None:
        return usual
    possible = [column for column in columns if find_column([column], FILE_NAMES)]
    return possible[0] if len(possible) == 1 else None
