"""Who speaks: each engine's voices, made smaller and larger, as far as engines are installed.

A voice that is played faster, and speaks as much more slowly, has a smaller throat: pitch and
formants are higher and the pace is the same. So a few voices become speakers of many sizes.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import engines
from .espeak import variants

SPLIT_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

# Shares of the clips. Neural voices are most like people, eSpeak NG's are the most different.
ENGINE_SHARES = {"espeak-ng": 0.4, "hibari": 0.3, "piper": 0.3, "flite": 0.1, "festival": 0.1}

ACCENTS = (  # of English, as eSpeak NG calls them; "en" is British
    "en-us",
    "en",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)
# Variants that sound like no person, or whisper.
NO_PERSON = ("robo", "anikaRobot", "UniRobot", "Demonic", "Tweaky", "Storm", "klatt", "croak")
NO_VOICE = ("whisper", "fast", "AnxiousAndy", "Mr serious")
N_ESPEAK = 120  # of some 600 pairs of accent and variant
FLITE_VOICES = ("awb", "kal16", "rms", "slt")

# Factors of a voice's size: a man becomes a woman or a child, a woman a man.
ESPEAK_SIZES = (0.92, 1.0, 1.1)
MAN_SIZES = (0.9, 0.97, 1.04, 1.11, 1.18, 1.26, 1.34)
WOMAN_SIZES = tuple(float(size) for size in np.geomspace(0.75, 1.12, 24).round(3))


@dataclass(frozen=True)
class Voice:
    """A speaker that no person is."""

    engine: str
    name: str  # as the engine calls it
    size: float  # factor of pitch and formants

    @property
    def speaker(self) -> str:
        """The name for a table."""
        return f"{self.engine}-{self.name}-{round(100 * self.size)}"


def all_voices(names: list[str], seed: int) -> list[Voice]:
    """List the voices of engines, in an order that the seed decides."""
    rng = np.random.default_rng(seed)
    voices = [voice for name in names for voice in VOICES[name](rng)]
    return [voices[i] for i in rng.permutation(len(voices))]


def _espeak(rng: np.random.Generator) -> list[Voice]:
    odd = (*NO_PERSON, *NO_VOICE)
    usual = [name for name in variants() if not name.startswith(odd)]
    pairs = [f"{accent}+{variant}" for accent in ACCENTS for variant in usual]
    drawn = rng.permutation(pairs)[:N_ESPEAK]
    sizes = rng.choice(ESPEAK_SIZES, len(drawn))
    return [Voice("espeak-ng", str(n), float(s)) for n, s in zip(drawn, sizes, strict=True)]


def _piper(rng: np.random.Generator) -> list[Voice]:
    return [Voice("piper", accent, size) for accent in ACCENTS for size in MAN_SIZES]


def _hibari(rng: np.random.Generator) -> list[Voice]:
    return [Voice("hibari", "heart", size) for size in WOMAN_SIZES]


def _flite(rng: np.random.Generator) -> list[Voice]:
    return [Voice("flite", name, size) for name in FLITE_VOICES for size in MAN_SIZES]


def _festival(rng: np.random.Generator) -> list[Voice]:
    command = ["festival", "-b", '(mapcar (lambda (v) (format t "%s\\n" v)) (voice.list))']
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [Voice("festival", name, size) for name in listed.split() for size in MAN_SIZES]


VOICES: dict[str, Callable[[np.random.Generator], list[Voice]]] = {
    "espeak-ng": _espeak,
    "piper": _piper,
    "hibari": _hibari,
    "flite": _flite,
    "festival": _festival,
}


def by_split(voices: list[Voice]) -> dict[str, dict[str, list[Voice]]]:
    """Share voices out over the splits, engine by engine: split -> engine -> voices.

    Every split has every engine; no voice is in two.
    """
    shared: dict[str, dict[str, list[Voice]]] = {split: {} for split in SPLIT_SHARES}
    for engine in engines.KINDS:
        own = [voice for voice in voices if voice.engine == engine]
        n_held_out = max(1, round(SPLIT_SHARES["test"] * len(own)))
        if len(own) <= 2 * n_held_out:
            continue
        shared["test"][engine] = own[:n_held_out]
        shared["validation"][engine] = own[n_held_out : 2 * n_held_out]
        shared["train"][engine] = own[2 * n_held_out :]
    return shared
