"""Audio that does not end: blocks at any rate, with any channels, to mono float32 at 16 kHz."""

import numpy as np
import soxr

from .clips import check_format, mixed
from .voice_activity import RATE

PCM = np.dtype("<i2")  # 16 bits, little-endian
FULL_SCALE = 32_768  # of 16 bits


class Intake:
    """Mixes and resamples blocks as they come: together the samples that a file would give.

    Raises `AudioError` for a sampling rate, in Hz, or a channel count that no recording has.
    """

    def __init__(self, sampling_rate: int, n_channels: int = 1):
        check_format("the stream", sampling_rate, n_channels)
        self.sampling_rate = sampling_rate
        self.n_channels = n_channels
        self._rest = b""  # of a frame whose other bytes have not come yet
        self._stream = None
        if sampling_rate != RATE:
            self._stream = soxr.ResampleStream(sampling_rate, RATE, 1, dtype="float32")

    def pcm(self, data: bytes) -> np.ndarray:
        """Take 16-bit PCM, channels interleaved: float32, (n_samples,). It may end anywhere."""
        data = self._rest + data
        n_bytes = len(data) - len(data) % (PCM.itemsize * self.n_channels)
        self._rest = data[n_bytes:]
        frames = np.frombuffer(data[:n_bytes], PCM).reshape(-1, self.n_channels)
        return self.samples(frames.astype(np.float32) / FULL_SCALE)

    def samples(self, frames: np.ndarray) -> np.ndarray:
        """Take floats in -1..1, (n_frames, n_channels): float32, (n_samples,)."""
        waveform = mixed(np.nan_to_num(frames), self.sampling_rate).waveform
        return waveform if self._stream is None else self._stream.resample_chunk(waveform)

    def finish(self) -> np.ndarray:
        """Give what the resampler still holds: float32, (n_samples,)."""
        nothing = np.empty(0, np.float32)
        if self._stream is None:
            return nothing
        return self._stream.resample_chunk(nothing, last=True)
