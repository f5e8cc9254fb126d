"""The pages of an Ogg file: what streams it has, and whether they follow one another."""

import io
from collections.abc import Iterator
from typing import NamedTuple

from .parts import Part

MOST_PAGES = 100_000  # that are looked at: a day of them
HEADER = 27  # bytes, before the table of a page's segments
FIRST = 0x02  # flag of the first page of a stream
LAST = 0x04
VORBIS = b"\x01vorbis"
CODECS = (VORBIS, b"OpusHead")  # how the streams begin that libsndfile reads
OPUS_RATE = 48_000  # Hz, whatever was recorded
LONGEST_PAGE = 2.0  # seconds


class Page(NamedTuple):
    """A page of a stream."""

    end: int  # byte behind it; behind the file's end for one that is cut
    is_first: bool  # whether a stream begins with it
    is_last: bool  # whether one says that it ends with it
    granule: int | None  # samples of the stream up to its end; None where none ends in it
    begin: bytes  # of its contents


def pages(stream: Part) -> Iterator[Page]:
    """Yield the pages of a file, until there is something else."""
    size = stream.seek(0, io.SEEK_END)
    place = 0
    for _ in range(MOST_PAGES):
        if place >= size:
            return
        stream.seek(place)
        header = stream.read(HEADER)
        if not header.startswith(b"OggS"[: len(header)]):
            return
        if len(header) < HEADER:
            yield Page(place + HEADER, False, False, None, b"")
            return
        table = stream.read(header[-1])
        begin = stream.read(16)
        place += HEADER + header[-1] + sum(table)
        granule = int.from_bytes(header[6:14], "little", signed=True)
        yield Page(
            end=place,
            is_first=bool(header[5] & FIRST),
            is_last=bool(header[5] & LAST),
            granule=granule if granule >= 0 else None,
            begin=begin,
        )


class Contents(NamedTuple):
    """What there is in an Ogg file."""

    is_plain: bool  # one stream of Vorbis or Opus that has an end: libsndfile reads all of it
    seconds: float  # that its pages count, damaged or not; 0 where they do not


def contents(stream: Part) -> Contents:
    """Look through the pages of a file."""
    firsts = []
    granules = []
    is_last = False
    for page in pages(stream):
        is_last = page.is_last
        if page.is_first:
            firsts.append(page.begin)
        if page.granule:
            granules.append(page.granule)
    if len(firsts) != 1 or not firsts[0].startswith(CODECS):
        return Contents(False, 0.0)
    rate = OPUS_RATE
    unheard = int.from_bytes(firsts[0][10:12], "little")  # samples an encoder puts before the first
    if firsts[0].startswith(VORBIS):
        rate = int.from_bytes(firsts[0][12:16], "little") or OPUS_RATE
        unheard = 0
    first = min(granules, default=0)
    before = first if first > LONGEST_PAGE * rate else unheard  # the former: it was joined late
    seconds = max(0, max(granules, default=0) - before) / rate
    return Contents(is_last, seconds)
