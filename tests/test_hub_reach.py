"""A Hub that is silent at some point: nothing waits for it for ever."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import hub_client
import pytest
from huggingface_hub.utils import get_session

from speech_intent import hub_reach
from speech_intent.errors import UserError


class Silent(BaseHTTPRequestHandler):
    """Takes a request and gives no answer."""

    def do_GET(self):
        self.server.stopped.wait(20)

    do_POST = do_GET


class Json(httpx2.Response):
    """An answer of something else than the Hub."""

    def __init__(self, content: object):
        request = httpx2.Request("GET", hub_client.NOBODY)
        super().__init__(200, json=content, request=request)


@pytest.fixture
def silent(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.stopped = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield hub_client.visit(monkeypatch, address)
    server.stopped.set()
    server.shutdown()


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_silent_hub_is_given_up(silent, monkeypatch, kind):
    monkeypatch.setattr(hub_reach, "REACH_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises((TimeoutError, httpx2.TimeoutException)):
        hub_reach.remote_files("user/name", kind)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(("method", "limit"), [("GET", "SILENT"), ("POST", "WRITING")])
def test_a_request_that_says_no_time_has_one(silent, monkeypatch, method, limit):
    hub_reach.limit_silence()
    monkeypatch.setattr(hub_reach, f"{limit}_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(httpx2.ReadTimeout):
        get_session().request(method, silent, timeout=None)
    assert time.monotonic() - began < 3


def test_a_time_that_is_said_stays(silent):
    hub_reach.limit_silence()
    with pytest.raises(httpx2.ReadTimeout):
        get_session().get(silent, timeout=0.2)


def test_requests_are_limited_once():
    hub_reach.limit_silence()
    hub_reach.limit_silence()
    assert get_session().event_hooks["request"].count(hub_reach._limit) == 1


@pytest.mark.parametrize("answer", [[1, 2], {}])
def test_json_of_something_else_is_no_answer_of_the_hub(monkeypatch, answer):
    hub_client.visit(monkeypatch, hub_client.NOBODY)
    monkeypatch.setattr("httpx2.Client.get", lambda *_, **__: Json(answer))
    with pytest.raises(hub_reach.NotTheHub):
        hub_reach.remote_files("user/name", "model")


def test_an_endpoint_that_cannot_be_is_named_before_it_is_used(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://[::1")
    with pytest.raises(UserError, match="HF_ENDPOINT: is 'http://"):
        hub_reach.remote_files("user/name", "model")


def test_nothing_else_is_asked_of_the_hub(monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    program = "import speech_intent, huggingface_hub.constants as hub; "
    program += "assert hub.HF_HUB_DISABLE_TELEMETRY"
    result = hub_client.run_as_user("-c", program)
    assert result.returncode == 0, result.stderr
