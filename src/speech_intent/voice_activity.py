"""Where somebody speaks: Silero's detector, whose weights are in the package silero-vad.

OpenVINO runs it: neither torch nor transformers is imported.
"""

import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from .quiet_openvino import load_openvino

RATE = 16_000  # Hz
WEIGHTS = "silero_vad_openvino_16k.onnx"
CHUNK = 512  # samples that the detector takes at once: 32 ms
CONTEXT = 64  # samples of the chunk before, which it takes besides
STATE = 128  # numbers that either layer of its memory keeps
LOUDEST = 4.0  # seconds that are enough to hear whether somebody speaks at all
SPEECH = 0.5  # probability from which on a chunk is speech, as its makers have it
GOES_ON = 0.35  # down to which speech goes on: 0.15 less, as they have it


class Detector:
    """Hears one recording, chunk by chunk; what came before counts."""

    def __init__(self) -> None:
        self._request = _network().create_infer_request()
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._context = np.zeros(CONTEXT, np.float32)
        self._state = np.zeros((2, 1, STATE), np.float32)

    def probability(self, chunk: np.ndarray) -> float:
        """Give the probability of speech in the next chunk, float32, (512,), at 16 kHz."""
        samples = np.concatenate([self._context, chunk])[None]
        found = self._request.infer({"input": samples, "state": self._state})
        self._context = chunk[-CONTEXT:]
        self._state = np.array(found[1])
        return float(found[0][0, 0])


def weights_file() -> Path:
    """Find the detector's ONNX file in its package."""
    package = importlib.util.find_spec("silero_vad")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'silero_vad'", name="silero_vad")
    return Path(package.submodule_search_locations[0], "data", WEIGHTS)


@functools.cache
def _network() -> Any:
    """Compile the network, once a process; the package's own code would import torch."""
    openvino = load_openvino()
    options = {
        "INFERENCE_PRECISION_HINT": "f32",  # it was made for that
        "INFERENCE_NUM_THREADS": 1,  # so little would wait for others' cores
        "ENABLE_CPU_PINNING": False,
        "CACHE_DIR": "",
    }
    return openvino.Core().compile_model(weights_file(), "CPU", options)


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
