import numpy as np
import pytest

from speech_intent import calibration
from speech_intent.intervals import wilson_interval


def logits_and_labels(scale: float, n: int = 4_000):
    """Labels drawn from softmax(logits), and the logits multiplied by `scale`."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return scale * logits, labels


@pytest.mark.parametrize("scale", [0.6, 1.0, 4.0])
def test_the_temperature_undoes_a_scaling_of_the_logits(scale):
    temperature = calibration.fit_temperature(*logits_and_labels(scale))
    assert temperature == pytest.approx(scale, rel=0.05)


def test_a_temperature_makes_scores_believable():
    logits, labels = logits_and_labels(4.0)
    temperature = calibration.fit_temperature(logits, labels)

    def error(values):
        scores = np.exp(values - values.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        is_correct = scores.argmax(axis=1) == labels
        table = calibration.reliability(scores.max(axis=1), is_correct)
        return calibration.calibration_error(table)

    assert error(logits) > 0.1
    assert error(logits / temperature) < 0.03


def test_a_hand_worked_reliability_table():
    scores = np.array([0.95, 0.85, 0.55, 1.0, 0.81])
    table = calibration.reliability(scores, np.array([1, 0, 1, 1, 1]))
    assert list(table.index) == [5, 8, 9]
    assert list(table["n"]) == [1, 2, 2]
    assert list(table["score"]) == pytest.approx([0.55, 0.83, 0.975])
    assert list(table["accuracy"]) == [1.0, 0.5, 1.0]
    assert table.loc[8, ["low", "high"]].tolist() == wilson_interval(1, 2)
    assert table.loc[9, ["low", "high"]].tolist() == wilson_interval(2, 2)
    error = calibration.calibration_error(table)
    assert error == pytest.approx((0.45 + 2 * 0.33 + 2 * 0.025) / 5)


def test_the_interval_of_the_calibration_error_is_narrow_where_answers_are_many():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1, 4_000)
    is_correct = rng.random(4_000) < scores - 0.1  # a tenth too sure
    error = calibration.calibration_error(calibration.reliability(scores, is_correct))
    low, high = calibration.calibration_error_interval(scores, is_correct)
    assert low < error < high
    assert low < 0.1 < high
    assert high - low < 0.05


def test_one_right_and_certain_answer_has_no_calibration_error():
    assert calibration.calibration_error_interval(np.array([1.0]), np.array([1])) == [0, 0]


def test_coverage_and_accuracy_of_what_is_answered_by_hand():
    is_correct = np.array([True, True, False, True, False, True])
    is_accepted = np.array([True, True, True, False, False, False])
    assert calibration.coverage(is_correct, is_accepted) == {
        "coverage": 3 / 6,
        "coverage_interval": wilson_interval(3, 6),
        "accuracy_answered": 2 / 3,
        "accuracy_answered_interval": wilson_interval(2, 3),
    }


def test_where_nothing_is_answered_nothing_is_right_or_wrong():
    assert calibration.coverage(np.array([True, False]), np.array([False, False])) == {
        "coverage": 0.0,
        "coverage_interval": wilson_interval(0, 2),
    }
