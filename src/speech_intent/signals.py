"""Noise, rooms and telephone lines, for training (`augment`) and for evaluation (`conditions`).

Waveforms are mono float32, (n_samples,), and come back as long as they were. `dataset/` and
`pretraining/` have filters of their own: what they made is frozen, byte by byte.
"""

import numpy as np
import soxr
import torch
import torchaudio.functional as F
from scipy.signal import fftconvolve

LINE_RATE = 8_000  # Hz, of a telephone line
LINE_BAND = (300, 3_400)  # Hz
MU = 255  # of the North American and Japanese companding law, ITU-T G.711


def white_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Make noise as strong at every frequency: float64, (n_samples,)."""
    return rng.standard_normal(n_samples)


def pink_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Make noise whose power falls as 1 / frequency, as in rooms and traffic: (n_samples,)."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequencies = np.arange(1, len(spectrum) + 1)
    return np.fft.irfft(spectrum / np.sqrt(frequencies), n_samples)


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Add noise (n_samples,) that is `snr` dB weaker than the clip as a whole."""
    signal_power = np.mean(waveform.astype(np.float64) ** 2)
    noise_power = max(np.mean(noise**2), 1e-12)
    gain = np.sqrt(signal_power / noise_power / 10 ** (snr / 10))
    return (waveform + noise * gain).astype(np.float32)


def low_pass(waveform: torch.Tensor, sampling_rate: int, cutoff: float) -> torch.Tensor:
    """Take away what lies above `cutoff` Hz, 12 dB an octave; white noise becomes a rumble."""
    return F.lowpass_biquad(waveform, sampling_rate, cutoff)


def telephone(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Pass a clip through a telephone line: 300 to 3,400 Hz at 8 kHz in 8-bit mu-law.

    ITU-T G.711; the loudest sample takes the whole range of the code.
    """
    narrow = soxr.resample(waveform, sampling_rate, LINE_RATE)
    spectrum = np.fft.rfft(narrow)
    frequencies = np.fft.rfftfreq(len(narrow), 1 / LINE_RATE)
    low, high = LINE_BAND
    passed = (frequencies > low) & (frequencies < high)
    narrow = np.fft.irfft(spectrum * passed, len(narrow))
    wide = soxr.resample(_mu_law(narrow).astype(np.float32), LINE_RATE, sampling_rate)
    missing = max(0, len(waveform) - len(wide))
    return np.pad(wide, (0, missing))[: len(waveform)]


def _mu_law(waveform: np.ndarray) -> np.ndarray:
    """Write samples (n_samples,) as 8-bit codes and read them again."""
    peak = max(float(np.abs(waveform).max(initial=0.0)), 1e-9)
    compressed = np.log1p(MU * np.abs(waveform) / peak) / np.log(1 + MU)
    codes = np.round(127 * np.sign(waveform) * compressed)
    expanded = np.expm1(np.abs(codes) / 127 * np.log(1 + MU)) / MU
    return peak * np.sign(codes) * expanded


def room(
    waveform: np.ndarray,
    sampling_rate: int,
    rng: np.random.Generator,
    decay_seconds: float = 0.5,
) -> np.ndarray:
    """Add the echoes of a room: noise that falls by 60 dB in `decay_seconds`.

    The echoes together are as strong as the direct sound.
    """
    seconds = np.arange(int(decay_seconds * sampling_rate)) / sampling_rate
    decay = 10 ** (-3 * seconds / decay_seconds)
    echo = rng.standard_normal(len(seconds)) * decay
    echo[0] = np.sqrt(np.sum(echo[1:] ** 2))
    wet = fftconvolve(waveform, echo / echo[0])[: len(waveform)]
    return wet.astype(np.float32)
