"""Who is let in: no more than can be answered soon and fits into memory."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator

HELD_BYTES = 512 * 1024**2  # of request bodies in memory at a time
MAX_RETRY = 60  # seconds until one who is turned away may come back
NEWEST = 0.05  # weight of the newest cost in the moving average


class Busy(Exception):
    """No place is free; `retry_after` is in whole seconds, at least 1."""

    def __init__(self, retry_after: float):
        super().__init__(retry_after)
        self.retry_after = max(1, math.ceil(retry_after))


class Places:
    """Counts who waits and what that costs, and turns away who would wait too long.

    `max_wait` is in seconds, and so is what `clock` gives.
    """

    def __init__(self, max_wait: float, clock: Callable[[], float] = time.monotonic):
        self.max_wait = max_wait
        self.waiting = 0  # clips
        self.held = 0  # bytes
        self.cost = 0.0  # seconds until the next turn, for each clip that waits; 0: not known
        self._clock = clock
        self._called_back = -math.inf  # when the last one turned away was told to come back

    @contextlib.contextmanager
    def reserve(self, n_bytes: int, n_clips: int = 1) -> Iterator[None]:
        """Hold places, or raise `Busy`. Whoever comes while nobody waits is let in."""
        if self.waiting and not self._fits(n_bytes, n_clips):
            raise Busy(self._return(n_clips))
        self.waiting += n_clips
        self.held += n_bytes
        try:
            yield
        finally:
            self.waiting -= n_clips
            self.held -= n_bytes

    def learn(self, seconds: float) -> None:
        """Take the cost of one more clip into the moving average."""
        weight = NEWEST if self.cost else 1.0
        self.cost += weight * (seconds - self.cost)

    def _fits(self, n_bytes: int, n_clips: int) -> bool:
        wait = self.cost * (self.waiting + n_clips)
        return wait <= self.max_wait and self.held + n_bytes <= HELD_BYTES

    def _return(self, n_clips: int) -> float:
        """Give seconds after which to come back, to each one turned away its own.

        So they come back as fast as they can be answered.
        """
        now = self._clock()
        after_those_inside = now + self.cost * self.waiting
        after_the_last = self._called_back + self.cost * n_clips
        turn = max(after_those_inside, after_the_last)
        self._called_back = min(turn, now + MAX_RETRY)
        return self._called_back - now
