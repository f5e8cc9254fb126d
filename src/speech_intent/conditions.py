"""Clean clips made harder, to see where a model fails: noise, a telephone line, a room. Not used in training."""

from collections.abc import Callable

import numpy as np
import soxr

SNRS = (20, 10, 5, 0)  # dB, over the whole clip


def conditions() -> dict[str, Callable[[np.ndarray, int, int], np.ndarray]]:
    """Name the conditions: functions of waveform (n_samples,), sampling rate in Hz and seed that give (n_samples,)."""
    made: dict[str, Callable] = {"clean": lambda waveform, rate, seed: waveform}
    for kind in ("white", "pink"):
        for snr in SNRS:
            name = f"{kind} noise {snr} dB"
            made[name] = lambda waveform, rate, seed, kind=kind, snr=snr: add_noise(waveform, kind, snr, seed)
    return made | {"telephone": telephone, "room": room}


def add_noise(waveform: np.ndarray, kind: str, snr: float, seed: int) -> np.ndarray:
    """Add white noise, or pink (power falls as 1 / frequency, as in rooms and traffic), `snr` dB below the clip."""
    noise = np.random.default_rng(seed).standard_normal(len(waveform))
    if kind == "pink":
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(noise))
    power = np.mean(waveform.astype(np.float64) ** 2) / max(np.mean(noise**2), 1e-12)
    return (waveform + noise * np.sqrt(power / 10 ** (snr / 10))).astype(np.float32)


def telephone(waveform: np.ndarray, rate: int, seed: int) -> np.ndarray:
    """Pass 300 to 3,400 Hz at 8 kHz in 8-bit mu-law (ITU-T G.711), and come back to `rate`."""
    narrow = soxr.resample(waveform, rate, 8_000)
    spectrum, frequencies = np.fft.rfft(narrow), np.fft.rfftfreq(len(narrow), 1 / 8_000)
    narrow = np.fft.irfft(spectrum * ((frequencies > 300) & (frequencies < 3_400)), len(narrow))
    peak = max(float(np.abs(narrow).max(initial=0.0)), 1e-9)
    codes = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow) / peak) / np.log(256))
    narrow = peak * np.sign(codes) * np.expm1(np.abs(codes) / 127 * np.log(256)) / 255
    wide = soxr.resample(narrow.astype(np.float32), 8_000, rate)
    return np.resize(np.pad(wide, (0, max(0, len(waveform) - len(wide)))), len(waveform))


def room(waveform: np.ndarray, rate: int, seed: int, decay_seconds: float = 0.5) -> np.ndarray:
    """Add the echoes of a room: noise that falls by 60 dB in half a second, as strong in all as the direct sound."""
    from scipy.signal import fftconvolve

    t = np.arange(int(decay_seconds * rate)) / rate
    echo = np.random.default_rng(seed).standard_normal(len(t)) * 10 ** (-3 * t / decay_seconds)
    echo[0] = np.sqrt(np.sum(echo[1:] ** 2))
    return fftconvolve(waveform, echo / echo[0])[: len(waveform)].astype(np.float32)
