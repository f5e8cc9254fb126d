"""Containers made of chunks, each with a name and a size: WAV, AIFF, CAF, MP4 and others."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from .parts import Part

UNKNOWN = 1 << 62  # bytes; who writes more means that the size is not known
# The same in 32 bits: sox writes 0x7F000000 or 0x7FFFF000 into a pipe, others up to 0xFFFFFFFF.
UNKNOWN_32 = 0x7F000000
MOST_CHUNKS = 100_000  # that are looked at
INDEX_BYTES = 1 << 22  # of an MP4's index that are looked through


class Chunk(NamedTuple):
    """A part of a container."""

    name: bytes
    start: int  # byte where its contents begin
    size: int | None  # bytes of its contents; None where the file does not say

    @property
    def end(self) -> int:
        """The byte behind it."""
        return self.start + (self.size or 0)


class Field(NamedTuple):
    """Where a chunk says how long it is."""

    before: int  # bytes from the field's first one to the contents
    width: int  # bytes
    order: Literal["little", "big"]
    more: int = 0  # bytes that are counted besides the contents
    empty: int = 0  # bytes of contents that are no samples

    def written(self, n_bytes: int) -> bytes:
        """Write a size into the field, the largest that it can hold at most."""
        largest = (1 << 8 * self.width) - 1
        return min(n_bytes + self.more, largest).to_bytes(self.width, self.order)


class Layout(NamedTuple):
    """How a container is made of chunks."""

    first: int  # byte where the first one begins
    header: int  # bytes before the contents of each
    read: Callable[[bytes, int], Chunk]  # header and place -> chunk
    needed: tuple[bytes, ...]  # names of the chunks that must be whole
    align: int = 1  # chunks begin at multiples of it
    field: Field | None = None  # of the chunk that must be whole, where it can be mended


def _little(header: bytes, place: int) -> Chunk:
    size = int.from_bytes(header[4:], "little")
    return Chunk(header[:4], place + 8, size if size < UNKNOWN_32 else None)


def _big(header: bytes, place: int) -> Chunk:
    size = int.from_bytes(header[4:])
    return Chunk(header[:4], place + 8, size if size < UNKNOWN_32 else None)


def _w64(header: bytes, place: int) -> Chunk:
    size = int.from_bytes(header[16:], "little")
    return Chunk(header[:4], place + 24, max(0, size - 24) if size < UNKNOWN else None)


def _caf(header: bytes, place: int) -> Chunk:
    size = int.from_bytes(header[4:])
    return Chunk(header[:4], place + 12, size if size < UNKNOWN else None)


def _atom(header: bytes, place: int) -> Chunk:
    size = int.from_bytes(header[:4])
    if size == 1:
        return Chunk(header[4:8], place + 16, max(0, int.from_bytes(header[8:]) - 16))
    return Chunk(header[4:8], place + 8, max(0, size - 8) if size else None)


def _asf(header: bytes, place: int) -> Chunk:
    size = int.from_bytes(header[16:], "little")
    return Chunk(header[:4], place + 24, size - 24 if size > 24 else None)


def _flv(header: bytes, place: int) -> Chunk:
    # Each is followed by its own size in four bytes.
    return Chunk(header[:1], place + 11, int.from_bytes(header[1:4]) + 4)


def _voc(header: bytes, place: int) -> Chunk:
    size = int.from_bytes(header[1:], "little") if header[0] else 0  # 0 ends a file
    return Chunk(header[:1], place + 4, size)


LAYOUTS = {
    "wav": Layout(12, 8, _little, (b"data",), 2, Field(4, 4, "little")),
    "aiff": Layout(12, 8, _big, (b"SSND",), 2, Field(4, 4, "big", empty=8)),
    "w64": Layout(40, 24, _w64, (b"data",), 8, Field(8, 8, "little", more=24)),
    "caf": Layout(8, 12, _caf, (b"data",), 1, Field(8, 8, "big", empty=4)),
    "avi": Layout(0, 8, _little, (b"RIFF",), 2),
    "mov": Layout(0, 16, _atom, (b"mdat", b"moov", b"moof")),
    "flv": Layout(13, 11, _flv, (b"\x08",)),
    "voc": Layout(26, 4, _voc, (b"\1", b"\2", b"\x09")),
    "wv": Layout(0, 8, _little, (b"wvpk",)),
    "asf": Layout(0, 24, _asf, (b"\x36\x26\xb2\x75",)),
}


def walk(stream: Part, layout: Layout) -> Iterator[Chunk]:
    """Yield the chunks of a container, the last of which may reach beyond its end."""
    place = layout.first
    for _ in range(MOST_CHUNKS):
        stream.seek(place)
        header = stream.read(layout.header)
        if len(header) < layout.header:
            return
        chunk = layout.read(header, place)
        yield chunk
        if chunk.size is None:
            return
        place = -(-chunk.end // layout.align) * layout.align


class Index(NamedTuple):
    """What an MP4 says of what it holds."""

    is_protected: bool  # whether a key is needed to hear it


def index(stream: Part) -> Index | None:
    """Read the index of an MP4, which a recorder writes at its end; None if there is none."""
    for chunk in walk(stream, LAYOUTS["mov"]):
        if chunk.name == b"moov":
            stream.seek(chunk.start)
            words = stream.read(min(chunk.size or INDEX_BYTES, INDEX_BYTES))
            return Index(b"sinf" in words and (b"drms" in words or b"enca" in words))
    return None
