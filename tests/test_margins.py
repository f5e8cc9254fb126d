"""Silence around the speech in clips."""

import numpy as np
import pytest
import soundfile
from conftest import RATE
from datasets import Dataset

from speech_intent import audio, margins
from speech_intent.listening import Pauses
from speech_intent.paths import BUNDLED


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.load(BUNDLED / "audio" / "test-0006.mp3", RATE)


def table(folder, waveforms) -> Dataset:
    rows = []
    for i, waveform in enumerate(waveforms):
        path = folder / f"{i}.wav"
        soundfile.write(path, waveform, RATE)
        rows.append({"audio": {"bytes": None, "path": str(path)}})
    return Dataset.from_list(rows)


def test_added_silence_is_measured(tmp_path, speech):
    alone = margins.measure(table(tmp_path, [speech]), seed=0)
    padded = np.pad(speech, (8_000, 16_000))
    before, after = margins.measure(table(tmp_path, [padded]), seed=0)
    assert before - alone[0] == pytest.approx(0.5, abs=0.1)
    assert after - alone[1] == pytest.approx(1.0, abs=0.1)


def test_the_median_clip_counts(tmp_path, speech):
    clips = [np.pad(speech, (n, 0)) for n in (0, 8_000, 48_000)]
    middle = margins.measure(table(tmp_path, [clips[1]]), seed=0)
    for seed in range(3):  # in several orders
        assert margins.measure(table(tmp_path, clips), seed) == pytest.approx(middle, abs=0.05)


def test_where_nobody_speaks_there_are_none(tmp_path, tone):
    assert margins.measure(table(tmp_path, [tone(787)]), seed=0) is None


@pytest.mark.parametrize(
    ("given", "silence", "expected"),
    [
        (None, 0.5, (0.25, 0.25)),
        ((0.3, 0.2), 0.5, (0.3, 0.2)),
        ((0.0, 0.0), 0.5, (0.1, 0.1)),
        ((3.0, 2.0), 0.3, (0.5, 0.3)),
    ],
)
def test_requests_are_cut_out_nearly_so(given, silence, expected):
    pauses = Pauses.like(given, silence)
    assert (pauses.before, pauses.after, pauses.silence) == (*expected, silence)
