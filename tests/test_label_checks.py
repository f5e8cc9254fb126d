"""Wrong labels, outliers and near duplicates among made-up pooled outputs."""

import numpy as np
import pytest

from speech_intent import label_checks

SIZE = 8
CENTRES = 4 * np.eye(SIZE)


def clusters(counts: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make outputs of intents that lie apart: (n_clips, 8), and label ids (n_clips,)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    return CENTRES[labels] + 0.5 * rng.standard_normal((len(labels), SIZE)), labels


def judge(pooled, labels, seed=0):
    return label_checks.judge(pooled, labels, int(labels.max()) + 1, seed)


def test_changed_labels_get_the_lowest_probability_and_are_taken_for_wrong():
    pooled, truth = clusters((20, 20, 20))
    labels = truth.copy()
    changed = [3, 25, 55]
    labels[changed] = (labels[changed] + 1) % 3
    probabilities = judge(pooled, labels).probabilities
    given = probabilities[np.arange(60), labels]
    assert sorted(np.argsort(given)[:3]) == changed
    assert np.flatnonzero(label_checks.likely_wrong(probabilities, labels)).tolist() == changed
    assert (probabilities.argmax(axis=1) == truth).all()
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_sound_labels_are_left_alone():
    pooled, labels = clusters((20, 20))
    probabilities = judge(pooled, labels).probabilities
    assert not label_checks.likely_wrong(probabilities, labels).any()


def test_a_label_is_called_wrong_for_an_intent_that_outweighs_all_others(monkeypatch):
    import cleanlab.filter

    monkeypatch.setattr(cleanlab.filter, "find_label_issues", lambda labels, *_, **__: labels == 0)
    probabilities = np.array([[0.1, 0.5, 0.4], [0.1, 0.51, 0.39], [0.6, 0.2, 0.2], [0.1, 0.8, 0.1]])
    labels = np.array([0, 0, 0, 1])
    assert label_checks.likely_wrong(probabilities, labels).tolist() == [False, True, False, False]


def test_no_clip_is_answered_by_what_learned_from_it():
    """Outputs without any meaning: a head that had learned the clips would know their labels."""
    rng = np.random.default_rng(0)
    pooled, labels = rng.standard_normal((60, SIZE)), np.arange(60) % 2
    learned = label_checks.out_of_fold(pooled, labels, 2, seed=0)
    assert (learned.argmax(axis=1) == labels).mean() < 0.65


def test_the_seed_decides_everything():
    rng = np.random.default_rng(0)
    pooled, labels = rng.standard_normal((40, SIZE)), np.arange(40) % 4
    first, again, other = (judge(pooled, labels, seed).probabilities for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("counts", [(2, 1), (2, 2), (3, 1, 1), (20, 2, 1)])
def test_few_clips_are_judged_all_the_same(counts):
    pooled, labels = clusters(counts)
    judgement = judge(pooled, labels)
    assert judgement.probabilities.shape == (sum(counts), len(counts))
    assert np.isfinite(judgement.probabilities).all()


def test_both_clips_of_a_rare_intent_find_each_other():
    pooled, labels = clusters((20, 20, 2))
    learned = label_checks.out_of_fold(pooled, labels, 3, seed=0)
    assert (learned[-2:].argmax(axis=1) == 2).all()


def test_an_outlier_is_marked_alone():
    pooled, labels = clusters((40, 40))
    pooled[7] = -30 * np.ones(SIZE)
    assert np.flatnonzero(judge(pooled, labels).is_outlier).tolist() == [7]


def test_near_duplicates_name_each_other():
    pooled, labels = clusters((20, 20))
    pooled[30] = pooled[4] + 1e-4
    judgement = judge(pooled, labels)
    assert np.flatnonzero(judgement.is_near).tolist() == [4, 30]
    assert judgement.nearest[[4, 30]].tolist() == [30, 4]


def test_votes_are_shares():
    near = label_checks.Neighbours(np.array([[1, 2], [2, 0], [1, 0]]), np.zeros((3, 2)), np.ones(3))
    votes = label_checks.votes(near, np.array([0, 1, 1]), 3)
    assert votes.tolist() == [[0, 1, 0], [0.5, 0.5, 0], [0.5, 0.5, 0]]


def test_the_regularisation_is_the_one_of_the_smallest_loss(monkeypatch):
    tried = []
    estimator = label_checks.estimator

    def noted(c):
        tried.append(c)
        return estimator(c)

    monkeypatch.setattr(label_checks, "estimator", noted)
    rng = np.random.default_rng(0)
    pooled, labels = rng.standard_normal((60, SIZE)), np.arange(60) % 2  # nothing to be learned
    learned = label_checks.out_of_fold(pooled, labels, 2, seed=0)
    assert len(set(tried)) < len(label_checks.GRID)
    assert np.abs(learned - 0.5).max() < 0.1
