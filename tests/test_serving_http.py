import asyncio
import contextlib
import copy
import logging
import queue
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TONES
from serving_tools import Gated, client_of, encoded, form
from starlette.requests import Request

from speech_intent.serving import places as module
from speech_intent.serving import requests
from speech_intent.serving.answers import Answer, Clip, Responder
from speech_intent.serving.http import answers_in_turn, create_app
from speech_intent.serving.places import Places
from speech_intent.serving.settings import Settings
from speech_intent.serving.work import estimate


@pytest.fixture(scope="module")
def responder(classifier):
    return Responder(classifier, max_seconds=3.0)


@pytest.fixture(scope="module")
def client(responder):
    with client_of(responder) as client:
        yield client


@pytest.fixture
def start():
    """Run the app with another model or other settings, until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda model, **settings: stack.enter_context(client_of(model, **settings))


@pytest.fixture(scope="module")
def wav(tone) -> bytes:
    return encoded(tone(TONES["hear_low"], 0.5, seed=60))


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (lambda data: {"content": data}, "body"),
        (lambda data: {"files": {"file": ("clip.wav", data)}}, "clip.wav"),
        (lambda data: {"files": {"any": ("clip.wav", data)}, "data": {"n": "1"}}, "clip.wav"),
    ],
    ids=["body", "form", "any part"],
)
def test_a_clip_is_answered_by_the_model(client, responder, wav, sent, name):
    response = client.post("/predict", **sent(wav))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == responder.answer(Clip(name, wav)).body
    assert response.json()["label"] == "hear_low"


def test_a_clip_that_cannot_be_used_gets_its_own_status(client):
    text = client.post("/predict", files={"file": ("text.wav", b"text")})
    long = client.post("/predict", files={"file": ("long.wav", encoded(np.zeros(50_000)))})
    assert (text.status_code, long.status_code) == (422, 413)
    assert text.json()["detail"].startswith("text.wav: is text, not audio; ")
    assert long.json()["detail"].startswith("long.wav: lasts more than 3 s; ")


def test_a_request_for_one_clip_has_one(client):
    response = client.post("/predict", files=form(("a.wav", b"1"), ("b.wav", b"2")))
    problem = "the form has 2 file parts; send them to /predict/batch"
    assert (response.status_code, response.json()) == (400, {"detail": problem})
    assert client.post("/predict", files={"file": (None, "text")}).status_code == 400


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_the_size_of_a_request_is_limited_whether_it_says_so_or_not(client, path):
    big = bytes(500_000)
    pieces = (bytes(50_000) for _ in range(10))  # without a length
    for sent in ({"content": big}, {"content": pieces}, {"files": {"file": ("b", big)}}):
        response = client.post(path, **sent)
        assert response.status_code == 413
        assert "larger than 0.4 MB" in response.json()["detail"]


def test_a_batch_answers_each_file_in_order(client, responder, wav, tone):
    other = encoded(tone(TONES["hear_high"], 0.6), format="FLAC")
    long = encoded(np.zeros(4 * 16_000))
    files = [("a.wav", wav), ("bad.wav", b"text"), ("b.flac", other), ("long.wav", long)]
    response = client.post("/predict/batch", files=form(*files))
    assert response.status_code == 200
    assert response.json() == [responder.answer(Clip(*file)).body for file in files]
    assert [row.get("label") for row in response.json()] == ["hear_low", None, "hear_high", None]


@pytest.mark.parametrize(("top_k", "n"), [("1", 1), ("3", 3), ("4", 4), ("999999999", 4)])
def test_a_client_may_want_only_the_best_intents(client, responder, wav, top_k, n):
    whole = responder.answer(Clip("a.wav", wav)).body
    wanted = whole | {"scores": whole["scores"][:n]}
    query = {"top_k": top_k}
    one = client.post("/predict", params=query, files={"file": ("a.wav", wav)})
    assert (one.status_code, len(whole["scores"])) == (200, 4)
    assert one.json() == wanted
    files = form(("a.wav", wav), ("bad.wav", b"text"), ("a.wav", wav))
    batch = client.post("/predict/batch", params=query, files=files).json()
    refused = responder.answer(Clip("bad.wav", b"text")).body
    assert batch == [wanted, refused, wanted]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
@pytest.mark.parametrize("top_k", ["", "0", "-1", "1.5", "three", "\u0663", "9" * 5000])
def test_a_number_of_intents_that_cannot_be_is_refused(client, wav, path, top_k):
    response = client.post(path, params={"top_k": top_k}, files={"file": ("a.wav", wav)})
    remedy = "ask for ?top_k=3, or leave it out for all intents"
    problem = f"top_k is no whole number from 1 on; {remedy}"
    assert (response.status_code, response.json()) == (422, {"detail": problem})


def test_warnings_go_to_their_own_clip(client, wav):
    quiet = encoded(np.zeros(8000))
    files = form(*((f"{i}.wav", quiet if i % 3 == 0 else wav) for i in range(12)))
    answers = client.post("/predict/batch", files=files).json()
    problem = "is silent (peak 0.0e+00); its answer means nothing"
    for i, answer in enumerate(answers):
        assert answer["warnings"] == ([f"{i}.wav: {problem}"] if i % 3 == 0 else [])


def test_names_and_audio_stay_out_of_the_log(client, caplog):
    with caplog.at_level(logging.INFO):
        for data in (encoded(np.zeros(8000)), b"text"):
            client.post("/predict", files={"file": ("private.wav", data)})
    assert "private" not in caplog.text


def test_health_says_which_model_answers(client, responder):
    assert client.get("/health").json() == responder.about()


def test_metrics_count_requests_and_seconds_of_audio(start, wav):
    client = start(Gated())
    client.post("/predict", content=wav)
    client.post("/predict/batch", files=form(("a.wav", wav), ("b.wav", wav)))
    client.post("/predict", files={"file": (None, "text")})
    lines = client.get("/metrics").text.splitlines()
    assert "speech_intent_audio_seconds_total 7.5" in lines
    assert "speech_intent_waiting_clips 0.0" in lines
    for handler, status in [("/predict", 200), ("/predict", 400), ("/predict/batch", 200)]:
        names = f'handler="{handler}",method="POST",status="{status}"'
        assert f"http_requests_total{{{names}}} 1.0" in lines


def test_metrics_count_answers_by_intent_and_those_that_are_unknown(start, classifier, wav):
    picky = copy.copy(classifier)
    picky.threshold = 1.1
    for model, label in ((classifier, "hear_low"), (picky, "unknown")):
        client = start(Responder(model, 3.0))
        client.post("/predict", files={"file": ("any name.wav", wav)})
        client.post("/predict/batch", files=form(("a.wav", wav), ("b.wav", b"text")))
        lines = client.get("/metrics").text.splitlines()
        found = [line for line in lines if line.startswith("speech_intent_answers_total")]
        assert found == [f'speech_intent_answers_total{{label="{label}"}} 2.0']


KEYS = ["", "Bearer", "Bearer wrong", "Bearer sesame2", "Basic sesame", "Bearer s\xe9same"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/predict"), ("POST", "/predict/batch"), ("GET", "/metrics")],
)
def test_an_api_key_opens_all_but_health(start, wav, method, path):
    client = start(Gated(), api_key="sesame")
    files = {"file": ("a.wav", wav)} if method == "POST" else None

    def ask(**headers: bytes) -> object:
        return client.request(method, path, files=files, headers=headers)

    for value in KEYS:
        assert ask(Authorization=value.encode("latin-1")).status_code == 401
    refused = ask()
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    problem = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`"
    assert refused.json() == {"detail": problem}
    assert ask(Authorization=b"Bearer sesame").status_code == 200
    assert client.get("/health").status_code == 200


def test_a_key_may_have_letters_beyond_ascii(start, wav):
    client = start(Gated(), api_key="s\u00e9same \u30ad\u30fc")
    sent = {"Authorization": "Bearer s\u00e9same \u30ad\u30fc".encode()}
    assert client.post("/predict", content=wav, headers=sent).status_code == 200
    sent = {"Authorization": "Bearer s\u00e8same \u30ad\u30fc".encode()}
    assert client.post("/predict", content=wav, headers=sent).status_code == 401


def test_without_a_key_none_is_asked_for(start, wav):
    client = start(Gated())
    headers = {"Authorization": "Bearer whatever"}
    assert client.post("/predict", content=wav, headers=headers).status_code == 200


def test_failures_answer_in_json_and_keep_their_cause_to_themselves(start, wav):
    class Broken(Gated):
        def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
            if clip.name == "body":
                raise RuntimeError("secret")
            return super().answer(clip, limit)

    client = start(Broken())
    response = client.post("/predict", content=wav)
    problem = "the server failed; its log says why"
    assert (response.status_code, response.json()) == (500, {"detail": problem})
    assert client.app.state.queue.places.taken.n_clips == 0
    assert client.get("/nothing").json() == {"detail": "Not Found"}
    assert client.get("/predict").status_code == 405


N_WARM_UP = 2 * 3  # calls: two for each of three workers


def held_while_answering(client, model: Gated, n_clips: int, **sent) -> tuple[int, int]:
    """Send a request, and give (clips, bytes) that it holds while its model thinks."""
    taken = client.app.state.queue.places.taken
    model.gate.clear()
    thread = threading.Thread(target=client.post, kwargs=sent)
    thread.start()
    end = time.monotonic() + 20
    try:
        while taken.n_clips < n_clips or len(model.names) < N_WARM_UP + n_clips:
            assert time.monotonic() < end, f"holds {taken}"
            time.sleep(0.01)
        held = taken.n_clips, taken.n_bytes
    finally:
        model.gate.set()
        thread.join()
    assert (taken.n_clips, taken.work, taken.n_bytes) == (0, 0.0, 0)
    return held


def test_a_request_holds_its_bytes_until_it_is_answered(start, wav):
    model = Gated()
    client = start(model)
    sent = {"url": "/predict", "content": wav}
    assert held_while_answering(client, model, 1, **sent) == (1, len(wav))


class AfterTheFirst(Gated):
    """Has its gate open for the first clip of a batch."""

    def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
        if clip.name == "first":
            self.names.append(clip.name)
            return Answer(200, {"file": clip.name})
        return super().answer(clip, limit)


def test_a_batch_holds_as_many_places_as_there_are_workers_and_its_bytes_once(start):
    model = AfterTheFirst()
    client = start(model)
    files = form(("first", b"1"), *((str(i), b"2") for i in range(8)))
    sent = {"url": "/predict/batch", "files": files}
    n_bytes = int(client.build_request("POST", **sent).headers["Content-Length"])
    taken = client.app.state.queue.places.taken
    held = held_while_answering(client, model, 3, **sent)
    assert held == (3, n_bytes)
    assert sorted(model.names[N_WARM_UP:]) == sorted(["first", *map(str, range(8))])
    assert taken.n_clips == 0


class Counting:
    """A queue that notes how many clips of a batch it has in hand at once."""

    at_once = 3

    def __init__(self):
        self.places = Places(60.0)
        self.in_hand = self.most = 0

    async def answer(self, clip, size, gone) -> Answer:
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        await asyncio.sleep(0.01)
        self.in_hand -= 1
        return Answer(200, {"file": clip.name})


@pytest.mark.parametrize(("n_others", "most"), [(0, 3), (5, 1)])
def test_a_batch_has_one_turn_at_a_time_where_others_wait(n_others, most):
    queue = Counting()
    counters = SimpleNamespace(count=lambda answer: None)
    state = SimpleNamespace(queue=queue, settings=Settings(), counters=counters)
    scope = {"type": "http", "client": ("10.0.0.1", 1), "app": SimpleNamespace(state=state)}
    clips = [Clip(str(i), b"x") for i in range(8)]

    async def run() -> list[Answer]:
        with contextlib.ExitStack() as stack:
            for i in range(n_others):
                stack.enter_context(queue.places.waiting(str(i), 1.0))
            return await answers_in_turn(Request(scope), clips)

    answers = asyncio.run(run())
    assert [answer.body["file"] for answer in answers] == [clip.name for clip in clips]
    assert queue.most == most


def test_a_batch_that_takes_too_long_is_answered_as_far_as_it_came(start):
    model = AfterTheFirst()
    client = start(model, max_wait=0.2)
    model.gate.clear()
    files = form(("first", b"1"), *((str(i), b"2") for i in range(5)))
    response = client.post("/predict/batch", files=files)
    model.gate.set()
    first, *others = response.json()
    assert (response.status_code, first) == (200, {"file": "first"})
    problem = "got no answer within 0.6 s; try again later"
    assert others == [{"file": str(i), "detail": f"{i}: {problem}"} for i in range(5)]


def test_a_clip_that_lasts_longer_than_its_header_says_pays_for_that(start, classifier, tone):
    model = Responder(classifier, 60.0)
    client = start(model)
    limits = []
    places = client.app.state.queue.places
    take = places.waiting

    def noted(address, work, is_inside):
        limits.append(work)
        return take(address, work, is_inside)

    places.waiting = noted
    short = bytearray(encoded(tone(TONES["hear_low"], 8.0), format="FLAC"))
    total = 21  # byte of a FLAC where its number of samples begins, in 36 bits
    field = int.from_bytes(short[total : total + 5])
    short[total : total + 5] = ((field >> 36 << 36) | 16_000).to_bytes(5)  # a second, it says
    answer = client.post("/predict", content=bytes(short)).json()
    assert answer["seconds"] == 8.0
    of_two_seconds, of_a_minute = limits
    assert of_two_seconds < 3 < 60 < of_a_minute


def test_a_full_queue_says_503_and_when_to_come_back(start, wav, monkeypatch):
    model = Gated()
    client = start(model, max_wait=1.1)
    model.gate.clear()
    places = client.app.state.queue.places
    work = estimate(wav, 60.0).work
    places.cost = 0.2 / work  # five can be answered in time
    places.usual = work
    monkeypatch.setattr(module, "SHARE", 1.0)
    answered = queue.SimpleQueue()

    def post(i: int) -> None:
        answered.put(client.post("/predict", files={"file": (f"{i}.wav", wav)}))

    threads = [threading.Thread(target=post, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    seconds = []
    for refused in [answered.get(timeout=60) for _ in range(15)]:  # while the first is answered
        seconds.append(int(refused.headers["Retry-After"]))
        problem = f"too many requests are waiting; try again in {seconds[-1]} s"
        assert (refused.status_code, refused.json()) == (503, {"detail": problem})
    assert min(seconds) <= 2
    assert 3 <= max(seconds) <= 5  # as fast as they can be answered: 15 times 0.2 s
    model.gate.set()
    for thread in threads:
        thread.join()
    assert [answered.get().status_code for _ in range(5)] == [200] * 5
    assert len(model.names) == N_WARM_UP + 5
    refused = "speech_intent_refused_requests_total 15.0"
    assert refused in client.get("/metrics").text.splitlines()
    assert client.post("/predict", content=wav).status_code == 200


def test_what_takes_too_long_is_504(start, wav):
    model = Gated()
    client = start(model, max_wait=0.2)
    model.gate.clear()
    response = client.post("/predict", files={"file": ("a.wav", wav)})
    model.gate.set()
    problem = "a.wav: got no answer within 0.6 s; try again later"
    assert response.status_code == 504
    assert response.json() == {"file": "a.wav", "detail": problem}


class Idle:
    """A queue that nobody gets to ask."""

    n_lost = 0
    at_once = 1

    def __init__(self):
        self.places = Places(1.0)


def sent_by(receive) -> tuple[Idle, list[dict]]:
    """Send /predict a body that `receive` gives; return the queue and what came back."""
    sent = []
    app = create_app(Idle, Settings())
    app.state.queue = Idle()
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b""}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(app(scope | {"headers": []}, receive, send))
    return app.state.queue, sent


def test_a_request_that_never_arrives_is_408_and_gives_its_place_back(monkeypatch):
    monkeypatch.setattr(requests, "ARRIVAL", 0.3)
    idle, (start, body) = sent_by(lambda: asyncio.sleep(60))
    assert start["status"] == 408
    assert b"did not arrive within 0.3 s" in body["body"]
    assert (idle.places.taken.n_clips, idle.places.taken.n_bytes) == (0, 0)


def test_a_client_that_leaves_while_it_sends_is_no_failure():
    async def leave() -> dict:
        return {"type": "http.disconnect"}

    idle, (start, _) = sent_by(leave)
    assert start["status"] == 499
    assert (idle.places.taken.n_clips, idle.places.taken.n_bytes) == (0, 0)
