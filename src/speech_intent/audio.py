"""Audio in: a file, bytes or an array becomes a mono float32 waveform at a model's rate.

Everything that hears a clip (training, evaluation, prediction) reads it through `blocks`, so that
all of them hear the same samples. Files are read in pieces: memory does not grow with their length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr

from .decoding import (
    SUFFIXES,
    AudioWarning,
    Header,
    Source,
    Warn,
    header,
    log_warning,
    name_of,
    native_blocks,
)
from .errors import AudioError

MIN_SECONDS = 0.025  # one frame of a wav2vec2 feature encoder: 400 samples at 16 kHz
SILENT_PEAK = 1e-3  # -60 dB full scale

__all__ = [
    "SILENT_PEAK",
    "SUFFIXES",
    "AudioError",
    "AudioWarning",
    "Header",
    "Source",
    "Warn",
    "Window",
    "blocks",
    "header",
    "load",
    "log_warning",
    "name_of",
    "windows",
]


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
) -> Iterator[np.ndarray]:
    """Yield a clip piece by piece, mixed to mono and resampled: float32, (n_samples,).

    `sampling_rate` is that of the pieces, in Hz; `start` seconds are skipped; `warn` is told what
    is odd. A waveform is (n_samples,), or two-dimensional with channels along the shorter axis;
    integers are scaled to -1..1. Raises `AudioError` for what is missing, unreadable, not audio,
    damaged, without samples, shorter than 25 ms, or has NaN or infinite samples.
    """
    name = name_of(source)
    n_samples = 0
    peak = 0.0
    for piece in _resampled(_finite(source, start, warn), sampling_rate):
        n_samples += len(piece.waveform)
        peak = max(peak, piece.peak)
        yield piece.waveform
    if n_samples == 0:
        raise AudioError(name, "has no samples", "record it again")
    if n_samples < int(MIN_SECONDS * sampling_rate):
        milliseconds = 1000 * n_samples / sampling_rate
        problem = f"lasts {milliseconds:.1f} ms, less than 25 ms"
        raise AudioError(name, problem, "record a longer clip")
    if peak < SILENT_PEAK:
        problem = f"is silent (peak {peak:.1e}); its answer means nothing"
        warn(AudioWarning(name, problem))


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
) -> Iterator[Window]:
    """Cut a clip into windows.

    A clip up to `max_seconds` long is one. A longer one gives windows of exactly `max_seconds`; the
    last ends where the clip ends, and so overlaps the one before it.
    """
    longest = round(max_seconds * sampling_rate)
    n_samples = 0
    previous = None
    rest = np.empty(0, np.float32)
    for block in blocks(source, sampling_rate, warn=warn):
        n_samples += len(block)
        rest = np.concatenate([rest, block])
        while len(rest) > longest:
            previous = rest[:longest]
            rest = rest[longest:]
            yield Window(previous, n_samples / sampling_rate)
    if previous is not None:
        rest = np.concatenate([previous, rest])[-longest:]
    yield Window(rest, n_samples / sampling_rate)


@dataclass(frozen=True)
class _Piece:
    waveform: np.ndarray  # mono float32, (n_samples,)
    sampling_rate: int  # Hz
    peak: float  # largest absolute sample before resampling


def _finite(source: Source, start: float, warn: Warn) -> Iterator[_Piece]:
    """Read a clip at its own sampling rate and refuse samples that are no numbers."""
    for block in native_blocks(source, start, warn):
        if not np.isfinite(block.waveform).all():
            problem = "has NaN or infinite samples"
            raise AudioError(name_of(source), problem, "export it again as 16-bit PCM")
        peak = float(np.abs(block.waveform).max(initial=0.0))
        yield _Piece(block.waveform, block.sampling_rate, peak)


def _resampled(pieces: Iterator[_Piece], sampling_rate: int) -> Iterator[_Piece]:
    """Bring pieces to one sampling rate, as one stream."""
    stream = None
    for piece in pieces:
        waveform = piece.waveform
        if piece.sampling_rate != sampling_rate:
            if stream is None:
                stream = soxr.ResampleStream(piece.sampling_rate, sampling_rate, 1, dtype="float32")
            waveform = stream.resample_chunk(waveform)
        yield _Piece(waveform, sampling_rate, piece.peak)
    if stream is not None:
        tail = stream.resample_chunk(np.empty(0, np.float32), last=True)
        yield _Piece(tail, sampling_rate, 0.0)
