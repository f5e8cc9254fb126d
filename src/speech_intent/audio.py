"""Audio in: a file, bytes or an array becomes a mono float32 waveform at the sampling rate a model wants.

Everything that hears a clip (training, evaluation, prediction) reads it through `blocks`, so that all of them hear
the same samples. Files are read in pieces: memory does not grow with their length.
"""

import hashlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

MIN_SECONDS = 0.025  # one frame of a wav2vec2 feature encoder: 400 samples at 16 kHz
SILENT_PEAK = 1e-3  # -60 dB full scale
PRE_ROLL = 11_520  # ten MP3 frames, read and dropped: right after a seek the decoder gives wrong samples
BLOCK_FRAMES = 65_536  # frames read at a time; 8 channels of float32 are then 2 MB
SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"}

# path | encoded bytes | (waveform, sampling_rate) | {"bytes": ..., "path": ...} as `datasets` stores undecoded audio
Source = str | Path | bytes | tuple | dict

logger = logging.getLogger("speech_intent")


class AudioError(ValueError):
    """A clip that cannot be used. The message names the clip, what is wrong and what to do, in one line."""

    def __init__(self, name: str, problem: str, remedy: str):
        super().__init__(f"{printable(name)}: {problem}; {remedy}")


def printable(name: str) -> str:
    """Escape line breaks, control characters and bytes that are not text in a file name, so that it fits one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def name_of(source: Source) -> str:
    """Name a clip in messages: its path where it has one."""
    if isinstance(source, dict):
        return source.get("path") or "bytes"
    return str(source) if isinstance(source, str | Path) else "bytes" if isinstance(source, bytes) else "array"


def blocks(source: Source, sampling_rate: int, start: float = 0.0) -> Iterator[np.ndarray]:
    """Yield a clip piece by piece, mixed to mono and resampled: float32, (n_samples,), at `sampling_rate` Hz.

    `start` seconds are skipped. A waveform is (n_samples,), or two-dimensional, channels along the shorter axis;
    integers are scaled to -1..1. Raises `AudioError` for what is missing, unreadable, not audio, damaged, without
    samples, shorter than 25 ms, or has NaN or infinite samples.
    """
    name, resampler, n_samples, peak = name_of(source), None, 0, 0.0
    for block, native_rate in _native_blocks(source, start):
        if not np.isfinite(block).all():
            raise AudioError(name, "has NaN or infinite samples", "export it again as 16-bit PCM")
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        if native_rate != sampling_rate:
            if resampler is None:
                resampler = soxr.ResampleStream(native_rate, sampling_rate, 1, dtype="float32")
            block = resampler.resample_chunk(block)
        n_samples += len(block)
        yield block
    if resampler is not None:
        block = resampler.resample_chunk(np.empty(0, np.float32), last=True)
        n_samples += len(block)
        yield block
    if n_samples == 0:
        raise AudioError(name, "has no samples", "record it again")
    if n_samples < int(MIN_SECONDS * sampling_rate):
        raise AudioError(
            name, f"lasts {1000 * n_samples / sampling_rate:.1f} ms, less than 25 ms", "record a longer clip"
        )
    if peak < SILENT_PEAK:
        logger.warning("warning: %s: is silent (peak %.1e); its answer means nothing", printable(name), peak)


def load(source: Source, sampling_rate: int, start: float = 0.0, max_seconds: float = np.inf) -> np.ndarray:
    """Read one clip, or `max_seconds` of it from `start` on: float32, (n_samples,). Raises what `blocks` raises."""
    pieces, wanted = [], max_seconds * sampling_rate
    for block in blocks(source, sampling_rate, start):
        pieces.append(block)
        wanted -= len(block)
        if wanted <= 0:
            break
    waveform = np.concatenate(pieces)
    return waveform if wanted >= 0 else waveform[: len(waveform) + round(wanted)]


def windows(source: Source, sampling_rate: int, max_seconds: float) -> Iterator[tuple[np.ndarray, float]]:
    """Cut a clip into windows that a model can take: yield (window, second of the clip up to which was read).

    A window is float32, (n_samples,). A clip up to `max_seconds` long is one. A longer one gives windows of exactly
    `max_seconds`; the last ends where the clip ends, and so overlaps the one before it. Its second is the duration.
    """
    cap, n_samples, previous = round(max_seconds * sampling_rate), 0, None
    rest = np.empty(0, np.float32)
    for block in blocks(source, sampling_rate):
        n_samples += len(block)
        rest = np.concatenate([rest, block])
        while len(rest) > cap:
            previous, rest = rest[:cap], rest[cap:]
            yield previous, n_samples / sampling_rate
    if previous is not None:
        rest = np.concatenate([previous, rest])[-cap:]
    yield rest, n_samples / sampling_rate


def measure(source: Source) -> dict:
    """Measure a readable clip for a check of quality, at the file's own sampling rate.

    Gives `rate` (Hz), `channels`, `peak` (1 is full scale), `clipped` and `silent` (shares of the samples at full scale
    and below -60 dB) and `digest`, the same for the same samples.
    """
    with _open(source, name_of(source)) as stream:
        info = soundfile.info(stream)
    waveform = load(source, info.samplerate)
    level = np.abs(waveform)
    return {
        "rate": info.samplerate,
        "channels": info.channels,
        "peak": float(level.max()),
        "clipped": float((level >= 0.999).mean()),
        "silent": float((level < SILENT_PEAK).mean()),
        "digest": hashlib.sha256(waveform.tobytes()).hexdigest(),
    }


def _native_blocks(source: Source, start: float) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (mono float32 block, native sampling rate)."""
    if isinstance(source, tuple):
        waveform, rate = _mono_array(*source)
        waveform = waveform[round(start * rate) :]
        for i in range(0, len(waveform), BLOCK_FRAMES):
            yield waveform[i : i + BLOCK_FRAMES], rate
        return
    name = name_of(source)
    if not isinstance(source, str | Path | bytes | dict):
        raise AudioError(name, "has no sampling rate", "give (waveform, sampling_rate)")
    with _open(source, name) as stream:
        try:
            with _ForwardFile(stream) as file:
                yield from _file_blocks(file, name, start)
        except soundfile.SoundFileError as error:
            reason = str(error).removeprefix(f"Error opening {stream!r}: ").rstrip(".")
            remedy = "use WAV, FLAC, OGG or MP3, or export it again"
            raise AudioError(name, f"is damaged or is not audio ({reason})", remedy) from error


