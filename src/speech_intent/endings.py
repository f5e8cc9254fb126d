"""Whether a file ends before it is over, by the sizes that its own containers have."""

import io
import math
import re
from typing import NamedTuple

from . import chunks, ogg
from .chunks import LAYOUTS, Chunk, Field, Layout
from .libsndfile import TOTAL
from .parts import Part

CUT = "is shorter than its header says; what is there was used"
MORE = "holds another recording behind the first, which was not used; give it as its own file"
UNFINISHED = "was never finished: its header says it is empty; what is there was used"
MOST_STEPS = 200_000  # elements or frames that are looked at: an hour of them
AU_FIELD = Field(16, 4, "big")
DS64_FIELD = Field(0, 8, "little")
AMR_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)  # of a frame, by its type
AMR_ZEROS = 0x83  # bits that are 0 in the header of a frame
NOISE_BYTES = 60  # in which that is looked at: three frames
AMR_WB_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)
HEADS = {b"RIFF", b"RF64", b"FORM", b"caff", b"ftyp", b"\x30\x26\xb2\x75"}
FLAC_BYTES = 1 << 15  # of the largest frame
FLAC_SYNC = rb"\xff[\xf8\xf9](?=[\x10-\xee][\x00-\xae])"
FLAC_TRIES = 8  # places that may be the beginning of the last frame
FLAC_POLYNOMIAL = 0x18005
ID3V1_BYTES = 128
TS_BYTES = 188  # of a packet
NIST_FIELDS = (b"channel_count", b"sample_count", b"sample_n_bytes")
EBML_SEGMENT = 0x18538067  # all but the header
EBML_MASTERS = {EBML_SEGMENT, 0x1F43B675, 0xA0}  # cluster and group of blocks, too


class Ending(NamedTuple):
    """How a file ends."""

    problem: str | None = None  # what it lacks
    place: int = 0  # byte where `patch` belongs
    patch: bytes = b""  # what its header should say there


def ending(stream: Part, demuxer: str) -> Ending:
    """Tell whether a file ends too early, or its header does not know how long it is."""
    size = stream.seek(0, io.SEEK_END)
    if demuxer in LAYOUTS:
        return _of_chunks(stream, LAYOUTS[demuxer], size)
    if demuxer == "au":
        return _of_au(stream, size)
    ends = {"ogg": _ogg_end, "amr": _amr_end, "matroska": _ebml_end}
    ends |= {"mpegts": _ts_end, "nistsphere": _nist_end, "flac": _flac_end}
    is_cut = demuxer in ends and ends[demuxer](stream, size) > size
    return Ending(CUT if is_cut else None)


class _Samples(NamedTuple):
    """What a header says of the samples."""

    start: int  # byte of the first
    n_bytes: int | None  # None: it does not know
    place: int  # byte where it says so
    field: Field


def _of_chunks(stream: Part, layout: Layout, size: int) -> Ending:
    wide = None
    for chunk in chunks.walk(stream, layout):
        if chunk.name == b"ds64":  # has the size of samples above 4 GB
            wide = chunk
        if chunk.name not in layout.needed:
            continue
        if layout.field is not None:
            samples = _samples(stream, chunk, layout.field, wide)
            behind = layout._replace(first=chunk.end)
            ending = _of_samples(samples, size, _is_chain(stream, behind, size))
            return Ending(MORE) if ending == Ending() and _has_more(stream, behind) else ending
        if chunk.end > size:
            # FFmpeg refuses all of an MP4 for a cut index of its last piece.
            is_index = chunk.name == b"moof"
            return Ending(CUT, chunk.start - 4, b"free") if is_index else Ending(CUT)
    return Ending(MORE if _has_more(stream, layout) else None)


def _samples(stream: Part, chunk: Chunk, field: Field, wide: Chunk | None) -> _Samples:
    if wide is None or chunk.size is not None:
        return _Samples(chunk.start, chunk.size, chunk.start - field.before, field)
    place = wide.start + 8
    stream.seek(place)
    n_bytes = int.from_bytes(stream.read(8), "little")
    known = n_bytes if n_bytes < chunks.UNKNOWN else None
    return _Samples(chunk.start, known, place, DS64_FIELD)


def _of_au(stream: Part, size: int) -> Ending:
    stream.seek(4)
    start = int.from_bytes(stream.read(4))
    n_bytes = int.from_bytes(stream.read(4))
    known = n_bytes if n_bytes < chunks.UNKNOWN_32 else None
    return _of_samples(_Samples(start, known, 8, AU_FIELD), size, False)


