"""What decides whether a clip is answered: by hand, in a file, and in files that are none."""

import dataclasses
import math

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from speech_intent import rejection
from speech_intent.digests import sha256
from speech_intent.errors import ModelError
from speech_intent.rejection import BETWEEN, FAR, Rejection


def decides(**changed) -> Rejection:
    """Two intents on an axis, a unit from its middle, where nothing is unusual."""
    usual = {
        "mean": [0.0, 0.0],
        "scale": [1.0, 1.0],
        "whitening": np.eye(2),
        "centres": [[1.0, 0.0], [-1.0, 0.0]],
        "unknown": [],
        "usual": [[0.0] * 4, [1.0] * 4],
        "threshold": [0.0],
    }
    return Rejection(**{k: np.array(v, np.float32) for k, v in (usual | changed).items()})


LOGITS = np.array([[2.0, 0.0], [0.0, 0.5]])
POOLED = np.array([[1.0, 0.0], [-1.0, 3.0]])


def test_signals_by_hand():
    signals = decides().signals(LOGITS, POOLED)
    np.testing.assert_allclose(signals, [[2, 2, 0, 0], [0.5, 0.5, -3, 0]])


def test_log_odds_of_no_request_count_against_a_clip():
    found = decides(unknown=[0.5, 1.0, 1.5]).signals(LOGITS, POOLED)
    np.testing.assert_allclose(found, [[2, 2, 0, -2], [0.5, 0.5, -3, -4]])


def test_outputs_are_standardised_and_whitened_before_the_distance():
    found = decides(mean=[1.0, 1.0], scale=[2.0, 4.0], whitening=[[3.0, 0.0], [0.0, 2.0]])
    (signals,) = found.signals(LOGITS[:1], np.array([[3.0, 5.0]]))  # (1, 1), then (3, 2)
    assert signals[2] == pytest.approx(-math.hypot(2, 2), rel=1e-6)


def test_equal_logits_are_no_certainty():
    signals = decides().signals(np.array([[1.0, 1.0]]), POOLED[:1])
    np.testing.assert_allclose(signals, [[0, 1, 0, 0]])


def test_knownness_adds_up_the_signals_in_deviations_from_what_is_usual():
    found = decides(usual=[[1.0, 1.0, -1.0, 0.0], [2.0, 1.0, 4.0, 1.0]])
    assert found.knownness(LOGITS, POOLED) == pytest.approx([0.5 + 1 + 0.25, -0.25 - 0.5 - 0.5])


@pytest.mark.parametrize(
    ("logits", "pooled", "threshold", "reason"),
    [
        ([2, 0], [1, 0], 4.0, None),  # knownness is 4: the threshold itself is enough
        ([2, 0], [1, 0], 4.1, FAR),
        ([1, 0.5], [1, 0], 4.1, FAR),  # its second intent has 0.38, and it is far: 0 < 4.1 / 4
        ([0, 0], [1, 0], 0.3, FAR),
        ([-1, -1.5], [1, 0], -0.2, BETWEEN),
        ([-1, -5.0], [1, 0], 3.5, FAR),
        ([-3, -2.5], [0, 0], -1.2, FAR),  # 0.38, but -1 is less than -1.2 / 4
        ([-3, -2.5], [-1, 0], -1.2, BETWEEN),
        ([-4, -2.0], [-1, 0], 0.1, FAR),  # the second has 0.12
    ],
)
def test_reasons_by_hand(logits, pooled, threshold, reason):
    found = decides(threshold=[threshold])
    assert found.judge(np.array(logits, float), np.array(pooled, float)).reason == reason


@pytest.fixture
def folder(tmp_path):
    rejection.write(decides(unknown=[0.5, 1.0, 1.5]), tmp_path / rejection.REJECTION)
    return tmp_path


def read(folder, n_labels=2):
    digest = sha256(folder / rejection.REJECTION)
    return rejection.read(folder, digest, n_labels)


@pytest.mark.parametrize("row", [[], [0.5, 1.0, 1.5]])
def test_what_is_written_is_read_again(tmp_path, row):
    written = decides(unknown=row)
    rejection.write(written, tmp_path / rejection.REJECTION)
    found = read(tmp_path)
    for each in dataclasses.fields(Rejection):
        value = getattr(found, each.name)
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, getattr(written, each.name))


def test_a_model_that_always_answers_has_no_file(tmp_path):
    assert rejection.read(tmp_path, None, 2) is None


def refusal(folder, *args) -> str:
    with pytest.raises(ModelError) as error:
        rejection.read(folder, *args)
    return str(error.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    assert "has no unknown.safetensors, which its config.json names" in refusal(
        tmp_path, "0" * 64, 2
    )


def test_another_models_file_is_refused(folder):
    assert "is not the file that its config.json names" in refusal(folder, "0" * 64, 2)


@pytest.mark.parametrize("content", [b"", b"damaged" * 100])
def test_a_broken_file_is_refused(folder, content):
    file = folder / rejection.REJECTION
    file.write_bytes(content)
    assert "cannot be read" in refusal(folder, sha256(file), 2)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("mean", None, "lacks mean"),
        ("scale", np.zeros(2), "has a scale that is not above 0"),
        ("usual", np.zeros((2, 4)), "has a scale that is not above 0"),
        ("threshold", np.array([np.nan]), "has numbers in threshold that are not finite"),
        ("threshold", np.zeros(2), "has threshold of the shape (2,), not (1,)"),
        ("centres", np.zeros((3, 2)), "has centres of the shape (3, 2), not (2, 2)"),
        ("whitening", np.zeros((2, 3)), "has whitening of the shape (2, 3), not (2, 2)"),
        ("unknown", np.zeros(2), "has unknown of the shape (2,), not (3,)"),
        ("mean", np.zeros((2, 2)), "has mean of the shape (2, 2), not (2,)"),
    ],
)
def test_what_cannot_be_is_refused(folder, name, value, problem):
    file = folder / rejection.REJECTION
    tensors = load_file(file)
    tensors.pop(name)
    if value is not None:
        tensors[name] = value.astype(np.float32)
    save_file(tensors, file)
    assert problem in refusal(folder, sha256(file), 2)
