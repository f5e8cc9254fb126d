"""Errors as huggingface_hub, datasets and httpx raise them, and what is said of them."""

import errno
import json
import socket
import ssl

import httpx2
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionResolutionError,
)

from speech_intent.hub_errors import NOT_THERE, explain
from speech_intent.hub_reach import NotTheHub


def answered(status: int, kind: type = HfHubHTTPError, words: str = "words") -> HfHubHTTPError:
    """Make the error of an answer with a status."""
    request = httpx2.Request("GET", "https://huggingface.co")
    return kind(words, response=httpx2.Response(status, request=request))


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (answered(404), "is not on the Hub, or is private"),
        (answered(404, RepositoryNotFoundError), "is not on the Hub, or is private"),
        (answered(401, RepositoryNotFoundError), "is not on the Hub, or is private"),
        (answered(401), "the Hub does not know this token"),
        (answered(403, GatedRepoError), "its owner must grant access"),
        (answered(401, GatedRepoError), "its owner must grant access"),
        (answered(403, DisabledRepoError), "the Hub has closed it"),
        (answered(403), "this token has no right to read it"),
        (answered(400, words="bad\nname"), "the Hub refuses this (400: bad)"),
        (answered(451, words=""), "the Hub refuses this (451: HfHubHTTPError)"),
        (answered(409), "somebody else changed it meanwhile (409)"),
        (answered(413), "the Hub has no room for it (413)"),
    ],
)
def test_a_hub_that_refuses_is_no_hub_out_of_reach(error, problem):
    cause = explain(error)
    assert cause.problem == problem
    assert (cause.is_refusal, cause.is_out_of_reach) == (True, False)
    assert cause.remedy


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520])
def test_a_hub_that_fails_is_out_of_reach(status):
    cause = explain(answered(status))
    assert cause.problem == f"the Hub is failing ({status})"
    assert (cause.is_refusal, cause.is_out_of_reach) == (False, True)


def test_whoever_asked_too_often_waits():
    cause = explain(answered(429))
    assert cause.problem == "the Hub was asked too often (429)"
    assert cause.remedy.startswith("wait some minutes")
    assert (cause.is_refusal, cause.is_out_of_reach) == (False, False)


UNREACHED = "the Hub cannot be reached"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OfflineModeIsEnabled("no"), f"{UNREACHED}: HF_HUB_OFFLINE forbids it"),
        (httpx2.ProxyError("407 Wanted"), f"{UNREACHED}: the proxy refuses (407 Wanted)"),
        (answered(407), "the proxy wants a name and a password (407)"),
        (httpx2.ConnectTimeout(""), f"{UNREACHED}: it gives no answer in time"),
        (httpx2.ReadTimeout(""), f"{UNREACHED}: it gives no answer in time"),
        (TimeoutError(), f"{UNREACHED}: it gives no answer in time"),
        (httpx2.ConnectError("refused"), f"{UNREACHED} (refused)"),
        (httpx2.RemoteProtocolError(""), f"{UNREACHED} (RemoteProtocolError)"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), f"{UNREACHED} ([Errno 104] reset)"),
        (LocalEntryNotFoundError("none"), f"{UNREACHED} (none)"),
        (
            caused(httpx2.ConnectError("x"), socket.gaierror(-2, "unknown")),
            f"{UNREACHED}: its name cannot be resolved",
        ),
        (
            caused(httpx2.ConnectError("x"), ssl.SSLCertVerificationError("expired")),
            f"{UNREACHED}: its certificate is not trusted",
        ),
        (caused(RevisionResolutionError("x"), httpx2.ConnectError("y")), f"{UNREACHED} (y)"),
    ],
)
def test_a_hub_that_gives_no_answer_is_out_of_reach(error, problem):
    cause = explain(error)
    assert cause.problem == problem
    assert (cause.is_refusal, cause.is_out_of_reach) == (False, True)
    assert cause.remedy


def test_the_first_cause_counts_whatever_is_wrapped_around_it():
    assert explain(caused(LocalEntryNotFoundError("none"), answered(404))) == NOT_THERE
    wrapped = caused(ValueError("no data"), caused(LocalEntryNotFoundError("x"), answered(503)))
    assert explain(wrapped).problem == "the Hub is failing (503)"
    loop = ValueError("round")
    loop.__context__ = caused(OSError("and round"), loop)
    assert explain(loop).problem == "the Hub's files cannot be had (round)"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR])
def test_a_cache_that_cannot_be_written_is_named(code):
    error = OSError(code, "no", "/cache/hub")
    cause = explain(caused(LocalEntryNotFoundError("x"), error))
    assert cause.problem == "/cache/hub cannot be written or read (no)"
    assert cause.remedy == "put that right, or name another folder by HF_HOME"
    assert not cause.is_out_of_reach


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(code):
    cause = explain(OSError(code, "full"))
    assert cause.problem == f"the disk with {constants.HF_HUB_CACHE} is full"
    assert cause.remedy == "make room, or name another folder by HF_HOME"
    assert not cause.is_out_of_reach


@pytest.mark.parametrize(
    "error", [UnicodeEncodeError("ascii", "ü", 0, 1, "no"), httpx2.LocalProtocolError("header")]
)
def test_a_token_that_cannot_be_sent_is_named(error):
    cause = explain(error)
    assert cause.problem == "the token has characters that no token has"
    assert (cause.is_refusal, cause.is_out_of_reach) == (True, False)


def test_a_token_from_the_environment_is_put_right_there(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert explain(answered(401)).remedy == "correct or unset HF_TOKEN"
    monkeypatch.delenv("HF_TOKEN")
    assert explain(answered(401)).remedy == "log in again with `hf auth login`"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (answered(403), "this token has no right to write there"),
        (answered(401, RepositoryNotFoundError), "the Hub does not know this token"),
        (answered(413), "the Hub has no room for it (413)"),
        (answered(402), "the Hub has no room for it (402)"),
        (answered(412), "somebody else changed it meanwhile (412)"),
        (OSError(), "the upload failed (OSError)"),
    ],
)
def test_an_upload_fails_for_other_reasons(error, problem):
    assert explain(error, writing=True).problem == problem


@pytest.mark.parametrize("error", [answered(502), TimeoutError(), httpx2.ConnectError("x")])
def test_an_upload_is_repeated_once_the_hub_answers(error):
    assert explain(error, writing=True).remedy == "run it again once the Hub answers"


@pytest.mark.parametrize(
    "error",
    [
        json.JSONDecodeError("Expecting value", "<html>", 0),
        httpx2.TooManyRedirects("round"),
        NotTheHub("id"),
    ],
)
def test_a_page_in_the_hubs_place_is_no_hub(error):
    cause = explain(error)
    assert cause.problem == f"{UNREACHED}: something else answers in its place"
    assert cause.is_out_of_reach


@pytest.mark.parametrize("error", [ImportError("no socksio"), httpx2.InvalidURL("no socksio")])
def test_a_proxy_that_cannot_be_used_is_named(error):
    cause = explain(error)
    assert cause.problem == f"{UNREACHED}: the proxy cannot be used (no socksio)"
    assert cause.is_out_of_reach


def test_a_proxy_of_no_kind_is_named(monkeypatch):
    monkeypatch.setenv("https_proxy", "foo://x")
    cause = explain(ValueError("Unknown scheme"))
    assert cause.problem == f"{UNREACHED}: the proxy cannot be used (foo://x)"