def _of_samples(samples: _Samples, size: int, is_followed: bool) -> Ending:
    """Compare with what there is; `is_followed`: what lies behind the samples are chunks."""
    rest = size - samples.start
    patch = samples.field.written(max(0, rest))
    if samples.n_bytes is None:
        return Ending(None, samples.place, patch)
    if samples.n_bytes > rest:
        return Ending(CUT)
    if samples.n_bytes <= samples.field.empty and rest > samples.field.empty and not is_followed:
        return Ending(UNFINISHED, samples.place, patch)
    return Ending()


def _is_chain(stream: Part, layout: Layout, size: int) -> bool:
    """Tell chunks up to the end of a file from samples."""
    end = layout.first
    for chunk in chunks.walk(stream, layout):
        if not chunk.name.isascii():
            return False
        end = chunk.end
    return size - layout.align < end <= size


def _has_more(stream: Part, layout: Layout) -> bool:
    """Tell files that were joined, of which a decoder reads the first."""
    heads = HEADS - {*layout.needed}  # FFmpeg goes on with another AVI
    walk = chunks.walk(stream, layout)
    return any(chunk.name in heads and chunk.start > layout.header for chunk in walk)


def _ogg_end(stream: Part, size: int) -> int:
    end = 0
    for page in ogg.pages(stream):
        end = page.end
    return end


def _amr_end(stream: Part, size: int) -> int:
    stream.seek(0)
    is_wide = stream.readline(16) == b"#!AMR-WB\n"
    n_bytes = AMR_WB_BYTES if is_wide else AMR_BYTES
    place = stream.tell()
    for _ in range(MOST_STEPS):
        kind = stream.read(1)
        if not kind:
            break
        if place < NOISE_BYTES and kind[0] & AMR_ZEROS:
            stream.end_at(0)  # noise, of which a decoder would make sounds
            break
        place += n_bytes[kind[0] >> 3 & 15]
        stream.seek(place)
    return place


def _ts_end(stream: Part, size: int) -> int:
    stream.seek(0)
    begin = stream.read(5)
    before = 0 if begin.startswith(b"G") else 4  # bytes of time
    place = 0
    while place < size and (stream.seek(place + before), stream.read(1))[1] in (b"G", b""):
        place += TS_BYTES + before
    return place


def _nist_end(stream: Part, size: int) -> int:
    stream.seek(0)
    header = stream.read(1024)
    numbers = [re.search(rb"%s -i (\d+)" % name, header) for name in NIST_FIELDS]
    if not all(numbers) or b"pcm\n" not in header:
        return 0  # packed, so that this says nothing
    return 1024 + math.prod(int(number[1]) for number in numbers if number)


def _flac_end(stream: Part, size: int) -> int:
    stream.seek(TOTAL)
    if int.from_bytes(stream.read(5)) & ((1 << 36) - 1):
        return 0  # known, and compared with what is decoded
    stream.seek(max(0, size - ID3V1_BYTES))
    if stream.read(3) == b"TAG":
        stream.end_at(size - ID3V1_BYTES)
    stream.seek(max(0, stream.size - FLAC_BYTES))
    data = stream.read(FLAC_BYTES)
    places = [found.start() for found in re.finditer(FLAC_SYNC, data)][-FLAC_TRIES:]
    is_whole = any(_crc(data[place:]) == 0 for place in reversed(places))
    return size if is_whole else size + 1


def _crc(data: bytes) -> int:
    """Check the sum in the last two bytes of a FLAC frame: 0 if it is right."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ (FLAC_POLYNOMIAL if crc & 0x8000 else 0)
    return crc


def _ebml_end(stream: Part, size: int) -> int:
    """Walk through Matroska's elements, into those that hold others."""
    end = 0
    place = 0
    for _ in range(MOST_STEPS):
        stream.seek(place)
        header = stream.read(12)
        if not header:
            break
        width = 9 - header[0].bit_length()  # of the name
        name = int.from_bytes(header[:width])
        n_bytes = 9 - header[width].bit_length() if len(header) > width else 9
        if width > 4 or n_bytes > 8:
            return end  # not where an element begins
        field = int.from_bytes(header[width : width + n_bytes]) & ((1 << 7 * n_bytes) - 1)
        place += width + n_bytes
        if field == (1 << 7 * n_bytes) - 1:  # a size that was not known when this was written
            continue
        end = max(end, place + field)
        if name == EBML_SEGMENT:
            return end
        if name not in EBML_MASTERS:
            place += field
    return end
