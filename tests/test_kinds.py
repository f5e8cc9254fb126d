import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from speech_intent import audio
from speech_intent.errors import AudioError
from speech_intent.kinds import DOWNLOAD, OTHER, PROTECTED, UNPACK, refuse_others


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("clip.wav", b"samples")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("clip.wav"))
    return file.getvalue()


def saved() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(10))
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PLAYLIST = "is a playlist, not the recording"
LISTED = "name the recording that it lists"
XML = "is an XML answer or document, not audio"
JSON = "is a JSON answer or document, not audio"
PAGE = "is a web page, not audio"
KINDS = {
    "nothing": (b"", "is empty", "record or copy it again"),
    "zeros": (
        bytes(3_000_000),
        "is nothing but zero bytes",
        "copy it again: its contents never arrived on the disk",
    ),
    "zip": (zipped(), "is a zip archive or an office document", UNPACK),
    "gzip": (gzip.compress(b"samples"), "is packed with gzip", UNPACK),
    "bzip2": (bz2.compress(b"samples"), "is packed with bzip2", UNPACK),
    "xz": (lzma.compress(b"samples"), "is packed with xz", UNPACK),
    "tar": (tarred(), "is a tar archive", UNPACK),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "is a PDF", OTHER),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(20), "is a picture", OTHER),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(20), "is a picture", OTHER),
    "WebP": (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(20), "is a picture", OTHER),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(20), "is a picture", OTHER),
    "AAX": (b"\0\0\0\x18ftypaax " + bytes(20), *PROTECTED),
    "NumPy": (saved(), "is a NumPy array", "load it, and give (waveform, sampling_rate)"),
    "pickle": (pickle.dumps([0.0]), "is a Python pickle", "write what is in it as WAV"),
    "LFS": (LFS, "is a Git LFS pointer, not the recording", "git lfs pull"),
    "M3U8": (b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n", PLAYLIST, LISTED),
    "PLS": (b"[playlist]\nFile1=a.mp3\n", PLAYLIST, LISTED),
    "ffconcat": (b"ffconcat version 1.0\nfile /etc/passwd\n", PLAYLIST, LISTED),
    "SDP": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\n", PLAYLIST, LISTED),
    "HTML": (b"\n<!-- a --><!-- b -->\n<HTML><body>Not found", PAGE, DOWNLOAD),
    "HTML in UTF-16": ("<!doctype html>".encode("utf-16"), PAGE, DOWNLOAD),
    "XML": (b'\xef\xbb\xbf<?xml version="1.0"?><Error/>', XML, DOWNLOAD),
    "JSON": (json.dumps({"error": "gone"}).encode(), JSON, DOWNLOAD),
    "data address": (b"data:audio/wav;base64,UklGRg", "is a data address, not audio", "decode"),
    "text": ("grüße\n".encode() * 2_000, "is text, not audio", OTHER),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_audio_is_called_by_its_name_with_its_own_remedy(kind, tmp_path):
    content, problem, remedy = KINDS[kind]
    (tmp_path / "clip.m4a").write_bytes(content)
    for source, name in ((content, "bytes"), (tmp_path / "clip.m4a", str(tmp_path / "clip.m4a"))):
        with pytest.raises(AudioError) as error:
            audio.load(source, 16_000)
        assert (error.value.name, error.value.problem) == (name, problem)
        assert remedy in error.value.remedy


@pytest.mark.parametrize("n", range(4_090, 4_100))
def test_a_text_is_one_wherever_its_beginning_is_cut(n):
    with pytest.raises(AudioError, match="is text"):
        refuse_others("clip", io.BytesIO(b"x" * n + "ü€𝄞".encode() * 10))


@pytest.mark.parametrize(
    "content",
    [bytes(5_000) + b"\1", b"fLaC\0\0\0\x22", b"RIFF\0\0\0\0WAVE", np.random.bytes(5_000), b"\xff"],
)
def test_what_may_be_audio_passes(content):
    refuse_others("clip", io.BytesIO(content))


def test_a_page_of_comments_is_looked_at_once():
    with pytest.raises(AudioError, match="is text"):
        refuse_others("clip", io.BytesIO(b"<!---->" * 580))
