"""A threshold that keeps a promise: fitted on validation clips by risk control, not by their share.

A share of few clips flatters. Learn then test (Angelopoulos et al. 2021, arXiv:2110.01052), from
MAPIE, gives a threshold that holds for clips like these with a confidence that is stated.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

CONFIDENCE = 0.9
N_TRIED = 50  # thresholds, at even shares of the clips, where a promise is of precision

Kind = Literal["accept", "precision"]


@dataclass(frozen=True)
class Promise:
    """What is promised of answers, with 90 % confidence."""

    kind: Kind  # at least `share` of taught requests are answered, or of the answers are right
    share: float


@dataclass(frozen=True)
class Threshold:
    """The score from which on a clip is answered."""

    value: float
    is_kept: bool  # whether the promise is; else the value is the best that there is
    clips_needed: int | None = None  # where clips are too few for anything to keep it


def fit(scores: np.ndarray, is_correct: np.ndarray, promise: Promise) -> Threshold:
    """Find the threshold on scores (n,) of validation clips that keeps a promise.

    `is_correct` (n,) says which answers are right. A share to be answered is kept by the highest
    threshold that does, a precision by the one that answers most. Where none keeps it, all clips
    are answered, or none.
    """
    valid = _valid(scores, is_correct, promise)
    fewest = fewest_clips(promise)
    needed = fewest if len(scores) < fewest else None
    if promise.kind == "accept":
        if len(valid):
            return Threshold(float(valid.max()), True)
        return Threshold(float(scores.min()), False, needed)
    if len(valid):
        return Threshold(float(valid.min()), True)
    return Threshold(float(scores.max()) + 1.0, False, needed)


def fewest_clips(promise: Promise) -> int:
    """Count the clips that a promise takes if all of them keep it: share ** n is 0.1 or less.

    For a precision it is that tenth shared out among the thresholds that are tried.
    """
    most_tried = N_TRIED if promise.kind == "precision" else 1
    for n in range(1, most_tried):
        if promise.share**n <= (1 - CONFIDENCE) / n:
            return n
    logarithm = math.log((1 - CONFIDENCE) / most_tried)
    return math.ceil(round(logarithm / math.log(promise.share), 6))


def _valid(scores: np.ndarray, is_correct: np.ndarray, promise: Promise) -> np.ndarray:
    """List the thresholds that keep a promise."""
    from mapie.risk_control import BinaryClassificationController

    is_precision = promise.kind == "precision"
    if is_precision:
        shares = np.linspace(0, 1, N_TRIED, endpoint=False)
        tried = np.unique(np.quantile(scores, shares, method="lower"))
    else:
        tried = np.unique(scores)
    # MAPIE takes probabilities: the place of a score among those tried is as good as the score.
    places = (np.searchsorted(tried, scores, side="right") - 1) / len(tried)
    controller = BinaryClassificationController(
        lambda values: np.column_stack([1 - values[:, 0], values[:, 0]]),
        "precision" if is_precision else "recall",
        promise.share,
        CONFIDENCE,
        list_predict_params=np.arange(len(tried)) / len(tried),
        fwer_method="bonferroni_holm" if is_precision else "fixed_sequence",
    )
    truth = np.asarray(is_correct, int) if is_precision else np.ones(len(scores), int)
    with warnings.catch_warnings(action="ignore"):  # that no threshold is valid is said otherwise
        controller.calibrate(places[:, None], truth)
    kept = np.rint(np.asarray(controller.valid_predict_params) * len(tried)).astype(int)
    return tried[kept]
