"""The world between a voice and a model, for training (`augment`) and evaluation (`conditions`).

In its order: speed, room, noise, microphone, line. Waveforms are mono float32, (n_samples,), and
come back as long as they were, but for `speed`. `dataset/` and `pretraining/` have filters of their
own: what they made is frozen, byte by byte.
"""

import io
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import soundfile
import soxr
from scipy import fft
from scipy.signal import fftconvolve

MIN_VOICES = 3  # of a babble: one or two could be understood
MAX_VOICES = 6
FLAT_BELOW = 50.0  # Hz: coloured noise would else be rumble that nobody hears
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 5, 9))  # semitones above the lowest note
LOWEST_NOTE = 110.0  # Hz
HIGHEST_NOTE = 740.0  # Hz, nine semitones above the highest of two octaves
TABLE = 2_048  # samples of one period of a tone
MICROPHONE_KNOTS = (100, 400, 1_000, 2_500, 6_000)  # Hz
WRAP = 1_024  # samples of silence behind a clip, for what a filter moves across its ends
LINE_RATE = 8_000  # Hz, of a telephone line
LINE_BAND = (300, 3_400)  # Hz
MU = 255  # of the North American and Japanese companding law, ITU-T G.711
CODEC_RATE = 16_000  # Hz, of wideband speech


def speed(waveform: np.ndarray, factor: float) -> np.ndarray:
    """Play a clip `factor` times as fast, to a hundredth: (n_samples / factor,).

    Pitch and formants go with it, as with another speaker (Ko et al. 2015).
    """
    # Of whole numbers, a resampler needs half the time.
    return _resampled(waveform, round(100 * factor), 100)


