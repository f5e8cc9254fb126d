import asyncio
import contextlib
import http.client
import io
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile
from conftest import TONES
from fastapi.testclient import TestClient

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000


@pytest.fixture(scope="module")
def serve():
    """serve.py as a module."""
    sys.path.insert(0, str(ROOT))
    try:
        import serve
    finally:
        sys.path.remove(str(ROOT))
    return serve


@pytest.fixture(scope="module")
def model(serve, model_folder):
    return serve.Model(str(model_folder), max_seconds=3.0)


@pytest.fixture
def start(serve, model):
    """Start the app in this process; `start(model=..., max_wait=...)` with another model or settings."""
    with contextlib.ExitStack() as stack:

        def client(model=model, **settings) -> TestClient:
            settings = serve.Settings(**{"max_megabytes": 0.4, "max_wait": 5.0} | settings)
            app = serve.create_app(lambda: serve.Threads(model, settings.max_wait), settings)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield client


@pytest.fixture
def client(start):
    return start()


class Gated:
    """A model that answers when its gate is open, and notes its calls."""

    def __init__(self):
        self.gate, self.calls = threading.Event(), []
        self.gate.set()

    def about(self) -> dict:
        return {"status": "ok"}

    def answer(self, name: str, data: bytes) -> tuple[int, dict]:
        self.calls.append(name)
        self.gate.wait(60)
        return 200, {"file": name, "seconds": 1.0}


def encoded(waveform, rate: int = RATE, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, **{"format": "WAV"} | options)
    return file.getvalue()


@pytest.fixture(scope="module")
def wav(tone) -> bytes:
    return encoded(tone(TONES["hear_low"], 0.5, seed=60))


def expected(classifier, name: str, data: bytes) -> dict:
    """What inference.py --json says, and no warnings."""
    from inference import as_json

    return json.loads(as_json(name, classifier.predict(data), classifier.name, None)) | {"warnings": []}


def form(*files: tuple[str, bytes]) -> list:
    return [("files", file) for file in files]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_the_answer_is_that_of_inference_py(client, classifier, tone, format, raw):
    data = encoded(tone(TONES["hear_upper"], 0.7), format=format)
    name = "body" if raw else "clip.audio"
    response = client.post("/predict", **({"content": data} if raw else {"files": {"file": (name, data)}}))
    assert response.status_code == 200
    answer = response.json()
    assert answer == expected(classifier, name, data)
    assert (answer["label"], len(answer["scores"])) == ("hear_upper", 4)


