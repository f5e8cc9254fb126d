"""A clip as it comes (a file, bytes, an array) becomes mono float32 blocks at its own rate.

libsndfile decodes what it reads rightly, FFmpeg everything else. Neither is believed about lengths:
a clip is as long as what was decoded.
"""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from . import chunks, containers, endings, ffmpeg, kinds, libsndfile, mpeg, ogg
from .clips import (
    AudioWarning,
    Block,
    Encoded,
    Source,
    Warn,
    check_format,
    mixed,
    name_of,
    open_clip,
    unreadable,
)
from .containers import Container
from .errors import AudioError
from .parts import Part

SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2"}
SUFFIXES |= {".aif", ".aiff", ".aifc", ".au", ".snd", ".w64", ".rf64", ".caf", ".voc"}
SUFFIXES |= {".m4a", ".m4b", ".mp4", ".mov", ".aac", ".3gp", ".3g2", ".amr", ".awb"}
SUFFIXES |= {".webm", ".mka", ".mkv", ".wma", ".asf", ".avi", ".wv", ".tta", ".ape"}
LIBSNDFILE = {"wav", "flac", "aiff", "au", "w64", "caf", "nistsphere", ""}  # besides Ogg and MP3
UNKNOWN = (
    "is damaged or is not audio (of no known format)",
    "use WAV, FLAC, OGG, MP3, M4A or WebM, or export it again",
)
LOST = 0.1  # seconds; less than that is what encoders pad
NO_INDEX = (
    "lacks its index (moov): it was cut, or its recorder was stopped before it was finished",
    "copy it again, or repair it with what made it",
)
NO_SAMPLES = ("has no samples", "record it again")


class Header(NamedTuple):
    """What a clip is before it is mixed and resampled."""

    sampling_rate: int  # Hz
    n_channels: int


def header(source: Encoded) -> Header:
    """Tell sampling rate and channels of a clip by its first samples. Raises `AudioError`."""
    with contextlib.closing(native_blocks(source, 0.0, lambda _: None)) as blocks:
        first = next(blocks, None)
    if first is None:
        raise AudioError(name_of(source), *NO_SAMPLES)
    return Header(first.sampling_rate, first.n_channels)


def native_blocks(source: Source, start: float, warn: Warn) -> Generator[Block, None, None]:
    """Yield a clip piece by piece from `start` seconds on, at its own sampling rate.

    A file whose rate changes on its way gives blocks of several rates. `warn` is told once if less
    was heard than the file should hold. Raises `AudioError` for what cannot be used.
    """
    if isinstance(source, tuple):
        yield from _array_blocks(*source, start)
        return
    name = name_of(source)
    if not isinstance(source, str | Path | bytes | dict):
        raise AudioError(name, "has no sampling rate", "give (waveform, sampling_rate)")
    problems: list[str] = []
    is_told = False
    is_empty = True
    try:
        with open_clip(source, name) as stream:
            for block in _file_blocks(stream, name, start, problems):
                is_empty = False
                if problems and not is_told:
                    warn(AudioWarning(name, problems[0]))
                    is_told = True
                yield block
    except OSError as error:
        raise unreadable(name, error) from error
    if is_empty and problems:
        problem = "is damaged or cut: it has no samples that can be decoded"
        raise AudioError(name, problem, "copy or export it again, or record it again")
    if problems and not is_empty and not is_told:
        warn(AudioWarning(name, problems[0]))


def _file_blocks(stream: BinaryIO, name: str, start: float, problems: list[str]) -> Iterator[Block]:
    """Yield what a decoder makes of a file; add to `problems` what it lacks."""
    found = containers.recognise(stream)
    if found is None or found.demuxer == "mov":  # pictures, too, begin like an MP4
        kinds.refuse_others(name, stream)
    found = found or containers.search(stream)
    if found is None and mpeg.looks_like(stream):
        raise AudioError(name, *UNKNOWN)  # libsndfile would make noise of it
    if found is None:
        found = Container("", 0)  # perhaps one of the many that only libsndfile knows
    part = Part(stream, found.start)
    plan = _plan(name, part, found)
    problems.extend(plan.problems)
    if plan.by_libsndfile:
        blocks = _by_either(part, name, found.demuxer, start, problems)
    else:
        blocks = ffmpeg.blocks(part, name, found.demuxer, start + plan.silence, problems)
    missing = plan.seconds - start
    for block in blocks:
        missing -= len(block.waveform) / block.sampling_rate
        yield block
    if part.failure is not None:
        raise part.failure
    if missing > LOST:
        problems.append(ffmpeg.DAMAGED)


