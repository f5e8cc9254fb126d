import io
import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fuzz_audio import BY_FFMPEG, by_ffmpeg

from speech_intent import audio
from speech_intent.endings import CUT, MORE, UNFINISHED, Ending, ending
from speech_intent.ffmpeg import DAMAGED
from speech_intent.parts import Part

ODD = Path(__file__).parent / "odd_audio"
RATE = 16_000
WAVEFORM = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)


def encode(fmt: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, WAVEFORM, RATE, format=fmt, subtype="PCM_16")
    return file.getvalue()


def heard(content: bytes) -> tuple[np.ndarray, list[str]]:
    warnings = []
    waveform = audio.load(content, RATE, warn=warnings.append)
    return waveform, [warning.problem for warning in warnings]


def with_size(content: bytes, fmt: str, size: bytes) -> bytes:
    """Let a header say another number of bytes."""
    places = {
        "WAV": content.find(b"data") + 4,
        "RF64": content.find(b"ds64") + 16,
        "W64": content.find(b"data") + 16,
        "AIFF": content.find(b"SSND") + 4,
        "AU": 8,
        "CAF": content.find(b"data") + 4,
    }
    place = places[fmt]
    width = 8 if fmt in ("RF64", "W64", "CAF") else 4
    return content[:place] + (size * 8)[:width] + content[place + width :]


