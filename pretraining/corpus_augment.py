"""Recording conditions for batches of clean speech: room, equaliser, band limit, noise, codec.

Drawn anew for each batch, padding included, by one FFT a clip. Noise, room and codec here are this
script's own, with other filters than those of the package: the shipped encoder was pretrained with
them, so for a seed they are frozen.
"""

from collections.abc import Sequence

import numpy as np
import torch

RATE = 16_000  # Hz
NOISE_SECONDS = 40  # of each kind
N_ROOMS = 400
ROOM_SAMPLES = 8_000
WRAP = 2_048  # samples of silence behind a clip: a tail that wraps is weak by then
KNOTS = np.array([0, 80, 200, 450, 900, 1600, 2600, 4000, 6000, 8000])  # Hz, of the equaliser
N_BINS = 257  # of a drawn frequency response, from 0 to 8 kHz


def coloured_noise(seconds: float, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise whose power falls with frequency as 1 / f ** exponent.

    0 is white, 1 pink, 2 brown. float32, (seconds * 16000,), unit standard deviation.
    """
    size = int(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(size).astype(np.float32))
    frequencies = np.maximum(np.arange(len(spectrum)) * RATE / size, 40.0)
    noise = np.fft.irfft(spectrum / frequencies ** (exponent / 2), n=size)
    return (noise / noise.std()).astype(np.float32)


def noise_pool(
    clips: Sequence[np.ndarray], rng: np.random.Generator, seconds: float = NOISE_SECONDS
) -> torch.Tensor:
    """Build the noise that batches take random cuts of; `clips` is speech for the babble.

    Stationary, unsteady and humming noise and babble of 2 to 8 voices, one after the other:
    float32, (n_samples,).
    """
    time = np.arange(int(seconds * RATE)) / RATE
    parts = [coloured_noise(seconds, exponent, rng) for exponent in (0.0, 0.5, 1.0, 1.5, 2.0)]
    for rate_hz in (0.5, 2.0, 6.0):  # fans, wheels and traffic swell
        knots = rng.normal(0, 0.7, int(seconds * rate_hz))
        swell = np.exp(np.interp(time, np.arange(len(knots)) / rate_hz, knots))
        exponent = float(rng.uniform(0, 2))
        parts.append(coloured_noise(seconds, exponent, rng) * swell.astype(np.float32))
    overtones = (np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) / k for k in range(1, 20))
    hum = sum(overtones)
    parts.append(hum.astype(np.float32) + 0.2 * coloured_noise(seconds, 1.0, rng))
    speech = np.concatenate([clips[i] for i in rng.permutation(len(clips))]).astype(np.float32)
    for n_voices in (2, 3, 4, 6, 8):
        starts = rng.integers(0, len(speech) - len(time), size=n_voices)
        parts.append(sum(speech[start : start + len(time)] for start in starts))
    pool = np.concatenate([part / part.std() for part in parts])
    return torch.from_numpy(pool.astype(np.float32))


def room_responses(
    count: int, rng: np.random.Generator, length: int = ROOM_SAMPLES
) -> torch.Tensor:
    """Return impulse responses of made-up rooms: float32, (count, length).

    A direct impulse and a noise tail that falls by 60 dB in 0.08 to 0.6 s.
    """
    time = np.arange(length) / RATE
    decay = np.exp(rng.uniform(np.log(0.08), np.log(0.6), size=(count, 1)))
    tail = rng.standard_normal((count, length)) * np.exp(-6.9 * time / decay)
    tail *= time >= rng.uniform(0.0005, 0.006, size=(count, 1))
    direct_db = rng.uniform(-8, 12, size=(count, 1))  # direct to reverberant energy
    tail *= 10 ** (-direct_db / 20) / np.sqrt((tail**2).sum(axis=1, keepdims=True))
    tail[:, 0] += 1.0
    return torch.from_numpy(tail.astype(np.float32))


def channel_gains(count: int, bins: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw each clip's equaliser and band limit: gains from 0 to 8 kHz, float32, (count, bins)."""
    frequencies = np.linspace(0, RATE / 2, bins)
    gains = np.empty((count, bins), dtype=np.float32)
    for row in gains:
        scale = 5.0 if rng.random() < 0.8 else 0.0
        row[:] = 10 ** (np.interp(frequencies, KNOTS, rng.normal(0, scale, len(KNOTS))) / 20)
        kind = rng.random()
        if kind < 0.35:  # narrow band: a telephone, or a recording at 8 kHz or a little more
            low = rng.uniform(150, 400) if kind < 0.12 else 20.0
            high = rng.uniform(3000, 4200) if kind < 0.25 else rng.uniform(4000, 7500)
            row *= 1 / np.sqrt(1 + (low / np.maximum(frequencies, 1.0)) ** 8)
            row *= 1 / np.sqrt(1 + (frequencies / high) ** 40)
    return torch.from_numpy(gains)


class CorpusAugment:
    """Random recording conditions; keeps a pool of noise, rooms and a generator between batches."""

    def __init__(self, clips: Sequence[np.ndarray], rng: np.random.Generator):
        """Draw noise and rooms; `clips` is speech for the babble."""
        self.rng = rng
        self.noise = noise_pool(clips, rng)
        self.rooms = room_responses(N_ROOMS, rng)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Augment a batch, float32, (clips, samples).

        Padding too, so that rooms and noise fill the silence around the words.
        """
        count, size = batch.shape
        length = size + WRAP
        response = channel_gains(count, N_BINS, self.rng)[:, None]
        n_frequencies = length // 2 + 1
        gains = torch.nn.functional.interpolate(response, size=n_frequencies, mode="linear")[:, 0]
        spectrum = torch.fft.rfft(batch, n=length) * gains
        wet = torch.from_numpy(self.rng.random(count) < 0.4)
        if wet.any():
            picks = torch.from_numpy(self.rng.integers(0, len(self.rooms), int(wet.sum())))
            spectrum[wet] *= torch.fft.rfft(self.rooms[picks], n=length)
        batch = torch.fft.irfft(spectrum, n=length)[:, :size]
        return self.degrade(self.add_noise(batch))

    def add_noise(self, batch: torch.Tensor) -> torch.Tensor:
        """Add a cut of the noise pool: 0 to 30 dB to three of four clips, 35 to 60 dB to others."""
        count, size = batch.shape
        starts = self.rng.integers(0, len(self.noise) - size, count)
        noise = torch.stack([self.noise[start : start + size] for start in starts])
        loud = self.rng.random(count) < 0.75
        snr = np.where(loud, self.rng.uniform(0, 30, count), self.rng.uniform(35, 60, count))
        ratio = batch.square().mean(1).sqrt() / noise.square().mean(1).sqrt().clamp_min(1e-5)
        return batch + noise * (ratio * torch.from_numpy(10 ** (-snr / 20)).float())[:, None]

    def degrade(self, batch: torch.Tensor) -> torch.Tensor:
        """Clip some signals mildly and pass others through a mu-law codec."""
        batch = batch / batch.abs().amax(1, keepdim=True).clamp_min(1e-5)
        for row in np.flatnonzero(self.rng.random(len(batch)) < 0.1):
            ceiling = float(self.rng.uniform(0.25, 0.8))
            batch[row] = batch[row].clamp(-ceiling, ceiling)
        for row in np.flatnonzero(self.rng.random(len(batch)) < 0.1):
            code = torch.sign(batch[row]) * torch.log1p(255 * batch[row].abs()) / np.log(256)
            code = torch.round(code * 127) / 127
            batch[row] = torch.sign(code) * (torch.pow(256.0, code.abs()) - 1) / 255
        return batch
