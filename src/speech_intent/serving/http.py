"""HTTP around a queue: routes, key, errors.

An app's state holds its `settings`, its `queue` once it runs, and its `counters`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import ClientDisconnect

from ..errors import AudioError
from . import schemas
from .answers import LONGER, Answer, Clip, refusal
from .door import Door, address_of, detail
from .monitoring import add_metrics
from .places import Busy
from .queues import CLIENT_GONE, Queue
from .requests import read_clips
from .settings import Settings
from .work import Estimate, estimate

BEARER = HTTPBearer(auto_error=False)
AT_A_GLANCE = 200_000  # bytes that are looked at in less time than a thread takes
CHALLENGE = {"WWW-Authenticate": "Bearer"}

guarded = APIRouter()  # asks for the API key, where there is one
public = APIRouter()


def create_app(make_queue: Callable[[], Queue], settings: Settings) -> FastAPI:
    """Make the app; `make_queue` is called when it starts, in its event loop."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.queue = make_queue()
        yield
        app.state.queue.close()

    app = FastAPI(
        title="Spoken intent classification",
        description="Audio in, intent out.",
        lifespan=lifespan,
    )
    key_needed = [Depends(check_key)] if settings.api_key else []
    app.state.settings = settings
    app.state.counters = add_metrics(app, key_needed)
    app.include_router(guarded, dependencies=key_needed)
    app.include_router(public)
    app.add_middleware(Door)
    app.add_exception_handler(Busy, busy)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, failed)
    return app


async def check_key(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> None:
    """Raise 401 for a request without the key."""
    key = given.credentials if given else ""
    wanted = request.app.state.settings.api_key
    # A header's bytes come as Latin-1; a key beyond ASCII is sent in UTF-8.
    if not secrets.compare_digest(key.encode("latin-1"), wanted.encode()):
        problem = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`"
        raise HTTPException(401, problem, CHALLENGE)


@guarded.post("/predict", responses=schemas.PREDICT, openapi_extra=schemas.CLIP)
async def predict(request: Request) -> JSONResponse:
    """Classify one clip: the file part of a form, or the whole body, in any format."""
    settings = request.app.state.settings
    places = request.app.state.queue.places
    with places.holding(address_of(request.scope)) as hold:
        clips = await read_clips(request, settings, hold)
        if len(clips) > 1:
            problem = f"the form has {len(clips)} file parts; send them to /predict/batch"
            raise HTTPException(400, problem)
        deadline = asyncio.get_running_loop().time() + settings.patience
        answer = await answer_by(deadline, request, clips[0])
    return JSONResponse(answer.body, answer.status)


@guarded.post("/predict/batch", responses=schemas.PREDICT_BATCH, openapi_extra=schemas.CLIPS)
async def predict_batch(request: Request) -> JSONResponse:
    """Classify the file parts of a form, in their order.

    What cannot be used has `detail` in place of an answer.
    """
    settings = request.app.state.settings
    places = request.app.state.queue.places
    with places.holding(address_of(request.scope)) as hold:
        clips = await read_clips(request, settings, hold)
        answers = await answers_in_turn(request, clips)
    return JSONResponse([answer.body for answer in answers])


@public.get("/health", responses=schemas.HEALTH)
async def health(request: Request) -> JSONResponse:
    """Say that the server is up, and which model answers."""
    return JSONResponse(await request.app.state.queue.about())


async def answers_in_turn(request: Request, clips: list[Clip]) -> list[Answer]:
    """Answer the clips of a batch, which is like a client that sends clip after clip.

    So others have their turns in between. Raises `Busy` if there is no place for the first.
    """
    state = request.app.state
    deadline = asyncio.get_running_loop().time() + state.settings.patience
    turns = asyncio.Semaphore(state.queue.at_once)
    alone = asyncio.Lock()  # where others wait, too

    async def answer(clip: Clip, is_inside: bool) -> Answer:
        async with turns:
            others_wait = state.queue.places.taken.n_clips > state.queue.at_once
            async with alone if others_wait else contextlib.nullcontext():
                return await answer_by(deadline, request, clip, is_inside)

    first = await answer(clips[0], False)
    return [first, *await asyncio.gather(*(answer(clip, True) for clip in clips[1:]))]


async def answer_by(
    deadline: float, request: Request, clip: Clip, is_inside: bool = False
) -> Answer:
    """Ask the queue for an answer; 504 if there is none by a time of the event loop.

    Raises `Busy` if there is no place for the clip, unless its request `is_inside` already.
    """
    state = request.app.state
    try:
        async with asyncio.timeout_at(deadline):
            size = await size_of(clip, state.settings.max_seconds)
            answer = await answer_at(size, request, clip, is_inside)
            if answer.status == LONGER:
                size = size.at_most(state.settings.max_seconds)
                answer = await answer_at(size, request, clip, is_inside)
    except TimeoutError:
        problem = f"got no answer within {state.settings.patience:g} s"
        return refusal(504, AudioError(clip.name, problem, "try again later"))
    state.counters.count(answer)
    return answer


async def size_of(clip: Clip, max_seconds: float) -> Estimate:
    """Look at a clip; in a thread if it is large, since some headers are all over a file."""
    if len(clip.data) < AT_A_GLANCE:
        return estimate(clip.data, max_seconds)
    return await asyncio.to_thread(estimate, clip.data, max_seconds)


async def answer_at(size: Estimate, request: Request, clip: Clip, is_inside: bool) -> Answer:
    """Take a place for a clip of this size, and ask the queue."""
    queue: Queue = request.app.state.queue
    with queue.places.waiting(address_of(request.scope), size.work, is_inside):
        return await queue.answer(clip, size, request.is_disconnected)


async def busy(request: Request, error: Busy) -> JSONResponse:
    """Turn a request away, in its turn, and say when to come back."""
    state = request.app.state
    state.counters.refused.inc()
    await asyncio.sleep(state.queue.places.pause())
    return JSONResponse({"detail": detail(error)}, 503, {"Retry-After": str(error.retry_after)})


async def gone(request: Request, error: ClientDisconnect) -> Response:
    """End a request whose client has left; nobody reads it."""
    return Response(status_code=CLIENT_GONE)


async def failed(request: Request, error: Exception) -> JSONResponse:
    """Keep what went wrong out of the answer; the traceback is in the log."""
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)