class _Plan(NamedTuple):
    by_libsndfile: bool  # first
    silence: float = 0.0  # seconds before the first sample that was recorded
    seconds: float = 0.0  # that should be heard, where that is known
    problems: tuple[str, ...] = ()  # that are seen before anything is decoded


def _plan(name: str, part: Part, found: Container) -> _Plan:
    """Look through a file for what its decoders do not mind, or fall for."""
    if found.demuxer in ("mp3", "aac"):
        return _plan_frames(part, found)
    if found.demuxer == "mov":
        index = chunks.index(part)
        if index is None:
            raise AudioError(name, *NO_INDEX)
        if index.is_protected:
            raise AudioError(name, *kinds.PROTECTED)
    ending = endings.ending(part, found.demuxer)
    problems = (ending.problem,) if ending.problem else ()
    if found.demuxer == "ogg":
        contents = ogg.contents(part)
        return _Plan(contents.is_plain, seconds=contents.seconds, problems=problems)
    part.patch(ending.place, ending.patch)
    return _Plan(found.demuxer in LIBSNDFILE, problems=problems)


def _plan_frames(part: Part, found: Container) -> _Plan:
    """Give libsndfile an MP3 that says how many frames it has; correct that where it is wrong."""
    survey = mpeg.survey(part)
    if survey.is_free:
        return _Plan(True)  # FFmpeg does not read free format
    is_counted = survey.contents is not None and survey.contents.n_frames > 0
    is_told = is_counted or not found.is_whole
    silence = 0.0 if is_told else survey.silence
    if survey.is_cut:
        return _Plan(False, silence, problems=(endings.CUT,))
    if survey.goes_on:
        return _Plan(False, silence, problems=(ffmpeg.DAMAGED,) if survey.has_gap else ())
    part.end_at(survey.end)
    if survey.contents is None or not is_counted:
        return _Plan(False, silence)
    if survey.contents.n_frames != survey.n_frames:
        part.patch(survey.contents.place, survey.n_frames.to_bytes(4))
    return _Plan(True)


def _by_either(
    part: Part, name: str, demuxer: str, start: float, problems: list[str]
) -> Iterator[Block]:
    """Yield what libsndfile makes of a file and, from where it fails on, what FFmpeg makes."""
    total = libsndfile.without_total(part) if demuxer == "flac" else 0
    seconds = start
    is_open = False
    rate = 0
    try:
        with libsndfile.opened(part) as file:
            rate = file.samplerate
            check_format(name, rate, file.channels)
            is_open = True
            for block in libsndfile.blocks(file, start):
                seconds += len(block.waveform) / block.sampling_rate
                yield block
            if round(seconds * rate) < total:
                problems.append(endings.CUT)
            return
    except soundfile.SoundFileError as error:
        if not demuxer:
            raise AudioError(name, *UNKNOWN) from error
    try:
        for block in ffmpeg.blocks(part, name, demuxer, seconds, problems):
            seconds += len(block.waveform) / block.sampling_rate
            yield block
    except AudioError:
        if seconds == start:
            raise
    is_whole = 0 < total <= round(seconds * rate)  # what follows does not belong to it
    if is_whole:
        problems.clear()
    elif is_open:
        problems.append(ffmpeg.DAMAGED)


def _array_blocks(waveform: np.ndarray, sampling_rate: float, start: float) -> Iterator[Block]:
    samples = _channels_last(waveform)
    check_format("array", sampling_rate, samples.shape[1])
    rate = int(sampling_rate)
    for i in range(round(start * rate), len(samples), libsndfile.BLOCK_FRAMES):
        yield mixed(samples[i : i + libsndfile.BLOCK_FRAMES], rate)


def _channels_last(waveform: np.ndarray) -> np.ndarray:
    """Give the samples of an array as floats, (n_samples, n_channels)."""
    waveform = np.asarray(waveform)
    if waveform.dtype.kind not in "fiu" or waveform.ndim not in (1, 2):
        problem = f"is {waveform.ndim}-dimensional {waveform.dtype}"
        remedy = "give (n_samples,) or (channels, n_samples) of floats or integers"
        raise AudioError("array", problem, remedy)
    if not waveform.size:
        return np.empty((0, 1), np.float32)
    if waveform.dtype.kind in "iu":
        info = np.iinfo(waveform.dtype)
        middle = 0 if info.min < 0 else (info.max + 1) // 2  # unsigned PCM swings around it
        waveform = (waveform.astype(np.float32) - middle) / (info.max + 1 - middle)
    if waveform.ndim == 1:
        return waveform[:, None]
    return waveform.T if np.argmin(waveform.shape) == 0 else waveform
