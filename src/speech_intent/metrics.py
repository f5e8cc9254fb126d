"""Scores of a classifier with their uncertainty: pure functions of label arrays, scikit-learn underneath."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

if TYPE_CHECKING:
    import evaluate
    import pandas as pd
    from transformers import EvalPrediction

AVERAGES = ("micro", "macro", "weighted")
DRAWS = 2_000  # bootstrap samples


def classification_metrics(
    y_true: Sequence[int], y_pred: Sequence[int], labels: Sequence[str], speakers: Sequence[str] = (), seed: int = 0
) -> dict:
    """Score predictions of one label a clip: label ids (n,), n at least 1, with their names in the order of the ids.

    Gives `n`, `correct`, `accuracy`, {`precision`,`recall`,`f1`}_{`micro`,`macro`,`weighted`}, for each figure `x` its
    95 % interval `x_interval` ([low, high]: Wilson's for accuracy and what equals it, else bootstrap over clips, or
    over speakers where all are known), `bootstrap` (which of the two, and a warning where speakers are few),
    `per_class` ({label: `precision`, `recall`, `f1`, their intervals, `correct`, `support`}) and `confusion` (rows
    truth, columns prediction). With one label a clip, micro precision, recall and F1 equal the accuracy: each wrong
    answer is one false positive and one false negative. A division by zero counts as 0, with the interval 0 to 1; a
    label neither spoken nor predicted stays out of the macro average.
    """
    matrix = confusion_matrix(y_true, y_pred, labels=range(len(labels)))  # (n_labels, n_labels)
    n, correct = int(matrix.sum()), int(np.trace(matrix))
    figures, intervals = {"accuracy": correct / n}, {"accuracy_interval": wilson_interval(correct, n)}
    draws, how = resample(np.asarray(y_true), np.asarray(y_pred), matrix, speakers, np.random.default_rng(seed))
    resampled = averages(draws)
    for average in AVERAGES:
        scores = precision_recall_fscore_support(y_true, y_pred, average=average, zero_division=0)
        for name, score in zip(("precision", "recall", "f1"), scores[:3], strict=True):
            key = f"{name}_{average}"
            figures[key] = float(score)
            intervals[f"{key}_interval"] = (
                intervals["accuracy_interval"]
                if average == "micro" or key == "recall_weighted"  # these are the accuracy under another name
                else middle_95(resampled[key])
            )
    found = {"n": n, "correct": correct, **figures, **intervals, "bootstrap": how}
    return found | {"per_class": by_class(matrix, draws, labels), "confusion": matrix.tolist()}


def by_class(matrix: np.ndarray, draws: np.ndarray, labels: Sequence[str]) -> dict[str, dict]:
    """Score each label of a confusion matrix (n_labels, n_labels): proportions by Wilson, F1 by resampled `draws`."""
    names = ("precision", "recall", "f1")
    scores = {name: values[0] for name, values in label_scores(matrix[None]).items()}  # (n_labels,) each
    f1_draws, found = label_scores(draws)["f1"], {}
    for i, label in enumerate(labels):
        hits, spoken, predicted = (int(count) for count in (matrix[i, i], matrix[i].sum(), matrix[:, i].sum()))
        found[label] = {name: float(scores[name][i]) for name in names} | {"correct": hits, "support": spoken}
        found[label] |= {
            "precision_interval": wilson_interval(hits, predicted),
            "recall_interval": wilson_interval(hits, spoken),
            "f1_interval": middle_95(f1_draws[:, i]) if spoken + predicted else [0.0, 1.0],
        }
    return found


def class_table(per_class: dict[str, dict]) -> "pd.DataFrame":
    """Lay `per_class` out for reading, weakest first: each figure with its 95 % interval, as text."""
    import pandas as pd

    rows = {}
    for label, scores in sorted(per_class.items(), key=lambda item: item[1]["f1"]):
        rows[label] = {"correct": scores["correct"], "support": scores["support"]}
        for name in ("recall", "precision", "f1"):
            low, high = scores[f"{name}_interval"]
            rows[label][name] = f"{scores[name]:.3f} ({low:.2f} to {high:.2f})"
    return pd.DataFrame.from_dict(rows, orient="index")


def middle_95(values: np.ndarray) -> list[float]:
    """Give the range of the middle 95 % of resampled figures (n_draws,)."""
    return np.quantile(values, (0.025, 0.975)).clip(0, 1).tolist()  # rounding at 1


def resample(y_true, y_pred, matrix, speakers, rng) -> tuple[np.ndarray, str]:
    """Draw confusion matrices (n_draws, n_labels, n_labels) by the bootstrap, and say over what.

    Over clips, the matrix itself can be drawn, which costs the same for any n; over speakers, whole matrices of theirs.
    """
    names, n = sorted(set(speakers)), len(y_true)
    if len(names) < 2 or "" in names:
        return rng.multinomial(n, matrix.ravel() / n, DRAWS).reshape(DRAWS, *matrix.shape), "over clips"
    own = np.zeros((len(names), *matrix.shape))
    np.add.at(own, (np.searchsorted(names, np.asarray(speakers, dtype=object).astype(str)), y_true, y_pred), 1)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)  # (n_draws, n_speakers)
    warning = "" if len(names) >= 10 else ", too few for a reliable interval"
    return np.tensordot(times, own, axes=1), f"over {len(names)} speakers{warning}"


def mcnemar(right_a: Sequence[bool], right_b: Sequence[bool]) -> dict:
    """Test whether two models differ on the same clips: exact McNemar test (1947, Psychometrika 12).

    Gives `only_first` and `only_second` (clips that one alone answered rightly) and the two-sided `p`.
    """
    from scipy.stats import binomtest

    a, b = np.asarray(right_a, bool), np.asarray(right_b, bool)
    first, second = int((a & ~b).sum()), int((~a & b).sum())
    p = binomtest(first, first + second).pvalue if first + second else 1.0
    return {"only_first": first, "only_second": second, "p": float(p)}


def averages(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Compute macro and weighted precision, recall and F1 of many confusion matrices at once.

    Takes counts (n_matrices, n_labels, n_labels), rows truth; gives six figures, (n_matrices,) each, by the definitions
    of scikit-learn with zero_division=0.
    """
    scores, spoken = label_scores(matrices), matrices.sum(axis=2)
    present = (spoken + matrices.sum(axis=1)) > 0
    result = {f"{name}_macro": (s * present).sum(axis=1) / present.sum(axis=1) for name, s in scores.items()}
    weights = spoken / spoken.sum(axis=1, keepdims=True)
    return result | {f"{name}_weighted": (s * weights).sum(axis=1) for name, s in scores.items()}


