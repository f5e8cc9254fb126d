"""May a score be believed, and which answers should be withheld? Pure functions of arrays."""

import numpy as np
import pandas as pd

TEMPERATURES = (0.5, 20.0)  # a validation split without mistakes would ask for 0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the T that makes labels (n,) most likely under softmax(logits / T), logits (n, n_labels).

    Guo et al. 2017, arXiv:1706.04599. Dividing by T changes no answer, only how sure it sounds.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        return float(np.mean(logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]))

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def reliability(scores: np.ndarray, right: np.ndarray, n_bins: int = 10) -> pd.DataFrame:
    """Compare scores (n,) of answers with how often they were right (n,), in bins of equal width.

    Gives a row a bin that has answers: `n`, mean `score`, `accuracy`, and Wilson's 95 % interval `low`, `high`.
    """
    from .metrics import wilson_interval

    table = pd.DataFrame({"score": scores, "right": np.asarray(right, float)})
    bins = np.minimum((table["score"] * n_bins).astype(int), n_bins - 1)
    table = table.groupby(bins).agg(n=("right", "size"), score=("score", "mean"), accuracy=("right", "mean"))
    counts = zip((table["n"] * table["accuracy"]).round().astype(int), table["n"], strict=True)
    table[["low", "high"]] = [wilson_interval(*pair) for pair in counts]
    return table.rename_axis("bin")


def calibration_error(table: pd.DataFrame) -> float:
    """Average |accuracy - score| over the answers of a `reliability` table: the expected calibration error."""
    return float((table["n"] * (table["accuracy"] - table["score"]).abs()).sum() / table["n"].sum())


def calibration_error_interval(scores: np.ndarray, right: np.ndarray, n_bins: int = 10, seed: int = 0) -> list[float]:
    """Give the 95 % interval of `calibration_error` from 500 bootstrap samples of the answers (n,)."""
    n, bins = len(scores), np.minimum((np.asarray(scores) * n_bins).astype(int), n_bins - 1)
    gaps = np.zeros((n, n_bins))
    gaps[np.arange(n), bins] = np.asarray(right, float) - scores
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), 500)  # (n_draws, n)
    return np.quantile(np.abs(times @ gaps).sum(axis=1) / n, (0.025, 0.975)).tolist()


def fit_threshold(scores: np.ndarray, right: np.ndarray, precision: float) -> float:
    """Find the lowest score from which on answers are right with this share; 1 if there is none, 0 if all are."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked, hits = np.asarray(scores)[order], np.cumsum(np.asarray(right)[order])
    shares = hits / np.arange(1, len(order) + 1)
    last = np.r_[ranked[1:] < ranked[:-1], True]  # equal scores are accepted together
    good = np.flatnonzero((shares >= precision) & last)
    return 1.0 if not len(good) else 0.0 if good[-1] == len(order) - 1 else float(ranked[good[-1]])


def rejection(scores: np.ndarray, right: np.ndarray, strange: np.ndarray, threshold: float) -> dict[str, float]:
    """Score a threshold on known requests (`scores`, `right`, (n,)) and on what should be rejected (`strange`, (m,)).

    Gives `auroc` (known against strange, by score), `coverage` (share of known requests that are answered),
    `accuracy_answered` and `false_accepts` (share of strange ones that are answered).
    """
    from sklearn.metrics import roc_auc_score

    accepted, known = np.asarray(scores) >= threshold, np.r_[np.ones(len(scores)), np.zeros(len(strange))]
    return {
        "auroc": float(roc_auc_score(known, np.r_[scores, strange])),
        "coverage": float(accepted.mean()),
        "accuracy_answered": float(np.asarray(right, float)[accepted].mean()) if accepted.any() else float("nan"),
        "false_accepts": float((np.asarray(strange) >= threshold).mean()),
    }