def test_a_body_with_the_content_type_of_curl_is_a_clip(client, wav):
    response = client.post("/predict", content=wav, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (response.status_code, response.json()["label"]) == (200, "hear_low")


BAD = {
    "empty": (lambda wav, tone: b"", "is empty"),
    "text": (lambda wav, tone: b"This is no audio at all.", "is not audio"),
    "cut": (lambda wav, tone: encoded(tone(500, 2.0), format="FLAC")[:9000], "clip.wav: "),
    "header": (lambda wav, tone: wav[:30], "is not audio"),
    "zero": (lambda wav, tone: encoded(np.zeros(0)), "has no samples"),
    "short": (lambda wav, tone: encoded(tone(500, 0.02)), "less than 25 ms"),
    "nan": (lambda wav, tone: encoded(np.full(8000, np.nan), subtype="FLOAT"), "NaN or infinite"),
    "inf": (lambda wav, tone: encoded(np.full(8000, np.inf), subtype="FLOAT"), "NaN or infinite"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_clip_is_refused_in_one_line_that_names_it(client, wav, tone, kind):
    make, reason = BAD[kind]
    response = client.post("/predict", files={"file": ("clip.wav", make(wav, tone))})
    problem = response.json()
    assert (response.status_code, list(problem), problem["file"]) == (422, ["file", "detail"], "clip.wav")
    assert problem["detail"].startswith("clip.wav: ") and reason in problem["detail"]
    assert "; " in problem["detail"] and "\n" not in problem["detail"]


def test_a_hostile_file_name_stays_in_one_line(client):
    response = client.post("/predict", files={"file": ("a\tb\x7f☀.wav", b"text")})
    assert response.status_code == 422
    assert response.json()["detail"].isprintable()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"files": {}, "headers": {"Content-Type": "multipart/form-data"}}, "Missing boundary"),
        ({"content": b"junk", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, "cannot be read"),
        ({"content": b"--b--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, "no file part"),
        ({"files": {"file": (None, "text")}}, "no file part"),
        ({"files": form(("a.wav", b"1"), ("b.wav", b"2"))}, "/predict/batch"),
    ],
)
def test_a_request_without_one_clip_is_refused(client, request_, reason):
    response = client.post("/predict", **request_)
    assert response.status_code == 400
    assert reason in response.json()["detail"]


def test_silence_and_a_cut_wav_are_answered_with_a_warning(client, tone):
    answer = client.post("/predict", files={"file": ("quiet.wav", encoded(np.zeros(8000)))}).json()
    assert answer["label"] in TONES
    assert [warning.split(" (")[0] for warning in answer["warnings"]] == ["quiet.wav: is silent"]
    cut = encoded(tone(TONES["hear_low"], 1.0))[:20_000]
    answer = client.post("/predict", files={"file": ("cut.wav", cut)}).json()
    assert (answer["label"], answer["seconds"]) == ("hear_low", pytest.approx(0.62, abs=0.01))
    assert answer["warnings"] == ["cut.wav: is shorter than its header says; what is there was used"]


def test_warnings_go_to_their_own_clip(client, wav):
    quiet = encoded(np.zeros(8000))
    files = form(*((f"{i}.wav", quiet if i % 3 == 0 else wav) for i in range(12)))
    for i, answer in enumerate(client.post("/predict/batch", files=files).json()):
        assert [warning.split(":")[0] for warning in answer["warnings"]] == ([f"{i}.wav"] if i % 3 == 0 else [])


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 8), (192_000, 1), (8_000, 2)])
def test_any_rate_and_channel_count_is_answered(start, model, classifier, tone, rate, channels):
    data = encoded(np.stack([tone(TONES["hear_middle"], 0.5, rate=rate)] * channels, axis=1), rate)
    response = start(model, max_megabytes=10.0).post("/predict", content=data)
    assert response.status_code == 200
    assert response.json() == expected(classifier, "body", data)


def test_the_size_of_a_request_is_limited_whether_it_says_so_or_not(client):
    big = bytes(500_000)
    pieces = (bytes(50_000) for _ in range(10))  # without a length
    for request in ({"content": big}, {"content": pieces}, {"files": {"file": ("big.wav", big)}}):
        response = client.post("/predict", **request)
        assert response.status_code == 413
        assert "larger than 0.4 MB" in response.json()["detail"]
    assert client.post("/predict/batch", files=form(("a.wav", big))).status_code == 413


def test_the_length_of_a_clip_is_limited_before_it_is_decoded(client, monkeypatch, tone):
    from speech_intent import audio

    assert client.post("/predict", content=encoded(tone(500, 3.0))).status_code == 200
    monkeypatch.setattr(audio, "load", lambda *_: pytest.fail("decoded"))
    years = encoded(np.zeros(100_000), rate=1, format="FLAC")  # small, but 100,000 s long
    for data, seconds in [(encoded(np.zeros(3 * RATE + 1)), "3.0 s"), (years, "100000.0 s")]:
        response = client.post("/predict", content=data)
        assert response.status_code == 413
        assert response.json()["detail"].startswith(f"body: lasts {seconds}, more than 3 s; ")


def test_a_batch_answers_each_file_in_order(client, classifier, wav, tone):
    other = encoded(tone(TONES["hear_high"], 0.6), format="FLAC")
    files = [("a.wav", wav), ("bad.wav", b"text"), ("b.flac", other), ("long.wav", encoded(np.zeros(4 * RATE)))]
    response = client.post("/predict/batch", files=form(*files))
    assert response.status_code == 200
    first, bad, second, long = response.json()
    assert first == expected(classifier, "a.wav", wav)
    assert second == expected(classifier, "b.flac", other)
    assert (bad["file"], long["file"]) == ("bad.wav", "long.wav")
    assert "not audio" in bad["detail"] and "more than 3 s" in long["detail"]


