"""What kind of audio a file is, and where in it that begins, by its bytes and not by its name."""

import re
from typing import BinaryIO, NamedTuple

from . import mpeg

BEGIN = 1 << 14  # bytes that tell a container
HEAD = 1 << 19  # bytes that are searched where they do not

# FFmpeg's name of a container, and which bytes it has at which places.
MAGIC: tuple[tuple[str, dict[int, bytes]], ...] = (
    ("wav", {0: b"RIFF", 8: b"WAVE"}),
    ("wav", {0: b"RIFX", 8: b"WAVE"}),
    ("wav", {0: b"RF64", 8: b"WAVE"}),
    ("wav", {0: b"BW64", 8: b"WAVE"}),
    ("flac", {0: b"fLaC"}),
    ("ogg", {0: b"OggS"}),
    ("aiff", {0: b"FORM", 8: b"AIFF"}),
    ("aiff", {0: b"FORM", 8: b"AIFC"}),
    ("caf", {0: b"caff\0"}),
    ("au", {0: b".snd"}),
    ("w64", {0: b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb"}),
    ("mov", {4: b"ftyp"}),
    *(("mov", {0: b"\0", 4: name}) for name in (b"moov", b"mdat", b"wide", b"free", b"skip")),
    ("matroska", {0: b"\x1a\x45\xdf\xa3"}),
    ("asf", {0: b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"}),
    ("amr", {0: b"#!AMR\n"}),
    ("amr", {0: b"#!AMR-WB\n"}),
    ("avi", {0: b"RIFF", 8: b"AVI "}),
    ("qcp", {0: b"RIFF", 8: b"QLCM"}),
    ("flv", {0: b"FLV\1"}),
    ("wv", {0: b"wvpk"}),
    ("tta", {0: b"TTA1"}),
    ("voc", {0: b"Creative Voice File\x1a"}),
    ("nistsphere", {0: b"NIST_1A\n"}),
    ("ape", {0: b"MAC "}),
    ("mpeg", {0: b"\0\0\1\xba"}),
    ("mpegts", {0: b"G", 188: b"G", 376: b"G"}),
    ("mpegts", {4: b"G", 196: b"G", 388: b"G"}),  # with a time before each packet
)
# What is unlikely enough to be looked for behind something else.
INNER = (
    rb"fLaC\x00\x00\x00\x22|OggS\x00\x02.{20}\x01|(RIFF|RF64).{4}(WAVE(fmt |ds64|JUNK)|AVI LIST)"
    rb"|FORM.{4}AIF[FC]|caff\x00\x01\x00\x00desc|\.snd\x00{3}|riff\x2e\x91\xcf\x11\xa5\xd6"
    rb"|\x00{3}.ftyp[\w ]{4}|\x1a\x45\xdf\xa3.{4,40}(matroska|webm)"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|#!AMR(-WB)?\n|FLV\x01[\x01\x04\x05]\x00{3}\x09"
    rb"|TTA1[\x01-\x03]\x00|wvpk.{4}[\x02-\x10]\x04|NIST_1A\n   1024\n|Creative Voice File\x1a"
    rb"|\x00\x00\x01\xba[\x21\x44]|G.{187}G.{187}G.{187}G.{187}G"
)


class Container(NamedTuple):
    """A kind of audio file."""

    demuxer: str  # FFmpeg's name for it
    start: int  # byte where it begins
    is_whole: bool = True  # whether nothing but tags lies before that


def recognise(stream: BinaryIO) -> Container | None:
    """Tell a container by its first bytes, at the beginning or behind tags."""
    stream.seek(0)
    start = mpeg.behind_tags(stream, 0)
    stream.seek(start)
    head = stream.read(BEGIN)
    is_all = len(head) < BEGIN
    zeros = len(head) - len(head.lstrip(b"\0"))  # some encoders put them behind their tag
    for place in (0, zeros) if start else (0,):
        demuxer = _named(head, place, is_all)
        if demuxer is not None:
            return Container(demuxer, start + place)
    return None


def search(stream: BinaryIO) -> Container | None:
    """Look for audio behind bytes that do not belong to it."""
    stream.seek(0)
    head = stream.read(HEAD)
    inner = re.search(INNER, head, re.DOTALL)
    if inner is not None:
        demuxer = _named(head, inner.start(), is_all=False)
        return Container(demuxer, inner.start(), False) if demuxer else None
    found = mpeg.find(head)
    return Container(found[1], found[0], False) if found else None


def _named(head: bytes, place: int, is_all: bool) -> str | None:
    """Name the container that begins at a place."""
    for demuxer, magic in MAGIC:
        if all(head.startswith(begin, place + at) for at, begin in magic.items()):
            return demuxer
    return mpeg.starts_stream(head, place, is_all)