def _resampled(waveform: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Bring a clip to another rate; a sample or two may become none, which nothing can take."""
    changed = soxr.resample(waveform, rate, new_rate)
    return changed if len(changed) else waveform[:1]


def room(
    waveform: np.ndarray,
    sampling_rate: int,
    rng: np.random.Generator,
    decay_seconds: float = 0.5,
    direct: float = 0.0,
) -> np.ndarray:
    """Add the echoes of a room: noise that falls by 60 dB in `decay_seconds`.

    The direct sound is `direct` dB stronger than the echoes together.
    """
    seconds = np.arange(int(decay_seconds * sampling_rate)) / sampling_rate
    decay = 10 ** (-3 * seconds / decay_seconds)
    echo = rng.standard_normal(len(seconds)) * decay
    echo[0] = np.sqrt(np.sum(echo[1:] ** 2)) * 10 ** (direct / 20)
    wet = fftconvolve(waveform, echo / echo[0])[: len(waveform)]
    return wet.astype(np.float32)


def white_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Make noise as strong at every frequency: float64, (n_samples,)."""
    return rng.standard_normal(n_samples)


def pink_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Make noise whose power falls as 1 / frequency, as in rooms and traffic: (n_samples,)."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequencies = np.arange(1, len(spectrum) + 1)
    return np.fft.irfft(spectrum / np.sqrt(frequencies), n_samples)


def coloured_noise(
    n_samples: int, sampling_rate: int, exponent: float, rng: np.random.Generator
) -> np.ndarray:
    """Make noise whose power falls as 1 / frequency ** exponent above 50 Hz: (n_samples,).

    0 is white, 1 pink, 2 brown. Drawn as a spectrum, which saves a transform.
    """
    n_fft = fft.next_fast_len(n_samples, real=True)
    frequencies = fft.rfftfreq(n_fft, 1 / sampling_rate).astype(np.float32)
    gains = np.maximum(frequencies, FLAT_BELOW) ** np.float32(-exponent / 2)
    white = rng.standard_normal(2 * len(gains), np.float32).view(np.complex64)
    return fft.irfft(white * gains, n_fft)[:n_samples]


def babble(voices: Sequence[np.ndarray], n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Sum up to six of the voices, (n_samples of each,), all as loud: (n_samples,).

    Each begins at a random place and is repeated as often as it takes.
    """
    together = np.zeros(n_samples, np.float32)
    for i in rng.permutation(len(voices))[:MAX_VOICES]:
        turned = np.roll(voices[i], -rng.integers(len(voices[i])))
        loudness = np.sqrt(np.mean(turned**2))
        together += np.resize(turned, n_samples) / max(loudness, 1e-9)
    return together


def music(n_samples: int, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Play chords of decaying harmonic tones, one after the other: (n_samples,)."""
    n_harmonics = int(sampling_rate / 2 / HIGHEST_NOTE)
    harmonics = np.arange(1, n_harmonics + 1)
    amplitudes = harmonics ** -rng.uniform(0.5, 2.0)
    turns = np.arange(TABLE) / TABLE
    period = amplitudes @ np.sin(2 * np.pi * np.outer(harmonics, turns))
    beat = int(rng.uniform(0.2, 0.8) * sampling_rate)
    decay = np.exp(-np.arange(beat) / (rng.uniform(0.1, 0.6) * sampling_rate))
    n_chords = -(-n_samples // beat)
    chords = [_chord(period, beat, sampling_rate, rng) * decay for _ in range(n_chords)]
    return np.concatenate(chords)[:n_samples]


def _chord(
    period: np.ndarray, n_samples: int, sampling_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Read one period of a tone at the pace of three notes: (n_samples,)."""
    semitones = rng.integers(24) + np.array(CHORDS[rng.integers(len(CHORDS))])
    steps = LOWEST_NOTE * 2 ** (semitones / 12) / sampling_rate * TABLE
    places = np.outer(steps, np.arange(n_samples)).astype(int) % TABLE  # (3, n_samples)
    return period[places].sum(axis=0)


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Add noise (n_samples,) that is `snr` dB weaker than the clip as a whole."""
    signal_power = np.mean(waveform.astype(np.float64) ** 2)
    noise_power = max(np.mean(noise**2), 1e-12)
    gain = np.sqrt(signal_power / noise_power / 10 ** (snr / 10))
    return (waveform + noise * gain).astype(np.float32)


def microphone(
    waveform: np.ndarray, sampling_rate: int, gains: np.ndarray, highest: float = np.inf
) -> np.ndarray:
    """Colour a clip by `gains` dB, (5,), at `MICROPHONE_KNOTS`; stop what lies above `highest` Hz.

    Amplitudes lie on straight lines between the knots. No sample moves in time.
    """
    n_fft = fft.next_fast_len(len(waveform) + WRAP, real=True)
    frequencies = fft.rfftfreq(n_fft, 1 / sampling_rate)
    response = np.interp(frequencies, MICROPHONE_KNOTS, 10 ** (gains / 20))
    response[frequencies > highest] = 0.0
    spectrum = fft.rfft(waveform, n_fft) * response.astype(np.float32)
    return fft.irfft(spectrum, n_fft)[: len(waveform)]


def telephone(waveform: np.ndarray, sampling_rate: int, code: str = "mu-law") -> np.ndarray:
    """Pass a clip through a telephone line: 300 to 3,400 Hz at 8 kHz, in a code of `LINE_CODES`.

    8-bit mu-law or A-law (ITU-T G.711), or GSM 06.10 of mobile telephones. The loudest sample takes
    the whole range of the code.
    """
    narrow = _resampled(waveform, sampling_rate, LINE_RATE)
    spectrum = np.fft.rfft(narrow)
    frequencies = np.fft.rfftfreq(len(narrow), 1 / LINE_RATE)
    low, high = LINE_BAND
    passed = (frequencies > low) & (frequencies < high)
    narrow = np.fft.irfft(spectrum * passed, len(narrow))
    coded = LINE_CODES[code](narrow).astype(np.float32)
    return _fit(_resampled(coded, LINE_RATE, sampling_rate), len(waveform))


def _mu_law(waveform: np.ndarray) -> np.ndarray:
    """Write samples (n_samples,) as 8-bit codes and read them again."""
    peak = max(float(np.abs(waveform).max(initial=0.0)), 1e-9)
    compressed = np.log1p(MU * np.abs(waveform) / peak) / np.log(1 + MU)
    codes = np.round(127 * np.sign(waveform) * compressed)
    expanded = np.expm1(np.abs(codes) / 127 * np.log(1 + MU)) / MU
    return peak * np.sign(codes) * expanded


def opus(waveform: np.ndarray, sampling_rate: int, kilobits: float) -> np.ndarray:
    """Send a clip as Opus at 16 kHz, 6 to 256 kbit/s, as calls over the Internet do."""
    compression = 1 - (kilobits - 6) / 250  # of libsndfile: 1 is 6 kbit/s, 0 is 256
    return _recoded(waveform, sampling_rate, "OGG", "OPUS", compression)


def mp3(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Keep a clip as an MP3 of 16 kHz that is about as small as they get, near 24 kbit/s."""
    return _recoded(waveform, sampling_rate, "MP3", "MPEG_LAYER_III", compression=0.9)


def _recoded(
    waveform: np.ndarray, sampling_rate: int, container: str, subtype: str, compression: float
) -> np.ndarray:
    sent = _resampled(waveform, sampling_rate, CODEC_RATE)
    heard = _written(sent, CODEC_RATE, container, subtype, compression)
    return _fit(_resampled(heard, CODEC_RATE, sampling_rate), len(waveform))


def _written(
    waveform: np.ndarray,
    sampling_rate: int,
    container: str,
    subtype: str,
    compression: float | None = None,
) -> np.ndarray:
    """Write a file into memory and read it again: float32, (n_samples,).

    libsndfile takes away the delay of a codec that its container tells: Opus, MP3 of varying rate.
    """
    peak = max(float(np.abs(waveform).max(initial=0.0)), 1e-9)
    file = io.BytesIO()
    settings = {"subtype": subtype, "format": container, "compression_level": compression}
    soundfile.write(file, waveform / peak, sampling_rate, **settings)
    file.seek(0)
    heard, _ = soundfile.read(file, dtype="float32")
    return _fit(heard, len(waveform)) * peak


def _fit(waveform: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut or lengthen a clip, (any number,), to (n_samples,)."""
    missing = max(0, n_samples - len(waveform))
    return np.pad(waveform, (0, missing))[:n_samples]


_in_wav = partial(_written, sampling_rate=LINE_RATE, container="WAV")
LINE_CODES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mu-law": _mu_law,
    "A-law": partial(_in_wav, subtype="ALAW"),
    "GSM": partial(_in_wav, subtype="GSM610"),
}
