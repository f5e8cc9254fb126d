import asyncio
import json
from types import SimpleNamespace

import pytest
from prometheus_client import Counter

from speech_intent.serving import places as module
from speech_intent.serving.door import Door, address_of
from speech_intent.serving.places import Places


@pytest.fixture
def state():
    """Of an app whose queue is full of another address' clips."""
    places = Places(1.0)
    places.cost = places.usual = 1.0
    refused = Counter("refused", "all", registry=None)
    state = SimpleNamespace(queue=SimpleNamespace(places=places))
    state.counters = SimpleNamespace(refused=refused)
    with places.waiting("b", 1.0):
        yield state


def asked(state, **scope) -> tuple[list[dict], list[str]]:
    """Ask for an answer through a door; give what was sent, and what the app behind it saw."""
    sent = []
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["path"])

    async def receive():
        raise AssertionError("reads the body")

    async def send(message):
        sent.append(message)

    asked = {"type": "http", "path": "/predict", "client": ("10.0.0.1", 9)} | scope
    asked["app"] = SimpleNamespace(state=state)
    asyncio.run(Door(app)(asked, receive, send))
    return sent, seen


def test_who_finds_no_place_is_refused_before_anything_is_read(state):
    (start, body), seen = asked(state)
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert (start["status"], seen) == (503, [])
    assert headers["retry-after"] == "1"
    assert headers["content-length"] == str(len(body["body"]))
    problem = "too many requests are waiting; try again in 1 s"
    assert json.loads(body["body"]) == {"detail": problem}
    assert state.counters.refused._value.get() == 1.0


def test_other_requests_pass(state):
    assert asked(state, path="/health") == ([], ["/health"])
    assert asked(state, path="/predict", type="websocket") == ([], ["/predict"])


def test_while_there_are_places_all_pass(state):
    state.queue.places.cost = 0.01
    assert asked(state, path="/predict/batch") == ([], ["/predict/batch"])


def test_many_refusals_are_slowed_down(state, monkeypatch):
    monkeypatch.setattr(module, "REFUSALS", 10)
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr("speech_intent.serving.door.asyncio.sleep", sleep)
    for _ in range(5):
        asked(state)
    assert pauses[0] == 0.0
    assert pauses[-1] == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("10.0.0.1", 9), "10.0.0.1"),
        (("2001:db8:0:1:aaaa::1", 9), "2001:db8:0:1::/64"),
        (("2001:db8:0:1:bbbb::2", 7), "2001:db8:0:1::/64"),
        (("testclient", 1), "testclient"),
        (None, ""),
    ],
)
def test_who_asks_is_an_address_or_a_network(client, address):
    assert address_of({"client": client}) == address
