"""How far a figure may lie from the truth: intervals, resampling, and a test of two models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

LEVEL = 0.95
N_DRAWS = 2_000  # bootstrap samples
ENOUGH_SPEAKERS = 10  # fewer make a bootstrap over them unreliable


@dataclass(frozen=True)
class Resampled:
    """Confusion matrices as they might have come out on other clips of the same kind."""

    matrices: np.ndarray  # counts, (n_draws, n_labels, n_labels), rows truth
    note: str  # what was drawn, for the record


@dataclass(frozen=True)
class McNemar:
    """Two models on the same clips: where they differ, and whether by more than chance."""

    only_first: int  # clips that the first model alone answered correctly
    only_second: int
    p: float  # two-sided


def wilson_interval(correct: int, n: int) -> list[float]:
    """Give the 95 % interval of a proportion correct / n; 0 to 1 for n = 0.

    Wilson 1927, J. Am. Stat. Assoc. 22.
    """
    if n == 0:
        return [0.0, 1.0]
    interval = binomtest(correct, n).proportion_ci(LEVEL, method="wilson")
    return [float(interval.low), float(interval.high)]


def middle_95(values: np.ndarray) -> list[float]:
    """Give the range of the middle 95 % of resampled figures between 0 and 1, (n_draws,)."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, (tail, 1 - tail)).clip(0, 1)  # rounding at 1
    return [float(low), float(high)]


def resample(
    y_true: Sequence[int],
    y_pred: Sequence[int],
    n_labels: int,
    speakers: Sequence[str],
    rng: np.random.Generator,
) -> Resampled:
    """Draw confusion matrices of label ids (n,) by the bootstrap.

    Whole speakers are drawn where two or more are known and none is missing, else clips: over
    clips the matrix itself can be drawn, which costs the same for any n.
    """
    names = sorted(set(speakers))
    if len(names) < 2 or "" in names:
        matrix = _count(np.zeros((n_labels, n_labels)), y_true, y_pred)
        return Resampled(_draw_clips(matrix, rng), "over clips")
    of_speaker = np.searchsorted(names, np.asarray(speakers, dtype=object).astype(str))
    per_speaker = _count(np.zeros((len(names), n_labels, n_labels)), of_speaker, y_true, y_pred)
    warning = ", too few for a reliable interval" if len(names) < ENOUGH_SPEAKERS else ""
    note = f"over {len(names)} speakers{warning}"
    return Resampled(_draw_speakers(per_speaker, rng), note)


def _count(counts: np.ndarray, *indices: ArrayLike) -> np.ndarray:
    """Add one to `counts` wherever the indices, (n,) each, point."""
    np.add.at(counts, tuple(np.asarray(index) for index in indices), 1)
    return counts


def _draw_clips(matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = int(matrix.sum())
    draws = rng.multinomial(n, matrix.ravel() / n, N_DRAWS)
    return draws.reshape(N_DRAWS, *matrix.shape)


def _draw_speakers(per_speaker: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n_speakers = len(per_speaker)
    even = np.full(n_speakers, 1 / n_speakers)
    n_drawn = rng.multinomial(n_speakers, even, N_DRAWS)  # (n_draws, n_speakers)
    return np.tensordot(n_drawn, per_speaker, axes=1)


def mcnemar(first_correct: Sequence[bool], second_correct: Sequence[bool]) -> McNemar:
    """Test whether two models differ on the same clips, (n,) each.

    The exact McNemar test (1947, Psychometrika 12).
    """
    first = np.asarray(first_correct, dtype=bool)
    second = np.asarray(second_correct, dtype=bool)
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    differ = only_first + only_second
    p = float(binomtest(only_first, differ).pvalue) if differ else 1.0
    return McNemar(only_first, only_second, p)
