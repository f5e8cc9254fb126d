"""A stream gives the samples that a file gives."""

import numpy as np
import pytest
import soundfile
from conftest import RATE

from speech_intent import audio
from speech_intent.errors import AudioError
from speech_intent.intake import Intake

FORMATS = [(8_000, 1), (16_000, 1), (16_000, 2), (22_050, 2), (44_100, 1), (48_000, 6)]


def written(tmp_path, rate: int, n_channels: int) -> tuple[str, bytes]:
    """Write noise as a WAV file; give its path, and its PCM."""
    rng = np.random.default_rng(rate + n_channels)
    samples = rng.integers(-20_000, 20_000, (rate // 2, n_channels), np.int16)
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, rate, "PCM_16")
    return str(path), samples.tobytes()


@pytest.mark.parametrize(("rate", "n_channels"), FORMATS)
@pytest.mark.parametrize("n_bytes", [7, 640, 100_000])
def test_a_stream_gives_the_samples_of_a_file(tmp_path, rate, n_channels, n_bytes):
    path, pcm = written(tmp_path, rate, n_channels)
    intake = Intake(rate, n_channels)
    pieces = [intake.pcm(pcm[i : i + n_bytes]) for i in range(0, len(pcm), n_bytes)]
    found = np.concatenate([*pieces, intake.finish()])
    expected = audio.load(path, RATE)
    assert found.dtype == np.float32
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_floats_are_taken_as_they_are():
    frames = np.array([[0.5, -0.5], [0.25, 0.75]], np.float32)
    assert Intake(RATE, 2).samples(frames).tolist() == [0.0, 0.5]


def test_what_is_no_number_is_silence():
    frames = np.array([[np.nan], [0.5]], np.float32)
    assert Intake(RATE).samples(frames).tolist() == [0.0, 0.5]


def test_half_a_sample_waits_for_its_other_half():
    intake = Intake(RATE)
    assert intake.pcm(b"\x00").size == 0
    assert intake.pcm(b"\x40").tolist() == [0.5]


@pytest.mark.parametrize(("rate", "n_channels"), [(10, 1), (10**9, 1), (16_000, 1_000)])
def test_what_no_recording_has_is_refused(rate, n_channels):
    with pytest.raises(AudioError, match="the stream"):
        Intake(rate, n_channels)
