"""How a model learns what not to answer, on points in the place of clips."""

import logging

import numpy as np
import pytest

from speech_intent import fit_rejection, stored_outputs
from speech_intent.adaptation import Mapping
from speech_intent.fit_rejection import NO_ROW
from speech_intent.promises import Promise
from speech_intent.recipes import Hyperparameters

CENTRES = np.array([[4.0, 0, 0], [-4.0, 0, 0], [0, 4.0, 0]])
HEAD = (CENTRES / 2, np.zeros(3))


def points(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 3
    noise = np.random.default_rng(seed).standard_normal((n, 3))
    return CENTRES[labels] + noise * [0.5, 0.5, 1.0] + [0, 0, 9.0], labels


def pooled(n_train=90, n_validation=120):
    train, validation = points(n_train, 0), points(n_validation, 1)
    outputs = {"train": train[0], "validation": validation[0]}
    labels = {"train": train[1], "validation": validation[1]}
    return stored_outputs.standardise(outputs, labels)


def logits(outputs: np.ndarray) -> np.ndarray:
    return outputs @ HEAD[0].T + HEAD[1]


@pytest.mark.parametrize("row", [NO_ROW, np.array([0, 0, -1.0, 2.0])])
def test_the_promise_is_kept_on_validation_and_what_is_far_is_not_answered(row, caplog):
    found = fit_rejection.fit(pooled(), HEAD, row, Promise("accept", 0.9))
    record = found.record
    assert (record["n"], record["kept"], record["confidence"]) == (120, True, 0.9)
    assert 0.9 * 120 < record["answered"] < 120
    outputs, _ = points(120, 1)
    pairs = zip(logits(outputs), outputs, strict=True)
    answered = [found.rejection.judge(*pair).reason is None for pair in pairs]
    assert abs(sum(answered) - record["answered"]) <= 1  # it is stored in float32
    far = np.array([0, -6.0, 15.0])
    assert found.rejection.judge(logits(far), far).reason is not None
    assert caplog.records == []


def test_signals_of_validation_clips_are_usual():
    row = np.array([0.5, -1.0, 2.0, 3.0])
    found = fit_rejection.fit(pooled(), HEAD, row, Promise("accept", 0.9)).rejection
    outputs, _ = points(120, 1)
    signals = found.standardised(logits(outputs), outputs)
    np.testing.assert_allclose(signals.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(signals.std(axis=0), 1, atol=1e-6)


def test_the_row_tells_other_clips_from_those_of_training():
    data = pooled()
    others = data.standardised(points(60, 5)[0] + [0, 0, 4.0])
    row = fit_rejection.fit_row(data, others, seed=0)
    odds = {name: outputs @ row[:-1] + row[-1] for name, outputs in data.outputs.items()}
    assert (odds["validation"] < 0).mean() > 0.9
    assert (others @ row[:-1] + row[-1] > 0).mean() > 0.9
    np.testing.assert_array_equal(row, fit_rejection.fit_row(data, others, seed=0))


@pytest.mark.parametrize("n", [2, 3])
def test_a_few_other_clips_are_enough_for_a_row(n):
    data = pooled(n_train=6)
    others = data.standardised(points(n, 5)[0] + [0, 0, 9.0])
    assert np.isfinite(fit_rejection.fit_row(data, others, seed=0)).all()


def test_of_the_answers_as_many_are_right_as_was_promised():
    data = pooled(n_validation=240)
    data.labels["validation"][::12] = (data.labels["validation"][::12] + 1) % 3  # as if wrong
    record = fit_rejection.fit(data, HEAD, NO_ROW, Promise("precision", 0.8)).record
    assert (record["promise"], record["kept"]) == ("precision", True)
    assert record["answered_correct"] / record["answered"] >= 0.8


@pytest.mark.parametrize(
    ("promise", "words", "answered"),
    [
        (
            Promise("accept", 0.95),
            "of taught requests 95 % are answered cannot be promised with 90 % confidence: it "
            "takes 45 validation clips or more, and there are 12; until then whatever is like the "
            "validation clips is answered",
            12,
        ),
        (
            Promise("precision", 0.9),
            "90 % of the answers are right cannot be promised with 90 % confidence: it takes 59 "
            "validation clips or more, and there are 12; until then every clip is called unknown",
            0,
        ),
    ],
)
def test_a_promise_that_few_clips_cannot_keep_is_warned_of(promise, words, answered, caplog):
    with caplog.at_level(logging.WARNING, "speech_intent"):
        found = fit_rejection.fit(pooled(n_validation=12), HEAD, NO_ROW, promise)
    assert [record.getMessage() for record in caplog.records] == [f"warning: that {words}"]
    assert (found.record["kept"], found.record["answered"]) == (False, answered)


def test_a_run_promises_what_its_numbers_say():
    assert fit_rejection.promise_of({}) == Promise("accept", Hyperparameters().accept)
    assert fit_rejection.promise_of({"accept": 0.8}) == Promise("accept", 0.8)
    numbers = {"accept": 0.8, "target_precision": 0.7}
    assert fit_rejection.promise_of(numbers) == Promise("precision", 0.7)


def test_an_adapted_head_decides_as_if_its_inputs_were_mapped():
    row = np.array([0.5, -1.0, 2.0, 3.0])
    found = fit_rejection.fit(pooled(), HEAD, row, Promise("accept", 0.9)).rejection
    mapping = Mapping(np.array([1.0, 2, 3]), np.array([-1.0, 0, 5]), np.array([0.5, 2, 1.5]))
    outputs, _ = points(20, 4)
    there = mapping.inverse()(outputs)
    np.testing.assert_allclose(
        fit_rejection.adapted(found, mapping).knownness(logits(outputs), there),
        found.knownness(logits(outputs), outputs),
    )
