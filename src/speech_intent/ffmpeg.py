"""What libsndfile does not read, through FFmpeg: what phones, browsers and messengers record.

The container is named by who asks: FFmpeg neither guesses it, nor opens any other file or address.
"""

import contextlib
import errno
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np

from .clips import Block, check_format, mixed
from .errors import AudioError
from .parts import Part

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet
    from av.container import InputContainer

DAMAGED = "is damaged; what could be read was used"
BATCH_SAMPLES = 16_384  # gathered before they are passed on; a frame has about 1,000
# PyAV counts the planes of a frame up to a null, and behind more than these there is none: it would
# read on in memory that is not the frame's.
MOST_PLANES = 7
MOST_FAILURES = 10_000  # packets in a row that are tried: minutes of noise
MOST_SAMPLES = 1 << 22  # of a frame, all channels; a damaged header may promise any number
DECODERS = (
    r"aac(_latm)?|e?ac3|alac|amr[nw]b|ape|dca|evrc|flac|g72[26]|g723_1|g729|gsm(_ms)?|ilbc"
    r"|mp[123](float)?|nellymoser|opus|qcelp|speex|truehd|tta|vorbis|wavpack"
    r"|adpcm_(ima_qt|ima_wav|ms|swf|yamaha)|pcm_(?!s64)\w+|wma(v1|v2|pro|voice|lossless)"
)
OPTIONS = {
    "protocol_whitelist": "",
    "max_streams": "100",
    "probesize": "1000000",  # bytes
    "fpsprobesize": "0",  # pictures are not looked at
}


class Scale(NamedTuple):
    """How integers become -1..1."""

    silence: int
    full: int


SCALES = {"u8": Scale(128, 128), "s16": Scale(0, 1 << 15), "s32": Scale(0, 1 << 31)}

EXPORT = "export it as WAV, FLAC, OGG, MP3 or M4A"
NO_SOUND = {
    True: ("is a video without sound", "record it with the microphone on"),
    False: ("has no audio in it", EXPORT),
}


def blocks(
    stream: Part, name: str, demuxer: str, start: float, problems: list[str]
) -> Iterator[Block]:
    """Yield the audio of a container from `start` seconds on; add to `problems` what is wrong.

    One track is read, the default one or else the first. A block has the sampling rate that the
    file has at that place. Raises `AudioError` for what cannot be read at all.
    """
    with _opened(stream, name, demuxer) as container:
        track = _Track(name, container)
        batch: list[Block] = []
        n_samples = 0
        for block in _after(start, track.blocks()):
            if batch and (n_samples >= BATCH_SAMPLES or batch[0].format != block.format):
                yield _joined(batch)
                batch = []
                n_samples = 0
            batch.append(block)
            n_samples += len(block.waveform)
        if batch:
            batch[-1] = track.without_padding(batch[-1])
            yield _joined(batch)
        if track.is_damaged:
            problems.append(DAMAGED)


@contextlib.contextmanager
def _opened(stream: Part, name: str, demuxer: str) -> Iterator["InputContainer"]:
    import av  # late: it takes a tenth of a second, and most clips do without

    stream.seek(0)
    decoders = [name for name in av.codecs_available if re.fullmatch(DECODERS, name)]
    own = {"format_whitelist": demuxer, "codec_whitelist": ",".join(decoders)}
    try:
        container = av.open(
            stream,
            format=demuxer,
            options=OPTIONS | own,
            metadata_errors="ignore",
            io_open=_refuse_to_open,
        )
    except (av.FFmpegError, PermissionError) as error:
        problem = f"is damaged or is not audio ({error.strerror})"
        raise AudioError(name, problem, "copy or export it again") from error
    with container:
        yield container


def _refuse_to_open(address: str, flags: int, options: dict[str, str]) -> NoReturn:
    """Keep a clip from naming other files and addresses."""
    raise PermissionError(errno.EPERM, "it names another file")


