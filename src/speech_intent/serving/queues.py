"""Where the model runs: in processes of this machine; for Ray Serve see `cluster`."""

import asyncio
import functools
import io
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor, Executor
from typing import Any, Protocol

import numpy as np
import soundfile

from ..errors import ModelError
from . import worker
from .answers import Answer, Clip
from .places import Places
from .settings import Settings
from .work import Estimate, estimate

Gone = Callable[[], Awaitable[bool]]  # says whether the client has left

CLIENT_GONE = 499  # nginx's status for it; nobody reads the answer
WARM_UP_CALLS = 2  # of each worker; the first with a new length is slow, and is no cost of a clip
IN_HAND = 2  # clips of a worker: one runs, one is ready
CRASHED = "ended its process, twice, while it was decoded or answered; record or export it again"


class Queue(Protocol):
    """What the app asks for answers."""

    places: Places
    n_lost: int  # calls that died with the process they ran in
    at_once: int  # clips of one batch that are in the queue together

    async def about(self) -> dict[str, Any]:
        """Say which model answers."""

    async def answer(self, clip: Clip, size: Estimate, gone: Gone) -> Answer:
        """Classify a clip when its turn comes. May raise `Busy`."""

    def close(self) -> None:
        """End what the queue has started."""


class Workers:
    """Runs the model in workers, one for each core, in the order in which clips come.

    `start` gives an executor, `load` loads the model in it and says which it is, `ask` answers
    there a clip of at most so many seconds. Raises what `load` raises.
    """

    def __init__(
        self,
        start: Callable[[], Executor],
        load: Callable[[], dict[str, Any]],
        ask: Callable[[Clip, float], Answer],
        max_wait: float,
        n_workers: int | None = None,
    ):
        self._start = start
        self._load = load
        self._ask = ask
        self.places = Places(max_wait)
        self.n_lost = 0
        self.at_once = self.n_workers = n_workers or n_cores()
        self._executors = [start() for _ in range(self.n_workers)]
        loading = [executor.submit(load) for executor in self._executors]
        try:
            abouts = [each.result() for each in loading]
        except BaseException:
            self.close()
            raise
        self._about = abouts[0]
        self._free: asyncio.Queue[int] = asyncio.Queue()  # workers, each as often as it is free
        for i in range(IN_HAND * self.n_workers):
            self._free.put_nowait(i % self.n_workers)
        self._warm_up()

    @classmethod
    def in_processes(cls, settings: Settings) -> "Workers":
        """Start a process for each core. Raises `ModelError`."""
        load = functools.partial(worker.load, settings)
        try:
            return cls(worker.process, load, worker.answer, settings.max_wait)
        except BrokenExecutor as error:
            problem = f"ended a process while it was loaded, {n_cores()} times at once"
            remedy = "see that there is memory, or name fewer cores: taskset -c 0 python serve.py"
            raise ModelError(settings.model, problem, remedy) from error

    async def about(self) -> dict[str, Any]:
        """Say which model answers."""
        return self._about

    async def answer(self, clip: Clip, size: Estimate, gone: Gone) -> Answer:
        """Classify a clip when its turn comes, unless the client is gone by then.

        If the worker is lost on the way, the next one is asked, once.
        """
        for _ in range(2):
            i = await self._free.get()
            try:
                if await gone():
                    return Answer(CLIENT_GONE, {})
                return await self._answer_of(i, clip, size)
            except BrokenExecutor:
                self.n_lost += 1
            finally:
                self._free.put_nowait(i)
        return Answer(500, {"file": clip.name, "detail": f"{clip.name}: {CRASHED}"})

    async def _answer_of(self, i: int, clip: Clip, size: Estimate) -> Answer:
        """Ask a worker; if it is lost, start another one in its place."""
        executor = self._executors[i]
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(executor, self._ask, clip, size.seconds)
        except BrokenExecutor:
            if self._executors[i] is executor:  # and no other call has done it
                self._executors[i] = self._start()
                self._executors[i].submit(self._load)
            raise
        self._learn(answer, size)
        return answer

    def _learn(self, answer: Answer, size: Estimate) -> None:
        if answer.took and answer.seconds:
            seconds = answer.took / self.n_workers
            self.places.learn(seconds, size.work_of(answer.seconds))

    def _warm_up(self) -> None:
        clip = Clip("warm-up", tone())
        size = estimate(clip.data, np.inf)
        for _ in range(WARM_UP_CALLS):
            calls = [each.submit(self._ask, clip, size.seconds) for each in self._executors]
            answers = [call.result() for call in calls]
        for answer in answers:
            self._learn(answer, size)

    def close(self) -> None:
        """End the workers, each after the clip that it has in hand."""
        for executor in self._executors:
            executor.shutdown(cancel_futures=True)


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
