"""How a model learns to say "unknown": from what its head gets of taught requests and others."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from . import promises
from .adaptation import Mapping as Map
from .frozen_head import MAX_ITERATIONS
from .promises import Promise, Threshold
from .recipes import Hyperparameters
from .rejection import N_SIGNALS, Rejection
from .stored_outputs import Pooled

NO_ROW = np.zeros(0)
GRID = np.logspace(-4, 0, 5)  # of scikit-learn's C
N_FOLDS = 3
LEAST_SPREAD = 1e-3  # of a signal: few clips may agree by chance

logger = logging.getLogger("speech_intent")


@dataclass(frozen=True)
class Fitted:
    """What decides whether clips are answered, and how that was settled."""

    rejection: Rejection
    record: dict[str, Any]  # for training.json


def promise_of(numbers: Mapping[str, Any]) -> Promise:
    """Say what a run of these `Hyperparameters`, by name, promises of its answers."""
    precision = numbers.get("target_precision")
    if precision is not None:
        return Promise("precision", precision)
    return Promise("accept", numbers.get("accept", Hyperparameters().accept))


def fit_row(pooled: Pooled, others: np.ndarray, seed: int) -> np.ndarray:
    """Fit the log odds that a clip is no request: (size + 1,), bias last.

    `others` are standardised outputs (n_clips, size) of such clips, told from the training clips by
    a logistic regression, whose regularisation is chosen in cross-validation.
    """
    known = pooled.outputs["train"]
    is_other = np.repeat([0, 1], [len(known), len(others)])
    n_folds = max(2, min(N_FOLDS, len(known), len(others)))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    search = GridSearchCV(
        LogisticRegression(class_weight="balanced", max_iter=MAX_ITERATIONS),
        {"C": GRID},
        scoring="neg_log_loss",
        cv=folds,
    )
    fitted = search.fit(np.concatenate([known, others]), is_other).best_estimator_
    return np.append(fitted.coef_[0], fitted.intercept_[0])


def fit(
    pooled: Pooled, head: tuple[np.ndarray, np.ndarray], unknown: np.ndarray, promise: Promise
) -> Fitted:
    """Fit what decides whether clips are answered, and keep a promise on validation clips.

    `pooled` has training and validation clips; `head` is the weight (n_labels, size) and bias
    (n_labels,) of the final head for outputs as the encoder gives them, `unknown` that of `fit_row`
    or (0,). Where validation cannot keep the promise, a warning says so.
    """
    weight, bias = head
    found = _unsettled(pooled, unknown, len(bias))
    outputs = pooled.outputs["validation"] * pooled.scale + pooled.mean
    logits = outputs @ weight.T + bias
    signals = found.signals(logits, outputs)
    spread = np.maximum(signals.std(axis=0), LEAST_SPREAD)
    found = replace(found, usual=np.stack([signals.mean(axis=0), spread]))
    is_correct = logits.argmax(axis=1) == pooled.labels["validation"]
    scores = found.knownness(logits, outputs)
    threshold = promises.fit(scores, is_correct, promise)
    if not threshold.is_kept:
        _warn(threshold, promise, len(scores))
    is_answered = scores >= threshold.value
    record = {
        "promise": promise.kind,
        "share": promise.share,
        "confidence": promises.CONFIDENCE,
        "kept": threshold.is_kept,
        "n": len(scores),
        "answered": int(is_answered.sum()),
        "answered_correct": int((is_answered & is_correct).sum()),
    }
    return Fitted(replace(found, threshold=np.array([threshold.value])), record)


def _unsettled(pooled: Pooled, unknown: np.ndarray, n_labels: int) -> Rejection:
    """Fit all but what is usual, and the threshold."""
    train, labels = pooled.outputs["train"], pooled.labels["train"]
    centres = np.stack([train[labels == i].mean(axis=0) for i in range(n_labels)])
    within = LedoitWolf(assume_centered=True).fit(train - centres[labels])
    whitening = np.linalg.cholesky(within.precision_).T
    return Rejection(
        mean=pooled.mean,
        scale=pooled.scale,
        whitening=whitening,
        centres=centres @ whitening.T,
        unknown=unknown,
        usual=np.array([np.zeros(N_SIGNALS), np.ones(N_SIGNALS)]),
        threshold=np.zeros(1),
    )


def _warn(threshold: Threshold, promise: Promise, n: int) -> None:
    """Say what of a promise could not be kept, and what it would take."""
    percent = f"{100 * promise.share:g} %"
    what = f"of taught requests {percent} are answered"
    if promise.kind == "precision":
        what = f"{percent} of the answers are right"
    if threshold.clips_needed is None:
        remedy = "no threshold does; ask for less, or train on more"
    else:
        remedy = f"it takes {threshold.clips_needed} validation clips or more, and there are {n}"
    text = "warning: that %s cannot be promised with 90 %% confidence: %s; until then %s"
    now = "whatever is like the validation clips is answered"
    if promise.kind == "precision":
        now = "every clip is called unknown"
    logger.warning(text, what, remedy, now)


def adapted(rejection: Rejection, mapping: Map) -> Rejection:
    """Give the same for a head whose inputs are mapped (`adaptation.fold`)."""
    return replace(
        rejection,
        mean=mapping.origin + (rejection.mean - mapping.target) / mapping.scale,
        scale=rejection.scale / mapping.scale,
    )
