import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fuzz_audio import by_ffmpeg

from speech_intent import audio, mpeg
from speech_intent.parts import Part
from speech_intent.paths import BUNDLED

ODD = Path(__file__).parent / "odd_audio"
CLIP = BUNDLED / "audio" / "test-0001.mp3"
RATE = 16_000


def survey(content: bytes) -> mpeg.Survey:
    return mpeg.survey(Part(io.BytesIO(content), 0))


@pytest.mark.parametrize(
    ("header", "demuxer", "n_bytes"),
    [
        ("fffb9064", "mp3", 417),  # MPEG-1, layer III, 128 kbit/s, 44,100 Hz
        ("fffb9264", "mp3", 418),  # padded
        ("fff388c4", "mp3", 288),  # MPEG-2, layer III, 64 kbit/s, 16,000 Hz
        ("ffe318c4", "mp3", 72),  # MPEG-2.5, layer III, 8 kbit/s, 8,000 Hz
        ("fffd8404", "mp3", 384),  # MPEG-1, layer II, 128 kbit/s, 48,000 Hz
        ("fffffc04", None, 0),  # no such bitrate
        ("fffb9c64", None, 0),  # no such sampling rate
        ("ffeb9064", None, 0),  # no such version
        ("fff99064", None, 0),  # an AAC header has more bytes
        ("fff15080102ffc", "aac", 129),
        ("fff15080003ffc", None, 0),  # of one byte
        ("fffb0064", "mp3", 0),  # in free format
    ],
)
def test_a_header_says_how_long_its_frame_is(header, demuxer, n_bytes):
    frame = mpeg.frame(bytes.fromhex(header))
    if demuxer is None:
        assert frame is None
    else:
        assert (frame.demuxer, frame.n_bytes) == (demuxer, n_bytes)


def test_a_bundled_clip_has_the_frames_that_it_promises():
    content = CLIP.read_bytes()
    found = survey(content)
    assert found.n_frames == found.contents.n_frames == 57
    assert found.contents.n_bytes == found.end == len(content)
    assert not (found.is_cut or found.goes_on or found.has_gap or found.is_free)


def test_a_cut_stream_is_cut():
    content = CLIP.read_bytes()
    assert survey(content[:-1]).is_cut
    assert survey(content[: len(content) // 2]).is_cut
    aac = (ODD / "u_aac.aac").read_bytes()
    assert not survey(aac).is_cut
    assert survey(aac[:-1]).is_cut


def test_a_stream_that_promises_more_frames_and_not_how_many_bytes_is_cut():
    content = bytearray(CLIP.read_bytes())
    at = content.index(b"Xing")
    content[at + 4 : at + 8] = (1).to_bytes(4)  # of all fields only the frames
    assert not survey(bytes(content)).is_cut
    content[at + 8 : at + 12] = (58).to_bytes(4)
    assert survey(bytes(content)).is_cut


def test_a_lie_about_frames_alone_is_no_cut():
    found = survey(Path(ODD / "m_xing_lies_long.mp3").read_bytes()[44:])
    assert (found.contents.n_frames, found.n_frames) == (1_000_000, 57)
    assert not found.is_cut


def test_what_lies_between_frames_is_seen():
    content = CLIP.read_bytes()
    frames = content[mpeg.frame(content[:7]).n_bytes :]
    assert survey(content + frames).n_frames == 2 * 57
    behind = survey(content + bytes(range(1, 200)) + frames)
    assert (behind.goes_on, behind.has_gap, behind.n_frames) == (True, True, 57)
    tagged = survey(content + b"ID3\4\0\0\0\0\0\4" + b"abcd" + frames)
    assert (tagged.goes_on, tagged.has_gap) == (True, False)
    ended = survey(content + b"TAG" + bytes(125))
    assert (ended.goes_on, ended.has_gap, ended.end) == (False, False, len(content))


def test_frames_are_found_behind_other_bytes_and_not_where_there_are_none():
    noise = np.random.default_rng(0).bytes(100_000)
    assert mpeg.find(noise) is None
    assert mpeg.find(noise[:999] + CLIP.read_bytes()) == (999, "mp3")
    assert mpeg.find(noise[:999] + (ODD / "u_aac.aac").read_bytes()) == (999, "aac")
    assert mpeg.find(b"\xff\xfe\xff\xff\0\0" * 20_000) is None  # samples near zero
    assert mpeg.find(b"\xff" * 100_000) is None


def test_few_frames_are_a_stream_if_nothing_follows():
    content = CLIP.read_bytes()
    two = content[: 2 * mpeg.frame(content[:7]).n_bytes]
    n = mpeg.frame(content[:7]).n_bytes
    n += mpeg.frame(content[n : n + 7]).n_bytes
    assert mpeg.starts_stream(content[:n], 0, is_all=True) == "mp3"
    assert mpeg.starts_stream(content[:n], 0, is_all=False) is None
    assert mpeg.starts_stream(content[:n] + b"\0", 0, is_all=True) is None
    assert len(two) > n


def in_free_format(content: bytes) -> bytes:
    """Take the bitrate out of the headers of frames that are equally long."""
    frames = []
    place = 0
    while (header := mpeg.frame(content[place : place + 7])) is not None:
        frame = bytearray(content[place : place + header.n_bytes])
        frame[2] &= 0x0F
        frames.append(bytes(frame))
        place += header.n_bytes
    return b"".join(frames[1:])  # the first is no sound


def test_free_format_is_heard():
    waveform = audio.load(CLIP, RATE)
    constant = by_ffmpeg(waveform, "mp3", "libmp3lame", RATE, id3v2_version="0")
    content = in_free_format(constant)
    assert mpeg.frame(content[:7]).n_bytes == 0
    assert survey(content).is_free
    heard = audio.load(content, RATE)
    assert len(heard) / RATE == pytest.approx(1.957, abs=0.1)  # with what the encoder padded


# Heard as long as it is


def heard(content: bytes) -> tuple[float, list[str]]:
    warnings = []
    waveform = audio.load(content, RATE, warn=warnings.append)
    return len(waveform) / RATE, [warning.problem for warning in warnings]


def with_vbri(n_frames: int) -> bytes:
    """Put another encoder's table of contents into the first frame."""
    content = bytearray(CLIP.read_bytes())
    first = mpeg.frame(content[:7]).n_bytes
    content[4:first] = bytes(first - 4)
    fields = [(1, 2), (0, 2), (75, 2), (len(content), 4), (n_frames, 4)]
    table = b"VBRI" + b"".join(number.to_bytes(width) for number, width in fields)
    content[36 : 36 + len(table)] = table
    return bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda clip: clip,
        lambda clip: clip[288:],  # without the table of contents
        lambda clip: clip + b"TAG" + bytes(125),
        lambda clip: clip + b"APETAGEX" + bytes(range(256)),
        lambda clip: b"ID3\4\0\0\0\0\7\x68" + bytes(1_000) + clip,
        lambda clip: b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(1_000) + clip,  # of a size that lies
        lambda clip: b"ID3\4\0\0\0\0\0\x0a" + bytes(range(256)) * 20 + clip,
        lambda clip: with_vbri(57),
        lambda clip: with_vbri(5),
    ],
)
def test_an_mp3_is_heard_whole_whatever_stands_around_it(change):
    seconds, problems = heard(change(CLIP.read_bytes()))
    assert seconds == pytest.approx(1.957, abs=0.03)
    assert problems == []


