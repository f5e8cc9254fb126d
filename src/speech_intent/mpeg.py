"""The frames of MP3 and AAC streams, found by hopping from header to header.

Such a stream has no index, and what its first frame says of its length may be wrong.
"""

import io
import re
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import BinaryIO, NamedTuple

from .parts import Part

KBITS = {  # kbit/s of the bitrate indices 1 to 14; by (MPEG-1, layer)
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44_100, 48_000, 32_000)  # Hz, of MPEG-1
AAC_RATES = (  # Hz
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)
SHIFTS = {0b11: 0, 0b10: 1, 0b00: 2}  # MPEG-1, 2 and 2.5: each has half the rates of the one before
HEADER = 7  # bytes, of AAC; MP3 has 4
BUFFER = 1 << 16  # bytes that are read at a time
CHAIN = 3  # frames that follow each other are no accident
VBRI_PLACE = 36  # byte of a frame where such a table of contents begins
SMALLEST = 24  # bytes, of a frame with anything in it
FREE_BYTES = 8_192  # in which headers of free format are looked for
SYNC = rb"\xff(?=[\xe2-\xff])"
TAGS = (b"ID3", b"TAG", b"APETAGEX")
ID3_HEADER = 10  # bytes
MOST_JOINED = 1_000  # files in one: an hour of a stream


class Frame(NamedTuple):
    """What a header says of its frame."""

    demuxer: str  # "mp3" or "aac"
    n_bytes: int  # 0 where only the next header shows it: MP3 in free format
    kind: bytes  # the same in all frames of a stream
    silence: float  # seconds that an encoder puts before the first sample, where none says


class Contents(NamedTuple):
    """What the first frame says of those that follow."""

    n_frames: int  # 0 where it is not said
    place: int  # byte where that stands, in four bytes
    n_bytes: int  # from the first frame on; 0 where it is not said

    def promises_more(self, n_frames: int, n_bytes: int) -> bool:
        """Tell whether there was more by all that is said; one of the two may be a lie."""
        is_longer = not self.n_bytes or self.n_bytes > n_bytes
        return is_longer and (not self.n_frames or self.n_frames > n_frames)


class Survey(NamedTuple):
    """What there is in a stream of frames."""

    n_frames: int  # whole ones; the one with the table of contents not counted
    contents: Contents | None  # what that one says
    is_cut: bool  # whether bytes are missing at the end
    end: int  # byte behind the last of the frames that follow each other
    goes_on: bool  # whether there are more, behind something else or of another kind
    has_gap: bool  # whether that something else is no tag
    is_free: bool  # whether it is in free format, where the rest is not known
    silence: float  # seconds that an encoder put before the first sample, if it did not say


def frame(header: bytes) -> Frame | None:
    """Read the header of a frame; None if it is none."""
    if len(header) < 4 or header[0] != 0xFF:
        return None
    if header[1] & 0xF6 == 0xF0:
        return _aac(header)
    return _mp3(header) if header[1] & 0xE0 == 0xE0 else None


def _aac(header: bytes) -> Frame | None:
    if len(header) < HEADER or header[2] >> 2 & 0xF > 12:
        return None
    n_bytes = int.from_bytes(header[3:6]) >> 5 & 0x1FFF
    if n_bytes <= HEADER:
        return None
    kind = bytes([header[1], header[2] & 0xFC])
    return Frame("aac", n_bytes, kind, 1_024 / AAC_RATES[header[2] >> 2 & 0xF])


