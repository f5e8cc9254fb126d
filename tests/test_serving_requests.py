import asyncio
import tempfile

import pytest
from fastapi import HTTPException
from starlette.requests import Request

from speech_intent.serving import requests
from speech_intent.serving.answers import Clip
from speech_intent.serving.requests import read_clips
from speech_intent.serving.settings import Settings

CHARSETS = ["undefined", "punycode", "utf-7", "unicode_escape", "utf-16", "no such", "idna"]
PLENTY = 10_000_000  # bytes
FORM = {"content-type": "multipart/form-data; boundary=b"}


class Sent:
    """A request whose body comes in pieces; `n_read` of them have been asked for."""

    def __init__(self, *pieces: bytes, **headers: str):
        self.pieces = list(pieces)
        self.n_read = 0
        self.held: list[int] = []
        names = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.request = Request(
            {
                "type": "http",
                "method": "POST",
                "headers": [(name.encode(), value.encode()) for name, value in names],
            },
            self._receive,
        )

    async def _receive(self) -> dict:
        self.n_read += 1
        more = self.n_read < len(self.pieces)
        body = self.pieces[self.n_read - 1]
        return {"type": "http.request", "body": body, "more_body": more}

    def clips(self, max_bytes: int = PLENTY) -> list[Clip]:
        settings = Settings(max_megabytes=max_bytes / 1e6)
        return asyncio.run(read_clips(self.request, settings, self.held.append))

    def refusal(self, max_bytes: int = PLENTY) -> tuple[int, str]:
        with pytest.raises(HTTPException) as error:
            self.clips(max_bytes)
        return error.value.status_code, error.value.detail


def part(disposition: str, content: bytes) -> bytes:
    head = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def sent_form(*parts: bytes) -> Sent:
    body = b"".join(parts) + b"--b--\r\n"
    return Sent(body[:50], body[50:], content_type=FORM["content-type"])


@pytest.mark.parametrize("kind", ["", "audio/wav", "application/x-www-form-urlencoded"])
def test_a_body_is_one_clip_whatever_curl_calls_it(kind):
    assert Sent(b"ab", b"", b"c", content_type=kind).clips() == [Clip("body", b"abc")]


def test_an_empty_body_is_an_empty_clip():
    assert Sent(b"").clips() == [Clip("body", b"")]


def test_the_files_of_a_form_are_clips_in_their_order():
    clips = sent_form(
        part('name="file"; filename="b.wav"', b"first"),
        part('name="note"', b"no file"),
        part('name="other"; filename="a.wav"', b"--second\r\n"),
        part('name="file"; filename=""', b""),
    ).clips()
    assert clips == [Clip("b.wav", b"first"), Clip("a.wav", b"--second\r\n"), Clip("file", b"")]


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        ("multipart/form-data", b"", "the form cannot be read (Missing boundary in multipart); "),
        (FORM["content-type"], b"junk", "the form cannot be read ("),
        (FORM["content-type"], b"--b--\r\n", "the form has no file part; send the clip as one"),
        (
            FORM["content-type"],
            part('name="file"', b"text") + b"--b--\r\n",
            "the form has no file part; send the clip as one: curl -F file=@clip.wav",
        ),
    ],
)
def test_a_form_that_cannot_be_used_is_400(kind, body, problem):
    status, detail = Sent(body, content_type=kind).refusal()
    assert status == 400
    assert detail.startswith(problem)


def test_a_form_has_at_most_a_hundred_files():
    file = part('name="files"; filename="a.wav"', b"x")
    assert len(sent_form(*[file] * 100).clips()) == 100
    status, detail = sent_form(*[file] * 101).refusal()
    assert status == 400
    assert "Too many files. Maximum number of files is 100" in detail


def test_a_body_is_stopped_at_the_piece_that_is_too_much():
    pieces = [bytes(400)] * 5
    assert len(Sent(*pieces).clips(max_bytes=2_000)[0].data) == 2_000
    sent = Sent(*pieces)
    status, detail = sent.refusal(max_bytes=1_199)
    assert (status, sent.n_read) == (413, 3)
    problem = "the request is larger than 0.001199 MB"
    assert detail == f"{problem}; send less audio, or FLAC, OGG or MP3"


def test_a_form_is_stopped_like_a_body():
    status, detail = sent_form(part('name="f"; filename="f"', bytes(500))).refusal(max_bytes=500)
    assert status == 413
    assert "larger than 0.0005 MB" in detail


def test_a_body_that_says_it_is_too_large_is_not_read():
    assert len(Sent(bytes(1_000), content_length="1000").clips(1_000)[0].data) == 1_000
    sent = Sent(b"", content_length="1001")
    status, detail = sent.refusal(1_000)
    assert (status, sent.n_read) == (413, 0)
    assert detail.startswith("the request is larger than 0.001 MB; ")


def test_bytes_are_told_of_as_they_arrive_and_not_as_they_are_promised():
    sent = Sent(b"ab", b"", b"cde", content_length="1000")
    sent.clips()
    assert sent.held == [2, 3, 0]


def test_a_request_that_never_arrives_is_408(monkeypatch):
    async def never() -> dict:
        await asyncio.sleep(60)
        return {}

    monkeypatch.setattr(requests, "ARRIVAL", 0.1)
    request = Request({"type": "http", "method": "POST", "headers": []}, never)
    with pytest.raises(HTTPException) as error:
        asyncio.run(read_clips(request, Settings(), lambda _: None))
    problem = "the request did not arrive within 0.1 s; send it again"
    assert (error.value.status_code, error.value.detail) == (408, problem)


@pytest.mark.parametrize(
    "kind",
    [
        "Multipart/Form-Data; boundary=b",
        "multipart/form-data ;boundary=b",
        *(f"multipart/form-data; boundary=b; charset={name}" for name in CHARSETS),
    ],
)
def test_a_form_is_one_however_its_type_is_written(kind):
    body = part('name="file"; filename="caf\u00e9.wav"', b"first") + b"--b--\r\n"
    assert Sent(body, content_type=kind).clips() == [Clip("caf\u00e9.wav", b"first")]


def test_audio_is_never_put_on_the_disk(monkeypatch):
    def fail(_: object) -> None:
        raise AssertionError("on disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", fail)
    big = bytes(1_500_000)  # starlette's own limit is 1 MB
    clips = sent_form(part('name="file"; filename="private.wav"', big)).clips()
    assert clips == [Clip("private.wav", big)]
