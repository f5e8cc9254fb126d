"""Whether a file ends before it is over, by the sizes that its own containers have."""

import io
from typing import NamedTuple

from . import chunks, ogg
from .chunks import LAYOUTS, Chunk, Field, Layout
from .parts import Part

CUT = "is shorter than its header says; what is there was used"
UNFINISHED = "was never finished: its header says it is empty; what is there was used"
MOST_STEPS = 200_000  # elements or frames that are looked at: an hour of them
AU_FIELD = Field(16, 4, "big")
DS64_FIELD = Field(0, 8, "little")
AMR_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)  # of a frame, by its type
AMR_WB_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)
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
            return _of_samples(samples, size, _is_chain(stream, behind, size))
        if chunk.end > size:
            return Ending(CUT)
    return Ending()


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
    known = n_bytes if n_bytes < 0xFFFFFFFF else None
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
        place += n_bytes[kind[0] >> 3 & 15]
        stream.seek(place)
    return place


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
