"""`python serve.py` as a real process, one for the whole file; the last test ends it."""

import asyncio
import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest
from conftest import TONES
from fastapi.testclient import TestClient
from serving_tools import Gated, encoded, workers_of

from speech_intent.paths import ROOT
from speech_intent.serving import process
from speech_intent.serving.connections import Connection, Socket

KEY = {"Authorization": "Bearer sesame"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def server(model_folder):
    """A server that begins with 64 open files; gives (process, port)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "SPEECH_INTENT_MODEL": str(model_folder),
        "SPEECH_INTENT_PORT": str(port),
        "SPEECH_INTENT_API_KEY": "sesame",
        "SPEECH_INTENT_MAX_MEGABYTES": "1",
        "SPEECH_INTENT_MAX_WAIT": "600",
    }
    command = ["sh", "-c", f"ulimit -S -n 64; exec {sys.executable} serve.py"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr:
            if "running on" in line:
                break
        yield server, port
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


@pytest.fixture(scope="module")
def port(server):
    return server[1]


def post_all(port: int, bodies: list[bytes]) -> list:
    """Send all at once, each on a connection of its own."""

    async def send() -> list:
        limits = httpx2.Limits(max_connections=None)
        url = f"http://127.0.0.1:{port}/predict"
        async with httpx2.AsyncClient(
            limits=limits, timeout=60, headers=KEY, trust_env=False
        ) as client:
            return await asyncio.gather(*(client.post(url, content=body) for body in bodies))

    return asyncio.run(send())


def test_200_clients_at_once_get_the_right_answers(port, classifier, tone):
    clips = [
        encoded(tone(frequency, 0.3 + 0.1 * i, i)) for frequency in TONES.values() for i in range(5)
    ]
    predictions = [classifier.predict(clip) for clip in clips]
    responses = post_all(port, clips * 10)
    assert [response.status_code for response in responses] == [200] * 200
    for response, prediction in zip(responses, predictions * 10, strict=True):
        answer = response.json()
        assert (answer["label"], answer["seconds"]) == (prediction.label, prediction.seconds)
        scores = {row["label"]: row["score"] for row in answer["scores"]}
        assert scores == pytest.approx(dict(prediction.scores), abs=1e-5)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (KEY, b"text", 422),
        (KEY, b"", 422),
        (KEY, bytes(1_500_000), 413),
        (KEY | FORM, b"--b--\r\n", 400),
        ({}, b"text", 401),
    ],
)
def test_errors_over_http(port, headers, body, status):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        for _ in range(2):  # the connection lives on
            connection.request("POST", "/predict", body, headers)
            response = connection.getresponse()
            assert response.status == status
            assert response.headers["Content-Type"] == "application/json"
            assert "detail" in json.load(response)


def test_an_endless_body_is_stopped(port):
    head = (
        "POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sesame\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        for _ in range(12):
            connection.sendall(b"186A0\r\n" + bytes(100_000) + b"\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (1_024, 4_096, 4_096),
        (1_024, 1_048_576, 65_536),
        (1_024, resource.RLIM_INFINITY, 65_536),
        (100_000, 1_048_576, 100_000),
    ],
)
def test_open_files_are_raised_as_far_as_needed_and_allowed(monkeypatch, soft, hard, wanted):
    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limit: limits.append((kind, limit)))
    process.allow_connections()
    assert limits == [(resource.RLIMIT_NOFILE, (wanted, hard))]


def test_settings_reach_the_server(monkeypatch):
    started = []
    monkeypatch.setattr(
        process.uvicorn, "run", lambda app, **options: started.append((app, options))
    )
    make = lambda settings: workers_of(Gated(), settings.max_wait, 1)  # noqa: E731
    monkeypatch.setattr(process.Workers, "in_processes", make)
    monkeypatch.setattr(process.signal, "signal", lambda *_: None)
    monkeypatch.setattr(process, "allow_connections", lambda: None)
    for name, value in {"HOST": "10.0.0.1", "PORT": "81", "MAX_WAIT": "7"}.items():
        monkeypatch.setenv(f"SPEECH_INTENT_{name}", value)
    process.run()
    [(app, options)] = started
    assert (options["host"], options["port"]) == ("10.0.0.1", 81)
    assert (options["backlog"], options["timeout_keep_alive"]) == (4096, 75)
    assert options["access_log"] is False
    assert options["timeout_graceful_shutdown"] == 23
    assert options["http"] is Connection
    assert options["ws"] is Socket
    assert (options["ws_max_size"], options["ws_ping_timeout"]) == (1_000_000, 60.0)
    assert app.state.settings.max_wait == 7.0
    with TestClient(app) as client:
        assert client.post("/predict", content=b"x").json() == {"file": "body"}
        assert app.state.queue.places.max_wait == 7.0


def waiting_clips(port: int) -> float:
    """Read from /metrics how many clips are let in and not answered yet."""
    url = f"http://127.0.0.1:{port}/metrics"
    text = httpx2.get(url, headers=KEY, trust_env=False).text
    [line] = [line for line in text.splitlines() if line.startswith("speech_intent_waiting_")]
    return float(line.split()[1])


def test_sigterm_loses_no_request(server, tone):
    running, port = server
    assert running.poll() is None  # nothing that the tests sent ended it
    clip = encoded(tone(TONES["hear_low"], 20.0))
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(20)]
    for connection in connections:
        connection.request("POST", "/predict", clip, KEY)
    waiting = 0.0
    end = time.monotonic() + 20
    while waiting < 5 and time.monotonic() < end:
        waiting = waiting_clips(port)
    running.send_signal(signal.SIGTERM)
    assert waiting >= 5
    responses = [connection.getresponse() for connection in connections]
    assert [response.status for response in responses] == [200] * 20
    assert {json.load(response)["label"] for response in responses} == {"hear_low"}
    assert running.wait(timeout=60) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
