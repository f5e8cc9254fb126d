"""The card of a folder of synthetic speech, which says first that nobody was recorded."""

from pathlib import Path

import pandas as pd

from ..names import escape_markdown
from ..tables import UNKNOWN, is_unknown
from .voices import ENGINE_SHARES

ENGINES = {  # what they are, and the terms that they and their voices state
    "espeak-ng": "eSpeak NG, formant synthesis; GPL-3.0-or-later",
    "piper": "Piper (GPL-3.0-or-later) with the voice joe (CC0), neural",
    "hibari": "Hibari with the voice heart, neural; Apache-2.0",
    "flite": "Flite, unit selection and statistical; a permissive licence",
    "festival": "Festival, diphones and statistical; a permissive licence, and each voice's own",
}
CARD = """---
pretty_name: Synthetic spoken requests
language:
  - en
task_categories:
  - audio-classification
tags:
  - speech
  - intent-classification
  - synthetic
---

# Synthetic spoken requests

**All of this speech is synthetic: no person was recorded.** A classifier that is trained on it has
heard nobody, and its accuracy on these clips says nothing about people.

`python -m speech_intent.synthesize` made {n_clips:,} clips{what}
from {n_texts:,} sentences: 16 kHz, mono, FLAC. `metadata.csv` has the columns file_name, intent,
speaker, engine, text and split. Each split has voices of its own; half of the clips were put into a
room, noise, or a telephone.

| engine | clips | speakers |
|---|---:|---:|
{engines}

| intent | train | validation | test |
|---|---:|---:|---:|
{intents}

What is made of a GPL program's output is not under the GPL; the sentences are their writers'.
"""


def write(folder: Path, table: pd.DataFrame) -> None:
    """Write the card of a table of clips into its folder."""
    text = CARD.format(
        n_clips=len(table),
        what=_what(table),
        n_texts=table["text"].nunique(),
        engines="\n".join(_engine_rows(table)),
        intents="\n".join(_intent_rows(table)),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _what(table: pd.DataFrame) -> str:
    """Say what the clips are of; those that are no request count apart."""
    is_other = is_unknown(table)
    of = f" of {table.loc[~is_other, 'intent'].nunique()} intents"
    if not is_other.any():
        return of
    return f"{of}, {is_other.sum():,} of them examples of what is not to be answered (`unknown`),"


def _engine_rows(table: pd.DataFrame) -> list[str]:
    by_engine = table.groupby("engine")["speaker"].agg(["size", "nunique"])
    used = [name for name in ENGINE_SHARES if name in by_engine.index]
    return [
        f"| {ENGINES[name]} | {by_engine['size'][name]:,} | {by_engine['nunique'][name]} |"
        for name in used
    ]


def _intent_rows(table: pd.DataFrame) -> list[str]:
    counts = pd.crosstab(table["intent"], table["split"])
    counts = counts.reindex(columns=["train", "validation", "test"], fill_value=0)
    counts = counts.sort_index(key=lambda names: names == UNKNOWN, kind="stable")
    return [
        f"| {escape_markdown(str(intent))} | " + " | ".join(map(str, row)) + " |"
        for intent, row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
