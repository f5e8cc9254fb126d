"""HTTP around a queue: routes, key, errors.

An app's state holds its `settings` and `counters`, and once it runs its `queue` and `ears`.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import ClientDisconnect

from . import schemas
from .answers import Answer, Clip
from .asking import Asker, answer_by
from .door import Door, address_of, detail
from .ears import Ears
from .listen import sockets
from .monitoring import add_metrics
from .places import Busy
from .queues import CLIENT_GONE, Queue
from .requests import read_clips
from .settings import Settings

BEARER = HTTPBearer(auto_error=False)
CHALLENGE = {"WWW-Authenticate": "Bearer"}

guarded = APIRouter()  # asks for the API key, where there is one
public = APIRouter()


def create_app(
    make_queue: Callable[[], Queue], settings: Settings, make_ears: Callable[[], Ears] = Ears
) -> FastAPI:
    """Make the app; both functions are called when it starts, in its event loop."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.queue = make_queue()
        app.state.ears = make_ears()
        yield
        app.state.ears.close()
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
    of_sockets = [Depends(check_key_of_socket)] if settings.api_key else []
    app.include_router(sockets, dependencies=of_sockets)
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
    _check(given.credentials if given else "", request.app.state.settings.api_key)


async def check_key_of_socket(socket: WebSocket) -> None:
    """Raise 401 for a socket without the key, which FastAPI's `BEARER` does not look at."""
    scheme, key = get_authorization_scheme_param(socket.headers.get("Authorization"))
    _check(key if scheme.lower() == "bearer" else "", socket.app.state.settings.api_key)


def _check(key: str, wanted: str) -> None:
    # A header's bytes come as Latin-1; a key beyond ASCII is sent in UTF-8.
    if not secrets.compare_digest(key.encode("latin-1"), wanted.encode()):
        problem = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`"
        raise HTTPException(401, problem, CHALLENGE)


@guarded.post("/predict", responses=schemas.PREDICT, openapi_extra=schemas.CLIP)
async def predict(request: Request) -> JSONResponse:
    """Classify one clip: the file part of a form, or the whole body, in any format."""
    top_k = top_k_of(request.query_params)
    settings = request.app.state.settings
    places = request.app.state.queue.places
    with places.holding(address_of(request.scope)) as hold:
        clips = await read_clips(request, settings, hold)
        if len(clips) > 1:
            problem = f"the form has {len(clips)} file parts; send them to /predict/batch"
            raise HTTPException(400, problem)
        deadline = asyncio.get_running_loop().time() + settings.patience
        answer = await answer_by(deadline, asker_of(request), clips[0])
    return JSONResponse(with_best(answer.body, top_k), answer.status)


@guarded.post("/predict/batch", responses=schemas.PREDICT_BATCH, openapi_extra=schemas.CLIPS)
async def predict_batch(request: Request) -> JSONResponse:
    """Classify the file parts of a form, in their order.

    What cannot be used has `detail` in place of an answer.
    """
    top_k = top_k_of(request.query_params)
    settings = request.app.state.settings
    places = request.app.state.queue.places
    with places.holding(address_of(request.scope)) as hold:
        clips = await read_clips(request, settings, hold)
        answers = await answers_in_turn(request, clips)
    return JSONResponse([with_best(answer.body, top_k) for answer in answers])


@public.get("/health", responses=schemas.HEALTH)
async def health(request: Request) -> JSONResponse:
    """Say that the server is up, and which model answers."""
    return JSONResponse(await request.app.state.queue.about())


def top_k_of(query: Mapping[str, str]) -> int | None:
    """Read how many intents a client wants; None is all. Raises 422."""
    text = query.get("top_k")
    if text is None:
        return None
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        remedy = "ask for ?top_k=3, or leave it out for all intents"
        raise HTTPException(422, f"top_k is no whole number from 1 on; {remedy}")
    return int(text)


def with_best(body: dict[str, Any], top_k: int | None) -> dict[str, Any]:
    """Keep the best intents of an answer (None: all); a refusal has none."""
    if "scores" not in body:
        return body
    return body | {"scores": body["scores"][:top_k]}


async def answers_in_turn(request: Request, clips: list[Clip]) -> list[Answer]:
    """Answer the clips of a batch, which is like a client that sends clip after clip.

    So others have their turns in between. Raises `Busy` if there is no place for the first.
    """
    state = request.app.state
    asker = asker_of(request)
    deadline = asyncio.get_running_loop().time() + state.settings.patience
    turns = asyncio.Semaphore(state.queue.at_once)
    alone = asyncio.Lock()  # where others wait, too

    async def answer(clip: Clip, is_inside: bool) -> Answer:
        async with turns:
            others_wait = state.queue.places.taken.n_clips > state.queue.at_once
            async with alone if others_wait else contextlib.nullcontext():
                return await answer_by(deadline, asker, clip, is_inside)

    first = await answer(clips[0], False)
    return [first, *await asyncio.gather(*(answer(clip, True) for clip in clips[1:]))]


def asker_of(request: Request) -> Asker:
    """Say on whose behalf the queue is asked."""
    return Asker(request.app.state, address_of(request.scope), request.is_disconnected)


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