FORMATS = ["WAV", "RF64", "W64", "AIFF", "AU", "CAF"]


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(("size", "problems"), [(b"\0", [UNFINISHED]), (b"\xff", [])])
def test_a_header_without_a_size_is_mended(fmt, size, problems):
    content = encode(fmt)
    waveform, odd = heard(with_size(content, fmt, size))
    assert odd == problems
    np.testing.assert_array_equal(waveform, audio.load(content, RATE))


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_what_is_left_of_a_cut_file_is_heard_with_a_warning(fmt, share):
    content = encode(fmt)
    waveform, odd = heard(content[: round(share * len(content)) // 2 * 2])
    assert odd == [CUT]
    np.testing.assert_allclose(waveform, WAVEFORM[: len(waveform)], atol=1e-4)
    assert len(waveform) == pytest.approx(share * len(WAVEFORM), rel=0.1)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_whole_file_has_no_problem(fmt):
    assert heard(encode(fmt))[1] == []


def test_an_empty_wav_with_chunks_behind_its_samples_was_finished():
    content = b"RIFF\0\0\0\0WAVEdata\0\0\0\0LIST\4\0\0\0INFO"
    assert ending(Part(io.BytesIO(content), 0), "wav") == Ending()
    junk = content + b"\x80" * 10
    assert ending(Part(io.BytesIO(junk), 0), "wav").problem == UNFINISHED


# What FFmpeg writes


CUT_ANYWHERE = ["webm", "mkv", "mka", "opus", "amr", "aac", "mp2", "mp3", "avi", "wma", "flv"]
CUT_ANYWHERE += ["ts", "voc"]


@pytest.mark.parametrize("suffix", [*CUT_ANYWHERE, "m4a", "wv", "pipe.flac"])
def test_a_whole_container_has_no_problem(suffix):
    waveform, odd = heard(by_ffmpeg(WAVEFORM, *BY_FFMPEG[suffix]))
    assert odd == []
    assert len(waveform) / RATE == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("suffix", CUT_ANYWHERE)
def test_a_cut_container_is_heard_with_one_warning(suffix):
    content = by_ffmpeg(WAVEFORM, *BY_FFMPEG[suffix])
    whole = len(audio.load(content, RATE))
    waveform, odd = heard(content[: round(0.77 * len(content)) - 3])
    assert odd in ([CUT], [DAMAGED])
    assert 0.4 * whole < len(waveform) < 0.9 * whole


def test_a_recording_of_a_browser_that_was_cut_is_heard_with_one_warning():
    content = (ODD / "u_opus.webm").read_bytes()
    waveform, odd = heard(content[: len(content) // 2])
    assert odd == [CUT]
    assert len(waveform) / RATE == pytest.approx(0.95, abs=0.1)


def test_garbage_behind_a_webm_does_not_belong_to_it():
    content = by_ffmpeg(WAVEFORM, *BY_FFMPEG["webm"])
    assert heard(content + bytes(range(255, 0, -1)) * 10)[1] == []


@pytest.mark.parametrize(("demuxer", "begin"), [("amr", b"#!AMR\n"), ("wav", bytes(12))])
def test_looking_for_an_end_has_an_end(demuxer, begin):
    content = begin + b"\x7c\0\0\0\0\0\0\0" * 1_000_000
    assert ending(Part(io.BytesIO(content), 0), demuxer).problem is None


# Writers into pipes


@pytest.mark.parametrize("fmt", ["WAV", "AIFF", "AU"])
@pytest.mark.parametrize("size", [0x7F000000, 0x7FFFF000, 0x80000000, 0xFFFFFFFF - 36])
def test_a_size_that_stands_for_unknown_is_mended(fmt, size):
    content = encode(fmt)
    order = "little" if fmt == "WAV" else "big"
    waveform, odd = heard(with_size(content, fmt, size.to_bytes(4, order)))
    assert odd == []
    np.testing.assert_array_equal(waveform, audio.load(content, RATE))


def without_total() -> bytes:
    """Encode a FLAC as into a pipe: nobody knows how long it is."""
    content = bytearray(encode("FLAC"))
    content[21:26] = (int.from_bytes(content[21:26]) >> 36 << 36).to_bytes(5)
    return bytes(content)


def test_a_flac_of_unknown_length_that_is_whole_has_no_problem():
    assert heard(without_total())[1] == []
    assert heard(without_total() + b"TAG" + bytes(125))[1] == []


@pytest.mark.parametrize("n_bytes", [-1, -2_000, 50_000])
def test_a_flac_of_unknown_length_that_is_cut_is_heard_with_a_warning(n_bytes):
    waveform, odd = heard(without_total()[:n_bytes])
    assert odd == [CUT]
    np.testing.assert_allclose(waveform, WAVEFORM[: len(waveform)], atol=1e-4)


def test_fragments_up_to_a_cut_are_heard_wherever_it_is():
    how = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
    content = by_ffmpeg(WAVEFORM, "mp4", "aac", 48_000, **how)
    places = [found.start() for found in re.finditer(b"moof", content)]
    assert len(places) > 3
    for place in range(places[2] - 4, places[3], 150):
        waveform, odd = heard(content[: max(place, places[2] + 12)])
        assert odd == [CUT]
        assert 0.9 < len(waveform) / RATE < 1.7


def test_looking_for_the_last_frame_of_a_silent_flac_is_quick():
    part = Part(io.BytesIO(b"fLaC" + bytes(22) + b"\xff\xf8\x59\x08" * 100_000), 0)
    start = time.perf_counter()
    assert ending(part, "flac").problem == CUT
    assert time.perf_counter() - start < 5


# Files that were joined


@pytest.mark.parametrize("fmt", ["WAV", "AIFF", "CAF"])
def test_a_second_recording_behind_the_first_is_named(fmt):
    content = encode(fmt)
    waveform, odd = heard(content * 2)
    assert odd == [MORE]
    np.testing.assert_array_equal(waveform, audio.load(content, RATE))


@pytest.mark.parametrize("suffix", ["m4a", "wma", "gsm.wav"])
def test_a_second_container_behind_the_first_is_named(suffix):
    if suffix == "gsm.wav":
        content = (ODD / "s_gsm.wav").read_bytes()
    else:
        content = by_ffmpeg(WAVEFORM, *BY_FFMPEG[suffix])
    assert heard(content * 2)[1] == [MORE]


# Old speech formats


def test_a_cut_sphere_file_is_heard_with_a_warning():
    content = encode("NIST")
    assert heard(content)[1] == []
    waveform, odd = heard(content[: len(content) // 2])
    assert odd == [CUT]
    np.testing.assert_allclose(waveform, WAVEFORM[: len(waveform)], atol=1e-4)


def test_the_extended_blocks_of_a_voc_are_read():
    waveform, odd = heard(by_ffmpeg(WAVEFORM, *BY_FFMPEG["voc"]))
    assert odd == []
    np.testing.assert_allclose(waveform, WAVEFORM, atol=1e-4)


@pytest.mark.parametrize("begin", [b"#!AMR\n", b"#!AMR-WB\n"])
def test_noise_that_is_called_amr_is_not_heard(begin):
    with pytest.raises(audio.AudioError, match="is damaged or is not audio"):
        audio.load(begin + np.random.default_rng(0).bytes(20_000), RATE)


def test_wavpack_without_a_whole_block_is_cut():
    content = by_ffmpeg(WAVEFORM[:4_000], *BY_FFMPEG["wv"])
    with pytest.raises(audio.AudioError, match="is damaged or cut"):
        audio.load(content[:-100], RATE)
