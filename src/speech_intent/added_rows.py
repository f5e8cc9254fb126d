"""A row of a linear head for one more intent, from a few clips; the other rows stay.

Its direction is that of a linear discriminant (Fisher 1936): the mean of the clips, seen through
the covariance within the intents that are known. How far a clip must lie in that direction is
learned from clips that the direction was not made of: validation clips of the other intents, and
the intent's own clips, each left out in turn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

SHRINKAGE = 0.8  # of the covariance towards none; chosen on validation clips of intents left out
SCALES = (-4.0, 4.0)  # logarithms of the slope, in standard deviations of the scores
MOST_SHIFT = 200.0  # of a logit
MOST_PARTS = 10  # of an intent's clips, of which each is left out in turn


@dataclass(frozen=True)
class Rows:
    """A linear head on standardised pooled outputs; a row a label."""

    weight: np.ndarray  # (n_labels, size)
    bias: np.ndarray  # (n_labels,); minus infinity: of this label nothing is known yet

    def logits(self, outputs: np.ndarray) -> np.ndarray:
        """Classify outputs (n_clips, size): logits (n_clips, n_labels)."""
        return outputs @ self.weight.T + self.bias

    def replaced(self, label: int, weight: np.ndarray, bias: float) -> "Rows":
        """Give the same head with another row (size,) of one label."""
        weights, biases = self.weight.copy(), self.bias.copy()
        weights[label], biases[label] = weight, bias
        return Rows(weights, biases)


@dataclass(frozen=True)
class HeldOut:
    """Clips that the rows of a head, but one, were not made of."""

    outputs: np.ndarray  # standardised, (n_clips, size)
    labels: np.ndarray  # (n_clips,)
    weights: np.ndarray  # (n_clips,)
    share: float  # what an intent weighs, on average; so much do all clips of a new one


@dataclass(frozen=True)
class Addition:
    """What is to be learned of one label."""

    label: int
    outputs: np.ndarray  # standardised, of its new clips, (n_clips, size)
    speakers: Sequence[str]  # of the same, "" where not known

    def only(self, rows: np.ndarray) -> "Addition":
        """Give the same of some clips."""
        speakers = [self.speakers[row] for row in rows]
        return Addition(self.label, self.outputs[rows], speakers)


def precision_within(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Invert the covariance of outputs (n, size) within their labels (n,), shrunk: (size, size)."""
    centred = outputs.copy()
    for label in np.unique(labels):
        centred[labels == label] -= outputs[labels == label].mean(axis=0)
    within = centred.T @ centred / len(outputs)
    shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * np.eye(len(within))
    return np.linalg.inv(shrunk)


def fit_row(rows: Rows, addition: Addition, precision: np.ndarray, held_out: HeldOut) -> Rows:
    """Give a head the row that an addition asks for: the old one, if any, and a discriminant.

    `precision` is that of `precision_within`. The other rows stay as they are.
    """
    label = addition.label
    direction, offset = _discriminant(addition.outputs, precision)
    own = _left_out_scores(addition, precision)
    is_own = np.repeat([False, True], [len(held_out.labels), len(own)])
    outputs = np.concatenate([held_out.outputs, addition.outputs])
    scores = np.where(is_own, 0.0, outputs @ direction + offset)
    scores[is_own] = own
    is_label = is_own.copy()
    is_label[~is_own] = held_out.labels == label
    is_new = np.isneginf(rows.bias[label])
    weights = np.full(len(scores), held_out.share / len(own) if is_new else 1.0)
    weights[~is_own] = held_out.weights
    slope, shift = _fit_line(scores, _margins(rows, label, outputs), is_label, weights)
    weight = rows.weight[label] + slope * direction
    bias = float(_known(rows.bias[label])) + slope * offset + shift
    return rows.replaced(label, weight, bias)


def left_out_logits(
    rows: Rows, addition: Addition, precision: np.ndarray, held_out: HeldOut
) -> np.ndarray:
    """Classify the clips of an addition by heads that never saw them: logits (n_clips, n_labels).

    Each part of them is left out in turn, whole speakers where several are known.
    """
    logits = np.empty((len(addition.outputs), len(rows.bias)))
    for kept, left_out in parts(addition.speakers):
        fitted = fit_row(rows, addition.only(kept), precision, held_out)
        logits[left_out] = fitted.logits(addition.outputs[left_out])
    return logits


def parts(speakers: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Divide clips into at most 10 parts; give the rows that stay, and those left out, of each.

    A speaker stands in one part where all are known and there are several; else clips are divided.
    """
    names = list(speakers)
    if not by_speaker(names):
        names = [str(i) for i in range(len(names))]
    order = {name: i % MOST_PARTS for i, name in enumerate(dict.fromkeys(names))}
    part = np.array([order[name] for name in names])
    for number in np.unique(part):
        yield np.flatnonzero(part != number), np.flatnonzero(part == number)


def by_speaker(speakers: Sequence[str]) -> bool:
    """Whether whole speakers can be left out in turn."""
    return all(speakers) and len(set(speakers)) > 1


def _discriminant(outputs: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, float]:
    """Give direction (size,) and offset of the discriminant of clips (n, size)."""
    mean = outputs.mean(axis=0)
    direction = precision @ mean
    return direction, float(-0.5 * mean @ direction)


def _left_out_scores(addition: Addition, precision: np.ndarray) -> np.ndarray:
    """Score each clip (n,) by a discriminant of the others; one clip alone by its own."""
    outputs = addition.outputs
    scores = np.empty(len(outputs))
    for kept, left_out in parts(addition.speakers):
        rest = outputs[kept] if len(kept) else outputs
        direction, offset = _discriminant(rest, precision)
        scores[left_out] = outputs[left_out] @ direction + offset
    return scores


def _margins(rows: Rows, label: int, outputs: np.ndarray) -> np.ndarray:
    """Say by how much the old logit of a label exceeds what the others add up to, (n_clips,)."""
    logits = rows.logits(outputs)
    others = np.delete(logits, label, axis=1)
    return _known(logits[:, label]) - logsumexp(others, axis=1)


def _known(values: np.ndarray) -> np.ndarray:
    """Put 0 in the place of the logits or bias of a label of which nothing is known."""
    return np.where(np.isneginf(values), 0.0, values)


def _fit_line(
    scores: np.ndarray, margins: np.ndarray, is_label: np.ndarray, weights: np.ndarray
) -> tuple[float, float]:
    """Fit slope and shift, so that slope * scores + shift + margins are log odds of a label.

    Everything is (n_clips,). The slope is above 0: the direction never turns around.
    """
    spread = scores.std() + np.finfo(float).tiny
    truth = is_label.astype(float)

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        slope = np.exp(line[0]) / spread
        odds = slope * scores + line[1] + margins
        errors = weights * (expit(odds) - truth)
        value = float(weights @ (np.logaddexp(0, odds) - truth * odds))
        return value, np.array([errors @ (slope * scores), errors.sum()])

    bounds = [SCALES, (-MOST_SHIFT, MOST_SHIFT)]
    best = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(best.x[0]) / spread), float(best.x[1])
