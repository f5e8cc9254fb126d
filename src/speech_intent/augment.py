"""Changes to a training waveform that leave its intent as it is: speed, noise, level."""

import functools

import torch
import torchaudio.functional as F
from torchaudio.transforms import Speed

from . import signals

SPEEDS = (0.9, 0.95, 1.0, 1.05, 1.1)  # pitch goes with it, as with another speaker (Ko et al. 2015)
NOISE_SHARE = 0.5
NOISE_CUTOFF = (500.0, 7000.0)  # Hz
NOISE_SNR = (5.0, 30.0)  # dB
LEVEL = (-12.0, 6.0)  # dB


@functools.cache
def _speed(sampling_rate: int, factor: float) -> Speed:
    return Speed(sampling_rate, factor)  # holds a resampling kernel that is costly to make


def augment(waveform: torch.Tensor, sampling_rate: int) -> torch.Tensor:
    """Change the speed, add coloured noise to half of the clips, and change the level.

    Takes float32, (n_samples,), and gives (n_samples / speed,). Draws from torch's global
    generator, so that the Trainer's seed and checkpoints cover it.
    """
    factor = SPEEDS[int(torch.randint(len(SPEEDS), ()))]
    if factor != 1.0:
        waveform, _ = _speed(sampling_rate, factor)(waveform)
    if torch.rand(()) < NOISE_SHARE and waveform.any():
        white = torch.randn_like(waveform)
        noise = signals.low_pass(white, sampling_rate, float(_between(NOISE_CUTOFF)))
        waveform = F.add_noise(waveform, noise, _between(NOISE_SNR))
    return F.gain(waveform, float(_between(LEVEL)))


def _between(bounds: tuple[float, float]) -> torch.Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(())
