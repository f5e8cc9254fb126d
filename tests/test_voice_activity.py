"""Where speech is heard, chunk by chunk."""

import numpy as np
import pytest
from conftest import RATE

from speech_intent import audio
from speech_intent.paths import BUNDLED
from speech_intent.voice_activity import CHUNK, has_speech, loudest, speech_probabilities


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.load(BUNDLED / "audio" / "test-0001.mp3", RATE)


def test_speech_is_heard_and_its_margins_are_not(speech):
    probabilities = speech_probabilities(speech)
    assert probabilities.shape == (-(-len(speech) // CHUNK),)
    assert np.median(probabilities) > 0.9
    assert probabilities[0] < 0.2


@pytest.mark.parametrize("kind", ["silence", "noise", "tone"])
def test_what_is_no_speech_is_not_taken_for_it(kind, tone):
    rng = np.random.default_rng(0)
    waveform = {
        "silence": np.zeros(RATE, np.float32),
        "noise": rng.normal(0, 0.1, RATE).astype(np.float32),
        "tone": tone(787, 1.0),
    }[kind]
    assert speech_probabilities(waveform).max() < 0.5


def test_every_call_starts_anew(speech):
    first = speech_probabilities(speech)
    assert np.array_equal(first, speech_probabilities(speech))


@pytest.mark.parametrize(("n_samples", "n_chunks"), [(0, 0), (1, 1), (512, 1), (513, 2)])
def test_a_chunk_that_is_begun_counts(n_samples, n_chunks):
    assert speech_probabilities(np.zeros(n_samples, np.float32)).shape == (n_chunks,)


def test_the_loudest_four_seconds_are_enough_of_a_long_clip(speech):
    noise = np.random.default_rng(0).normal(0, 1e-3, 60 * RATE).astype(np.float32)
    begin = 31 * RATE
    noise[begin : begin + len(speech)] += speech
    found = loudest(noise, RATE)
    assert len(found) == 4 * RATE
    assert has_speech(found, RATE)
    assert not has_speech(loudest(noise[: 30 * RATE], RATE), RATE)


def test_a_short_clip_is_heard_whole(speech):
    assert loudest(speech, RATE) is speech
