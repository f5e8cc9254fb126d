"""What the tests of `speech_intent.serving` share: clips as bytes, and a model with a gate."""

import contextlib
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import soundfile
from fastapi.testclient import TestClient

from speech_intent.serving.answers import Answer, Clip, Responder
from speech_intent.serving.ears import Ears
from speech_intent.serving.http import create_app
from speech_intent.serving.queues import Workers
from speech_intent.serving.settings import Settings

RATE = 16_000


class Gated:
    """Answers when its gate is open, and notes what it is asked."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.names = []

    def about(self) -> dict[str, Any]:
        return {"status": "ok"}

    def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
        self.names.append(clip.name)
        self.gate.wait(60)
        return Answer(200, {"file": clip.name}, seconds=2.5)


def workers_of(model: Responder | Gated, max_wait: float, n: int) -> Workers:
    """Run a model in threads of this process."""
    return Workers(lambda: ThreadPoolExecutor(1), model.about, model.answer, max_wait, n)


def ears_of(n: int = 2) -> Ears:
    """Hear streams in threads of this process."""
    return Ears(lambda: ThreadPoolExecutor(1), n)


def encoded(waveform, rate: int = RATE, **options) -> bytes:
    """Write a waveform as a WAV file, or as `format` says."""
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, **{"format": "WAV"} | options)
    return file.getvalue()


def form(*files: tuple[str, bytes]) -> list:
    """Put (name, content) of files into a form, as `files=` of a client takes it."""
    return [("files", file) for file in files]


@contextlib.contextmanager
def client_of(responder: Responder | Gated, **settings: Any) -> Iterator[TestClient]:
    """Run the app in this process: 3 threads, requests up to 0.4 MB, a wait up to 5 s."""
    settings = Settings(**{"max_megabytes": 0.4, "max_wait": 5.0} | settings)
    app = create_app(lambda: workers_of(responder, settings.max_wait, 3), settings, ears_of)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
