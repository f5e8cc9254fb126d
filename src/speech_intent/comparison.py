"""Models compared on the same clips."""

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

import pandas as pd

from . import evaluation, metrics
from .errors import UserError
from .intervals import mcnemar


def compare_models(folders: Mapping[str, Path]) -> pd.DataFrame:
    """Compare models, by name, on the same clips, from the folders of their results.

    Gives a row a model, best first: `correct`, `n`, `accuracy`, its interval (`low`, `high`), and
    of the exact McNemar test against the best `only_best`, `only_this` (clips that one of the two
    alone answered correctly) and `p`. Raises `UserError` if the clips differ.
    """
    answers = {name: evaluation.read_predictions(folder) for name, folder in folders.items()}
    _check_same_clips(answers)
    together = pd.concat(answers, names=["model"]).reset_index("model")
    counts = metrics.accuracy_by(together, ["model"])
    counts = counts.sort_values("accuracy", ascending=False, kind="stable")
    is_correct = {name: table["intent"] == table["predicted"] for name, table in answers.items()}
    best, *others = counts.index
    rows = [astuple(mcnemar(is_correct[best], is_correct[name])) for name in others]
    return counts.join(pd.DataFrame(rows, others, ["only_best", "only_this", "p"]))


def _check_same_clips(answers: Mapping[str, pd.DataFrame]) -> None:
    first, *others = answers
    clips = list(answers[first]["file_name"])
    for name in others:
        if list(answers[name]["file_name"]) != clips:
            problem = f"was not scored on the same clips as {first}"
            raise UserError(name, problem, "give the data a split column")