def test_a_batch_has_a_limit_of_files(serve, client, wav):
    response = client.post("/predict/batch", files=form(*[("a.wav", b"")] * (serve.MAX_FILES + 1)))
    assert response.status_code == 400
    assert "Too many files" in response.json()["detail"]


def test_health_names_model_engine_and_precision(client, model_folder):
    answer = client.get("/health").json()
    assert (answer["status"], answer["model"], answer["labels"]) == ("ok", str(model_folder), sorted(TONES))
    assert answer["engine"] and answer["precision"]


def test_metrics_count_answers_and_seconds_of_audio(client, wav):
    client.post("/predict", content=wav)
    client.post("/predict", content=b"")
    text = client.get("/metrics").text
    assert 'http_requests_total{handler="/predict",method="POST",status="200"} 1.0' in text
    assert 'http_requests_total{handler="/predict",method="POST",status="422"} 1.0' in text
    assert "speech_intent_audio_seconds_total 0.5\n" in text
    assert "speech_intent_waiting_clips 0.0\n" in text


def test_the_page_shows_examples_that_are_true(client, wav):
    assert client.get("/docs").status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/predict", "/predict/batch", "/health"}
    answer = client.post("/predict", content=wav).json()
    example = paths["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    assert set(example) >= set(answer) - {"engine", "precision"}
    assert "audio/wav" in paths["/predict"]["post"]["requestBody"]["content"]
    for path in paths.values():
        for operation in path.values():
            assert all("example" in r["content"]["application/json"] for r in operation["responses"].values())


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/metrics"])
def test_an_api_key_opens_all_but_health(start, wav, path):
    client = start(api_key="sesame")

    def status(headers: dict) -> int:
        if path == "/metrics":
            return client.get(path, headers=headers).status_code
        return client.post(path, files={"file": ("a.wav", wav)}, headers=headers).status_code

    for value in ("", "Bearer", "Bearer wrong", "Bearer sesame2", "Basic sesame", "Bearer s\xe9same"):
        assert status({"Authorization": value.encode("latin-1")}) == 401
    assert status({}) == 401
    assert status({"Authorization": "Bearer sesame"}) == 200
    assert client.get("/health").status_code == 200
    refused = client.post(path) if path != "/metrics" else client.get(path)
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert "API key" in refused.json()["detail"]


def test_unknown_paths_and_failures_answer_in_json(start, wav):
    class Broken(Gated):
        def answer(self, name, data):
            if name == "body":
                raise RuntimeError("secret")
            return 200, {"seconds": 1.0}

    client = start(Broken())
    assert client.post("/predict", content=wav).json() == {"detail": "the server failed; its log says why"}
    assert client.post("/predict", content=wav).status_code == 500
    assert client.get("/nothing").json() == {"detail": "Not Found"}
    assert client.get("/predict").status_code == 405


def test_a_full_queue_says_503_and_when_to_come_back(start, wav):
    model = Gated()
    client = start(model, max_wait=1.1)
    model.gate.clear()
    client.app.state.queue.cost = 0.2  # seconds: five can be answered in time
    answered = queue.SimpleQueue()

    def post(i: int) -> None:
        answered.put(client.post("/predict", files={"file": (f"{i}.wav", wav)}))

    threads = [threading.Thread(target=post, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    seconds = []
    for refused in [answered.get(timeout=60) for _ in range(15)]:  # while the model still thinks about the first
        seconds.append(int(refused.headers["Retry-After"]))
        assert refused.status_code == 503
        assert refused.json() == {"detail": f"too many requests are waiting; try again in {seconds[-1]} s"}
    assert min(seconds) <= 2 and 3 <= max(seconds) <= 5  # as fast as they can be answered: 15 times 0.2 s
    model.gate.set()
    for thread in threads:
        thread.join()
    assert [answered.get().status_code for _ in range(5)] == [200] * 5
    assert len(model.calls) == 2 + 5  # two to warm up
    assert client.post("/predict", content=wav).status_code == 200


def test_the_queue_knows_what_an_answer_costs(serve):
    class Sleepy(Gated):
        def answer(self, name, data):
            time.sleep(0.2)
            return super().answer(name, data)

    assert asyncio.run(_cost(serve, Sleepy())) >= 0.2 / serve.n_cores()
    assert asyncio.run(_cost(serve, Gated())) < 0.1


async def _cost(serve, model) -> float:
    return serve.Threads(model, 1.0).cost


def test_a_batch_takes_as_many_places_as_it_has_files(start, wav):
    client = start(Gated(), max_wait=1.1)
    batch = form(*[("a.wav", wav)] * 20)
    for n, status in [(6, 503), (5, 200)]:
        client.app.state.queue.cost = 0.2
        assert client.post("/predict/batch", files=batch[:n]).status_code == status


def test_the_queue_bounds_memory(serve):
    places = serve.Queue(max_wait=1.0)
    with places.place(serve.HELD_BYTES - 10), pytest.raises(serve.Busy), places.place(11):
        pass
    assert (places.waiting, places.held) == (0, 0)


def test_what_takes_too_long_is_504(start, wav):
    model = Gated()
    client = start(model, max_wait=0.5)
    model.gate.clear()
    response = client.post("/predict", files={"file": ("a.wav", wav)})
    model.gate.set()
    assert response.status_code == 504
    assert response.json()["detail"] == "a.wav: got no answer within 1.5 s; try again later"


def test_a_request_that_never_arrives_is_408(serve):
    async def run() -> list:
        sent = []
        app = serve.create_app(lambda: None, serve.Settings(max_wait=0.1))
        app.state.queue = serve.Queue(1.0)
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b""}

        async def send(message) -> None:
            sent.append(message)

        await app(scope, lambda: asyncio.sleep(60), send)
        assert app.state.queue.waiting == 0
        return sent

    start, body = asyncio.run(run())
    assert start["status"] == 408
    assert b"did not arrive within 0.3 s" in body["body"]


def test_who_left_is_not_computed_for(serve):
    async def run() -> tuple:
        model = Gated()
        threads = serve.Threads(model, 1.0)
        answer = await threads.run(("gone", b""), lambda: asyncio.sleep(0, True))
        await threads.run(("here", b""), lambda: asyncio.sleep(0, False))
        return answer, model.calls

    assert asyncio.run(run()) == ((499, {}), ["warm-up", "warm-up", "here"])


def test_audio_stays_in_memory_and_out_of_the_log(start, tone, monkeypatch, caplog):
    def fail(*_):
        raise AssertionError("on disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", fail)
    big = encoded(np.stack([tone(500, 2.9)] * 20, axis=1))
    assert len(big) > 1_500_000  # starlette's own limit is 1 MB
    with caplog.at_level(logging.INFO):
        response = start(max_megabytes=10.0).post("/predict", files={"file": ("private.wav", big)})
    assert response.status_code == 200
    assert "private" not in caplog.text


@pytest.mark.parametrize(("name", "value"), [("PORT", "http"), ("MAX_WAIT", "-1"), ("MAX_SECONDS", "nan")])
def test_a_wrong_setting_is_named(serve, monkeypatch, name, value):
    monkeypatch.setenv(f"SPEECH_INTENT_{name}", value)
    with pytest.raises(ValueError, match=f"SPEECH_INTENT_{name}: '{value}' is not a positive number"):
        serve.Settings.from_environment()


def test_settings_come_from_the_environment(serve, monkeypatch):
    for name, value in {"PORT": "81", "MAX_SECONDS": "2.5", "API_KEY": "k", "MODEL": ""}.items():
        monkeypatch.setenv(f"SPEECH_INTENT_{name}", value)
    settings = serve.Settings.from_environment()
    assert (settings.port, settings.max_seconds, settings.api_key) == (81, 2.5, "k")
    assert settings.model == str(ROOT / "models" / "wav2vec2-small-scooter")
    assert "'k'" not in repr(settings)


# --- As a real process ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(model, **settings):
    """Run `python serve.py`; give the process and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {f"SPEECH_INTENT_{name.upper()}": str(value) for name, value in settings.items()}
    environment = os.environ | {"SPEECH_INTENT_MODEL": str(model), "SPEECH_INTENT_PORT": str(port)} | names
    command = ["sh", "-c", f"ulimit -S -n 64; exec {sys.executable} serve.py"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if "running on" in line:
                break
        yield process, port
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="module")
def server(model_folder):
    with running(model_folder, max_megabytes=1, max_wait=60, api_key="sesame") as (process, port):
        yield port
        assert process.poll() is None  # nothing that the tests sent ended it


def post_all(port: int, bodies: list[bytes], headers: dict | None = None) -> list:
    """Send all at once, each on a connection of its own."""

    async def send() -> list:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(limits=limits, timeout=60, headers=headers, trust_env=False) as client:
            url = f"http://127.0.0.1:{port}/predict"
            return await asyncio.gather(*(client.post(url, content=body) for body in bodies))

    return asyncio.run(send())


def test_200_clients_at_once_get_the_right_answers(server, classifier, tone):
    clips = [encoded(tone(frequency, 0.3 + 0.1 * i, i)) for frequency in TONES.values() for i in range(5)]
    own = [expected(classifier, "body", clip) for clip in clips]
    responses = post_all(server, clips * 10, {"Authorization": "Bearer sesame"})
    assert [response.status_code for response in responses] == [200] * 200  # with 64 open files to begin with
    for response, answer in zip(responses, own * 10, strict=True):
        given = response.json()
        scores, own_scores = ({s["label"]: s["score"] for s in a.pop("scores")} for a in (given, dict(answer)))
        assert scores == pytest.approx(own_scores, abs=1e-5)
        assert given.pop("score") == pytest.approx(answer["score"], abs=1e-5)
        assert given == {key: value for key, value in answer.items() if key not in ("score", "scores")}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Authorization": "Bearer sesame"}, b"text", 422),
        ({"Authorization": "Bearer sesame"}, b"", 422),
        ({"Authorization": "Bearer sesame"}, bytes(1_500_000), 413),
        ({"Authorization": "Bearer sesame", "Content-Type": "multipart/form-data; boundary=b"}, b"--b--\r\n", 400),
        ({}, b"text", 401),
    ],
)
def test_errors_over_http(server, headers, body, status):
    connection = http.client.HTTPConnection("127.0.0.1", server, timeout=20)
    with contextlib.closing(connection):
        for _ in range(2):  # the connection lives on
            connection.request("POST", "/predict", body, headers)
            response = connection.getresponse()
            assert (response.status, response.headers["Content-Type"]) == (status, "application/json")
            assert "detail" in json.load(response)


def test_an_endless_body_is_stopped(server):
    with socket.create_connection(("127.0.0.1", server), timeout=20) as connection:
        head = "POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sesame\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(12):
            connection.sendall(b"186A0\r\n" + bytes(100_000) + b"\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_sigterm_loses_no_request(model_folder, tone):
    clip = encoded(tone(TONES["hear_low"], 20.0))
    with running(model_folder, max_wait=60) as (process, port):
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(30)]
        for connection in connections:
            connection.request("POST", "/predict", clip)
        waiting, began = 0, time.monotonic()
        while waiting < 5 and time.monotonic() - began < 20:
            metrics = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            waiting = float(metrics.split("\nspeech_intent_waiting_clips ")[1].split()[0])
        process.send_signal(signal.SIGTERM)
        assert waiting >= 5
        responses = [connection.getresponse() for connection in connections]
        assert [response.status for response in responses] == [200] * 30
        assert {json.load(response)["label"] for response in responses} == {"hear_low"}
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_wrong_model_or_setting_ends_it_with_one_line(tmp_path):
    wrong = {"SPEECH_INTENT_MODEL": str(tmp_path / "gone")}
    done = subprocess.run([sys.executable, ROOT / "serve.py"], env=os.environ | wrong, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr == f"error: {tmp_path}/gone: there is no such folder; check the path\n"