def label_scores(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Compute `precision`, `recall` and `f1` (n_matrices, n_labels) of confusion matrices; 0 / 0 counts as 0."""
    hits = np.diagonal(matrices, axis1=1, axis2=2).astype(float)
    spoken, predicted = matrices.sum(axis=2), matrices.sum(axis=1)
    return {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(spoken, 1),
        "f1": 2 * hits / np.maximum(spoken + predicted, 1),
    }


def wilson_interval(correct: int, n: int) -> list[float]:
    """Give the 95 % interval of a proportion correct / n (Wilson 1927, J. Am. Stat. Assoc. 22); 0 to 1 for n = 0."""
    if not n:
        return [0.0, 1.0]
    z = 1.959964  # 97.5 % quantile of the standard normal
    p, scale = correct / n, 1 + z**2 / n
    middle, half = (p + z**2 / (2 * n)) / scale, z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / scale
    return [float(min(p, max(0.0, middle - half))), float(max(p, min(1.0, middle + half)))]  # rounding at 0 and 1


def accuracy_by(predictions: "pd.DataFrame", columns: Sequence[str]) -> "pd.DataFrame":
    """Count right answers (`intent`, `predicted`) by group: `correct`, `n`, `accuracy`, its interval `low`, `high`."""
    right = predictions["intent"] == predictions["predicted"]
    table = right.groupby([predictions[column] for column in columns]).agg(correct="sum", n="size", accuracy="mean")
    table[["low", "high"]] = [wilson_interval(*counts) for counts in zip(table["correct"], table["n"], strict=True)]
    return table


def accuracy_by_length(predictions: "pd.DataFrame") -> "pd.DataFrame":
    """Count right answers by `seconds`, in four groups of about as many clips."""
    import pandas as pd

    seconds = predictions["seconds"].astype(float)
    edges = np.unique(np.quantile(seconds, (0.25, 0.5, 0.75)).round(1))
    edges = [0.0, *edges[(edges > 0) & (edges < seconds.max())], np.ceil(10 * seconds.max() + 1) / 10]
    names = [f"{low:.1f} to {high:.1f}" for low, high in itertools.pairwise(edges)]
    groups = pd.cut(seconds, edges, labels=names, include_lowest=True).cat.remove_unused_categories()
    return accuracy_by(predictions.assign(seconds=groups), ["seconds"])


def intent_metric() -> "evaluate.Metric":
    """Make an `evaluate.Metric` of accuracy and micro, macro and weighted F1 that works without network."""
    import datasets
    import evaluate

    class IntentMetric(evaluate.Metric):
        def _info(self):
            features = datasets.Features(dict.fromkeys(("predictions", "references"), datasets.Value("int64")))
            about = "Accuracy and averaged F1 of one intent a clip."
            return evaluate.MetricInfo(about, citation="", inputs_description="", features=features)

        def _compute(self, predictions, references):
            scores = {"accuracy": float(np.mean(np.asarray(predictions) == np.asarray(references)))}
            for average in AVERAGES:
                *_, f1, _ = precision_recall_fscore_support(references, predictions, average=average, zero_division=0)
                scores[f"f1_{average}"] = float(f1)
            return scores

    return IntentMetric()


def validation_scores(wanted: str) -> Callable[["EvalPrediction"], dict[str, float]]:
    """Make the function that scores validation logits: `intent_metric`, and `choice` of the best checkpoint.

    `choice` is the wanted score; among equal ones, which a few clips give often, the smaller cross-entropy wins.
    """
    from scipy.special import log_softmax

    metric = intent_metric()

    def score(p: "EvalPrediction") -> dict[str, float]:
        scores = metric.compute(predictions=p.predictions.argmax(axis=-1), references=p.label_ids)
        logs = log_softmax(p.predictions.astype(np.float64), axis=1)
        return scores | {"choice": scores[wanted] + 1e-4 * float(logs[np.arange(len(logs)), p.label_ids].mean())}

    return score
