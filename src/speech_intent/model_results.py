"""What a model's metrics.json and training.json say, checked before it is published."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .json_fields import Fields, is_text
from .metrics import AVERAGES
from .remarks import are_counts

METRICS = "metrics.json"
TRAINING = "training.json"
MOST = 2**31  # of anything that is counted
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
NAMES = ("data", "config", "split", "encoder", "model", "data_called")  # facts that are texts
OF_TRAINING = ("encoder", "seed", "epochs", "steps", "inverse_regularisation", "parameters")
OBJECTS = ("hyperparameters", "versions", "best_validation", "recipe", "unknown", "search")
WITH_LISTS = ("recipe", "search")  # of texts


def read_results(folder: Path) -> dict[str, Any]:
    """Read the metrics.json of a model folder; empty where there is none.

    Raises `ModelError` for a figure that is missing or cannot be.
    """
    if not (folder / METRICS).exists():
        return {}
    fields = Fields.read(folder / METRICS)
    n = fields.whole("n", 1, MOST)
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
    _check_answers(fields)
    _check_objects(fields)
    return fields.values


def read_training(folder: Path) -> Fields:
    """Read the training.json of a model folder; empty where there is none. Raises `ModelError`."""
    file = folder / TRAINING
    if not file.exists():
        return Fields(file, {})
    fields = Fields.read(file)
    if fields.says("encoder"):
        fields.text("encoder")
    _check_scalars(fields, OF_TRAINING)
    _check_objects(fields)
    for entry in fields.children("added") if fields.says("added") else []:  # by `add_intent`
        entry.text("data")
        clips = entry.child("clips")
        for intent in clips.values:
            clips.whole(intent, 0, MOST)
    return fields


def _check_objects(fields: Fields) -> None:
    """Check what is said of the training, where it is said: objects of texts and numbers."""
    for name in OBJECTS:
        if fields.says(name):
            child = fields.child(name)
            lists = [key for key, value in child.values.items() if _are_texts(value)]
            may_be_lists = lists if name in WITH_LISTS else []
            _check_scalars(child, child.values.keys() - set(may_be_lists))
    if fields.says("recipe"):
        fields.child("recipe").text("recipe")
    if fields.says("unknown"):
        learned = fields.child("unknown")
        n = learned.whole("n", 0, MOST)
        for name in ("answered", "answered_correct"):
            learned.whole(name, 0, n)
        learned.whole("clips", 0, MOST)
        learned.text("promise")
        for name in ("share", "confidence"):
            learned.number(name, 0, 1)
        learned.flag("kept")
    if fields.says("search"):
        searched = fields.child("search")
        searched.whole("diverged", 0, searched.whole("trials", 1, MOST))
        searched.text("metric")
        if not _are_texts(searched.values.get("numbers")):
            raise searched.fault("numbers", "a list of texts")


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def _check_answers(fields: Fields) -> None:
    """Check what is said of scores and of what was not answered, where it is said."""
    for name in ("calibration_error", "coverage", "accuracy_answered"):
        if fields.says(name):
            fields.number(name, 0, 1)
            _check_interval(fields, f"{name}_interval")
    if fields.says("says_unknown"):
        fields.flag("says_unknown")
    if not fields.says("unknown_test"):
        return
    for kind in fields.children("unknown_test"):
        kind.text("kind")
        kind.whole("accepted", 0, kind.whole("n", 1, MOST))
        for name in ("low", "high", "auroc"):
            kind.number(name, 0, 1)


def _check_remarks(fields: Fields) -> None:
    """Check what is said of added folders, synthetic voices and adaptation, where it is said."""
    added = fields.values.get("added") or []
    if not _are_texts(added):
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
            adapted.whole(name, 0, MOST)


def _check_interval(fields: Fields, name: str) -> None:
    ends = fields.values.get(name)
    if not isinstance(ends, list) or len(ends) != 2:
        raise fields.fault(name, "two numbers")
    low, high = (Fields(fields.file, {name: end}).number(name, 0, 1) for end in ends)
    if low > high:
        raise fields.fault(name, "two numbers in their order")


def _check_scalars(fields: Fields, names: Iterable[str]) -> None:
    """Check that these fields are texts, truth values or finite numbers, where they are said."""
    for name in names:
        value = fields.values.get(name)
        if value is not None and not isinstance(value, bool) and not is_text(value):
            fields.number(name)
