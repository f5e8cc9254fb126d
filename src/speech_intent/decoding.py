"""A clip as it comes (a file, bytes, an array) becomes mono float32 blocks at its own rate."""

import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from .errors import AudioError
from .names import printable

PRE_ROLL = 11_520  # ten MP3 frames, read and dropped: right after a seek the decoder is wrong
BLOCK_FRAMES = 65_536  # frames read at a time; 8 channels of float32 are then 2 MB
SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"}
SUFFIXES |= {".aif", ".aiff", ".au", ".w64", ".caf"}

# path | encoded bytes | {"bytes", "path"} as `datasets` stores audio
Encoded = str | Path | bytes | dict[str, Any]
Source = Encoded | tuple[np.ndarray, float]  # or (waveform, sampling_rate)

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


def log_warning(warning: AudioWarning) -> None:
    """Log what is odd about a clip, for callers who do not collect warnings."""
    logger.warning("warning: %s", warning)


@dataclass(frozen=True)
class Block:
    """A piece of a clip."""

    waveform: np.ndarray  # mono float32, (n_samples,)
    sampling_rate: int  # Hz


@dataclass(frozen=True)
class Header:
    """What a clip says of itself before it is decoded."""

    sampling_rate: int  # Hz
    n_channels: int
    seconds: float


def name_of(source: Source) -> str:
    """Name a clip in messages: its path where it has one."""
    if isinstance(source, dict):
        return source.get("path") or "bytes"
    if isinstance(source, str | Path):
        return str(source)
    return "bytes" if isinstance(source, bytes) else "array"


def header(source: Encoded) -> Header:
    """Read what an encoded clip says of itself. Raises `AudioError` if it is not audio."""
    name = name_of(source)
    with _open(source, name) as stream:
        try:
            info = soundfile.info(stream)
        except soundfile.SoundFileError as error:
            raise _not_audio(name, stream, error) from error
    return Header(info.samplerate, info.channels, info.duration)


def native_blocks(source: Source, start: float, warn: Warn) -> Iterator[Block]:
    """Yield a clip piece by piece from `start` seconds on, at its own sampling rate."""
    if isinstance(source, tuple):
        yield from _array_blocks(_mono_array(*source), start)
        return
    name = name_of(source)
    if not isinstance(source, str | Path | bytes | dict):
        raise AudioError(name, "has no sampling rate", "give (waveform, sampling_rate)")
    with _open(source, name) as stream:
        missing = _missing_bytes(stream)
        stream.seek(0)
        try:
            with _ForwardFile(stream) as file:
                if missing and file.frames:
                    problem = "is shorter than its header says; what is there was used"
                    warn(AudioWarning(name, problem))
                yield from _file_blocks(file, name, start)
        except soundfile.SoundFileError as error:
            raise _not_audio(name, stream, error) from error


class _ForwardFile(soundfile.SoundFile):
    """A file that is read from front to back.

    soundfile seeks after each read, and an MP3 loses a frame by that.
    """

    def seekable(self) -> bool:
        return False


def _file_blocks(file: soundfile.SoundFile, name: str, start: float) -> Iterator[Block]:
    first = min(round(start * file.samplerate), file.frames)
    if first:
        place = file.seek(max(0, first - PRE_ROLL))
        file.read(first - place, dtype="float32")
    n_frames = 0
    while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        n_frames += len(block)  # (n_frames, n_channels)
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        yield Block(mono, file.samplerate)
    if file.format == "FLAC" and n_frames < file.frames - first:
        problem = f"ends after {n_frames} of {file.frames} samples"
        raise AudioError(name, problem, "copy or export it again")


def _missing_bytes(stream: BinaryIO) -> int:
    """Count the bytes of samples that a WAV's header promises and the file does not have."""
    riff = stream.read(12)
    if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        return 0
    while len(chunk := stream.read(8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            start = stream.tell()
            return max(0, start + size - stream.seek(0, io.SEEK_END))
        stream.seek(size + size % 2, io.SEEK_CUR)  # chunks begin at even places
    return 0


def _not_audio(name: str, stream: BinaryIO, error: soundfile.SoundFileError) -> AudioError:
    reason = getattr(error, "error_string", str(error)).rstrip(".")
    remedy = "use WAV, FLAC, OGG or MP3, or export it again"
    return AudioError(name, f"is damaged or is not audio ({reason})", remedy)


def _open(source: Encoded, name: str) -> BinaryIO:
    """Open a clip for reading from its first byte. Raises `AudioError` where there is none."""
    data: Any = source
    if isinstance(source, dict):
        data = source["path"] if source.get("bytes") is None else source["bytes"]
    stream = io.BytesIO(data) if isinstance(data, bytes) else _open_file(data, name)
    if not stream.read(1):
        stream.close()
        raise AudioError(name, "is empty", "record or copy it again")
    stream.seek(0)
    return stream


def _open_file(path: str | Path, name: str) -> BinaryIO:
    try:
        stream = open(path, "rb")  # noqa: SIM115 -- the caller closes it
        stream.seek(0)  # a pipe cannot
    except FileNotFoundError as error:
        raise AudioError(name, "does not exist", "check the path") from error
    except IsADirectoryError as error:
        raise AudioError(name, "is a folder", "name an audio file in it") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "check the path and its permissions"
        raise AudioError(name, f"cannot be read ({reason})", remedy) from error
    return stream


def _array_blocks(whole: Block, start: float) -> Iterator[Block]:
    rate = whole.sampling_rate
    for i in range(round(start * rate), len(whole.waveform), BLOCK_FRAMES):
        yield Block(whole.waveform[i : i + BLOCK_FRAMES], rate)


def _mono_array(waveform: np.ndarray, sampling_rate: float) -> Block:
    waveform = np.asarray(waveform)
    if waveform.dtype.kind not in "fiu" or waveform.ndim not in (1, 2):
        problem = f"is {waveform.ndim}-dimensional {waveform.dtype}"
        remedy = "give (n_samples,) or (channels, n_samples) of floats or integers"
        raise AudioError("array", problem, remedy)
    if not 1 <= sampling_rate < np.inf:
        raise AudioError("array", f"has a sampling rate of {sampling_rate}", "give it in Hz")
    if waveform.dtype.kind in "iu":
        info = np.iinfo(waveform.dtype)
        middle = 0 if info.min < 0 else (info.max + 1) // 2  # unsigned PCM swings around it
        waveform = (waveform.astype(np.float32) - middle) / (info.max + 1 - middle)
    if waveform.ndim == 2 and waveform.size:
        waveform = waveform.mean(axis=int(np.argmin(waveform.shape)))
    return Block(waveform.astype(np.float32).reshape(-1), int(sampling_rate))
