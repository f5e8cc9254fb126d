"""Online augmentation of a padded batch: room, equaliser, band limit, noise, codec; by one FFT per clip."""

import numpy as np
import torch

RATE = 16_000


def coloured_noise(seconds, exponent, rng):
    """Return noise whose power falls with frequency as 1 / f ** exponent.

    Parameters
    ----------
    seconds : float
    exponent : float
        0 is white, 1 pink, 2 brown.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        float32, shape (seconds * 16000,), unit standard deviation.
    """
    size = int(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(size).astype(np.float32))
    freqs = np.maximum(np.arange(len(spectrum)) * RATE / size, 40.0)
    noise = np.fft.irfft(spectrum / freqs ** (exponent / 2), n=size)
    return (noise / noise.std()).astype(np.float32)


def noise_pool(clips, rng, seconds=40):
    """Build the noise that batches take random cuts of.

    Parameters
    ----------
    clips : sequence of numpy.ndarray
        Speech for the babble.

    Returns
    -------
    torch.Tensor
        float32, shape (samples,): stationary, unsteady and humming noise and babble of 2 to 8 voices.
    """
    parts = [coloured_noise(seconds, exponent, rng) for exponent in (0.0, 0.5, 1.0, 1.5, 2.0)]
    time = np.arange(int(seconds * RATE)) / RATE
    for rate_hz in (0.5, 2.0, 6.0):  # fans, wheels and traffic swell
        knots = rng.normal(0, 0.7, int(seconds * rate_hz))
        swell = np.exp(np.interp(time, np.arange(len(knots)) / rate_hz, knots)).astype(np.float32)
        parts.append(coloured_noise(seconds, float(rng.uniform(0, 2)), rng) * swell)
    hum = sum(np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) / k for k in range(1, 20))
    parts.append(hum.astype(np.float32) + 0.2 * coloured_noise(seconds, 1.0, rng))
    speech = np.concatenate([clips[i] for i in rng.permutation(len(clips))]).astype(np.float32)
    for voices in (2, 3, 4, 6, 8):
        starts = rng.integers(0, len(speech) - len(time), size=voices)
        parts.append(sum(speech[start : start + len(time)] for start in starts))
    return torch.from_numpy(np.concatenate([part / part.std() for part in parts]).astype(np.float32))


def room_responses(count, rng, length=8000):
    """Return impulse responses of made-up rooms: a direct impulse and an exponentially decaying noise tail.

    Returns
    -------
    torch.Tensor
        float32, shape (count, length).
    """
    time = np.arange(length) / RATE
    decay = np.exp(rng.uniform(np.log(0.08), np.log(0.6), size=(count, 1)))  # seconds to fall by 60 dB
    tail = rng.standard_normal((count, length)) * np.exp(-6.9 * time / decay)
    tail *= time >= rng.uniform(0.0005, 0.006, size=(count, 1))
    direct_db = rng.uniform(-8, 12, size=(count, 1))  # direct to reverberant energy
    tail *= 10 ** (-direct_db / 20) / np.sqrt((tail**2).sum(axis=1, keepdims=True))
    tail[:, 0] += 1.0
    return torch.from_numpy(tail.astype(np.float32))


def channel_gains(count, bins, rng):
    """Draw each clip's equaliser and band limit.

    Returns
    -------
    torch.Tensor
        float32, shape (count, bins): gain from 0 to 8 kHz.
    """
    freqs = np.linspace(0, RATE / 2, bins)
    knots = np.array([0, 80, 200, 450, 900, 1600, 2600, 4000, 6000, 8000])
    gains = np.empty((count, bins), dtype=np.float32)
    for row in gains:
        scale = 5.0 if rng.random() < 0.8 else 0.0
        row[:] = 10 ** (np.interp(freqs, knots, rng.normal(0, scale, len(knots))) / 20)
        kind = rng.random()
        if kind < 0.35:  # narrow band: a telephone, or a recording at 8 kHz or a little more
            low = rng.uniform(150, 400) if kind < 0.12 else 20.0
            high = rng.uniform(3000, 4200) if kind < 0.25 else rng.uniform(4000, 7500)
            row *= 1 / np.sqrt(1 + (low / np.maximum(freqs, 1.0)) ** 8)
            row *= 1 / np.sqrt(1 + (freqs / high) ** 40)
    return torch.from_numpy(gains)


class Augment:
    """Random recording conditions for batches of clean speech.

    Parameters
    ----------
    clips : sequence of numpy.ndarray
        Speech for babble noise.
    rng : numpy.random.Generator
    """

    def __init__(self, clips, rng):
        self.rng = rng
        self.noise = noise_pool(clips, rng)
        self.rooms = room_responses(400, rng)

    def __call__(self, batch):
        """Augment a batch, padding included, so that rooms and noise fill the silence around the words.

        Parameters
        ----------
        batch : torch.Tensor
            float32, shape (clips, samples).

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        count, size = batch.shape
        length = size + 2048  # a wrapped tail is weak by then
        response = channel_gains(count, 257, self.rng)
        gains = torch.nn.functional.interpolate(response[:, None], size=length // 2 + 1, mode="linear")[:, 0]
        spectrum = torch.fft.rfft(batch, n=length) * gains
        wet = torch.from_numpy(self.rng.random(count) < 0.4)
        if wet.any():
            picks = torch.from_numpy(self.rng.integers(0, len(self.rooms), int(wet.sum())))
            spectrum[wet] *= torch.fft.rfft(self.rooms[picks], n=length)
        batch = torch.fft.irfft(spectrum, n=length)[:, :size]
        return self.degrade(self.add_noise(batch))

    def add_noise(self, batch):
        """Add a cut of the noise pool: at 0 to 30 dB to three of four clips, at 35 to 60 dB to the rest."""
        count, size = batch.shape
        starts = self.rng.integers(0, len(self.noise) - size, count)
        noise = torch.stack([self.noise[start : start + size] for start in starts])
        loud = self.rng.random(count) < 0.75
        snr = np.where(loud, self.rng.uniform(0, 30, count), self.rng.uniform(35, 60, count))
        ratio = batch.square().mean(1).sqrt() / noise.square().mean(1).sqrt().clamp_min(1e-5)
        return batch + noise * (ratio * torch.from_numpy(10 ** (-snr / 20)).float())[:, None]

    def degrade(self, batch):
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
