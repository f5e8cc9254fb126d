"""What a model's metrics.json says, checked before it is published."""

from pathlib import Path
from typing import Any

from .json_fields import Fields, is_text
from .metrics import AVERAGES
from .remarks import are_counts

METRICS = "metrics.json"
FIGURES = (  # each has an interval
    "accuracy",
    *(f"f1_{average}" for average in AVERAGES),
    *(f"precision_{average}" for average in AVERAGES),
    *(f"recall_{average}" for average in AVERAGES),
)
FACTS = (  # of metrics.json
    "data",
    "config",
    "split",
    "n",
    "encoder",
    "seed",
    "epochs",
    "steps",
    "inverse_regularisation",
)
NAMES = ("data", "config", "split", "encoder")  # facts that are texts


def read_results(folder: Path) -> dict[str, Any]:
    """Read the metrics.json of a model folder; empty where there is none.

    Raises `ModelError` for a figure that is missing or cannot be.
    """
    if not (folder / METRICS).exists():
        return {}
    fields = Fields.read(folder / METRICS)
    n = fields.whole("n", 1, 2**31)
    fields.whole("correct", 0, n)
    for figure in FIGURES:
        fields.number(figure, 0, 1)
        _check_interval(fields, f"{figure}_interval")
    for name in NAMES:
        if fields.says(name):
            fields.text(name)
    if fields.values.get("note", "") != "":
        fields.text("note")
    _check_scalars(fields, FACTS)
    _check_remarks(fields)
    if fields.says("hyperparameters"):
        numbers = fields.child("hyperparameters")
        _check_scalars(numbers, numbers.values)
    return fields.values


def _check_remarks(fields: Fields) -> None:
    """Check what is said of added folders, synthetic voices and adaptation, where it is said."""
    added = fields.values.get("added") or []
    if not isinstance(added, list) or not all(map(is_text, added)):
        raise fields.fault("added", "a list of texts")
    if fields.says("synthetic"):
        counts = fields.child("synthetic")
        for name, pair in counts.values.items():
            if not are_counts(pair):
                raise counts.fault(name, "a number of clips, and of how many")
    if fields.says("adapted"):
        adapted = fields.child("adapted")
        adapted.text("folder")
        for name in ("clips", "test_clips"):
            adapted.whole(name, 0, 2**31)


def _check_interval(fields: Fields, name: str) -> None:
    ends = fields.values.get(name)
    if not isinstance(ends, list) or len(ends) != 2:
        raise fields.fault(name, "two numbers")
    low, high = (Fields(fields.file, {name: end}).number(name, 0, 1) for end in ends)
    if low > high:
        raise fields.fault(name, "two numbers in their order")


def _check_scalars(fields: Fields, names: "tuple[str, ...] | dict[str, Any]") -> None:
    """Check that these fields are texts, truth values or finite numbers, where they are said."""
    for name in names:
        value = fields.values.get(name)
        if value is not None and not isinstance(value, bool) and not is_text(value):
            fields.number(name)
