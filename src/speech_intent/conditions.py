"""Clean clips made harder, to see where a model fails, by the same means as `augment`."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from . import signals

SNRS = (20, 10, 5, 0)  # dB, over the whole clip
NOISES = {"white": signals.white_noise, "pink": signals.pink_noise}
SOUND_SNRS = (10, 0)  # dB, of babble and music
OPUS_KILOBITS = 6

Change = Callable[[np.ndarray, int, int], np.ndarray]


def conditions(voices: Sequence[np.ndarray] = ()) -> dict[str, Change]:
    """Name the conditions: functions of waveform (n_samples,), sampling rate in Hz and seed.

    Each gives float32, (n_samples,). `voices`, (n_samples of each,), at the same sampling rate, are
    the babble, but for the clip itself; with too few of them there is none.
    """
    changes: dict[str, Change] = {"clean": _clean}
    for kind in NOISES:
        for snr in SNRS:
            changes[f"{kind} noise {snr} dB"] = partial(_with_noise, kind, snr)
    changes["telephone"] = _on_a_telephone
    changes["room"] = _in_a_room
    if len(voices) > signals.MIN_VOICES:
        for snr in SOUND_SNRS:
            changes[f"babble {snr} dB"] = partial(_among_voices, voices, snr)
    for snr in SOUND_SNRS:
        changes[f"music {snr} dB"] = partial(_with_music, snr)
    changes["GSM"] = partial(_on_a_telephone, code="GSM")
    changes[f"Opus {OPUS_KILOBITS} kbit/s"] = _as_opus
    changes["MP3"] = _as_mp3
    return changes


def _clean(waveform: np.ndarray, sampling_rate: int, seed: int) -> np.ndarray:
    return waveform


def _with_noise(
    kind: str, snr: float, waveform: np.ndarray, sampling_rate: int, seed: int
) -> np.ndarray:
    noise = NOISES[kind](len(waveform), np.random.default_rng(seed))
    return signals.add_noise(waveform, noise, snr)


def _on_a_telephone(
    waveform: np.ndarray, sampling_rate: int, seed: int, code: str = "mu-law"
) -> np.ndarray:
    return signals.telephone(waveform, sampling_rate, code)


def _in_a_room(waveform: np.ndarray, sampling_rate: int, seed: int) -> np.ndarray:
    return signals.room(waveform, sampling_rate, np.random.default_rng(seed))


def _among_voices(
    voices: Sequence[np.ndarray], snr: float, waveform: np.ndarray, sampling_rate: int, seed: int
) -> np.ndarray:
    others = [voice for voice in voices if not np.array_equal(voice, waveform)]
    noise = signals.babble(others, len(waveform), np.random.default_rng(seed))
    return signals.add_noise(waveform, noise, snr)


def _with_music(snr: float, waveform: np.ndarray, sampling_rate: int, seed: int) -> np.ndarray:
    noise = signals.music(len(waveform), sampling_rate, np.random.default_rng(seed))
    return signals.add_noise(waveform, noise, snr)


def _as_opus(waveform: np.ndarray, sampling_rate: int, seed: int) -> np.ndarray:
    return signals.opus(waveform, sampling_rate, OPUS_KILOBITS)


def _as_mp3(waveform: np.ndarray, sampling_rate: int, seed: int) -> np.ndarray:
    return signals.mp3(waveform, sampling_rate)
