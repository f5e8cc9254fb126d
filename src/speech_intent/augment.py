"""Changes to a training waveform that leave its intent as it is, as the world makes them."""

from collections.abc import Sequence

import numpy as np

from . import signals

NEARLY_CLEAN_SHARE = 0.18  # of clips: another speed and level alone
ROOM_SHARE = 0.6  # this and what follows: of the others
NOISE_SHARE = 0.65
MICROPHONE_SHARE = 0.8
NARROW_SHARE = 0.3  # of microphones
LINE_SHARE = 0.2

SPEED = (0.87, 1.15)
DECAY = (0.05, 0.6)  # seconds in which a room's echoes fall by 60 dB
DIRECT = (-6.0, 12.0)  # dB, direct sound to echoes
SNR = (0.0, 25.0)  # dB; 0 is as loud as the clip
COLOUR = (0.0, 2.0)  # white to brown
MICROPHONE_GAIN = 5.0  # dB, standard deviation
HIGHEST = (3_400.0, 5_000.0)  # Hz, of a narrow microphone
OPUS_KILOBITS = (6.0, 8.0)  # more is hardly heard, and costs twice as long
LEVEL = (-12.0, 6.0)  # dB

NOISES = ("coloured", "music", "babble")  # babble last: it needs voices

# Shares of lines: Opus costs fifty times what G.711 does, MP3 twenty, and both are heard less.
LINES = {"mu-law": 0.4, "A-law": 0.25, "GSM": 0.2, "MP3": 0.1, "Opus": 0.05}

SMALL_FACTORS = 1_024  # samples: other lengths may take a telephone ten times as long


def augment(
    waveform: np.ndarray, sampling_rate: int, others: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Change a training clip as `change` does, at another speed too.

    Takes float32, (n_samples,), and gives (n_samples / speed,). Seeded by torch's global generator,
    so that the Trainer's seed and checkpoints cover it.
    """
    import torch  # late: synthetic speech is made without it

    rng = np.random.default_rng(int(torch.randint(2**63 - 1, ())))
    waveform = signals.speed(waveform, rng.uniform(*SPEED))
    return change(waveform, sampling_rate, rng, others)


def change(
    waveform: np.ndarray,
    sampling_rate: int,
    rng: np.random.Generator,
    others: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Put a voice into a room and noise, hear it by a microphone, send it, level it.

    Takes and gives float32, (n_samples,). Each clip gets a random few of the changes; `others` are
    clips whose voices may be its babble.
    """
    if rng.random() >= NEARLY_CLEAN_SHARE:
        waveform = _recorded(waveform, sampling_rate, others, rng)
    return waveform * float(10 ** (rng.uniform(*LEVEL) / 20))


def _recorded(
    waveform: np.ndarray,
    sampling_rate: int,
    others: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    if rng.random() < ROOM_SHARE:
        decay, direct = rng.uniform(*DECAY), rng.uniform(*DIRECT)
        waveform = signals.room(waveform, sampling_rate, rng, decay, direct)
    if rng.random() < NOISE_SHARE:
        noise = _noise(len(waveform), sampling_rate, others, rng)
        waveform = signals.add_noise(waveform, noise, rng.uniform(*SNR))
    if rng.random() < MICROPHONE_SHARE:
        gains = rng.normal(0.0, MICROPHONE_GAIN, len(signals.MICROPHONE_KNOTS))
        highest = rng.uniform(*HIGHEST) if rng.random() < NARROW_SHARE else np.inf
        waveform = signals.microphone(waveform, sampling_rate, gains, highest)
    if rng.random() < LINE_SHARE:
        waveform = _sent(waveform, sampling_rate, rng)
    return waveform


def _noise(
    n_samples: int, sampling_rate: int, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Draw one of coloured noise, music and, where there are voices, babble: (n_samples,)."""
    kinds = NOISES if len(others) >= signals.MIN_VOICES else NOISES[:-1]
    kind = kinds[rng.integers(len(kinds))]
    if kind == "babble":
        return signals.babble(others, n_samples, rng)
    if kind == "music":
        return signals.music(n_samples, sampling_rate, rng)
    return signals.coloured_noise(n_samples, sampling_rate, rng.uniform(*COLOUR), rng)


def _sent(waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    line = rng.choice(list(LINES), p=list(LINES.values()))
    if line == "Opus":
        return signals.opus(waveform, sampling_rate, rng.uniform(*OPUS_KILOBITS))
    if line == "MP3":
        return signals.mp3(waveform, sampling_rate)
    silence = -len(waveform) % SMALL_FACTORS
    heard = signals.telephone(np.pad(waveform, (0, silence)), sampling_rate, line)
    return heard[: len(waveform)]
