"""Scores of a classifier with their intervals: pure functions of arrays, on scikit-learn."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from sklearn.metrics import confusion_matrix, f1_score

from .intervals import middle_95, resample, wilson_interval

if TYPE_CHECKING:
    import evaluate
    from transformers import EvalPrediction

LabelIds = Sequence[int]  # (n,)

SCORES = ("precision", "recall", "f1")
AVERAGES = ("micro", "macro", "weighted")
MICRO = tuple(f"{score}_micro" for score in SCORES)
QUARTILES = (0.25, 0.5, 0.75)
TIE_BREAK = 1e-4  # of the cross-entropy, against a score between 0 and 1


def classification_metrics(
    y_true: LabelIds,
    y_pred: LabelIds,
    labels: Sequence[str],
    speakers: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Score predictions of one label a clip.

    Takes label ids (n,), n at least 1, with their names in the order of the ids. Gives

    - `n`, `correct`, `accuracy`, {`precision`,`recall`,`f1`}_{`micro`,`macro`,`weighted`};
    - for each figure `x` its 95 % interval `x_interval` ([low, high]): Wilson's for accuracy and
      what equals it, else by the bootstrap over clips, or over speakers where all are known;
    - `bootstrap`: which of the two, and a warning where speakers are few;
    - `per_class`: {label: `precision`, `recall`, `f1`, their intervals, `correct`, `support`};
    - `confusion`: counts, rows truth, columns prediction.

    With one label a clip, micro precision, recall and F1 equal the accuracy: each wrong answer is
    one false positive and one false negative. A division by zero counts as 0, with the interval
    0 to 1; a label neither spoken nor predicted stays out of the macro average.
    """
    n_labels = len(labels)
    matrix = confusion_matrix(y_true, y_pred, labels=range(n_labels))
    n = int(matrix.sum())
    correct = int(np.trace(matrix))
    rng = np.random.default_rng(seed)
    resampled = resample(y_true, y_pred, n_labels, speakers, rng)
    accuracy_interval = wilson_interval(correct, n)
    intervals = _average_intervals(resampled.matrices, accuracy_interval)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        **_average_figures(matrix, correct / n),
        "accuracy_interval": accuracy_interval,
        **{f"{name}_interval": interval for name, interval in intervals.items()},
        "bootstrap": resampled.note,
        "per_class": _per_class(matrix, resampled.matrices, labels),
        "confusion": matrix.tolist(),
    }


def _average_figures(matrix: np.ndarray, accuracy: float) -> dict[str, float]:
    """Compute the averaged figures of a confusion matrix (n_labels, n_labels)."""
    figures = dict.fromkeys(MICRO, accuracy)
    for name, values in averages(matrix[None]).items():
        figures[name] = float(values[0])
    return figures


def _average_intervals(draws: np.ndarray, accuracy: list[float]) -> dict[str, list[float]]:
    """Give the intervals of the same from resampled matrices, and from that of the accuracy."""
    intervals = dict.fromkeys(MICRO, accuracy)
    for name, values in averages(draws).items():
        intervals[name] = middle_95(values)
    intervals["recall_weighted"] = accuracy  # under another name
    return intervals


