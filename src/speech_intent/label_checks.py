"""Which labels are likely wrong: a head that never learned them, and the clips that are nearest.

All of it works on what `frozen_head.pooled_outputs` gives, (n_clips, size), with label ids
(n_clips,), and on recordings that are different from each other.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from .frozen_head import GRID, estimator
from .head_folds import MOST_FOLDS, Folds

N_NEIGHBOURS = 5
NEAR = 0.13  # of the median distance to the nearest clip, as in cleanlab's Datalab
SURE = 0.5  # probability of another intent, above which a label may be called wrong
FAR_FENCE = 3.0  # interquartile ranges above the third quartile: Tukey's "far out"


@dataclass(frozen=True)
class Neighbours:
    """The clips that are nearest to each, by the cosine of standardised outputs."""

    rows: np.ndarray  # (n_clips, k), nearest first
    distances: np.ndarray  # (n_clips, k), 0 to 2
    scores: np.ndarray  # (n_clips,), cleanlab's: the lower, the further from all others


@dataclass(frozen=True)
class Judgement:
    """What the outputs say of each clip."""

    probabilities: np.ndarray  # of the intents, (n_clips, n_labels); not learned from its own label
    is_outlier: np.ndarray  # bool, (n_clips,): whether it is like no other clip
    is_near: np.ndarray  # whether it is nearly the same as its nearest
    nearest: np.ndarray  # row of the nearest clip


def judge(pooled: np.ndarray, labels: np.ndarray, n_labels: int, seed: int) -> Judgement:
    """Judge clips of two intents or more, of one of which there are two or more.

    The probabilities are the mean of a logistic regression's, cross-validated, and of the shares
    that the intents have of the nearest clips: where wordings return, neighbours see more than a
    linear head, where they do not, less.
    """
    near = find_neighbours(pooled)
    learned = out_of_fold(pooled, labels, n_labels, seed)
    closest = near.distances[:, 0]
    return Judgement(
        probabilities=(learned + votes(near, labels, n_labels)) / 2,
        is_outlier=far_out(-np.log(near.scores)),
        is_near=closest < NEAR * np.median(closest),
        nearest=near.rows[:, 0],
    )


def out_of_fold(pooled: np.ndarray, labels: np.ndarray, n_labels: int, seed: int) -> np.ndarray:
    """Give the probabilities (n_clips, n_labels) of a head that did not learn from the clip.

    Its regularisation has the smallest log loss: the grid is left where that begins to rise.
    """
    folds = make_folds(labels, seed)
    bar = tqdm(desc="Judging labels", unit="fit", disable=None, leave=False)
    best = np.inf
    chosen = np.zeros((len(labels), n_labels))
    for inverse_regularisation in GRID:
        probabilities = np.zeros_like(chosen)
        for kept, scored in folds:
            known = np.unique(labels[kept])  # an intent may be in one fold only
            answers = np.ones((len(scored), 1))
            if len(known) > 1:
                head = estimator(inverse_regularisation).fit(pooled[kept], labels[kept])
                answers = head.predict_proba(pooled[scored])
            probabilities[np.ix_(scored, known)] = answers
            bar.update()
        loss = log_loss(labels, probabilities, labels=np.arange(n_labels))
        if loss >= best:
            break
        best, chosen = loss, probabilities
    bar.close()
    return chosen


def make_folds(labels: np.ndarray, seed: int) -> Folds:
    """Divide clips into 5 folds, or as many as the commonest intent has clips, two at least.

    Speakers are not kept apart: what else a voice said helps to see that one label is wrong.
    """
    n_folds = min(MOST_FOLDS, int(np.bincount(labels).max()))
    division = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # of intents with fewer clips than folds
        warnings.simplefilter("ignore", UserWarning)
        return list(division.split(labels, labels))


def find_neighbours(pooled: np.ndarray) -> Neighbours:
    """Find the clips that are nearest to each."""
    from cleanlab.outlier import OutOfDistribution

    features = StandardScaler().fit_transform(pooled)
    k = min(N_NEIGHBOURS, len(features) - 1)
    detector = OutOfDistribution({"k": k})
    scores = detector.fit_score(features=features, verbose=False)
    distances, rows = detector.params["knn"].kneighbors()
    return Neighbours(rows, distances, scores)


def votes(near: Neighbours, labels: np.ndarray, n_labels: int) -> np.ndarray:
    """Give the share that each intent has of a clip's neighbours: (n_clips, n_labels)."""
    each = np.eye(n_labels)[labels[near.rows]]  # (n_clips, k, n_labels)
    return each.mean(axis=1)


def likely_wrong(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mark the labels that confident learning takes for wrong (Northcutt et al. 2021): bool.

    As many as it estimates, those of the lowest probability, and of these where another intent is
    likelier than all others together: elsewhere it estimates far too many.
    """
    from cleanlab.filter import find_label_issues

    found = find_label_issues(labels, probabilities, filter_by="low_self_confidence", n_jobs=1)
    is_sure = probabilities.max(axis=1) > SURE
    return found & is_sure & (probabilities.argmax(axis=1) != labels)


def far_out(values: np.ndarray) -> np.ndarray:
    """Mark the values (n,) that lie far above all others: bool."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    return values > upper + FAR_FENCE * (upper - lower)
