import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_intent.ogg import Contents, contents, pages
from speech_intent.parts import Part

ODD = Path(__file__).parent / "odd_audio"
RATE = 16_000


def encode(subtype: str) -> bytes:
    file = io.BytesIO()
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE)
    soundfile.write(file, waveform, RATE, format="OGG", subtype=subtype)
    return file.getvalue()


def part(content: bytes) -> Part:
    return Part(io.BytesIO(content), 0)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_one_stream_with_an_end_is_plain(subtype):
    found = contents(part(encode(subtype)))
    assert found.is_plain
    assert found.seconds == pytest.approx(3.0, abs=0.001)


def test_what_an_encoder_puts_before_an_opus_stream_is_not_counted():
    content = bytearray(encode("OPUS"))
    place = content.find(b"OpusHead") + 10
    content[place : place + 2] = (24_000).to_bytes(2, "little")
    before = 0.5 - 312 / 48_000
    assert contents(part(bytes(content))).seconds == pytest.approx(3.0 - before, abs=0.001)


def test_streams_that_follow_each_other_and_other_codecs_are_not():
    content = encode("VORBIS")
    assert contents(part(content + content)) == Contents(False, 0.0)
    assert contents(part((ODD / "u_oggflac.oga").read_bytes())) == Contents(False, 0.0)


def test_a_stream_without_an_end_is_not_plain_but_counted():
    found = contents(part((ODD / "o_noeosflag.opus").read_bytes()))
    assert not found.is_plain
    assert found.seconds == pytest.approx(1.957, abs=0.01)


def test_a_broadcast_that_was_joined_late_is_counted_from_there():
    content = bytearray(encode("VORBIS"))
    place = -1
    while (place := content.find(b"OggS", place + 1)) >= 0:
        granule = int.from_bytes(content[place + 6 : place + 14], "little")
        if granule:
            late = granule + 1_000 * RATE
            content[place + 6 : place + 14] = late.to_bytes(8, "little")
    assert contents(part(bytes(content))).seconds < 3.0


def test_pages_end_where_something_else_begins():
    content = encode("VORBIS")
    ends = [page.end for page in pages(part(content))]
    assert ends[-1] == len(content)
    assert [page.end for page in pages(part(content + b"junk" * 10))] == ends
    cut = [page.end for page in pages(part(content[:-1]))]
    assert cut == ends  # the last one reaches beyond the file
    assert [page.end for page in pages(part(content[: ends[0] + 10]))] == [58, 58 + 27]
