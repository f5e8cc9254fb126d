"""The model in a process of its own: whatever comes in, it has its core.

What crashes while it decodes a clip takes down this process alone.
"""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from .answers import Answer, Clip, Responder
from .settings import Settings

_loaded: list[Responder] = []  # of this process, one


def process() -> ProcessPoolExecutor:
    """Start a process for one model."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_outlive_signals)


def load(settings: Settings) -> dict[str, Any]:
    """Load the model in this process; say which it is. Raises `ModelError`."""
    _loaded[:] = [Responder.load(settings)]
    return _loaded[0].about()


def answer(clip: Clip, limit: float) -> Answer:
    """Classify a clip in this process, and say how long that took."""
    began = time.perf_counter()
    found = _loaded[0].answer(clip, limit)
    return replace(found, took=time.perf_counter() - began)


def _outlive_signals() -> None:
    """Let the server alone decide when this process ends: it may have clips to answer.

    A terminal and systemd tell all processes of a service at once. Without the server it ends.
    """
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_the_server, daemon=True).start()


def _end_with_the_server() -> None:
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(1)
