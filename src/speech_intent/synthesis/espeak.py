"""eSpeak NG by its own library, as the package `espeakng-loader` brings it.

One library is one voice at a time: a process speaks one text after the other.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SYNCHRONOUS = 2  # of espeak_AUDIO_OUTPUT: samples go to the callback, and the call then returns
UTF8 = 1  # of the flags of espeak_Synth
RATE, PITCH, RANGE = 1, 3, 4  # of espeak_PARAMETER
USUAL_RATE = 165  # words a minute
USUAL_PITCH = 50  # of 0 to 100, as its range is

# int callback(short *samples, int n_samples, espeak_EVENT *events)
CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def variants() -> Sequence[str]:
    """List the variants of a voice's sound, such as "f3", that the package's data have."""
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return sorted(path.name for path in folder.iterdir())


class Espeak:
    """The library, ready to speak. Raises ImportError where the package is not installed."""

    def __init__(self) -> None:
        import espeakng_loader

        data = espeakng_loader.get_data_path()
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.sampling_rate = self._library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), 0)
        if self.sampling_rate <= 0:
            raise ImportError(f"eSpeak NG finds no data in {data}")
        self._parts: list[np.ndarray] = []
        self._callback = CALLBACK(self._take)  # kept: the library holds its address alone

    def _take(self, samples: "ctypes._Pointer", n_samples: int, _events: int) -> int:
        if samples and n_samples > 0:
            self._parts.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        return 0  # go on

    def speak(self, text: str, voice: str, pace: float, pitch: float, span: float) -> np.ndarray:
        """Speak a text: float32, (n_samples,), at `sampling_rate`; empty where it has no sound.

        `voice` is an accent and a variant ("en-us+f3"), `pace` a factor of the usual rate; `pitch`
        and `span` of the melody go from -1 to 1. Raises ValueError for a voice that there is not.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"eSpeak NG has no voice {voice}")
        settings = {
            RATE: round(USUAL_RATE * pace),
            PITCH: round(USUAL_PITCH * (1 + pitch / 2)),
            RANGE: round(USUAL_PITCH * (1 + span / 2)),
        }
        for name, value in settings.items():
            self._library.espeak_SetParameter(name, value, 0)
        self._library.espeak_SetSynthCallback(self._callback)  # a process may have two of us
        self._parts.clear()
        content = text.encode()
        size = ctypes.c_size_t(len(content) + 1)
        self._library.espeak_Synth(content, size, 0, 1, 0, UTF8, None, None)
        if not self._parts:
            return np.zeros(0, np.float32)
        return np.concatenate(self._parts).astype(np.float32) / 32768
