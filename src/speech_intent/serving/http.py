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
from .answers import Answer, Clip, refusal
from .monitoring import add_metrics
from .places import Busy
from .queues import CLIENT_GONE, Queue
from .requests import declared_bytes, read_clips
from .settings import Settings

BEARER = HTTPBearer(auto_error=False)
CHALLENGE = {"WWW-Authenticate": "Bearer"}

guarded = APIRouter()  # asks for the API key, where there is one
public = APIRouter()


def create_app(make_queue: Callable[[], Queue], settings: Settings) -> FastAPI:
    """Make the app; `make_queue` is called when it starts, in its event loop."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.queue = make_queue()
        yield

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
    if not secrets.compare_digest(key.encode(), wanted.encode()):
        problem = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`"
        raise HTTPException(401, problem, CHALLENGE)


@guarded.post("/predict", responses=schemas.PREDICT, openapi_extra=schemas.CLIP)
async def predict(request: Request) -> JSONResponse:
    """Classify one clip: the file part of a form, or the whole body, in any format."""
    settings = request.app.state.settings
    places = request.app.state.queue.places
    with places.reserve(declared_bytes(request, settings.max_bytes)):
        clips = await read_clips(request, settings.max_bytes, settings.patience)
        if len(clips) > 1:
            problem = f"the form has {len(clips)} file parts; send them to /predict/batch"
            raise HTTPException(400, problem)
        answer = await answer_in_time(request, clips[0])
    return JSONResponse(answer.body, answer.status)


@guarded.post("/predict/batch", responses=schemas.PREDICT_BATCH, openapi_extra=schemas.CLIPS)
async def predict_batch(request: Request) -> JSONResponse:
    """Classify the file parts of a form, in their order.

    What cannot be used has `detail` in place of an answer.
    """
    settings = request.app.state.settings
    places = request.app.state.queue.places
    with places.reserve(declared_bytes(request, settings.max_bytes)):
        clips = await read_clips(request, settings.max_bytes, settings.patience)
        with places.reserve(0, len(clips) - 1):
            calls = [answer_in_time(request, clip) for clip in clips]
            answers = await asyncio.gather(*calls)
    return JSONResponse([answer.body for answer in answers])


@public.get("/health", responses=schemas.HEALTH)
async def health(request: Request) -> JSONResponse:
    """Say that the server is up, and which model answers."""
    return JSONResponse(await request.app.state.queue.about())


async def answer_in_time(request: Request, clip: Clip) -> Answer:
    """Ask the queue for an answer; 504 if it takes too long."""
    state = request.app.state
    patience = state.settings.patience
    try:
        async with asyncio.timeout(patience):
            answer: Answer = await state.queue.answer(clip, request.is_disconnected)
    except TimeoutError:
        problem = f"got no answer within {patience:g} s"
        return refusal(504, AudioError(clip.name, problem, "try again later"))
    state.counters.count(answer)
    return answer


async def busy(request: Request, error: Busy) -> JSONResponse:
    """Turn a request away, and say when to come back."""
    problem = f"too many requests are waiting; try again in {error.retry_after} s"
    return JSONResponse({"detail": problem}, 503, {"Retry-After": str(error.retry_after)})


async def gone(request: Request, error: ClientDisconnect) -> Response:
    """End a request whose client has left; nobody reads it."""
    return Response(status_code=CLIENT_GONE)


async def failed(request: Request, error: Exception) -> JSONResponse:
    """Keep what went wrong out of the answer; the traceback is in the log."""
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)
