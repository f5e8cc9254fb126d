"""A clip to an answer in time, whoever asks: a request of HTTP, or a stream."""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import State

from ..errors import AudioError
from .answers import LONGER, Answer, Clip, refusal
from .queues import Gone, Queue
from .work import Estimate, estimate

AT_A_GLANCE = 200_000  # bytes that are looked at in less time than a thread takes


@dataclass(frozen=True)
class Asker:
    """Who asks the queue of an app."""

    state: State  # of the app
    address: str
    gone: Gone


async def answer_by(deadline: float, asker: Asker, clip: Clip, is_inside: bool = False) -> Answer:
    """Ask the queue for an answer; 504 if there is none by a time of the event loop.

    Raises `Busy` if there is no place for the clip, unless its request `is_inside` already.
    """
    settings = asker.state.settings
    try:
        async with asyncio.timeout_at(deadline):
            size = await _size_of(clip, settings.max_seconds)
            answer = await _answer_at(size, asker, clip, is_inside)
            if answer.status == LONGER:
                size = size.at_most(settings.max_seconds)
                answer = await _answer_at(size, asker, clip, is_inside)
    except TimeoutError:
        problem = f"got no answer within {settings.patience:g} s"
        return refusal(504, AudioError(clip.name, problem, "try again later"))
    asker.state.counters.count(answer)
    return answer


async def _size_of(clip: Clip, max_seconds: float) -> Estimate:
    """Look at a clip; in a thread if it is large, since some headers are all over a file."""
    if len(clip.data) < AT_A_GLANCE:
        return estimate(clip.data, max_seconds)
    return await asyncio.to_thread(estimate, clip.data, max_seconds)


async def _answer_at(size: Estimate, asker: Asker, clip: Clip, is_inside: bool) -> Answer:
    """Take a place for a clip of this size, and ask the queue."""
    queue: Queue = asker.state.queue
    with queue.places.waiting(asker.address, size.work, is_inside):
        return await queue.answer(clip, size, asker.gone)
