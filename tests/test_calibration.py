import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_intent import calibration


def logits_and_labels(scale: float, n: int = 4_000):
    """Labels drawn from softmax(logits), and the logits multiplied by `scale`."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return scale * logits, labels


@pytest.mark.parametrize("scale", [0.6, 1.0, 4.0])
def test_the_temperature_undoes_a_scaling_of_the_logits(scale):
    assert calibration.fit_temperature(*logits_and_labels(scale)) == pytest.approx(scale, rel=0.05)


def test_a_temperature_makes_scores_believable():
    logits, labels = logits_and_labels(4.0)
    temperature = calibration.fit_temperature(logits, labels)

    def error(values):
        scores = np.exp(values - values.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        right = scores.argmax(axis=1) == labels
        return calibration.calibration_error(calibration.reliability(scores.max(axis=1), right))

    assert error(logits) > 0.1 and error(logits / temperature) < 0.03


def test_a_hand_worked_reliability_table():
    table = calibration.reliability(np.array([0.95, 0.85, 0.55, 1.0]), np.array([1, 0, 1, 1]))
    assert list(table.index) == [5, 8, 9] and list(table["n"]) == [1, 1, 2]
    assert list(table["accuracy"]) == [1.0, 0.0, 1.0]
    assert calibration.calibration_error(table) == pytest.approx((0.45 + 0.85 + 2 * 0.025) / 4)


def test_the_interval_of_the_calibration_error_is_narrow_where_answers_are_many():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1, 4_000)
    right = rng.random(4_000) < scores - 0.1  # a tenth too sure
    error = calibration.calibration_error(calibration.reliability(scores, right))
    low, high = calibration.calibration_error_interval(scores, right)
    assert low < error < high and high - low < 0.05 and low < 0.1 < high
    assert calibration.calibration_error_interval(np.array([1.0]), np.array([1])) == [0, 0]


def test_hand_worked_thresholds():
    scores, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 1, 0, 1])
    assert calibration.fit_threshold(scores, right, 1.0) == 0.8
    assert calibration.fit_threshold(scores, right, 0.75) == 0.0
    assert calibration.fit_threshold(scores, 1 - right, 0.9) == 1.0
    assert calibration.fit_threshold(np.array([0.9, 0.9]), np.array([1, 0]), 0.9) == 1.0  # they stand or fall together


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.floats(0.5, 1.0))
def test_answers_above_the_threshold_are_as_precise_as_wanted(pairs, precision):
    scores, right = (np.array(column) for column in zip(*pairs, strict=True))
    accepted = scores >= calibration.fit_threshold(scores, right, precision)
    assert not accepted.any() or right[accepted].mean() >= precision or (scores[accepted] == 1.0).all()


def test_rejection_counts_what_it_says():
    found = calibration.rejection(np.array([0.9, 0.8, 0.3]), np.array([1, 0, 1]), np.array([0.2, 0.85]), 0.5)
    assert found["coverage"] == pytest.approx(2 / 3) and found["accuracy_answered"] == 0.5
    assert found["false_accepts"] == 0.5 and found["auroc"] == pytest.approx(4 / 6)
