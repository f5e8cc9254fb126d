"""Audio in: a file, bytes or an array becomes a mono float32 waveform at a model's rate.

Everything that hears a clip (training, evaluation, prediction) reads it through `blocks`, so that
all of them hear the same samples. Files are read in pieces: memory does not grow with their length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np
import soxr

from .clips import AudioWarning, Block, Source, Warn, log_warning, name_of, say_nothing
from .decoding import NO_SAMPLES, SUFFIXES, Header, header, native_blocks
from .errors import AudioError

MIN_SECONDS = 0.025  # one frame of a wav2vec2 feature encoder: 400 samples at 16 kHz
SILENT_PEAK = 1e-3  # -60 dB full scale
CANCELLED = 0.1  # of the energy that the mean of unrelated channels has: -10 dB

__all__ = [
    "SILENT_PEAK",
    "SUFFIXES",
    "AudioError",
    "AudioWarning",
    "Header",
    "Source",
    "TooLong",
    "Warn",
    "Window",
    "blocks",
    "header",
    "load",
    "log_warning",
    "say_nothing",
    "name_of",
    "windows",
]


class TooLong(AudioError):
    """A clip that lasts longer than whoever asks will hear."""


@dataclass(frozen=True)
class Window:
    """A part of a clip that a model can take at once."""

    waveform: np.ndarray  # float32, (n_samples,)
    end: float  # seconds of the clip that were read so far; of the last window, its duration


def blocks(
    source: Source,
    sampling_rate: int,
    start: float = 0.0,
    warn: Warn = log_warning,
    limit: float = np.inf,
) -> Iterator[np.ndarray]:
    """Yield a clip piece by piece, mixed to mono and resampled: float32, (n_samples,).

    `sampling_rate` is that of the pieces, in Hz; `start` seconds are skipped; `warn` is told what
    is odd. A waveform is (n_samples,), or two-dimensional with channels along the shorter axis;
    integers are scaled to -1..1. Raises `TooLong` as soon as more than `limit` seconds were
    decoded, and `AudioError` for what is missing, unreadable, not audio, damaged beyond use,
    without samples, shorter than 25 ms, or has NaN or infinite samples.
    """
    name = name_of(source)
    loudness = _Loudness()
    n_samples = 0
    for piece in _resampled(loudness.of(_finite(source, start, warn)), sampling_rate):
        n_samples += len(piece)
        if n_samples > limit * sampling_rate:
            problem = f"lasts more than {limit:g} s"
            raise TooLong(name, problem, "send the part that matters")
        yield piece
    if n_samples == 0:
        raise AudioError(name, *NO_SAMPLES)
    if n_samples < int(MIN_SECONDS * sampling_rate):
        milliseconds = 1000 * n_samples / sampling_rate
        problem = f"lasts {milliseconds:.1f} ms, less than 25 ms"
        raise AudioError(name, problem, "record a longer clip")
    complaint = loudness.complaint()
    if complaint is not None:
        warn(AudioWarning(name, complaint))


def load(
    source: Source,
    sampling_rate: int,
    start: float = 0.0,
    max_seconds: float = np.inf,
    warn: Warn = log_warning,
) -> np.ndarray:
    """Read one clip, or `max_seconds` of it from `start` on: float32, (n_samples,).

    Raises what `blocks` raises.
    """
    pieces = []
    missing = max_seconds * sampling_rate
    for block in blocks(source, sampling_rate, start, warn):
        pieces.append(block)
        missing -= len(block)
        if missing <= 0:
            break
    waveform = np.concatenate(pieces)
    if missing >= 0:
        return waveform
    return waveform[: len(waveform) + round(missing)]


def windows(
    source: Source,
    sampling_rate: int,
    max_seconds: float,
    warn: Warn = log_warning,
    limit: float = np.inf,
) -> Iterator[Window]:
    """Cut a clip into windows.

    A clip up to `max_seconds` long is one. A longer one gives windows of exactly `max_seconds`; the
    last ends where the clip ends, and so overlaps the one before it. Raises what `blocks` raises.
    """
    longest = round(max_seconds * sampling_rate)
    n_samples = 0
    previous = None
    rest = np.empty(0, np.float32)
    for block in blocks(source, sampling_rate, warn=warn, limit=limit):
        n_samples += len(block)
        rest = np.concatenate([rest, block])
        while len(rest) > longest:
            previous = rest[:longest]
            rest = rest[longest:]
            yield Window(previous, n_samples / sampling_rate)
    if previous is not None:
        rest = np.concatenate([previous, rest])[-longest:]
    yield Window(rest, n_samples / sampling_rate)


class _Loudness:
    """How loud a clip is, and its channels before they were mixed."""

    def __init__(self) -> None:
        self.peak = 0.0  # largest absolute sample
        self.energy = 0.0  # sum of the squared samples
        self.unrelated = 0.0  # what that would be if the channels had nothing in common
        self.n_samples = 0

    def of(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Listen to the blocks of a clip as they pass."""
        for block in blocks:
            self.peak = max(self.peak, float(np.abs(block.waveform).max(initial=0.0)))
            self.energy += float(np.square(block.waveform, dtype=np.float64).sum())
            self.unrelated += block.energy / block.n_channels
            self.n_samples += len(block.waveform)
            yield block

    def complaint(self) -> str | None:
        """Say what makes an answer mean nothing; None if nothing does."""
        audible = self.unrelated > self.n_samples * SILENT_PEAK**2
        if audible and self.energy < CANCELLED * self.unrelated:
            return "has channels that cancel each other out; export one of them, and use that"
        if self.peak < SILENT_PEAK:
            return f"is silent (peak {self.peak:.1e}); its answer means nothing"
        return None


def _finite(source: Source, start: float, warn: Warn) -> Iterator[Block]:
    """Read a clip at its own sampling rate and refuse samples that are no numbers."""
    for block in native_blocks(source, start, warn):
        if not np.isfinite(block.waveform).all():
            problem = "has NaN or infinite samples"
            raise AudioError(name_of(source), problem, "export it again as 16-bit PCM")
        yield block


def _resampled(blocks: Iterator[Block], sampling_rate: int) -> Iterator[np.ndarray]:
    """Bring blocks to one sampling rate; those that follow each other at one rate as one stream."""
    for rate, group in groupby(blocks, attrgetter("sampling_rate")):
        if rate == sampling_rate:
            yield from (block.waveform for block in group)
            continue
        stream = soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32")
        for block in group:
            yield stream.resample_chunk(block.waveform)
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)
