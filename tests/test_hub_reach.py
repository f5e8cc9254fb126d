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


def test_an_endpoint_that_cannot_be_is_named_before_it_is_used(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://[::1")
    with pytest.raises(UserError, match="HF_ENDPOINT: is 'http://"):
        hub_reach.remote_files("user/name", "model")
