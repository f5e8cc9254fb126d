"""Where requests begin and end."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import RATE

from speech_intent import audio, listening
from speech_intent.listening import Listener, Pauses, Request, SpeechBegan
from speech_intent.paths import BUNDLED
from speech_intent.voice_activity import CHUNK

CHUNK_SECONDS = CHUNK / RATE


class Ears:
    """Takes whatever is not silent for speech."""

    def probability(self, chunk: np.ndarray) -> float:
        return float(np.abs(chunk).max() > 1e-4)

    def reset(self) -> None:
        pass


@pytest.fixture
def ears(monkeypatch):
    monkeypatch.setattr(listening, "Detector", Ears)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.load(BUNDLED / "audio" / "test-0001.mp3", RATE)


def quiet(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 1e-4, round(seconds * RATE)).astype(np.float32)


def sound(seconds: float, level: float = -20.0) -> np.ndarray:
    """Make a sound that is `level` dB loud."""
    n_samples = round(seconds * RATE / CHUNK) * CHUNK
    return np.resize([1.0, -1.0], n_samples).astype(np.float32) * 10 ** (level / 20)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE / CHUNK) * CHUNK, np.float32)


def heard(*parts: np.ndarray, block: int = 1_600, **pauses: float) -> list[listening.Event]:
    """Let a listener hear parts in blocks, to the end."""
    stream = np.concatenate(parts)
    listener = Listener(Pauses(**pauses))
    events = [
        event
        for start in range(0, len(stream), block)
        for event in listener.hear(stream[start : start + block])
    ]
    return [*events, *listener.finish()]


def test_two_requests_are_found_where_they_are(speech):
    events = heard(quiet(2), speech, quiet(2), speech, quiet(2))
    seconds = len(speech) / RATE
    assert [type(event) for event in events] == [SpeechBegan, Request, SpeechBegan, Request]
    for i, begin in enumerate((2.0, 4.0 + seconds)):
        began, request = events[2 * i : 2 * i + 2]
        assert began.start == request.start
        assert begin - 0.05 <= request.start <= begin + 0.3
        assert begin + seconds - 0.5 <= request.end <= begin + seconds + 0.1
        assert request.heard_until == pytest.approx(request.end + 0.5, abs=CHUNK_SECONDS)


def test_a_request_has_what_was_before_and_after_it(speech):
    stream = np.concatenate([quiet(2), speech, quiet(2)])
    _, request = heard(stream, before=0.3, after=0.2)
    first = round((request.start - 0.288) * RATE)  # 9 chunks
    last = round((request.end + 0.192) * RATE)  # 6 chunks
    assert np.array_equal(request.waveform, stream[first:last])


@pytest.mark.parametrize("block", [1, 100, 512, 50_000])
def test_the_size_of_blocks_does_not_matter(speech, block):
    parts = (quiet(0.5), speech, quiet(1))
    expected, found = heard(*parts), heard(*parts, block=block)
    assert [event.start for event in found] == [event.start for event in expected]
    assert np.array_equal(found[-1].waveform, expected[-1].waveform)


def test_noise_is_no_request():
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    assert heard(noise) == []


def test_silence_ends_a_request_when_it_was_long_enough(ears):
    parts = (silence(1), sound(0.5), silence(0.4), sound(0.5), silence(1))
    assert len(heard(*parts, silence=0.5)) == 2
    assert len(heard(*parts, silence=0.3)) == 4


def test_a_knock_is_no_request(ears):
    knock = sound(2 * CHUNK_SECONDS)
    assert heard(silence(1), knock, silence(1)) == []
    assert len(heard(silence(1), sound(3 * CHUNK_SECONDS), silence(1))) == 2


def test_a_request_that_does_not_end_is_cut(ears):
    events = heard(silence(1), sound(3), silence(1), longest=2.0)
    cut = events[1]
    assert cut.end - cut.start == pytest.approx(2.0, abs=CHUNK_SECONDS)
    assert cut.heard_until == cut.end
    assert len(cut.waveform) <= (2.0 + 0.3) * RATE


def test_a_television_is_no_request_once_it_is_known(ears):
    television = sound(30, -40)
    events = heard(television, sound(1, -34), television[: 5 * RATE], longest=2.0)
    requests = [event for event in events if isinstance(event, Request)]
    cut, asked = requests
    assert cut.start == 0.0
    assert (asked.start, asked.end) == pytest.approx((30.0, 31.0), abs=2 * CHUNK_SECONDS)


def test_what_was_loud_is_forgotten(ears):
    events = heard(sound(2, -20), silence(12), sound(1, -45), silence(1), longest=2.0)
    assert [type(event) for event in events].count(Request) == 2


def test_the_end_of_the_stream_ends_a_request(ears):
    began, request = heard(silence(1), sound(0.505))
    assert (began.start, request.start) == (request.start, pytest.approx(1.0, abs=CHUNK_SECONDS))
    assert request.end == pytest.approx(1.5, abs=2 * CHUNK_SECONDS)


@pytest.mark.parametrize("level", [-90, -30])
def test_hours_take_no_memory(ears, level):
    listener = Listener(Pauses(longest=2.0))
    minute = sound(60, level)
    for _ in range(3):
        list(listener.hear(minute))
    held = len(listener._kept), len(listener._background), len(listener._levels)
    assert held[0] <= 2.3 / CHUNK_SECONDS
    assert held[1] <= 10 / CHUNK_SECONDS
    assert held[2] <= 2 / CHUNK_SECONDS


def test_it_says_what_it_hears(ears):
    listener = Listener()
    list(listener.hear(sound(1, -20)))
    assert listener.level == pytest.approx(-20, abs=0.1)
    assert listener.hears_speech
    list(listener.hear(silence(1)))
    assert listener.level == -60
    assert not listener.hears_speech
    assert listener.seconds == pytest.approx(2.0, abs=2 * CHUNK_SECONDS)


def test_nothing_of_torch_is_imported():
    code = (
        "import sys, numpy; from speech_intent.listening import Listener;"
        "list(Listener().hear(numpy.zeros(1024, numpy.float32)));"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
