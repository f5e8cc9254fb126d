"""One clip: a voice says a text, and the world between a mouth and a model is put in between."""

import json
import os
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .. import signals
from ..augment import change
from . import engines
from .engines import Spoken
from .plan import Clip
from .voices import Voice

RATE = 16_000  # Hz
PACE = (0.8, 1.3)  # factor of the usual pace
EDGE = (-0.2, 0.4)  # seconds of silence at either end; below 0 there is none
LEVEL = (-18.0, -1.0)  # dBFS of the loudest sample
AUDIBLE = 0.01  # of the loudest sample: what is trimmed lies below
SHORTEST = 0.08  # seconds of sound; what is shorter is no word
LONGEST = 30.0
CHANGED_SHARE = 0.5  # of the clips; the others are as a good microphone would hear them


Row = dict[str, str]  # of metadata.csv


def make(clip: Clip, seed: int, folder: Path) -> Row | None:
    """Speak a clip into a folder, unless it is there; give its row, None if no voice can say it."""
    path = folder / clip.file_name
    if path.exists():
        with soundfile.SoundFile(path) as file:
            return dict(json.loads(file.comment))
    rng = np.random.default_rng([seed, clip.number])
    for voice in clip.voices:
        speech = _spoken(clip.text, voice, rng)
        if speech is not None:
            row = _row(clip, voice)
            _write(_recorded(speech, rng), row, path)
            return row
    return None


def _row(clip: Clip, voice: Voice) -> Row:
    return {
        "file_name": clip.file_name,
        "intent": clip.intent,
        "speaker": voice.speaker,
        "engine": voice.engine,
        "text": clip.text,
        "split": clip.split,
    }


def _spoken(text: str, voice: Voice, rng: np.random.Generator) -> np.ndarray | None:
    """Give a voice's speech, float32, (n_samples,), without silence around; None without speech."""
    pace = rng.uniform(*PACE)
    spoken = _said(text, voice, pace / voice.size, rng)
    if not len(spoken.waveform) or not np.isfinite(spoken.waveform).all():
        return None
    at_rate = soxr.resample(spoken.waveform, spoken.sampling_rate, RATE)
    speech = _trimmed(signals.speed(at_rate, voice.size))
    return speech if SHORTEST <= len(speech) / RATE <= LONGEST else None


def _said(text: str, voice: Voice, pace: float, rng: np.random.Generator) -> Spoken:
    """Ask an engine to speak; no samples where it stumbles over the text, in whatever way."""
    engine = engines.engine(voice.engine)
    try:
        return engine.speak(text, voice.name, pace, rng)
    except Exception:  # each engine has errors of its own; the next voice is asked
        return Spoken(np.zeros(0, np.float32), RATE)


def _trimmed(waveform: np.ndarray) -> np.ndarray:
    loudness = np.abs(waveform)
    audible = np.flatnonzero(loudness > AUDIBLE * loudness.max())
    return waveform[audible[0] : audible[-1] + 1] if len(audible) else waveform[:0]


def _recorded(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put silence, and for some clips room, noise, microphone and line, around speech."""
    before, after = (max(0, int(seconds * RATE)) for seconds in rng.uniform(*EDGE, 2))
    waveform = np.pad(speech, (before, after))
    if rng.random() < CHANGED_SHARE:
        waveform = change(waveform, RATE, rng)
    peak = 10 ** (rng.uniform(*LEVEL) / 20)
    return waveform * peak / np.abs(waveform).max()


def _write(waveform: np.ndarray, row: Row, path: Path) -> None:
    """Write a FLAC file that is there in full or not at all, and carries its own row."""
    partial = path.with_name(f"{path.name}.partial")
    samples = np.round(waveform * 32767).astype(np.int16)
    with soundfile.SoundFile(partial, "w", RATE, 1, "PCM_16", format="FLAC") as file:
        file.comment = json.dumps(row)
        file.write(samples)
    os.replace(partial, path)
