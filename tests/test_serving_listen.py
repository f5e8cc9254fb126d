"""/listen in this process, its streams heard in threads; the last tests ask a real server."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor

import numpy as np
import pytest
import soundfile
from serving_tools import RATE, Gated, client_of, encoded
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from speech_intent import audio
from speech_intent.paths import BUNDLED, ROOT
from speech_intent.serving import ears, listen
from speech_intent.serving.answers import Answer, Clip

CLIP = BUNDLED / "audio" / "test-0001.mp3"
SILENCE = np.zeros(RATE, np.float32)
KEY = {"Authorization": "Bearer sesame"}


def pcm_of(*waveforms: np.ndarray) -> bytes:
    return (np.concatenate(waveforms) * 32_767).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.load(CLIP, RATE)


@pytest.fixture(scope="module")
def pcm(speech) -> bytes:
    """A request with a second of silence before and after it."""
    return pcm_of(SILENCE, speech, SILENCE)


class Naming(Gated):
    """Answers with labels, one after the other, and keeps what it hears."""

    def __init__(self, *labels: str):
        super().__init__()
        self.labels = list(labels)
        self.heard = []

    def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
        if clip.name == "warm-up":
            return Answer(200, {}, 1.0)
        self.heard.append(clip.data)
        label = self.labels[len(self.heard) - 1]
        answer = super().answer(clip, limit)
        guess = {"guess": "on", "reason": "no speech"} if label == "unknown" else {}
        return Answer(200, answer.body | {"label": label} | guess, answer.seconds)


@pytest.fixture
def start():
    """Run the app with another model or other settings, until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda model, **settings: stack.enter_context(client_of(model, **settings))


def told(session) -> tuple[list[dict], int, str]:
    """Give what a socket tells until it is closed, with the code and the reason of that."""
    events = []
    try:
        while True:
            events.append(session.receive_json())
    except WebSocketDisconnect as end:
        return events, end.code, end.reason


def streamed(client, pcm: bytes, query: str = "", n_bytes: int = 3_200) -> list[dict]:
    """Send a stream in pieces, and its end; give what is told."""
    with client.websocket_connect(f"/listen{query}") as session:
        for begin in range(0, len(pcm), n_bytes):
            session.send_bytes(pcm[begin : begin + n_bytes])
        session.send_text("end")
        events, code, reason = told(session)
        assert (code, reason) == (1000, "")
    return events


def test_a_request_is_told_of_when_it_begins_and_answered_when_it_is_over(start, pcm, speech):
    model = Naming("on")
    speaks, answer = streamed(start(model), pcm)
    seconds = len(speech) / RATE
    assert speaks == {"event": "speech", "start": pytest.approx(1.0, abs=0.4)}
    assert answer == {
        "event": "answer",
        "start": speaks["start"],
        "end": pytest.approx(1 + seconds, abs=0.4),
        "label": "on",
    }
    [data] = model.heard
    waveform, rate = soundfile.read(io.BytesIO(data))
    info = soundfile.info(io.BytesIO(data))
    assert (info.format, info.subtype, info.channels, rate) == ("WAV", "PCM_16", 1, RATE)
    lasts = answer["end"] - answer["start"] + 0.25 + 0.25
    assert len(waveform) / RATE == pytest.approx(lasts, abs=0.05)
    begin = round((answer["start"] - 0.25) * RATE)
    given = np.frombuffer(pcm, "<i2")[begin - 512 : begin + len(waveform) + 512] / 32_768
    fit = np.correlate(given, waveform)
    assert fit.max() == pytest.approx(np.dot(waveform, waveform), rel=0.01)


@pytest.mark.parametrize(
    ("query", "change"),
    [
        ("?channels=2", lambda samples: np.repeat(samples, 2)),
        ("?rate=32000", lambda samples: np.repeat(samples, 2)),
        ("?rate=8000&channels=1", lambda samples: samples[::2]),
    ],
)
def test_other_rates_and_channels_are_heard_too(start, pcm, query, change):
    client = start(Naming(*"aaaa"))
    usual = streamed(client, pcm)
    other = streamed(client, change(np.frombuffer(pcm, "<i2")).tobytes(), query)
    assert [event["event"] for event in other] == ["speech", "answer"]
    assert other[1]["start"] == pytest.approx(usual[1]["start"], abs=0.2)
    assert other[1]["end"] == pytest.approx(usual[1]["end"], abs=0.2)