class _Track:
    """The track of a container that is heard, decoded packet by packet."""

    def __init__(self, name: str, container: "InputContainer"):
        self.name = name
        self.container = container
        self.is_damaged = False
        self.n_failures = 0  # packets in a row that could not be decoded
        self.seconds = 0.0  # decoded so far
        tracks = container.streams.audio
        if not tracks:
            raise AudioError(name, *NO_SOUND[bool(container.streams.video)])
        self.stream = next(filter(_is_default, tracks), tracks[0])
        decoder = self.stream.codec_context
        if decoder is None or not re.fullmatch(DECODERS, decoder.codec.name):
            kind = f" ({decoder.codec.name})" if decoder else ""
            raise AudioError(name, f"is encoded in a way that is not read here{kind}", EXPORT)
        decoder.thread_count = 1  # clips are answered beside each other
        decoder.options = {"max_samples": str(MOST_SAMPLES)}

    def blocks(self) -> Iterator[Block]:
        """Yield what is decoded, a frame at a time; note what cannot be."""
        for packet in self._packets():
            if self.n_failures > MOST_FAILURES:
                return
            for frame in self._frames(packet):
                check_format(self.name, frame.sample_rate, frame.layout.nb_channels)
                block = mixed(_as_floats(frame), frame.sample_rate)
                self.seconds += len(block.waveform) / block.sampling_rate
                yield block

    def without_padding(self, last: Block) -> Block:
        """Cut off what an encoder added to fill its last frame."""
        stream = self.stream
        if not stream.duration or not stream.time_base:
            return last
        excess = self.seconds - float(stream.duration * stream.time_base)
        n_samples = round(excess * last.sampling_rate)
        if not 0 < n_samples < len(last.waveform):
            return last
        return replace(last, waveform=last.waveform[:-n_samples])

    def _packets(self) -> Iterator["Packet"]:
        from av import FFmpegError

        packets = self.container.demux(self.stream)
        try:
            yield from packets  # the last one is empty, and brings out what the decoder holds back
        except (FFmpegError, PermissionError):
            self.is_damaged = True
        except IndexError:
            # At the end PyAV asks tracks for what they hold back, and stumbles over those that
            # appeared on the way; this one was asked before them.
            return

    def _frames(self, packet: "Packet") -> "list[AudioFrame]":
        from av import FFmpegError

        try:
            self.is_damaged |= packet.is_corrupt
            frames = packet.decode()
        except FFmpegError:
            self.is_damaged = True
            self.n_failures += 1
            return []
        self.n_failures = 0
        return frames


def _is_default(stream: "AudioStream") -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.default)


def _as_floats(frame: "AudioFrame") -> np.ndarray:
    """Give the samples of a frame as float32, (n_samples, n_channels)."""
    n_channels = frame.layout.nb_channels
    if frame.format.is_planar and n_channels > MOST_PLANES:
        frame = _packed(frame)
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, n_channels)
    scale = SCALES.get(frame.format.packed.name)
    if scale is None:
        return samples.astype(np.float32)
    return (samples.astype(np.float32) - scale.silence) / scale.full


def _packed(frame: "AudioFrame") -> "AudioFrame":
    """Put the samples of all channels into one plane."""
    from av import AudioResampler

    kind = frame.format.packed.name
    (packed,) = AudioResampler(kind, frame.layout, frame.sample_rate).resample(frame)
    return packed


def _after(start: float, blocks: Iterator[Block]) -> Iterator[Block]:
    """Drop the first `start` seconds."""
    for block in blocks:
        n_samples = min(round(start * block.sampling_rate), len(block.waveform))
        start -= n_samples / block.sampling_rate
        if n_samples < len(block.waveform):
            yield replace(block, waveform=block.waveform[n_samples:])


def _joined(blocks: list[Block]) -> Block:
    waveform = np.concatenate([block.waveform for block in blocks])
    energy = sum(block.energy for block in blocks)
    return replace(blocks[0], waveform=waveform, energy=energy)
