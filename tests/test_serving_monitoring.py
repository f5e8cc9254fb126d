from types import SimpleNamespace

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient

from speech_intent.serving.answers import Answer
from speech_intent.serving.monitoring import add_metrics
from speech_intent.serving.places import Places


def refuse() -> None:
    raise HTTPException(401)


@pytest.fixture
def app():
    app = FastAPI()
    app.state.queue = SimpleNamespace(places=Places(1.0), n_lost=2)
    app.state.queue.places.taken.n_clips = 3
    app.state.ears = SimpleNamespace(n_streams=4)
    return app


def test_metrics_show_the_queue_the_audio_and_each_status(app):
    @app.get("/clip/{n}")
    def clip(n: int) -> int:
        if n == 404:
            raise HTTPException(n)
        return n

    counters = add_metrics(app, [])
    counters.refused.inc()
    counters.count(Answer(200, {"file": "a", "label": "on", "guess": "off"}, 0.5))
    counters.count(Answer(200, {"file": "b", "label": "unknown", "guess": "on"}, 2.0))
    counters.count(Answer(422, {"file": "c", "detail": "is empty"}))
    client = TestClient(app)
    for n in (1, 2, 404):
        client.get(f"/clip/{n}")
    lines = client.get("/metrics").text.splitlines()
    assert "speech_intent_waiting_clips 3.0" in lines
    assert "speech_intent_lost_calls 2.0" in lines
    assert "speech_intent_streams 4.0" in lines
    assert "speech_intent_refused_requests_total 1.0" in lines
    assert "speech_intent_audio_seconds_total 2.5" in lines
    assert [line for line in lines if line.startswith("speech_intent_answers_total")] == [
        'speech_intent_answers_total{label="on"} 1.0',
        'speech_intent_answers_total{label="unknown"} 1.0',
    ]
    total = 'http_requests_total{handler="/clip/{n}",method="GET",status='
    assert {line for line in lines if line.startswith(total)} == {
        f'{total}"200"}} 2.0',
        f'{total}"404"}} 1.0',
    }
    assert "/metrics" not in client.get("/openapi.json").json()["paths"]


def test_two_apps_count_apart(app):
    add_metrics(app, []).audio_seconds.inc(1.0)
    add_metrics(FastAPI(), []).audio_seconds.inc(5.0)
    assert "speech_intent_audio_seconds_total 1.0\n" in TestClient(app).get("/metrics").text


def test_metrics_can_be_guarded(app):
    add_metrics(app, [Depends(refuse)])
    assert TestClient(app).get("/metrics").status_code == 401
