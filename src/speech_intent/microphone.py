"""The microphone, by way of PortAudio: blocks of samples as they are recorded."""

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

import numpy as np

from .errors import UserError
from .intake import Intake

NAME = "the microphone"
BLOCK_SECONDS = 0.03
WAITING = 1_000  # blocks, 30 s, that may wait for a slow model; then the newest are lost
NOT_INSTALLED = ("needs the package sounddevice", 'pip install -e ".[listen]"')
NO_PORTAUDIO = (
    "needs PortAudio, which is not on this machine",
    "apt install libportaudio2 (Debian, Ubuntu), dnf install portaudio (Fedora)",
)
NO_DEVICE = "plug one in, allow its use, or name another: python -m sounddevice lists them"


class Microphone:
    """A microphone that records, at its own rate.

    `n_lost` counts blocks that nobody took in time.
    """

    def __init__(self, sounddevice: Any, device: str | int | None):
        found = sounddevice.query_devices(device, "input")
        self.name: str = found["name"]
        self.n_lost = 0
        self._waiting: queue.Queue[np.ndarray] = queue.Queue(WAITING)
        self._intake = Intake(round(found["default_samplerate"]))
        self.stream = sounddevice.InputStream(
            samplerate=self._intake.sampling_rate,
            blocksize=round(BLOCK_SECONDS * self._intake.sampling_rate),
            device=device,
            channels=1,
            dtype="float32",
            callback=self._take,
        )

    def _take(self, frames: np.ndarray, n_frames: int, when: Any, status: Any) -> None:
        """Take a block (n_frames, 1) over from PortAudio's thread, which must not wait."""
        try:
            self._waiting.put_nowait(frames.copy())
        except queue.Full:
            self.n_lost += 1

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield mono float32 blocks at 16 kHz, (n_samples,), without end."""
        while True:
            yield self._intake.samples(self._waiting.get())


@contextlib.contextmanager
def recording(device: str | int | None = None) -> Iterator[Microphone]:
    """Record until the end of the block. Raises `UserError` for what is missing."""
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise UserError(NAME, *NOT_INSTALLED) from error
    except OSError as error:  # the package is there, its library is not
        raise UserError(NAME, *NO_PORTAUDIO) from error
    try:
        microphone = Microphone(sounddevice, device)
        microphone.stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UserError(NAME, f"cannot be used ({error})", NO_DEVICE) from error
    try:
        yield microphone
    finally:
        microphone.stream.close()