def _mp3(header: bytes) -> Frame | None:
    shift = SHIFTS.get(header[1] >> 3 & 3)
    layer = 4 - (header[1] >> 1 & 3)
    bitrate = header[2] >> 4
    rate = header[2] >> 2 & 3
    if shift is None or layer == 4 or bitrate == 15 or rate == 3 or header[3] & 3 == 2:
        return None
    is_mono = header[3] >= 0xC0
    kind = bytes([header[1] & 0xFE, header[2] & 0x0C, is_mono])
    hertz = RATES[rate] >> shift
    silence = 1_105 / hertz if layer == 3 else 0.0
    if bitrate == 0:
        return Frame("mp3", 0, kind, silence) if layer == 3 else None
    bits = 1000 * KBITS[shift == 0, layer][bitrate - 1]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return Frame("mp3", 4 * (12 * bits // hertz + padding), kind, silence)
    slots = 72 if layer == 3 and shift else 144
    return Frame("mp3", slots * bits // hertz + padding, kind, silence)


def starts_stream(data: bytes, place: int, is_all: bool) -> str | None:
    """Name what begins at a place of `data`: "mp3", "aac", or None.

    `is_all` says that nothing follows `data`: then frames up to its end are enough.
    """
    first = frame(data[place : place + HEADER])
    if first is None:
        return None
    if not first.n_bytes:
        return "mp3" if _is_free(data, place) else None
    if _is_chain(data, place):
        return first.demuxer
    *_, (last, header) = _hop(io.BytesIO(data), place)
    return first.demuxer if is_all and last + header.n_bytes == len(data) else None


def _is_free(data: bytes, place: int) -> bool:
    """Tell MP3 in free format by headers at equal distances."""
    sync = re.escape(data[place : place + 2])
    places = []
    for match in re.finditer(sync, data[place : place + FREE_BYTES]):
        header = frame(data[place + match.start() : place + match.start() + HEADER])
        if header is not None and not header.n_bytes:
            places.append(match.start())
    steps = [b - a for a, b in pairwise(places[: CHAIN + 1])]
    return len(steps) == CHAIN and max(steps) - min(steps) <= 1 and min(steps) > SMALLEST


def find(data: bytes) -> tuple[int, str] | None:
    """Find the first place where frames follow each other, and say what they are."""
    for match in re.finditer(SYNC, data):
        header = frame(data[match.start() : match.start() + HEADER])
        if header is not None and header.n_bytes and _is_chain(data, match.start()):
            return match.start(), header.demuxer
    return None


def looks_like(stream: BinaryIO) -> bool:
    """Tell a file that begins like an MP3, whatever follows."""
    stream.seek(0)
    begin = stream.read(3)
    return begin == b"ID3" or re.match(SYNC, begin) is not None


def _is_chain(data: bytes, place: int) -> bool:
    return len(list(islice(_hop(io.BytesIO(data), place), CHAIN))) == CHAIN


def _hop(stream: BinaryIO, place: int) -> Iterator[tuple[int, Frame]]:
    """Yield the frames that follow each other from a place on, with their places."""
    kind = None
    while True:
        stream.seek(place)
        header = frame(stream.read(HEADER))
        if header is None or not header.n_bytes or header.kind != (kind or header.kind):
            return
        kind = header.kind
        yield place, header
        place += header.n_bytes


def survey(stream: Part) -> Survey:
    """Count the frames of a stream that begins with one; compare with what that one says."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    begin = stream.read(256)
    first = frame(begin)
    assert first is not None
    buffered = io.BufferedReader(stream, BUFFER)
    ends = [place + header.n_bytes for place, header in _hop(buffered, 0)]
    end = max(ends, default=0)
    last = place = end
    for _ in range(MOST_JOINED):
        behind = behind_tags(buffered, place)
        if behind == place:
            break
        stream.blank(place, behind)
        place = max((at + header.n_bytes for at, header in _hop(buffered, behind)), default=behind)
        last = place if place > behind else last
    buffered.seek(place)
    rest = buffered.read(BUFFER)
    buffered.detach()
    following = find(rest)
    if last and following is None and not rest.startswith(TAGS):
        stream.end_at(last)
    contents = _contents(begin)
    n_frames = len(ends) - (end > size) - (contents is not None)
    return Survey(
        n_frames=n_frames,
        contents=contents,
        end=min(end, size),
        is_cut=last > size or bool(contents and contents.promises_more(n_frames, size)),
        goes_on=last > end or following is not None,
        has_gap=bool(following and following[0]) and not rest.startswith(TAGS),
        is_free=not first.n_bytes,
        silence=first.silence,
    )


def behind_tags(stream: BinaryIO, place: int) -> int:
    """Find the byte behind ID3 tags, which may stand before any kind of audio."""
    while True:
        stream.seek(place)
        header = stream.read(ID3_HEADER)
        if len(header) < ID3_HEADER or not header.startswith(b"ID3"):
            return place
        size = 0
        for byte in header[6:]:
            size = size << 7 | byte & 0x7F
        footer = ID3_HEADER if header[5] & 0x10 else 0
        place += ID3_HEADER + size + footer


def _contents(first: bytes) -> Contents | None:
    """Read the table of contents that encoders put into the first frame of an MP3."""
    if first[VBRI_PLACE:].startswith(b"VBRI"):
        return Contents(0, 0, int.from_bytes(first[VBRI_PLACE + 10 : VBRI_PLACE + 14]))
    found = re.search(rb"Xing|Info", first[:64])
    if found is None:
        return None
    place = found.start() + 8
    flags = int.from_bytes(first[place - 4 : place])
    n_frames = int.from_bytes(first[place : place + 4]) if flags & 1 else 0
    at = place + 4 * (flags & 1)
    n_bytes = int.from_bytes(first[at : at + 4]) if flags & 2 else 0
    return Contents(n_frames, place, n_bytes) if n_frames or n_bytes else None