@pytest.mark.parametrize("n_bytes", [501, 50_000, 1_000_000])
def test_frames_may_be_of_any_length(start, pcm, n_bytes):
    client = start(Naming(*"aa"))
    assert streamed(client, pcm, n_bytes=n_bytes) == streamed(client, pcm)


def test_long_messages_are_heard_in_pieces_and_short_ones_together(start, pcm, monkeypatch):
    sizes = []
    hear = ears.hear

    def noted(key, data):
        sizes.append(len(data))
        return hear(key, data)

    monkeypatch.setattr(ears, "hear", noted)
    client = start(Naming(*"aa"))
    streamed(client, pcm, n_bytes=100_000)
    assert max(sizes) == 16_000  # half a second
    sizes.clear()
    streamed(client, pcm, n_bytes=640)  # 20 ms, as telephones send it
    assert set(sizes[:-1]) == {3_200}


def test_the_end_of_the_stream_ends_a_request(start, speech):
    events = streamed(start(Naming("on")), pcm_of(SILENCE, speech))
    assert [event["event"] for event in events] == ["speech", "answer"]


def test_what_is_no_request_gets_no_answer(start, pcm):
    client = start(Naming("unknown", "off"))
    events = streamed(client, pcm + pcm)
    assert [event["event"] for event in events] == ["speech", "speech", "answer"]
    assert events[2]["label"] == "off"
    assert events[2]["start"] == events[1]["start"]
    lines = client.get("/metrics").text.splitlines()
    assert "speech_intent_audio_seconds_total 5.0" in lines
    assert 'speech_intent_answers_total{label="unknown"} 1.0' in lines
    assert 'speech_intent_answers_total{label="off"} 1.0' in lines


def test_silence_is_told_nothing_of(start):
    assert streamed(start(Naming()), bytes(3 * 32_000)) == []


class LastFirst(Naming):
    """Answers the first request when it has answered the second."""

    def __init__(self, *labels: str):
        super().__init__(*labels)
        self.has_answered = threading.Event()

    def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
        answer = super().answer(clip, limit)
        if answer.body.get("label") == self.labels[0]:
            assert self.has_answered.wait(5)
        elif clip.name == "request":
            self.has_answered.set()
        return answer


def test_a_stream_is_heard_while_it_is_answered_and_told_in_order(start, pcm):
    events = streamed(start(LastFirst("on", "off")), pcm + pcm)
    assert [event["event"] for event in events] == ["speech", "answer"] * 2
    assert [event.get("label") for event in events] == [None, "on", None, "off"]


def only_error(events: list[dict]) -> dict:
    """Give what is told of a request that gets no answer."""
    speaks, error = events
    assert (speaks["event"], error.pop("event")) == ("speech", "error")
    assert error.pop("start") == speaks["start"] < error.pop("end")
    return error


def test_a_request_that_finds_no_place_is_told_so(start, pcm):
    client = start(Naming("on", "off"))
    places = client.app.state.queue.places
    places.cost = 100.0
    with places.waiting("other", 0.01):
        events = streamed(client, pcm)
    problem = "too many requests are waiting; try again in "
    error = only_error(events)
    assert error.pop("detail").startswith(problem)
    assert error == {"status": 503}
    assert "speech_intent_refused_requests_total 1.0" in client.get("/metrics").text.splitlines()
    places.cost = 0.0
    assert streamed(client, pcm)[1]["event"] == "answer"


def test_a_request_that_takes_too_long_is_told_so(start, pcm):
    model = Naming("on")
    client = start(model, max_wait=0.2)
    model.gate.clear()
    error = only_error(streamed(client, pcm))
    model.gate.set()
    problem = "request: got no answer within 0.6 s; try again later"
    assert error == {"status": 504, "detail": problem}


def test_a_failure_keeps_its_cause_to_itself_and_ends_no_stream(start, pcm, caplog):
    client = start(Naming())  # has no label to give
    failed = {"status": 500, "detail": "the server failed; its log says why"}
    events = streamed(client, pcm + pcm)
    assert only_error(events[:2]) == failed
    assert only_error(events[2:]) == failed
    assert "IndexError" in caplog.text
    taken = client.app.state.queue.places.taken
    assert (taken.n_clips, taken.n_bytes) == (0, 0)


