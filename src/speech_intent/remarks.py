"""What must be said beside a figure: whether people were heard, and what the model was fitted to.

A row with a value in the column `engine` is synthetic speech.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .columns import ENGINE, find_column

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

LEARNED = ("train", "validation")  # what a model learns from
Counts = list[int]  # how many clips are synthetic, of how many


def count_synthetic(table: "Dataset") -> Counts:
    """Count the synthetic clips of a table, and all its clips."""
    column = find_column(table.column_names, (ENGINE,))
    engines = [] if column is None else table[column]
    return [sum(bool(engine) for engine in engines), len(table)]


def learned(tables: "DatasetDict") -> dict[str, Counts]:
    """Count the synthetic clips of train and validation, for a record."""
    return {split: count_synthetic(tables[split]) for split in LEARNED}


def of_model(folder: Path) -> dict[str, Any]:
    """Read whose voices a model has learned from; empty where its folder does not say."""
    try:
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        counts = {split: list(record["synthetic"][split]) for split in LEARNED}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {"synthetic": counts} if all(map(are_counts, counts.values())) else {}


def are_counts(pair: object) -> bool:
    """Whether this says how many clips are synthetic, of how many."""
    if not isinstance(pair, list) or [type(count) for count in pair] != [int, int]:
        return False
    n_synthetic, n = pair
    return bool(0 <= n_synthetic <= n)


def with_scored(record: dict[str, Any], table: "Dataset") -> dict[str, Any]:
    """Add to a record whose voices it was scored on."""
    known = record.get("synthetic") or {}
    return {**record, "synthetic": {**known, "scored": count_synthetic(table)}}


def remarks(result: dict[str, Any]) -> list[str]:
    """Say in sentences what metrics.json notes of synthetic voices and of adaptation."""
    counts = result.get("synthetic") or {}
    sentences = [*_training_voices(counts), *_scored_voices(counts)]
    adapted = result.get("adapted")
    if adapted:
        text = f"Adapted to {adapted['clips']} unlabelled recordings ({adapted['folder']})"
        among = adapted["test_clips"]
        if among:
            text += f"; {among} of the test clips are among them, whose labels were not used"
        sentences.append(f"{text}.")
    return sentences


def _training_voices(counts: dict[str, Counts]) -> list[str]:
    n_synthetic, n = counts.get("train", [0, 0])
    if not n_synthetic:
        return []
    if n_synthetic == n:
        return [f"No person was heard in training: all {n} training clips are synthetic."]
    return [f"{n_synthetic} of {n} training clips are synthetic."]


def _scored_voices(counts: dict[str, Counts]) -> list[str]:
    n_synthetic, n = counts.get("scored", [0, 0])
    if not n_synthetic:
        return []
    if n_synthetic == n:
        about = "the figure is about synthetic voices, and says nothing about people"
        return [f"All {n} test clips are synthetic: {about}."]
    about = "the figure is in part about synthetic voices"
    return [f"{n_synthetic} of {n} test clips are synthetic: {about}."]


def aside(result: dict[str, Any]) -> str:
    """Say the same of voices in a few words that follow a headline; "" where people were heard."""
    counts = result.get("synthetic") or {}
    words = ""
    heard, n_heard = counts.get("train", [0, 0])
    if heard and heard == n_heard:
        words += "; no person was heard in training"
    scored, n_scored = counts.get("scored", [0, 0])
    if scored and scored == n_scored:
        words += "; about synthetic voices, not people"
    elif scored:
        words += f"; {scored} of {n_scored} clips are synthetic"
    return words
