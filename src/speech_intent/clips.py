"""A clip before it is decoded: where it comes from, what it is called, what it may be."""

import errno
import io
import logging
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .errors import AudioError
from .names import printable

LOWEST_RATE = 1_000  # Hz; below it there is no speech, and resampling would take gigabytes
HIGHEST_RATE = 655_350  # Hz; what FLAC has at most
MOST_CHANNELS = 64

# path | encoded bytes | {"bytes", "path"} as `datasets` stores audio
Encoded = str | Path | bytes | dict[str, Any]
Source = Encoded | tuple[np.ndarray, float]  # or (waveform, sampling_rate)

ADDRESS = r"[A-Za-z][A-Za-z0-9+.-]+://"
# What a system says when it gives a file not out; by errno.
REFUSALS = {
    errno.ENOENT: ("does not exist", "check the path"),
    errno.EISDIR: ("is a folder", "name an audio file in it"),
    errno.ENOTDIR: ("lies in what is no folder", "check the path"),
    errno.EACCES: ("may not be read", "change its permissions, or those of its folder"),
    errno.EPERM: ("may not be read", "change its permissions, or those of its folder"),
    errno.ENAMETOOLONG: ("has too long a name", "give it a shorter one"),
    errno.ELOOP: ("is a link that leads back to itself", "name the file itself"),
    errno.EMFILE: ("cannot be opened: too many files are open", "raise `ulimit -n`, or give fewer"),
    errno.ENFILE: ("cannot be opened: too many files are open", "end other programs"),
    errno.EIO: ("cannot be read: its disk or drive fails", "copy it from elsewhere"),
    errno.ESTALE: ("cannot be read: its network drive is gone", "connect the drive again"),
}

logger = logging.getLogger("speech_intent")


@dataclass(frozen=True)
class AudioWarning:
    """Something odd about a clip that was read all the same."""

    name: str
    problem: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{printable(self.name)}: {self.problem}"


Warn = Callable[[AudioWarning], Any]


def say_nothing(warning: AudioWarning) -> None:
    """Pass over what is odd about a clip, for callers whose user has been told of it before."""


def log_warning(warning: AudioWarning) -> None:
    """Log what is odd about a clip, for callers who do not collect warnings."""
    logger.warning("warning: %s", warning)


@dataclass(frozen=True)
class Block:
    """A piece of a clip."""

    waveform: np.ndarray  # mono float32, (n_samples,)
    sampling_rate: int  # Hz
    n_channels: int  # that were mixed
    energy: float  # sum of the squared samples of a channel, mean of the channels

    @property
    def format(self) -> tuple[int, int]:
        """What pieces must have in common to be joined."""
        return self.sampling_rate, self.n_channels


def mixed(samples: np.ndarray, sampling_rate: int) -> Block:
    """Mix float samples (n_samples, n_channels) to mono."""
    n_channels = samples.shape[1]
    mono = samples[:, 0] if n_channels == 1 else samples.mean(axis=1)
    energy = np.square(samples, dtype=np.float64).sum() / n_channels
    return Block(mono.astype(np.float32, copy=False), sampling_rate, n_channels, float(energy))


def check_format(name: str, sampling_rate: float, n_channels: int) -> None:
    """Raise `AudioError` for a sampling rate or a number of channels that no recording has."""
    if not LOWEST_RATE <= sampling_rate <= HIGHEST_RATE:
        problem = f"has a sampling rate of {sampling_rate:,} Hz"
        remedy = f"record it at one between {LOWEST_RATE:,} and {HIGHEST_RATE:,} Hz, say 16,000"
        raise AudioError(name, problem, remedy)
    if n_channels > MOST_CHANNELS:
        problem = f"has {n_channels} channels, more than {MOST_CHANNELS}"
        raise AudioError(name, problem, "export one of them")


def name_of(source: Source) -> str:
    """Name a clip in messages: its path where it has one."""
    if isinstance(source, dict):
        return source.get("path") or "bytes"
    if isinstance(source, str | Path):
        return str(source)
    return "bytes" if isinstance(source, bytes) else "array"


def open_clip(source: Encoded, name: str) -> BinaryIO:
    """Open a clip for reading from its first byte. Raises `AudioError` where there is none."""
    data: Any = source
    if isinstance(source, dict):
        data = source["path"] if source.get("bytes") is None else source["bytes"]
    if isinstance(data, bytes):
        return io.BytesIO(data)
    try:
        stream = open(data, "rb", opener=_at_once)  # noqa: SIM115 -- the caller closes it
    except OSError as error:
        raise unreadable(name, error) from error
    except ValueError as error:  # a null character in the path
        problem = f"cannot be read ({error})"
        raise AudioError(name, problem, "check the path") from error
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        problem = "is a pipe or a device, which cannot be read twice"
        raise AudioError(name, problem, "write it to a file first")
    try:
        stream.read(1)  # not every file that can be opened can be read
        stream.seek(0)
    except OSError as error:
        stream.close()
        raise unreadable(name, error) from error
    return stream


def _at_once(path: str, flags: int) -> int:
    """Open a file; a pipe, too, without waiting for who writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def unreadable(name: str, error: OSError) -> AudioError:
    """Say why a system does not give a file out."""
    if error.errno == errno.ENOENT and re.match(ADDRESS, name):
        return AudioError(name, "is an address, not a file", "download it first")
    if error.errno in REFUSALS:
        return AudioError(name, *REFUSALS[error.errno])
    problem = f"cannot be read ({error.strerror or error})"
    return AudioError(name, problem, "check the path and its permissions")
