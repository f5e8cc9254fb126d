"""What Prometheus may ask at /metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_fastapi_instrumentator import Instrumentator

from .answers import Answer


@dataclass(frozen=True)
class Counters:
    """What the app itself has to raise."""

    audio_seconds: Counter
    refused: Counter
    answers: Counter  # by label: the model's intents and "unknown", so that they stay few

    def count(self, answer: Answer) -> None:
        """Count an answer; a refusal has no label."""
        self.audio_seconds.inc(answer.seconds)
        if "label" in answer.body:
            self.answers.labels(answer.body["label"]).inc()


def add_metrics(app: FastAPI, dependencies: Sequence[Any]) -> Counters:
    """Count the requests of an app, and show what its queue and its ears hold.

    Returns the counters of answers.
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
    waiting.set_function(lambda: app.state.queue.places.taken.n_clips)
    lost = Gauge(
        "speech_intent_lost_calls",
        "Calls lost with a replica, and tried again",
        registry=registry,
    )
    lost.set_function(lambda: app.state.queue.n_lost)
    streams = Gauge("speech_intent_streams", "Streams that are open", registry=registry)
    streams.set_function(lambda: app.state.ears.n_streams)
    seconds = Counter(
        "speech_intent_audio_seconds",
        "Seconds of audio answered",
        registry=registry,
    )
    refused = Counter(
        "speech_intent_refused_requests",
        "Requests and streams turned away since there were too many",
        registry=registry,
    )
    answers = Counter(
        "speech_intent_answers",
        "Clips answered, by intent or unknown",
        ["label"],
        registry=registry,
    )
    return Counters(seconds, refused, answers)
