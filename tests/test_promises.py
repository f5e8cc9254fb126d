"""Thresholds that keep a promise, beside the exact bounds of the binomial distribution."""

import numpy as np
import pytest
from scipy.stats import binom

from speech_intent import promises
from speech_intent.promises import Promise

ACCEPT = Promise("accept", 0.9)
PRECISION = Promise("precision", 0.9)


def right(n: int) -> np.ndarray:
    return np.ones(n, bool)


@pytest.mark.parametrize(
    ("kind", "share", "n"),
    [
        ("accept", 0.95, 45),
        ("accept", 0.9, 22),
        ("accept", 0.5, 4),
        ("precision", 0.95, 122),
        ("precision", 0.9, 59),  # 0.9 ** 59 is 0.1 / 50 or less
        ("precision", 0.5, 6),  # 0.5 ** 6 is 0.1 / 6 or less
    ],
)
def test_so_many_clips_does_a_promise_take_and_not_one_less(kind, share, n):
    promise = Promise(kind, share)
    assert promises.fewest_clips(promise) == n
    assert promises.fit(np.arange(n) / n, right(n), promise).is_kept
    found = promises.fit(np.arange(n - 1) / n, right(n - 1), promise)
    assert (found.is_kept, found.clips_needed) == (False, n)


@pytest.mark.parametrize("promise", [ACCEPT, PRECISION])
def test_where_clips_are_too_few_all_are_answered_or_none(promise):
    scores = np.arange(21) / 21
    found = promises.fit(scores, right(21), promise)
    is_answered = scores >= found.value
    assert is_answered.all() if promise.kind == "accept" else not is_answered.any()


@pytest.mark.parametrize("n", [22, 50, 200])
def test_no_more_are_refused_than_the_exact_bound_allows(n):
    """With k of n refused, the share answered is 0.9 or more if P(Bin(n, 0.1) <= k) <= 0.1."""
    scores = np.random.default_rng(n).permutation(n) / n
    found = promises.fit(scores, right(n), ACCEPT)
    most = int(binom.ppf(0.1, n, 0.1))
    most -= binom.cdf(most, n, 0.1) > 0.1
    n_refused = int((scores < found.value).sum())
    assert found.is_kept
    assert most - 4 <= n_refused <= most


def test_so_many_are_answered_as_was_promised():
    """Scores are uniform: below a threshold of 0.1 lie a tenth of all clips to come."""
    n_broken = 0
    for seed in range(60):
        scores = np.random.default_rng(seed).random(100)
        n_broken += promises.fit(scores, right(100), ACCEPT).value > 0.1
    assert n_broken <= 6


def test_answers_are_right_as_often_as_was_promised():
    """An answer of score s is right with probability s; from t on, (1 + t) / 2 are."""
    n_broken, n_kept = 0, 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        scores = rng.random(400)
        found = promises.fit(scores, rng.random(400) < scores, Promise("precision", 0.8))
        n_kept += found.is_kept
        n_broken += found.is_kept and (1 + found.value) / 2 < 0.8
    assert n_kept > 15
    assert n_broken <= 3


def test_where_most_answers_are_wrong_nothing_is_answered():
    scores = np.arange(100) / 100
    found = promises.fit(scores, np.arange(100) % 2 == 0, PRECISION)
    assert (found.is_kept, found.clips_needed) == (False, None)
    assert found.value > scores.max()


def test_of_equal_scores_all_are_answered():
    found = promises.fit(np.full(30, 0.5), right(30), ACCEPT)
    assert (found.value, found.is_kept) == (0.5, True)
