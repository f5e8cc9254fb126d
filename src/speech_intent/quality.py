"""What a clip is like: its level, clipping and silence, and whether it makes a good example."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import audio

FRAME_SECONDS = 0.02
FULL_SCALE = 0.999  # a sample from here on counts as clipped
NO_POWER = 1e-10  # added to a frame's power, so that digital silence has a level: -100 dB

SHORT_SECONDS = 0.5
SOUNDING_LEVEL = -50.0  # dB below full scale; a frame above it is not silent
SOUNDING_SECONDS = 0.2
LOUD_PERCENTILE = 95  # of the frames' levels; in speech with pauses those are its vowels
QUIET_LEVEL = -35.0  # dB below full scale
CLIPPED_SHARE = 5e-4  # of the samples


@dataclass(frozen=True)
class Measurement:
    """What a clip is like, at its own sampling rate; in frames of 20 ms."""

    sampling_rate: int  # Hz
    n_channels: int  # of the file; everything below is of their mean
    seconds: float
    peaks: np.ndarray  # largest absolute sample of a frame, 1 is full scale; float32, (n_frames,)
    levels: np.ndarray  # root mean square of a frame, dB below full scale; float64, (n_frames,)
    clipped: float  # share of the samples at full scale
    silent: float  # share of the samples below -60 dB
    digest: str  # SHA-256 of the float32 samples: the same for the same samples in any format

    @property
    def peak(self) -> float:
        """The largest absolute sample, 1 is full scale."""
        return float(self.peaks.max())


def measure(
    source: str | Path | bytes | dict,
    warn: audio.Warn = audio.log_warning,
) -> Measurement:
    """Measure a clip of any length, piece by piece, at its own sampling rate.

    `warn` is told what is odd about it. Raises `AudioError` if the clip cannot be used.
    """
    header = audio.header(source)
    size = round(FRAME_SECONDS * header.sampling_rate)
    digest = hashlib.sha256()
    n_samples = 0
    n_clipped = 0
    n_silent = 0
    peaks = []
    powers = []
    for block in audio.blocks(source, header.sampling_rate, warn=warn):
        level = np.abs(block)
        if not len(block):
            continue
        starts = np.arange(0, len(block), size)
        lengths = np.diff(starts, append=len(block))
        peaks.append(np.maximum.reduceat(level, starts))
        powers.append(np.add.reduceat(level**2, starts) / lengths)
        n_samples += len(block)
        n_clipped += int(np.count_nonzero(level >= FULL_SCALE))
        n_silent += int(np.count_nonzero(level < audio.SILENT_PEAK))
        digest.update(block.tobytes())
    return Measurement(
        sampling_rate=header.sampling_rate,
        n_channels=header.n_channels,
        seconds=n_samples / header.sampling_rate,
        peaks=np.concatenate(peaks),
        levels=10 * np.log10(np.concatenate(powers) + NO_POWER),
        clipped=n_clipped / n_samples,
        silent=n_silent / n_samples,
        digest=digest.hexdigest(),
    )


def complaints(clip: Measurement) -> list[str]:
    """Say what makes a clip a doubtful example; nothing for a good one."""
    loud = np.percentile(clip.levels, LOUD_PERCENTILE)
    n_sounding = np.count_nonzero(clip.levels > SOUNDING_LEVEL)
    problems = []
    if clip.seconds < SHORT_SECONDS:
        problems.append(f"too short ({clip.seconds:.2f} s): was the end cut off?")
    if n_sounding * FRAME_SECONDS < SOUNDING_SECONDS:
        problems.append("nearly silent: is the right microphone on?")
    elif loud < QUIET_LEVEL:
        problems.append(f"too quiet ({loud:.0f} dB): speak up or come closer")
    if clip.clipped > CLIPPED_SHARE:
        share = f"{100 * clip.clipped:.1f} % of the samples at full scale"
        problems.append(f"clipped ({share}): turn the input down")
    return problems
