"""Clean clips made harder, to see where a model fails. Not used in training."""

from collections.abc import Callable
from functools import partial

import numpy as np

from . import signals

SNRS = (20, 10, 5, 0)  # dB, over the whole clip
NOISES = {"white": signals.white_noise, "pink": signals.pink_noise}

Change = Callable[[np.ndarray, int, int], np.ndarray]


def conditions() -> dict[str, Change]:
    """Name the conditions: functions of waveform (n_samples,), sampling rate in Hz and seed.

    Each gives float32, (n_samples,).
    """
    changes: dict[str, Change] = {"clean": _clean}
    for kind in NOISES:
        for snr in SNRS:
            changes[f"{kind} noise {snr} dB"] = partial(_with_noise, kind, snr)
    changes["telephone"] = _on_a_telephone
    changes["room"] = _in_a_room
    return changes


def _clean(waveform: np.ndarray, sampling_rate: int, seed: int) -> np.ndarray:
    return waveform


def _with_noise(
    kind: str, snr: float, waveform: np.ndarray, sampling_rate: int, seed: int
) -> np.ndarray:
    noise = NOISES[kind](len(waveform), np.random.default_rng(seed))
    return signals.add_noise(waveform, noise, snr)


def _on_a_telephone(waveform: np.ndarray, sampling_rate: int, seed: int) -> np.ndarray:
    return signals.telephone(waveform, sampling_rate)


def _in_a_room(waveform: np.ndarray, sampling_rate: int, seed: int) -> np.ndarray:
    return signals.room(waveform, sampling_rate, np.random.default_rng(seed))
