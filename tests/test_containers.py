import io
from pathlib import Path

import numpy as np
import pytest
from fuzz_audio import BY_FFMPEG, by_ffmpeg

from speech_intent.containers import Container, recognise, search

ODD = Path(__file__).parent / "odd_audio"
NOISE = np.random.default_rng(0).bytes(20_000)
TONE = 0.5 * np.sin(np.arange(8_000) / 5).astype(np.float32)
DEMUXERS = {
    "mp4": "mov",
    "m4a": "mov",
    "mov": "mov",
    "3gp": "mov",
    "webm": "matroska",
    "mka": "matroska",
    "mkv": "matroska",
    "opus": "ogg",
    "oga": "ogg",
    "wma": "asf",
    "ts": "mpegts",
    "mpg": "mpeg",
    "mp2": "mp3",
    "aifc": "aiff",
}


def container(content: bytes) -> Container | None:
    stream = io.BytesIO(content)
    return recognise(stream) or search(stream)


@pytest.mark.parametrize("suffix", BY_FFMPEG)
def test_every_container_is_known_by_its_first_bytes(suffix):
    content = by_ffmpeg(TONE, *BY_FFMPEG[suffix])
    ending = suffix.rpartition(".")[2]
    assert recognise(io.BytesIO(content)) == Container(DEMUXERS.get(ending, ending), 0) or (
        ending == "mp3" and recognise(io.BytesIO(content)).start > 0  # behind its tag
    )


@pytest.mark.parametrize(
    "suffix", ["flac", "m4a", "webm", "wav", "caf", "aiff", "au", "amr", "wma"]
)
@pytest.mark.parametrize("n_bytes", [1, 999])
def test_a_container_is_found_behind_other_bytes(suffix, n_bytes):
    names = {
        "flac": "p_pipe.flac",
        "m4a": "u_aac.m4a",
        "webm": "u_opus.webm",
        "wav": "base.wav",
        "caf": "f_CAF_ALAC_16.caf",
        "amr": "u_amr.amr",
        "wma": "u_wma.wma",
    }
    if suffix in names:
        content = (ODD / names[suffix]).read_bytes()
    else:
        begin = {"aiff": b"FORM\0\0\0\x10AIFFCOMM", "au": b".snd\0\0\0\x18\0\0\0\0"}
        content = begin[suffix] + bytes(50)
    found = container(NOISE[:n_bytes] + content)
    demuxer = {"m4a": "mov", "webm": "matroska", "wma": "asf"}.get(suffix, suffix)
    assert found == Container(demuxer, n_bytes, is_whole=False)


@pytest.mark.parametrize("suffix", ["avi", "flv", "ts", "mpg", "tta", "wv", "voc"])
def test_a_film_or_a_lossless_file_is_found_behind_other_bytes(suffix):
    content = by_ffmpeg(TONE, *BY_FFMPEG[suffix])
    for before in (NOISE[:1_001], tag(200) + bytes(200)):
        found = container(before + content)
        assert (found.demuxer, found.start) == (DEMUXERS.get(suffix, suffix), len(before))


def tag(n_bytes: int, version: int = 4, flags: int = 0) -> bytes:
    size = bytes(n_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, flags]) + size


@pytest.mark.parametrize("n_bytes", [0, 100, 20_000, 700_000])
def test_tags_of_any_size_are_passed_over(n_bytes):
    content = (ODD / "p_pipe.flac").read_bytes()
    tagged = tag(n_bytes) + b"\xff" * n_bytes + content
    assert recognise(io.BytesIO(tagged)) == Container("flac", 10 + n_bytes)
    twice = tag(n_bytes) + bytes(n_bytes) + tagged
    assert recognise(io.BytesIO(twice)) == Container("flac", 20 + 2 * n_bytes)
    footed = tag(n_bytes, flags=0x10) + bytes(n_bytes + 10) + content
    assert recognise(io.BytesIO(footed)) == Container("flac", 20 + n_bytes)


def test_zeros_behind_a_tag_are_passed_over():
    frames = (ODD / "m_vbr_noxing.mp3").read_bytes()[44:]
    assert recognise(io.BytesIO(tag(50) + bytes(50 + 300) + frames)) == Container("mp3", 360)


@pytest.mark.parametrize(
    "content",
    [NOISE, b"\xff\xfb\x90\x64" + NOISE, b"RIFF\0\0\0\0WEBP" + NOISE, b"", b"ID3", b"\xff" * 9_000],
)
def test_what_is_no_container_is_none(content):
    assert container(content) is None