def _per_class(
    matrix: np.ndarray, draws: np.ndarray, labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Score each label of a confusion matrix (n_labels, n_labels).

    The interval of a proportion is Wilson's, that of F1 comes from the resampled `draws`
    (n_draws, n_labels, n_labels).
    """
    f1_draws = label_scores(draws)["f1"]  # (n_draws, n_labels)
    scores = label_scores(matrix[None])  # (1, n_labels) each
    per_class = {}
    for i, label in enumerate(labels):
        correct = int(matrix[i, i])
        support = int(matrix[i].sum())
        predicted = int(matrix[:, i].sum())
        seen = support + predicted > 0
        per_class[label] = {
            "precision": float(scores["precision"][0, i]),
            "recall": float(scores["recall"][0, i]),
            "f1": float(scores["f1"][0, i]),
            "correct": correct,
            "support": support,
            "precision_interval": wilson_interval(correct, predicted),
            "recall_interval": wilson_interval(correct, support),
            "f1_interval": middle_95(f1_draws[:, i]) if seen else [0.0, 1.0],
        }
    return per_class


def class_table(per_class: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Lay `per_class` out for reading, weakest first: figures with 95 % intervals, as text."""
    weakest_first = sorted(per_class.items(), key=lambda item: item[1]["f1"])
    rows = {}
    for label, scores in weakest_first:
        rows[label] = {
            "correct": scores["correct"],
            "support": scores["support"],
            "recall": _with_interval(scores, "recall"),
            "precision": _with_interval(scores, "precision"),
            "f1": _with_interval(scores, "f1"),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _with_interval(scores: dict[str, Any], name: str) -> str:
    low, high = scores[f"{name}_interval"]
    return f"{scores[name]:.3f} ({low:.2f} to {high:.2f})"


def averages(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Compute macro and weighted precision, recall and F1 of many confusion matrices at once.

    Takes counts (n_matrices, n_labels, n_labels), rows truth; gives six figures, (n_matrices,)
    each, by the definitions of scikit-learn with zero_division=0.
    """
    support = matrices.sum(axis=2)  # (n_matrices, n_labels)
    predicted = matrices.sum(axis=1)
    seen = (support + predicted) > 0
    weights = support / support.sum(axis=1, keepdims=True)
    scores = label_scores(matrices)
    result = {}
    for name, values in scores.items():
        result[f"{name}_macro"] = (values * seen).sum(axis=1) / seen.sum(axis=1)
    for name, values in scores.items():
        result[f"{name}_weighted"] = (values * weights).sum(axis=1)
    return result


def label_scores(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Compute `precision`, `recall` and `f1` (n_matrices, n_labels) of confusion matrices.

    Takes counts (n_matrices, n_labels, n_labels), rows truth; 0 / 0 counts as 0.
    """
    correct = np.diagonal(matrices, axis1=1, axis2=2).astype(float)
    support = matrices.sum(axis=2)
    predicted = matrices.sum(axis=1)
    return {
        "precision": correct / np.maximum(predicted, 1),
        "recall": correct / np.maximum(support, 1),
        "f1": 2 * correct / np.maximum(support + predicted, 1),
    }


def accuracy_by(predictions: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Count correct answers (`intent` equals `predicted`) by group.

    Gives `correct`, `n`, `accuracy` and its 95 % interval `low`, `high`.
    """
    is_correct = predictions["intent"] == predictions["predicted"]
    groups = is_correct.groupby([predictions[column] for column in columns])
    table = groups.agg(correct="sum", n="size", accuracy="mean")
    counts = zip(table["correct"], table["n"], strict=True)
    table[["low", "high"]] = [wilson_interval(correct, n) for correct, n in counts]
    return table


def accuracy_by_length(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count correct answers by `seconds`, in four groups of about as many clips."""
    seconds = predictions["seconds"].astype(float)
    inner = np.unique(np.quantile(seconds, QUARTILES).round(1))
    inner = inner[(inner > 0) & (inner < seconds.max())]
    last = np.ceil(10 * seconds.max() + 1) / 10  # the next tenth above the longest clip
    edges = [0.0, *inner, last]
    names = [f"{low:.1f} to {high:.1f}" for low, high in itertools.pairwise(edges)]
    groups = pd.cut(seconds, edges, labels=names, include_lowest=True)
    groups = groups.cat.remove_unused_categories()
    return accuracy_by(predictions.assign(seconds=groups), ["seconds"])


def intent_metric() -> "evaluate.Metric":
    """Make an `evaluate.Metric` of accuracy and averaged F1 that works without network."""
    import datasets
    import evaluate  # takes seconds, and only training needs it

    class IntentMetric(evaluate.Metric):
        def _info(self) -> evaluate.MetricInfo:
            columns = dict.fromkeys(("predictions", "references"), datasets.Value("int64"))
            return evaluate.MetricInfo(
                description="Accuracy and averaged F1 of one intent a clip.",
                citation="",
                inputs_description="",
                features=datasets.Features(columns),
            )

        def _compute(self, predictions: LabelIds, references: LabelIds) -> dict[str, float]:
            is_correct = np.asarray(predictions) == np.asarray(references)
            scores = {"accuracy": float(is_correct.mean())}
            for average in AVERAGES:
                f1 = f1_score(references, predictions, average=average, zero_division=0)
                scores[f"f1_{average}"] = float(f1)
            return scores

    return IntentMetric()


def validation_scores(wanted: str) -> Callable[["EvalPrediction"], dict[str, float]]:
    """Make the function that scores validation logits (n, n_labels) against label ids (n,).

    It gives the scores of `intent_metric`, and the `choice` of the best checkpoint: the wanted
    score; among equal ones, which a few clips give often, the smaller cross-entropy wins.
    """
    metric = intent_metric()

    def score(prediction: "EvalPrediction") -> dict[str, float]:
        logits = np.asarray(prediction.predictions, dtype=np.float64)
        label_ids = np.asarray(prediction.label_ids)
        predictions = logits.argmax(axis=-1)
        scores = metric.compute(predictions=predictions, references=label_ids)
        rows = np.arange(len(logits))
        log_likelihoods = log_softmax(logits, axis=1)[rows, label_ids]
        choice = scores[wanted] + TIE_BREAK * float(log_likelihoods.mean())
        return {**scores, "choice": choice}

    return score
