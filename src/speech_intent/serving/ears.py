"""Where streams are heard: in processes of their own, one for each core.

Fifty voices keep a core busy for half of the time, which HTTP would have to wait for.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from typing import Any

from ..intake import Intake
from ..listening import Event, Listener, Pauses
from . import worker
from .queues import n_cores

STREAMS_A_CORE = 30  # open at once; each takes some 1 % of a core, and answers take the rest
MOST_OF_AN_ADDRESS = 50  # streams at least, where there are so many

_keys = itertools.count()  # of streams, given by the server
_heard: dict[int, tuple[Intake, Listener]] = {}  # the streams of this process, by key


def begin(key: int, sampling_rate: int, n_channels: int, pauses: Pauses) -> None:
    """Begin to hear a stream in this process."""
    _heard[key] = Intake(sampling_rate, n_channels), Listener(pauses)


def hear(key: int, data: bytes) -> list[Event]:
    """Hear 16-bit PCM of a stream in this process; say what happens in it."""
    intake, listener = _heard[key]
    return list(listener.hear(intake.pcm(data)))


def finish(key: int) -> list[Event]:
    """Say what a stream that has ended leaves open."""
    intake, listener = _heard[key]
    return [*listener.hear(intake.finish()), *listener.finish()]


def forget(key: int) -> None:
    """Keep nothing of a stream."""
    _heard.pop(key, None)


class Full(Exception):
    """Too many streams are open, in all or of one address."""


class Stream:
    """One stream, in the process that hears it; `BrokenExecutor` once that has crashed."""

    def __init__(self, executor: Executor, sampling_rate: int, n_channels: int, pauses: Pauses):
        self._executor = executor
        self._key = next(_keys)
        executor.submit(begin, self._key, sampling_rate, n_channels, pauses)

    async def hear(self, data: bytes) -> list[Event]:
        """Hear 16-bit PCM, which may end anywhere; say what happens in it."""
        return await self._ask(hear, data)

    async def finish(self) -> list[Event]:
        """Say what the stream leaves open at its end."""
        return await self._ask(finish)

    def forget(self) -> None:
        """Keep nothing of it."""
        with contextlib.suppress(RuntimeError):  # the process has ended, and has forgotten it
            self._executor.submit(forget, self._key)

    async def _ask(self, function: Callable[..., list[Event]], *args: Any) -> list[Event]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, self._key, *args)


@dataclass
class _Ear:
    """A process that hears streams."""

    executor: Executor | None = None  # until the first stream comes
    n_streams: int = 0


class Ears:
    """Hears streams, each in the process that has the fewest; `start` gives an executor for one.

    One address has at most half of the streams, or 50.
    """

    def __init__(self, start: Callable[[], Executor] = worker.process, n_ears: int | None = None):
        self._start = start
        self._ears = [_Ear() for _ in range(n_ears or n_cores())]
        self._most = STREAMS_A_CORE * len(self._ears)
        self._most_of_an_address = max(MOST_OF_AN_ADDRESS, self._most // 2)
        self._n_of: Counter[str] = Counter()  # streams of each address

    @property
    def n_streams(self) -> int:
        """How many streams are open."""
        return sum(ear.n_streams for ear in self._ears)

    @contextlib.contextmanager
    def stream(
        self, address: str, sampling_rate: int, n_channels: int, pauses: Pauses
    ) -> Iterator[Stream]:
        """Hear a stream until the context ends. Raises `Full`."""
        if self.n_streams >= self._most or self._n_of[address] >= self._most_of_an_address:
            raise Full
        ear = min(self._ears, key=lambda ear: ear.n_streams)
        stream = self._begin(ear, sampling_rate, n_channels, pauses)
        ear.n_streams += 1
        self._n_of[address] += 1
        try:
            yield stream
        finally:
            stream.forget()
            ear.n_streams -= 1
            self._n_of[address] -= 1
            if not self._n_of[address]:
                del self._n_of[address]

    def close(self) -> None:
        """End the processes."""
        for ear in self._ears:
            if ear.executor is not None:
                ear.executor.shutdown(cancel_futures=True)

    def _begin(self, ear: _Ear, *stream: Any) -> Stream:
        """Begin a stream; start the process if it is the first, or if it has crashed."""
        if ear.executor is not None:
            with contextlib.suppress(BrokenExecutor):
                return Stream(ear.executor, *stream)
        ear.executor = self._start()
        return Stream(ear.executor, *stream)
