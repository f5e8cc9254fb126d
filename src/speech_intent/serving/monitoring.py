"""What Prometheus may ask at /metrics."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_fastapi_instrumentator import Instrumentator


def add_metrics(app: FastAPI, dependencies: Sequence[Any]) -> Counter:
    """Count the requests of an app, and show what its queue holds.

    Returns the counter of seconds of audio answered, which the app itself has to raise.
    """
    registry = CollectorRegistry()
    instrumentator = Instrumentator(registry=registry, should_group_status_codes=False)
    instrumentator.instrument(app)
    instrumentator.expose(app, include_in_schema=False, dependencies=dependencies)
    waiting = Gauge(
        "speech_intent_waiting_clips",
        "Clips let in and not answered yet",
        registry=registry,
    )
    waiting.set_function(lambda: app.state.queue.places.waiting)
    lost = Gauge(
        "speech_intent_lost_calls",
        "Calls lost with a replica, and tried again",
        registry=registry,
    )
    lost.set_function(lambda: app.state.queue.n_lost)
    return Counter(
        "speech_intent_audio_seconds",
        "Seconds of audio answered",
        registry=registry,
    )
