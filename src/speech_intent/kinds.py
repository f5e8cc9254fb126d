"""What a file is that is no audio, by its first bytes, and what to do about it."""

import codecs
import re
from typing import BinaryIO

from .errors import AudioError

HEAD = 4096  # bytes that are looked at
ZEROS = 1 << 20  # bytes that are compared with nothing at a time

DOWNLOAD = "the download saved a page in place of the file: log in or check the address, try again"
CONTROL = r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]"  # characters of no text

UNPACK = "unpack it, and name the audio file in it"
OTHER = "name the recording itself"
FETCH = "run `git lfs pull` in its repository to fetch the recording"
PROTECTED = ("is copy-protected", "name a recording that plays without a key")
TARGET = "name the recording that it lists"

# Binary files: how they begin, what they are, what to do.
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "is a zip archive or an office document", UNPACK),
    (rb"\x1f\x8b", "is packed with gzip", UNPACK),
    (rb"BZh[1-9]", "is packed with bzip2", UNPACK),
    (rb"\xfd7zXZ\x00", "is packed with xz", UNPACK),
    (rb"\x28\xb5\x2f\xfd", "is packed with zstd", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07", "is an archive", UNPACK),
    (rb"(?s).{257}ustar", "is a tar archive", UNPACK),
    (rb"%PDF-", "is a PDF", OTHER),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an office document", OTHER),
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\x00|MM\x00\*|BM(?s:.{4})\0{4}", "is a picture", OTHER),
    (rb"(?s)RIFF.{4}WEBP", "is a picture", OTHER),
    (rb"(?s).{4}ftyp(avif|avis|heic|heix|mif1|msf1)", "is a picture", OTHER),
    (rb"(?s).{4}ftyp(aax |aaxc|M4P )", *PROTECTED),
    (
        rb"MThd|(?s:RIFF.{4}RMID)",
        "is a score (MIDI), which has notes and no sound",
        "render it to WAV with a synthesizer",
    ),
    (rb"\x93NUMPY", "is a NumPy array", "load it, and give (waveform, sampling_rate)"),
    (rb"\x80[\x02-\x05][\x95}\](c]", "is a Python pickle", "write what is in it as WAV"),
    (rb"\x89HDF\r\n", "is an HDF5 file", "write what is in it as WAV"),
    (rb"PAR1|ARROW1", "is a table (Parquet or Arrow)", "name the dataset with --data instead"),
    (rb"SQLite format 3\x00", "is a database (SQLite)", OTHER),
    (rb"\x7fELF|MZ(?s:.{58})", "is a program", OTHER),
)

# Text, in the order in which it is looked at.
WORDS: tuple[tuple[str, str, str], ...] = (
    (r"version https://git-lfs\.", "is a Git LFS pointer, not the recording", FETCH),
    (r"#EXTM3U|\[playlist\]|<\?wpl|<asx", "is a playlist, not the recording", TARGET),
    (r"ffconcat version|v=0\s+o=", "is a playlist, not the recording", TARGET),
    (r"(?>(<!--.*?-->\s*)*)<(!doctype html|html|head|body)", "is a web page, not audio", DOWNLOAD),
    (r"<(\?xml|!doctype|[a-z]+[\s>:])", "is an XML answer or document, not audio", DOWNLOAD),
    (r"[{\[]", "is a JSON answer or document, not audio", DOWNLOAD),
    (r"data:[a-z]+/[^,]*,", "is a data address, not audio", "decode what follows its comma"),
    (r"", "is text, not audio", OTHER),
)


def refuse_others(name: str, stream: BinaryIO) -> None:
    """Raise `AudioError` for a file that is empty or known to be something else than audio."""
    stream.seek(0)
    head = stream.read(HEAD)
    if not head:
        raise AudioError(name, "is empty", "record or copy it again")
    for magic, what, remedy in MAGIC:
        if re.match(magic, head):
            raise AudioError(name, what, remedy)
    text = _as_text(head)
    if text is not None:
        raise AudioError(name, *_words(text))
    if not head.strip(b"\0") and _is_zero(stream):
        remedy = "copy it again: its contents never arrived on the disk"
        raise AudioError(name, "is nothing but zero bytes", remedy)


def _words(text: str) -> tuple[str, str]:
    """Say what a text is, and what to do."""
    for begin, what, remedy in WORDS:
        if re.match(begin, text.lstrip(), re.IGNORECASE | re.DOTALL):
            return what, remedy
    raise AssertionError("the last of the words matches everything")


def _as_text(head: bytes) -> str | None:
    """Decode the beginning of a text; None if there are characters that no text has."""
    coding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        # The last character may be cut in two, which an incremental decoder lets pass.
        text = codecs.getincrementaldecoder(coding)().decode(head)
    except UnicodeDecodeError:
        return None
    return None if re.search(CONTROL, text) else text


def _is_zero(stream: BinaryIO) -> bool:
    stream.seek(0)
    while piece := stream.read(ZEROS):
        if piece.count(0) < len(piece):
            return False
    return True
