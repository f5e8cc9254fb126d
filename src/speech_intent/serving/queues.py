"""Where the model runs: here, in threads of this process; for Ray Serve see `cluster`."""

import asyncio
import io
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import soundfile

from .answers import Answer, Clip, Responder
from .places import Places

Gone = Callable[[], Awaitable[bool]]  # says whether the client has left

CLIENT_GONE = 499  # nginx's status for it; nobody reads the answer
WARM_UP_CALLS = 2  # the first call is slow, and would count as the cost of one


class Queue(Protocol):
    """What the app asks for answers."""

    places: Places
    n_lost: int  # calls that died with the process they ran in

    async def about(self) -> dict[str, Any]:
        """Say which model answers."""

    async def answer(self, clip: Clip, gone: Gone) -> Answer:
        """Classify a clip when its turn comes. May raise `Busy`."""


class Threads:
    """Runs the model in threads of this process, a call for each core."""

    def __init__(self, responder: Responder, max_wait: float, n_threads: int | None = None):
        self.responder = responder
        self.places = Places(max_wait)
        self.n_lost = 0
        self.n_threads = n_threads or n_cores()
        self._pool = ThreadPoolExecutor(self.n_threads)
        # One runs, one is ready, in each thread; of the others it can still be seen who has left.
        self._turn = asyncio.Semaphore(2 * self.n_threads)
        for _ in range(WARM_UP_CALLS):
            self._timed(Clip("warm-up", tone()))

    async def about(self) -> dict[str, Any]:
        """Say which model answers."""
        return self.responder.about()

    async def answer(self, clip: Clip, gone: Gone) -> Answer:
        """Classify a clip when its turn comes, unless the client is gone by then."""
        async with self._turn:
            if await gone():
                return Answer(CLIENT_GONE, {})
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._timed, clip)

    def _timed(self, clip: Clip) -> Answer:
        began = time.perf_counter()
        answer = self.responder.answer(clip)
        self.places.learn((time.perf_counter() - began) / self.n_threads)
        return answer


def n_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tone() -> bytes:
    """Make a WAV file of 3 s at 16 kHz, to warm up with."""
    waveform = 0.1 * np.sin(0.1 * np.arange(48_000))
    file = io.BytesIO()
    soundfile.write(file, waveform, 16_000, format="WAV")
    return file.getvalue()
