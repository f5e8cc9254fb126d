"""Where requests begin and end in audio that goes on: blocks in, events out, in constant memory.

A request is speech that stands out: Silero's detector hears a voice, and it is louder than what was
heard before. So a television in the background is none, until somebody speaks to us. In noise that
goes on the detector grows deaf to short words: what rises above the noise is heard afresh.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .voice_activity import CHUNK, GOES_ON, RATE, SPEECH, Detector

QUIETEST = -60.0  # dB full scale; what is below counts as that
BACKGROUND = 10.0  # seconds that tell how loud it is when nobody asks
USUAL = 95  # per cent of the background's chunks that are below the gate, but for the margin
MARGIN = 1.0  # dB above those
AGAIN = 12  # chunks until the detector may start afresh once more
HEARD_AGAIN = 6  # chunks before it, at most, which it hears first
LEAST = 0.1  # seconds of margin: the detector hears a voice a little late
MOST = 0.5
SHORTEST = 3  # chunks that stand out: less is a knock, or a cough


@dataclass(frozen=True)
class SpeechBegan:
    """Somebody has begun to speak; a request follows."""

    start: float  # seconds from the beginning of the stream


@dataclass(frozen=True)
class Request:
    """Somebody has spoken."""

    start: float  # seconds from the beginning of the stream, of the first sound
    end: float  # of the last
    heard_until: float  # how much of the stream it took to know that this was the end
    waveform: np.ndarray  # float32, (n_samples,), at 16 kHz: from before the start to after the end


Event = SpeechBegan | Request


@dataclass(frozen=True)
class Pauses:
    """What separates requests, in seconds."""

    silence: float = 0.5  # that ends a request, 0.3 to 0.8
    longest: float = 15.0  # a request is cut there
    before: float = 0.25  # of the waveform, so that no first sound is lost
    after: float = 0.25  # of the waveform, beyond the last sound

    @classmethod
    def like(cls, margins: tuple[float, float] | None, silence: float = 0.5) -> "Pauses":
        """Cut requests out as the clips were that a model was trained on (`margins`), or nearly."""
        if margins is None:
            return cls(silence)
        before, after = margins
        return cls(
            silence,
            before=min(max(before, LEAST), MOST),
            after=min(max(after, LEAST), silence),
        )


@dataclass
class _Speech:
    """Speech that goes on."""

    first: int  # chunk that stands out
    last: int
    n_chunks: int = 1  # that stand out
    is_told: bool = False


class Listener:
    """Finds requests in one stream of mono float32 blocks at 16 kHz (`intake.Intake`)."""

    def __init__(self, pauses: Pauses = Pauses()):
        self.pauses = pauses
        self.level = QUIETEST  # dB full scale, of the last chunk
        self._detector = Detector()
        self._before = _n_chunks(pauses.before)
        self._after = _n_chunks(pauses.after)
        self._silence = _n_chunks(pauses.silence)
        self._longest = _n_chunks(pauses.longest)
        self._rest = np.empty(0, np.float32)  # of a chunk
        self._n_heard = 0  # chunks
        self._kept: deque[np.ndarray] = deque()  # the newest chunks
        self._background: deque[float] = deque(maxlen=_n_chunks(BACKGROUND))  # dB full scale
        self._newest: deque[float] = deque()  # levels that may yet be a request's first
        self._fresh = 0  # when the detector started afresh, in chunks
        self._speech: _Speech | None = None
        self._levels: list[float] = []  # of the chunks of that speech

    @property
    def seconds(self) -> float:
        """How much of the stream was heard."""
        return self._n_heard * CHUNK / RATE

    @property
    def hears_speech(self) -> bool:
        """Whether a request has begun and is not over."""
        return self._speech is not None and self._speech.is_told

    def hear(self, waveform: np.ndarray) -> Iterator[Event]:
        """Take a block of any length, (n_samples,), and say what happens in it."""
        samples = np.concatenate([self._rest, waveform])
        n_samples = len(samples) - len(samples) % CHUNK
        self._rest = samples[n_samples:]
        for chunk in samples[:n_samples].reshape(-1, CHUNK):
            yield from self._hear_chunk(chunk)

    def finish(self) -> Iterator[Event]:
        """Say what a stream that has ended leaves open."""
        if len(self._rest):
            missing = CHUNK - len(self._rest)
            yield from self.hear(np.zeros(missing, np.float32))
        if self._speech is not None and self._speech.is_told:
            yield self._request(self._speech)
        self._speech = None

    def _hear_chunk(self, chunk: np.ndarray) -> Iterator[Event]:
        self._kept.append(chunk)
        self.level = _level(chunk)
        is_loud = self.level >= self._gate()
        if is_loud and self._speech is None:
            self._start_afresh()
        probability = self._detector.probability(chunk)
        self._n_heard += 1
        if self._speech is None and not (is_loud and probability >= SPEECH):
            self._add_to_background()
            return
        self._levels.append(self.level)
        yield from self._speak(is_loud and probability >= GOES_ON)

    def _gate(self) -> float:
        """How loud it takes to stand out, in dB full scale."""
        if not self._background:
            return QUIETEST
        ranked = sorted(self._background)  # at a tenth of what a percentile of numpy takes
        return ranked[int(USUAL / 100 * len(ranked))] + MARGIN

    def _start_afresh(self) -> None:
        """Let the detector forget what long noise has made of it, unless it has just done so."""
        if self._n_heard - self._fresh < AGAIN:
            return
        self._fresh = self._n_heard
        self._detector.reset()
        for chunk in list(self._kept)[-1 - HEARD_AGAIN : -1]:
            self._detector.probability(chunk)

    def _add_to_background(self) -> None:
        self._newest.append(self.level)
        if len(self._newest) > self._before:
            self._background.append(self._newest.popleft())
        self._forget(self._before)

    def _speak(self, stands_out: bool) -> Iterator[Event]:
        """Begin, continue or end a request with the newest chunk."""
        newest = self._n_heard - 1
        speech = self._speech
        if speech is None:
            speech = self._speech = _Speech(newest, newest)
            self._newest.clear()
        elif stands_out:
            speech.last = newest
            speech.n_chunks += 1
        if speech.n_chunks >= SHORTEST and not speech.is_told:
            speech.is_told = True
            yield SpeechBegan(_seconds(speech.first))
        is_long = newest - speech.first + 1 >= self._longest
        if not is_long and newest - speech.last < self._silence:
            return
        if speech.is_told:
            yield self._request(speech)
        # Who speaks for so long, or so shortly, does not speak to us.
        if is_long or not speech.is_told:
            self._background.extend(self._levels)
        self._levels.clear()
        self._speech = None
        self._forget(self._before)

    def _request(self, speech: _Speech) -> Request:
        oldest = self._n_heard - len(self._kept)  # chunk that is still kept
        start = max(oldest, speech.first - self._before)
        end = min(self._n_heard, speech.last + 1 + self._after)
        chunks = list(self._kept)[start - oldest : end - oldest]
        waveform = np.concatenate(chunks)
        first, last = _seconds(speech.first), _seconds(speech.last + 1)
        return Request(first, last, self.seconds, waveform)

    def _forget(self, n_chunks: int) -> None:
        while len(self._kept) > n_chunks:
            self._kept.popleft()


def _n_chunks(seconds: float) -> int:
    return round(seconds * RATE / CHUNK)


def _seconds(n_chunks: int) -> float:
    return n_chunks * CHUNK / RATE


def _level(chunk: np.ndarray) -> float:
    """Measure how loud a chunk is, in dB full scale."""
    power = float(np.dot(chunk, chunk)) / len(chunk)
    return max(QUIETEST, 10 * np.log10(max(power, 1e-12)))