def denied(client, path: str = "/listen", **headers: bytes) -> WebSocketDenialResponse:
    with (
        pytest.raises(WebSocketDenialResponse) as denial,
        client.websocket_connect(path, headers=headers),
    ):
        pass
    return denial.value


def test_the_api_key_is_asked_for(start, pcm):
    client = start(Naming("on"), api_key="sesame")
    problem = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`"
    for value in ("", "Bearer", "Bearer wrong", "Basic sesame", "Bearer s\xe9same", "sesame"):
        denial = denied(client, Authorization=value.encode("latin-1"))
        assert (denial.status_code, denial.json()) == (401, {"detail": problem})
    assert denied(client).headers["WWW-Authenticate"] == "Bearer"
    client.headers["Authorization"] = "Bearer sesame"
    assert streamed(client, pcm)[1]["label"] == "on"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("rate=fast", "rate is no whole number above 0; ask for /listen?rate=48000&channels=2"),
        ("rate=", "rate is no whole number above 0; "),
        ("rate=16000.0", "rate is no whole number above 0; "),
        ("rate=" + "9" * 5_000, "rate is no whole number above 0; "),
        ("channels=0", "channels is no whole number above 0; "),
        ("channels=-1", "channels is no whole number above 0; "),
        ("rate=50", "the stream: has a sampling rate of 50 Hz; record it at one between "),
        ("channels=65", "the stream: has 65 channels, more than 64; "),
    ],
)
def test_a_format_that_cannot_be_heard_is_denied(start, query, problem):
    client = start(Naming())
    denial = denied(client, f"/listen?{query}")
    assert denial.status_code == 422
    assert denial.json()["detail"].startswith(problem)
    assert client.app.state.ears.n_streams == 0


def test_too_many_streams_are_denied_and_places_come_back(start, pcm, monkeypatch):
    monkeypatch.setattr(ears, "STREAMS_A_CORE", 1)  # and two cores
    monkeypatch.setattr(ears, "MOST_OF_AN_ADDRESS", 1)
    client = start(Naming("on"))
    with client.websocket_connect("/listen") as session:
        assert "speech_intent_streams 1.0" in client.get("/metrics").text.splitlines()
        denial = denied(client)  # an address has half of them
        session.send_text("end")
        assert told(session) == ([], 1000, "")  # else the test client would cancel it
    problem = "too many streams are open; try again in 10 s"
    assert (denial.status_code, denial.json()) == (503, {"detail": problem})
    assert denial.headers["Retry-After"] == "10"
    assert streamed(client, pcm)[1]["label"] == "on"
    lines = client.get("/metrics").text.splitlines()
    assert "speech_intent_streams 0.0" in lines
    assert "speech_intent_refused_requests_total 1.0" in lines


def test_a_client_that_sends_nothing_is_closed(start, monkeypatch):
    monkeypatch.setattr(listen, "SILENT", 0.3)
    client = start(Naming())
    with client.websocket_connect("/listen") as session:
        for _ in range(4):
            session.send_bytes(bytes(3_200))
            time.sleep(0.15)
        assert told(session) == ([], 1001, "no audio for 60 s; connect again")
    assert client.app.state.ears.n_streams == 0


def test_text_is_no_audio(start):
    with start(Naming()).websocket_connect("/listen") as session:
        session.send_text("RIFF")
        problem = 'what is no audio came; send 16-bit PCM in binary frames, and "end" last'
        assert told(session) == ([], 1003, problem)


def test_reasons_fit_into_a_frame():
    for code, reason in (listen.NO_AUDIO, listen.WENT_SILENT, listen.CRASHED, listen.RESTART):
        assert 1000 < code < 1013
        assert len(reason.encode()) <= 123


def test_a_client_that_leaves_takes_what_it_asked_along(start, pcm):
    model = Naming("on", "off")
    client = start(model)
    model.gate.clear()
    with client.websocket_connect("/listen") as session:
        session.send_bytes(pcm)
        assert session.receive_json()["event"] == "speech"
        wait_for(lambda: model.heard)
        taken = client.app.state.queue.places.taken
        held = taken.n_clips, taken.n_bytes
    left = client.app.state.ears.n_streams, taken.n_clips, taken.n_bytes
    model.gate.set()
    assert held == (1, len(model.heard[0]))
    assert left == (0, 0, 0)


def wait_for(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_that_ends_answers_what_it_has_in_hand(start, pcm):
    model = Naming("on", "off")
    client = start(model)
    model.gate.clear()
    with client.websocket_connect("/listen") as session:
        session.send_bytes(pcm + pcm[: len(pcm) // 2])  # who speaks still has to say it again
        wait_for(lambda: model.heard)
        session.send({"type": "websocket.disconnect", "code": 1012})
        threading.Timer(0.3, model.gate.set).start()
        events, code, reason = told(session)
    assert [event["event"] for event in events] == ["speech", "answer", "speech"]
    assert (code, reason) == (1012, "the server ends; connect again")


def test_a_stream_whose_process_crashes_is_closed(start, pcm, monkeypatch):
    crashed = threading.Event()
    hear = ears.hear

    def crash(key, data):
        if crashed.is_set():
            raise BrokenExecutor
        return hear(key, data)

    monkeypatch.setattr(ears, "hear", crash)
    with start(Naming("on")).websocket_connect("/listen") as session:
        session.send_bytes(pcm)
        assert session.receive_json()["event"] == "speech"
        assert session.receive_json()["event"] == "answer"
        crashed.set()
        session.send_bytes(pcm)
        problem = "the process that heard the stream has ended; connect again"
        assert told(session) == ([], 1011, problem)


@pytest.fixture(scope="module")
def server():
    """`python serve.py` with the shipped model; gives (process, address of /listen)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"SPEECH_INTENT_PORT": str(port), "SPEECH_INTENT_API_KEY": "sesame"}
    command = [sys.executable, ROOT / "serve.py"]
    server = subprocess.Popen(
        command, env=os.environ | names, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        for line in server.stderr:
            if "running on" in line:
                break
        yield server, f"ws://127.0.0.1:{port}/listen"
    finally:
        server.kill()
        server.communicate()


def test_the_example_streams_a_file_and_prints_the_answer(server, tmp_path, pcm):
    file = tmp_path / "clip.wav"
    file.write_bytes(encoded(np.frombuffer(pcm, "<i2"), subtype="PCM_16"))
    command = [sys.executable, ROOT / "examples" / "listen_client.py", file, "--url", server[1]]
    names = os.environ | {"SPEECH_INTENT_API_KEY": "sesame"}
    done = subprocess.run(command, env=names, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    speaks, answer = map(json.loads, done.stdout.splitlines())
    assert speaks["event"] == "speech"
    assert (answer["event"], answer["label"]) == ("answer", "About_iQube")
    assert answer["seconds"] == pytest.approx(answer["end"] - answer["start"] + 0.5, abs=0.05)
    assert "file" not in answer


def test_a_real_socket_is_denied_with_its_reason(server):
    for query, headers, status in (("", {}, 401), ("?rate=x", KEY, 422)):
        with pytest.raises(InvalidStatus) as denial:
            connect(server[1] + query, additional_headers=headers)
        response = denial.value.response
        assert response.status_code == status
        assert "; " in json.loads(response.body)["detail"]


def test_a_message_that_is_too_large_ends_its_stream(server):
    with connect(server[1], additional_headers=KEY) as stream:
        stream.send(bytes(1_000_001))
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=20)
        assert stream.close_code == 1009


def test_sigterm_answers_and_closes_the_streams_and_ends_the_server(server, pcm):
    running, url = server
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(connect(url, additional_headers=KEY, close_timeout=1))
            for _ in range(3)
        ]
        for stream in streams[:2]:
            stream.send(pcm)
            assert json.loads(stream.recv(timeout=20))["event"] == "speech"
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        for stream in streams[:2]:
            assert json.loads(stream.recv(timeout=20))["label"] == "About_iQube"
        for stream in streams:
            with pytest.raises(ConnectionClosed):
                stream.recv(timeout=20)
            assert stream.close_code == 1012
    assert running.wait(timeout=20) == 0
    assert time.monotonic() - began < 10
    assert "ERROR" not in running.stderr.read()
