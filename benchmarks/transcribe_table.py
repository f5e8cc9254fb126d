"""The table of transcribe_first.py, for tables.py."""

from collections.abc import Mapping
from typing import Any

from blocks import UNMEASURED, table

NAMES = {
    "bundled": "bundled requests (synthetic): new voices, new wordings",
    "digits": "spoken digits (people), one speaker held out in turn",
    "commands": "spoken commands (people), five folds",
}
SIDES = ("ours", "transcribed")
HEADER = (
    "task",
    "from audio",
    "transcribed first",
    "p",
    "ms a clip: audio",
    "transcribed",
    "MB: audio",
    "transcribed",
)
N_SHOWN = 4  # wrong answers of a task

Result = dict[str, Any]


def lines(results: Mapping[str, Result]) -> list[str]:
    """Write the table, by task; a result is empty where the task was not measured."""
    rows = [[name, *cells(results[task])] for task, name in NAMES.items()]
    shown = [f"- {NAMES[task]}: {mistakes(results[task])}" for task in NAMES if results[task]]
    parts = table(HEADER, rows)
    if shown:
        parts += ["", "Heard, of clips that were answered wrongly from the transcript:", "", *shown]
    return parts


def cells(result: Result) -> list[str]:
    """Write what both sides are worth and cost, and whether they differ."""
    if not result:
        return [UNMEASURED] + [""] * (len(HEADER) - 2)
    return [
        *(accuracy(result, side) for side in SIDES),
        chance(result["p"]),
        *(f"{result[side]['ms']:.0f}" for side in SIDES),
        *(f"{result[side]['megabytes']:.0f}" for side in SIDES),
    ]


def accuracy(result: Result, side: str) -> str:
    """Write an accuracy with its interval.

    An interval over clips would be too narrow for the folds of a few known speakers: there is none.
    """
    row = result[side]
    text = f"{row['accuracy']:.3f} = {row['correct']}/{result['n']}"
    if result["protocol"] != "given" and result["speakers"]:
        return text
    low, high = row["accuracy_interval"]
    return f"{text} ({low:.3f} to {high:.3f})"


def chance(p: float) -> str:
    """Write a p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def mistakes(result: Result) -> str:
    """Write what was heard of some clips, and what had been meant."""
    shown = result["examples"][:N_SHOWN]
    return "; ".join(f"“{each['text']}” ({each['intent']})" for each in shown) or "none"