class _ForwardFile(soundfile.SoundFile):
    """A file that is read from front to back: soundfile seeks after each read, and an MP3 loses a frame by that."""

    def seekable(self) -> bool:
        return False


def _file_blocks(file: soundfile.SoundFile, name: str, start: float) -> Iterator[tuple[np.ndarray, int]]:
    for line in file.extra_info.splitlines():  # libsndfile's own comparison of a WAV header with the file's size
        if line.startswith("data") and "should be" in line and file.frames:
            logger.warning("warning: %s: is shorter than its header says; what is there was used", printable(name))
    first, n_frames = min(round(start * file.samplerate), file.frames), 0
    if first:
        file.read(first - file.seek(max(0, first - PRE_ROLL)), dtype="float32")
    while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):  # (n_frames, n_channels)
        n_frames += len(block)
        yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1), file.samplerate
    if file.format == "FLAC" and n_frames < file.frames - first:
        raise AudioError(name, f"ends after {n_frames} of {file.frames} samples", "copy or export it again")


def _open(source: str | Path | bytes | dict, name: str) -> io.BufferedIOBase:
    data = source if isinstance(source, bytes) else source.get("bytes") if isinstance(source, dict) else None
    if data is None:
        path = source["path"] if isinstance(source, dict) else source
        try:
            stream = open(path, "rb")  # noqa: SIM115 -- the caller closes it
            stream.seek(0)  # a pipe cannot
        except FileNotFoundError as error:
            raise AudioError(name, "does not exist", "check the path") from error
        except IsADirectoryError as error:
            raise AudioError(name, "is a folder", "name an audio file in it") from error
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            reason = getattr(error, "strerror", None) or str(error)
            raise AudioError(name, f"cannot be read ({reason})", "check the path and its permissions") from error
    else:
        stream = io.BytesIO(data)
    if not stream.read(1):
        stream.close()
        raise AudioError(name, "is empty", "record or copy it again")
    stream.seek(0)
    return stream


def _mono_array(waveform: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, int]:
    waveform = np.asarray(waveform)
    if waveform.dtype.kind not in "fiu" or waveform.ndim not in (1, 2):
        problem = f"is {waveform.ndim}-dimensional {waveform.dtype}"
        raise AudioError("array", problem, "give (n_samples,) or (channels, n_samples) of floats or integers")
    if not 1 <= sampling_rate < np.inf:
        raise AudioError("array", f"has a sampling rate of {sampling_rate}", "give it in Hz")
    if waveform.dtype.kind in "iu":
        info = np.iinfo(waveform.dtype)
        middle = 0 if info.min < 0 else (info.max + 1) // 2  # unsigned PCM swings around its middle
        waveform = (waveform.astype(np.float32) - middle) / (info.max + 1 - middle)
    if waveform.ndim == 2 and waveform.size:
        waveform = waveform.mean(axis=int(np.argmin(waveform.shape)))
    return waveform.astype(np.float32).reshape(-1), int(sampling_rate)