def id3(n_bytes: int) -> bytes:
    """Write a tag that looks like a picture."""
    size = bytes(n_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + size + np.random.default_rng(0).bytes(n_bytes)


# Tables of contents, and files that were joined


def with_contents(fields: bytes) -> bytes:
    """Let an MP3 have another table of contents."""
    content = CLIP.read_bytes()
    place = next(content.find(name) for name in (b"Xing", b"Info") if name in content) + 4
    end = mpeg.frame(content[: mpeg.HEADER]).n_bytes
    return content[:place] + fields.ljust(end - place, b"\0") + content[end:]


def number(*values: int) -> bytes:
    return b"".join(value.to_bytes(4) for value in values)


@pytest.mark.parametrize(
    ("fields", "is_whole_cut", "is_half_cut"),
    [
        (number(0), False, False),  # says nothing
        (number(1, 57), False, True),
        (number(1, 0), False, False),
        (number(2, 10_000_000), True, True),
        (number(3, 57, 10_000_000), False, True),  # a tag was counted, too
        (number(3, 1_000_000, 1), False, False),  # frames that never were
    ],
)
def test_a_table_of_contents_is_believed_where_all_of_it_agrees(fields, is_whole_cut, is_half_cut):
    content = with_contents(fields)
    ends = [place for place, _ in mpeg._hop(io.BytesIO(content), 0)]
    assert survey(content).is_cut == is_whole_cut
    assert survey(content[: ends[len(ends) // 2]]).is_cut == is_half_cut


def test_bytes_alone_tell_a_cut():
    content = CLIP.read_bytes()
    half = [place for place, _ in mpeg._hop(io.BytesIO(content), 0)][30]
    content = with_contents(number(2, len(content)))
    assert not survey(content).is_cut
    assert survey(content[:half]).is_cut


def test_the_table_of_another_encoder_tells_a_cut():
    content = CLIP.read_bytes()
    table = b"VBRI" + bytes(6) + number(len(content), 57)
    end = mpeg.frame(content[: mpeg.HEADER]).n_bytes
    content = content[:4] + (bytes(32) + table).ljust(end - 4, b"\0") + content[end:]
    half = [place for place, _ in mpeg._hop(io.BytesIO(content), 0)][30]
    assert not survey(content).is_cut
    assert survey(content[:half]).is_cut


@pytest.mark.parametrize(
    "between", [b"", id3(1_000), id3(300_000), b"TAG" + bytes(125), b"TAG" + bytes(125) + id3(500)]
)
def test_joined_mp3s_are_all_heard_without_a_warning(between):
    content = CLIP.read_bytes()
    one = len(audio.load(content, RATE))
    warnings = []
    both = audio.load(content + between + content, RATE, warn=warnings.append)
    assert warnings == []
    assert len(both) / RATE == pytest.approx(2 * one / RATE, abs=0.2)


def test_three_joined_mp3s_are_all_heard_and_a_tag_at_the_end_changes_nothing():
    content = CLIP.read_bytes()
    one = audio.load(content, RATE)
    warnings = []
    three = audio.load((content + id3(90_000)) * 3, RATE, warn=warnings.append)
    assert warnings == []
    assert len(three) / RATE == pytest.approx(3 * len(one) / RATE, abs=0.3)
    np.testing.assert_array_equal(audio.load(content + id3(90_000), RATE), one)


def test_the_last_of_joined_files_is_cut():
    content = CLIP.read_bytes()
    assert not survey(content + id3(500) + content).is_cut
    assert survey(content + id3(500) + content[:-1]).is_cut


def test_mono_joined_with_stereo_is_all_heard():
    waveform = audio.load(CLIP, RATE)
    stereo = io.BytesIO()
    soundfile.write(stereo, np.stack([waveform] * 2, axis=1), RATE, format="MP3")
    warnings = []
    both = audio.load(CLIP.read_bytes() + stereo.getvalue(), RATE, warn=warnings.append)
    assert warnings == []
    assert len(both) / RATE == pytest.approx(2 * len(waveform) / RATE, abs=0.2)
