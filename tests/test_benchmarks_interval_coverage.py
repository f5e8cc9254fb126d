"""Simulated answers and their true figures."""

import interval_coverage
import numpy as np
import pytest
from interval_coverage import SHARES


def test_the_shares_of_the_intents_are_unequal_and_add_up():
    assert SHARES.sum() == pytest.approx(1)
    assert SHARES[0] / SHARES[-1] == pytest.approx(3)


@pytest.mark.parametrize("accuracy", [0.0, 0.7, 1.0])
def test_clips_are_answered_rightly_as_often_as_asked(accuracy):
    answers = interval_coverage.draw_answers(np.random.default_rng(0), 20_000, accuracy)
    is_correct = answers.truth == answers.predicted
    assert is_correct.mean() == pytest.approx(accuracy, abs=0.01)
    assert np.bincount(answers.truth, minlength=9) / 20_000 == pytest.approx(SHARES, abs=0.01)
    assert set(answers.predicted) <= set(range(9))


def test_a_wrong_answer_is_any_of_the_other_intents():
    answers = interval_coverage.draw_answers(np.random.default_rng(0), 90_000, 0.0)
    wrong = answers.predicted[answers.truth == 4]
    counts = np.bincount(wrong, minlength=9) / len(wrong)
    assert counts == pytest.approx([0.125] * 4 + [0] + [0.125] * 4, abs=0.01)


def test_each_clip_may_have_an_accuracy_of_its_own():
    accuracy = np.array([0.0, 1.0] * 500)
    answers = interval_coverage.draw_answers(np.random.default_rng(0), 1_000, accuracy)
    assert (answers.truth == answers.predicted).tolist() == [False, True] * 500


def test_true_figures_of_perfect_and_of_even_answers():
    perfect = interval_coverage.true_figures(1.0)
    assert perfect["accuracy"] == 1 and perfect["f1_macro"] == pytest.approx(1)
    chance = interval_coverage.true_figures(1 / 9)  # every answer as likely, whatever was said
    # Precision is the share p of an intent, recall 1/9, F1 their harmonic mean.
    f1 = 2 * SHARES / 9 / (SHARES + 1 / 9)
    assert chance["f1_macro"] == pytest.approx(f1.mean())
    assert chance["precision_macro"] == pytest.approx(1 / 9)
    assert chance["f1_weighted"] == pytest.approx((SHARES * f1).sum())


@pytest.mark.parametrize(
    ("value", "held"), [(0.39, False), (0.4, True), (0.5, True), (0.6, True), (0.61, False)]
)
def test_an_interval_holds_its_ends(value, held):
    assert interval_coverage.holds([0.4, 0.6], value) is held


def test_intervals_over_speakers_hold_the_truth_more_often_than_those_over_clips(monkeypatch):
    monkeypatch.setattr(interval_coverage, "MANY_SPEAKERS", 1_000)
    rng = np.random.default_rng(0)
    shares = interval_coverage.coverage_over_speakers(20, draws=10, rng=rng)
    assert 0.4 <= shares["over clips"] < shares["over speakers"] <= 1


def test_coverage_over_clips_is_a_share_of_the_draws():
    rng = np.random.default_rng(0)
    shares = interval_coverage.coverage_over_clips(100, 0.8, draws=10, rng=rng)
    assert set(shares) == set(interval_coverage.FIGURES)
    assert all(share >= 0.7 and 10 * share == round(10 * share) for share in shares.values())
