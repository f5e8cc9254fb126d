import io
from pathlib import Path

import pytest

from speech_intent.chunks import LAYOUTS, MOST_CHUNKS, Chunk, Field, Index, index, walk
from speech_intent.parts import Part

ODD = Path(__file__).parent / "odd_audio"


def part(content: bytes) -> Part:
    return Part(io.BytesIO(content), 0)


def walked(content: bytes, kind: str) -> list[Chunk]:
    return list(walk(part(content), LAYOUTS[kind]))


def test_a_wav_is_walked_through_chunk_by_chunk():
    content = b"RIFF\0\0\0\0WAVE" + b"odd \3\0\0\0abc\0" + b"data\4\0\0\0abcd"
    assert walked(content, "wav") == [Chunk(b"odd ", 20, 3), Chunk(b"data", 32, 4)]


def test_an_mp4_is_walked_through_atom_by_atom():
    long = b"\0\0\0\1mdat" + (20).to_bytes(8) + b"abcd"
    content = b"\0\0\0\x0cftypM4A " + long + b"\0\0\0\0moov" + bytes(20)
    assert walked(content, "mov") == [
        Chunk(b"ftyp", 8, 4),
        Chunk(b"mdat", 28, 4),
        Chunk(b"moov", 40, None),  # up to the end
    ]


@pytest.mark.parametrize(
    ("kind", "begin", "size", "start"),
    [
        ("wav", 12, b"\xff\xff\xff\xff", 20),
        ("aiff", 12, b"\xff\xff\xff\xff", 20),
        ("caf", 8, b"\xff" * 8, 20),
        ("w64", 40, bytes(12) + b"\xff" * 7 + b"\x7f", 64),
    ],
)
def test_a_size_that_is_not_known_ends_the_walk(kind, begin, size, start):
    content = bytes(begin) + b"data" + size + bytes(100)
    assert walked(content, kind) == [Chunk(b"data", start, None)]


def test_a_file_of_tiny_chunks_is_not_walked_through_for_ever():
    content = bytes(12) + b"junk\0\0\0\0" * (2 * MOST_CHUNKS)
    assert len(walked(content, "wav")) == MOST_CHUNKS


def test_a_size_is_written_as_its_container_writes_it():
    assert Field(4, 4, "little").written(258) == b"\2\1\0\0"
    assert Field(8, 8, "little", more=24).written(1) == b"\x19" + bytes(7)
    assert Field(4, 4, "big").written(1 << 40) == b"\xff\xff\xff\xff"


def test_an_mp4_has_an_index_wherever_it_stands():
    content = (ODD / "u_aac.m4a").read_bytes()
    assert index(part(content)) == Index(is_protected=False)
    assert index(part(content[: content.index(b"moov") - 4])) is None
    assert index(part(content.replace(b"mp4a", b"enca").replace(b"udta", b"sinf"))) == Index(True)
