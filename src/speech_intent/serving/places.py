"""Who is let in: no more than can be answered soon and fits into memory, and nobody takes it all.

Work is counted in seconds of audio, weighed by what it takes to decode them (`work`).
"""

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HELD_BYTES = 512 * 1024**2  # of request bodies in memory at a time
SHARE = 0.5  # of the wait and of the memory, that one address may take
MAX_RETRY = 60  # seconds until one who is turned away may come back
NEWEST = 0.05  # weight of the newest cost in the moving average
REFUSALS = 100  # a second; more have to wait for their refusal
MAX_PAUSE = 10.0  # seconds


class Busy(Exception):
    """No place is free; `retry_after` is in whole seconds, at least 1."""

    def __init__(self, retry_after: float):
        super().__init__(retry_after)
        self.retry_after = max(1, math.ceil(retry_after))


@dataclass
class Taken:
    """What is taken, by all or by one address."""

    n_clips: int = 0
    work: float = 0.0  # of these clips
    n_bytes: int = 0

    def add(self, n_clips: int, work: float) -> None:
        """Add clips that wait, or take them away."""
        self.n_clips += n_clips
        self.work = self.work + work if self.n_clips else 0.0  # no rest of many sums


class Places:
    """Counts what waits and what that costs, and turns away who would wait too long.

    `max_wait` is in seconds, and so is what `clock` gives.
    """

    def __init__(self, max_wait: float, clock: Callable[[], float] = time.monotonic):
        self.max_wait = max_wait
        self.taken = Taken()
        self.cost = 0.0  # seconds that the machine takes for a unit of work; 0: not known
        self.usual = 0.0  # work of a clip; 0: not known
        self._taken_by: dict[str, Taken] = defaultdict(Taken)
        self._clock = clock
        self._called_back = -math.inf  # when the last one turned away was told to come back
        self._refused = -math.inf  # when the last one turned away gets to know it

    def check(self, address: str) -> None:
        """Raise `Busy` if a usual clip from an address would find no place."""
        if not self._fits(address, self.usual):
            raise self._busy(self.usual)

    @contextlib.contextmanager
    def waiting(self, address: str, work: float, is_inside: bool = False) -> Iterator[None]:
        """Hold a place for a clip, or raise `Busy`; a clip of a request that is inside has one.

        Whoever comes while nobody waits is let in.
        """
        if not (is_inside or self._fits(address, work)):
            raise self._busy(work)
        self._add(address, 1, work)
        try:
            yield
        finally:
            self._add(address, -1, -work)

    @contextlib.contextmanager
    def holding(self, address: str) -> Iterator[Callable[[int], None]]:
        """Give what is told of bytes that have arrived, and raises `Busy` if they are too many.

        They count until the end.
        """
        n_held = 0

        def hold(n_bytes: int) -> None:
            nonlocal n_held
            n_held += n_bytes
            self._hold(address, n_bytes)
            is_alone = self.taken.n_bytes == n_held
            own = self._taken_by[address].n_bytes
            if not is_alone and (self.taken.n_bytes > HELD_BYTES or own > SHARE * HELD_BYTES):
                raise self._busy(self.usual)

        try:
            yield hold
        finally:
            self._hold(address, -n_held)

    def learn(self, seconds: float, work: float) -> None:
        """Take what one more clip cost, and its work, into the moving averages."""
        is_known = self.cost > 0
        weight = NEWEST if is_known else 1.0
        self.cost += weight * (seconds / work - self.cost)
        self.usual += weight * (work - self.usual)

    def pause(self) -> float:
        """Give the seconds that a refusal waits, so that refusing takes next to no time.

        Clients that ask again at once would otherwise be refused thousands of times a second.
        """
        now = self._clock()
        turn = max(now, self._refused + 1 / REFUSALS)
        self._refused = min(turn, now + MAX_PAUSE)
        return self._refused - now

    def _fits(self, address: str, work: float) -> bool:
        if not self.taken.n_clips:
            return True
        own = self._taken_by[address].work if address in self._taken_by else 0.0
        wait = self.cost * (self.taken.work + work)
        return wait <= self.max_wait and self.cost * (own + work) <= SHARE * self.max_wait

    def _add(self, address: str, n_clips: int, work: float) -> None:
        for taken in (self.taken, self._taken_by[address]):
            taken.add(n_clips, work)
        self._forget(address)

    def _hold(self, address: str, n_bytes: int) -> None:
        for taken in (self.taken, self._taken_by[address]):
            taken.n_bytes += n_bytes
        self._forget(address)

    def _forget(self, address: str) -> None:
        """Keep no address that has taken nothing: there may be millions."""
        taken = self._taken_by[address]
        if not (taken.n_clips or taken.n_bytes):
            del self._taken_by[address]

    def _busy(self, work: float) -> Busy:
        """Tell each one turned away seconds of its own, after which to come back.

        So they come back as fast as they can be answered.
        """
        now = self._clock()
        after_those_inside = now + self.cost * self.taken.work
        after_the_last = self._called_back + self.cost * work
        turn = max(after_those_inside, after_the_last)
        self._called_back = min(turn, now + MAX_RETRY)
        return Busy(self._called_back - now)
