"""May a score be believed, and which answers should be withheld? Pure functions of arrays."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from .intervals import middle_95, wilson_interval

TEMPERATURES = (0.5, 20.0)  # a validation split without mistakes would ask for 0
N_BINS = 10
N_DRAWS = 500  # bootstrap samples


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the T that makes labels (n,) most likely under softmax(logits / T).

    Takes logits (n, n_labels). Guo et al. 2017, arXiv:1706.04599. Dividing by T changes no
    answer, only how sure it sounds.
    """

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        of_labels = scaled[np.arange(len(labels)), labels]
        return float(np.mean(logsumexp(scaled, axis=1) - of_labels))

    bounds = np.log(TEMPERATURES)
    best = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(best.x))


def reliability(
    scores: np.ndarray,
    is_correct: np.ndarray,
    n_bins: int = N_BINS,
) -> pd.DataFrame:
    """Compare scores (n,) of answers with how often they were correct (n,), in equal bins.

    Gives a row a bin that has answers: `n`, mean `score`, `accuracy`, and Wilson's 95 % interval
    `low`, `high`.
    """
    columns = {"score": scores, "correct": np.asarray(is_correct, dtype=int)}
    answers = pd.DataFrame(columns)
    bins = answers.groupby(_bin_numbers(scores, n_bins))
    table = bins.agg(
        n=("correct", "size"),
        score=("score", "mean"),
        accuracy=("correct", "mean"),
    )
    counts = zip(bins["correct"].sum(), table["n"], strict=True)
    table[["low", "high"]] = [wilson_interval(correct, n) for correct, n in counts]
    return table.rename_axis("bin")


def _bin_numbers(scores: np.ndarray, n_bins: int) -> np.ndarray:
    """Give the bin of each score (n,); 1 falls into the last."""
    return np.minimum((np.asarray(scores) * n_bins).astype(int), n_bins - 1)


def calibration_error(table: pd.DataFrame) -> float:
    """Average |accuracy - score| over the answers of a `reliability` table.

    That is the expected calibration error.
    """
    gaps = (table["accuracy"] - table["score"]).abs()
    return float((table["n"] * gaps).sum() / table["n"].sum())


def calibration_error_interval(
    scores: np.ndarray,
    is_correct: np.ndarray,
    n_bins: int = N_BINS,
    seed: int = 0,
) -> list[float]:
    """Give the 95 % interval of `calibration_error` from bootstrap samples of answers (n,)."""
    n = len(scores)
    gaps = np.zeros((n, n_bins))
    bins = _bin_numbers(scores, n_bins)
    gaps[np.arange(n), bins] = np.asarray(is_correct, dtype=float) - scores
    rng = np.random.default_rng(seed)
    n_drawn = rng.multinomial(n, np.full(n, 1 / n), N_DRAWS)  # (n_draws, n)
    errors = np.abs(n_drawn @ gaps).sum(axis=1) / n
    return middle_95(errors)


def coverage(is_correct: np.ndarray, is_accepted: np.ndarray) -> dict[str, Any]:
    """Say which share of answers (n,) is given, and which share of those is correct (n,).

    Gives `coverage` and, unless every answer is withheld, `accuracy_answered`, each with Wilson's
    95 % interval.
    """
    n = len(is_accepted)
    n_accepted = int(is_accepted.sum())
    figures = {
        "coverage": n_accepted / n,
        "coverage_interval": wilson_interval(n_accepted, n),
    }
    if n_accepted:
        n_correct = int(is_correct[is_accepted].sum())
        figures["accuracy_answered"] = n_correct / n_accepted
        figures["accuracy_answered_interval"] = wilson_interval(n_correct, n_accepted)
    return figures
