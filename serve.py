"""Answer over HTTP: `python serve.py`, then `curl -F file=@clip.wav http://127.0.0.1:8000/predict`.

One process, no configuration; `serve run serve:cluster` runs the same app on Ray Serve, on one machine or many. What
an operator may want otherwise is read from the environment: SPEECH_INTENT_MODEL (folder or Hub id), _HOST, _PORT,
_API_KEY (then wanted as `Authorization: Bearer KEY`), _MAX_MEGABYTES (of a request), _MAX_SECONDS (of a clip) and
_MAX_WAIT (seconds; whoever would wait longer is turned away). Audio is neither kept nor logged.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import io
import json
import logging
import math
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Annotated

try:
    import uvicorn
    from fastapi import Depends, FastAPI, HTTPException, Request, Response
    from fastapi.responses import JSONResponse
    from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
    from prometheus_client import CollectorRegistry, Counter, Gauge
    from prometheus_fastapi_instrumentator import Instrumentator
    from starlette.formparsers import MultiPartException, MultiPartParser
    from starlette.requests import ClientDisconnect
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed; pip install -r requirements-serve.txt")

from inference import LOCAL_MODEL, as_json

MAX_FILES = 100  # of one batch
HELD_BYTES = 512 * 1024**2  # of request bodies in memory at a time
CONNECTIONS = 65_536  # open files to ask the system for; many grant 1,024 unasked
MAX_RETRY = 60  # seconds, of Retry-After
KEEP_ALIVE = 75  # seconds; longer than load balancers keep a connection, and than clients are told to stay away

BEARER = HTTPBearer(auto_error=False)

Clip = tuple[str, bytes]  # its name, its encoded audio
Answer = tuple[int, dict]  # HTTP status, JSON


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an operator may set."""

    model: str = str(LOCAL_MODEL)
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str = dataclasses.field(default="", repr=False)
    max_megabytes: float = 10.0
    max_seconds: float = 60.0
    max_wait: float = 10.0  # seconds; a request that is let in has three times as long

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read SPEECH_INTENT_MODEL and so on; raise ValueError for what is not a positive number but should be."""
        values = {}
        for field in dataclasses.fields(cls):
            name = f"SPEECH_INTENT_{field.name.upper()}"
            if text := os.environ.get(name):
                try:
                    values[field.name] = field.type(text)
                    if field.type is not str and not 0 < values[field.name] < math.inf:
                        raise ValueError
                except ValueError:
                    raise ValueError(f"{name}: {text!r} is not a positive number; set it to one, or unset it") from None
        return cls(**values)


# --- The model: one clip in, one answer out ---------------------------------------------------------------------------

_warnings: ContextVar[list[str] | None] = ContextVar("warnings", default=None)


class _Warnings(logging.Handler):
    """Puts what the package warns of into the answer for the clip that this thread is reading."""

    def emit(self, record: logging.LogRecord) -> None:
        if (found := _warnings.get()) is not None:
            found.append(record.getMessage().removeprefix("warning: "))


_HANDLER = _Warnings()


class Model:
    """A classifier that has one core for each call, and the longest clip it takes."""

    def __init__(self, name: str, max_seconds: float):
        from speech_intent import IntentClassifier

        self.classifier, self.max_seconds = IntentClassifier.from_pretrained(name, parallel=True), max_seconds
        self.engine, self.precision = self.classifier.engine, self.classifier.precision
        if self.engine == "torch":
            import torch

            torch.set_num_threads(1)
        logging.getLogger("speech_intent").addHandler(_HANDLER)

    def about(self) -> dict:
        """Say which model answers, and by which engine."""
        engine = {"engine": self.engine, "precision": self.precision}
        return {"status": "ok", "model": self.classifier.name, **engine, "labels": list(self.classifier.labels)}

    def answer(self, name: str, data: bytes) -> Answer:
        """Classify an encoded clip: 200 and what `inference.py --json` says, with `warnings`; 413 or 422, and why."""
        import soundfile

        from speech_intent import AudioError, audio

        rate, found = self.classifier.extractor.sampling_rate, []
        with contextlib.suppress(soundfile.SoundFileError):  # audio.load says better what is wrong
            seconds = soundfile.info(io.BytesIO(data)).duration  # from the header, before anything is decoded
            if seconds > self.max_seconds:
                problem = f"lasts {seconds:.1f} s, more than {self.max_seconds:g} s"
                return 413, refusal(name, problem, "send the part that matters")
        token = _warnings.set(found)
        try:
            waveform = audio.load({"bytes": data, "path": name}, rate)
        except AudioError as error:
            return 422, {"file": name, "detail": str(error)}
        finally:
            _warnings.reset(token)
        prediction = self.classifier.predict((waveform, rate))
        return 200, json.loads(as_json(name, prediction, self.classifier.name, None)) | {"warnings": found}


def refusal(name: str, problem: str, remedy: str) -> dict:
    """Say in the words of the package why a clip gets no answer."""
    from speech_intent import AudioError

    return {"file": name, "detail": str(AudioError(name, problem, remedy))}


# --- The queue: who is let in, and where the model runs ---------------------------------------------------------------


class Busy(Exception):
    """The queue is full; `retry_after` is in seconds."""

    def __init__(self, retry_after: float):
        self.retry_after = max(1, math.ceil(retry_after))


class Queue:
    """Counts who waits and what that costs; lets in no more than can be answered soon and fits into memory."""

    waiting = 0  # clips
    held = 0  # bytes
    cost = 0.0  # seconds until the next clip's turn for each clip that waits; 0: not known here
    lost = 0  # calls that died with their replica
    called_back = 0.0  # time.monotonic() at which the last one turned away was told to come back

    def __init__(self, max_wait: float):
        self.max_wait = max_wait

    @contextlib.contextmanager
    def place(self, n_bytes: int, n_clips: int = 1) -> Iterator[None]:
        """Hold places in the queue, or raise `Busy`. Whoever comes to an empty queue is let in."""
        wait = self.cost * self.waiting
        if self.waiting and (wait + self.cost * n_clips > self.max_wait or self.held + n_bytes > HELD_BYTES):
            raise Busy(self._return(wait, n_clips))
        self.waiting, self.held = self.waiting + n_clips, self.held + n_bytes
        try:
            yield
        finally:
            self.waiting, self.held = self.waiting - n_clips, self.held - n_bytes

    def _return(self, wait: float, n_clips: int) -> float:
        """Give each one turned away a time of its own, so that they come back as fast as they can be answered."""
        now = time.monotonic()
        self.called_back = min(max(now + wait, self.called_back + self.cost * n_clips), now + MAX_RETRY)
        return self.called_back - now


class Threads(Queue):
    """Runs the model in threads of this process, a call for each core."""

    def __init__(self, model: Model, max_wait: float):
        super().__init__(max_wait)
        self.model, self.n_threads = model, n_cores()
        self.pool = ThreadPoolExecutor(self.n_threads)
        self.turn = asyncio.Semaphore(2 * self.n_threads)  # one runs, one is ready, in each thread
        for _ in range(2):  # the first call is slow
            self._timed("warm-up", tone())

    async def about(self) -> dict:
        """Say which model answers."""
        return self.model.about()

    async def run(self, clip: Clip, gone: Callable) -> Answer:
        """Classify a clip when its turn comes, unless the client is `gone` by then."""
        async with self.turn:
            if await gone():
                return 499, {}
            return await asyncio.get_running_loop().run_in_executor(self.pool, self._timed, *clip)

    def _timed(self, name: str, data: bytes) -> Answer:
        began = time.perf_counter()
        answer = self.model.answer(name, data)
        cost = (time.perf_counter() - began) / self.n_threads
        self.cost += (0.05 if self.cost else 1.0) * (cost - self.cost)  # a moving average
        return answer


class Replicas(Queue):
    """Runs the model in other processes, which Ray Serve starts, finds and feeds."""

    def __init__(self, model, max_wait: float):
        super().__init__(max_wait)
        self.model = model  # DeploymentHandle

    async def about(self) -> dict:
        """Say which model answers."""
        return await self.model.about.remote()

    async def run(self, clip: Clip, gone: Callable) -> Answer:
        """Classify a clip; if the replica is lost on the way, ask another one, once."""
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import BackPressureError, ReplicaUnavailableError

        try:
            try:
                return await self.model.answer.remote(*clip)
            except (RayActorError, ReplicaUnavailableError):
                self.lost += 1
                return await self.model.answer.remote(*clip)
        except BackPressureError:
            raise Busy(self.max_wait) from None


def n_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tone() -> bytes:
    """Make a WAV file of 3 s, to warm up with."""
    import numpy as np
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.sin(0.1 * np.arange(48_000)), 16_000, format="WAV")
    return file.getvalue()


# --- The app: HTTP around a queue -------------------------------------------------------------------------------------


class _InMemory(MultiPartParser):
    """Keeps audio off the disk; starlette puts files above 1 MB there."""

    spool_max_size = sys.maxsize


def declared_bytes(request: Request, limit: int) -> int:
    """Give the size of a body that has not been read yet: what its header says, or else the limit."""
    n_bytes = int(request.headers.get("content-length", limit))
    if n_bytes > limit:
        raise too_large(limit)
    return n_bytes


def too_large(limit: int) -> HTTPException:
    """Make the error for a body above `limit` bytes."""
    return HTTPException(413, f"the request is larger than {limit / 1e6:g} MB; send less audio, or FLAC, OGG or MP3")


async def body(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the pieces of a body as they come; stop with 413 as soon as they are more than `limit` bytes."""
    n_bytes = 0
    async for piece in request.stream():
        n_bytes += len(piece)
        if n_bytes > limit:
            raise too_large(limit)
        yield piece


async def read_clips(request: Request, limit: int) -> list[Clip]:
    """Read a request: the file parts of a form, or else the whole body as one clip."""
    pieces = body(request, limit)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return [("body", b"".join([piece async for piece in pieces]))]
    try:
        form = await _InMemory(request.headers, pieces, max_files=MAX_FILES).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form cannot be read ({error.message.rstrip('.')}); send it again") from error
    parts = [part for _, part in form.multi_items() if not isinstance(part, str)]
    if not parts:
        raise HTTPException(400, "the form has no file part; send the clip as one: curl -F file=@clip.wav")
    return [(part.filename or "file", await part.read()) for part in parts]


def create_app(make_queue: Callable[[], Queue], settings: Settings) -> FastAPI:
    """Make the app; `make_queue` is called when it starts, in its event loop."""
    limit, patience = int(settings.max_megabytes * 1e6), 3 * settings.max_wait

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.queue = make_queue()
        yield

    async def check_key(given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
        if not secrets.compare_digest((given.credentials if given else "").encode(), settings.api_key.encode()):
            problem = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`"
            raise HTTPException(401, problem, {"WWW-Authenticate": "Bearer"})

    guarded = {"dependencies": [Depends(check_key)]} if settings.api_key else {}
    app = FastAPI(title="Spoken intent classification", description="Audio in, intent out.", lifespan=lifespan)
    registry = CollectorRegistry()
    Instrumentator(registry=registry, should_group_status_codes=False).instrument(app).expose(
        app, include_in_schema=False, **guarded
    )
    waiting = Gauge("speech_intent_waiting_clips", "Clips let in and not answered yet", registry=registry)
    waiting.set_function(lambda: app.state.queue.waiting)
    lost = Gauge("speech_intent_lost_calls", "Calls lost with a replica, and tried again", registry=registry)
    lost.set_function(lambda: app.state.queue.lost)
    heard = Counter("speech_intent_audio_seconds", "Seconds of audio answered", registry=registry)

    async def answer(clip: Clip, request: Request) -> Answer:
        try:
            async with asyncio.timeout(patience):
                status, answer = await app.state.queue.run(clip, request.is_disconnected)
        except TimeoutError:
            return 504, refusal(clip[0], f"got no answer within {patience:g} s", "try again later")
        heard.inc(answer.get("seconds", 0.0))
        return status, answer

    async def read(request: Request) -> list[Clip]:
        try:
            async with asyncio.timeout(patience):
                return await read_clips(request, limit)
        except TimeoutError:
            raise HTTPException(408, f"the request did not arrive within {patience:g} s; send it again") from None

    @app.post("/predict", responses=ONE, openapi_extra=AUDIO, **guarded)
    async def predict(request: Request) -> JSONResponse:
        """Classify one clip: the file part of a form, or the whole body. WAV, FLAC, OGG or MP3."""
        with app.state.queue.place(declared_bytes(request, limit)):
            clips = await read(request)
            if len(clips) > 1:
                raise HTTPException(400, f"the form has {len(clips)} file parts; send them to /predict/batch")
            status, content = await answer(clips[0], request)
        return JSONResponse(content, status)

    @app.post("/predict/batch", responses=MANY, openapi_extra=FORM, **guarded)
    async def predict_batch(request: Request) -> JSONResponse:
        """Classify the file parts of a form, in their order; what cannot be used has `detail` in place of an answer."""
        queue: Queue = app.state.queue
        with queue.place(declared_bytes(request, limit)):
            clips = await read(request)
            with queue.place(0, len(clips) - 1):
                answers = await asyncio.gather(*(answer(clip, request) for clip in clips))
        return JSONResponse([content for _, content in answers])

    @app.get("/health", responses=HEALTH)
    async def health() -> JSONResponse:
        """Say that the server is up, and which model answers."""
        return JSONResponse(await app.state.queue.about())

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> JSONResponse:
        problem = f"too many requests are waiting; try again in {error.retry_after} s"
        return JSONResponse({"detail": problem}, 503, {"Retry-After": str(error.retry_after)})

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "the server failed; its log says why"}, 500)

    return app


def _example(description: str, content: object) -> dict:
    return {"description": description, "content": {"application/json": {"example": content}}}


def _form(schema: dict) -> dict:
    return {"multipart/form-data": {"schema": {"type": "object", "properties": schema}}}


# What the page at /docs shows.
_BYTES = {"type": "string", "format": "binary"}
_RAW = {f"audio/{kind}": {"schema": _BYTES} for kind in ("wav", "flac", "ogg", "mpeg")}
AUDIO = {"requestBody": {"required": True, "content": _form({"file": _BYTES}) | _RAW}}
FORM = {"requestBody": {"required": True, "content": _form({"files": {"type": "array", "items": _BYTES}})}}
_SCORES = [{"label": "battery", "score": 0.93}, {"label": "Top_speed", "score": 0.07}]
_ANSWER = {"file": "clip.wav", **_SCORES[0], "scores": _SCORES, "seconds": 2.5, "model": "models/mine", "warnings": []}
_EMPTY = {"file": "empty.wav", "detail": "empty.wav: is empty; record or copy it again"}
_NONE = {"detail": "the form has no file part; send the clip as one: curl -F file=@clip.wav"}
_LONG = {"file": "long.wav", "detail": "long.wav: lasts 75.0 s, more than 60 s; send the part that matters"}
_BUSY = {"detail": "too many requests are waiting; try again in 9 s"}
_ABOUT = {"status": "ok", "model": "models/mine", "engine": "torch", "precision": "float32", "labels": ["battery"]}
_REFUSED = {
    400: _example("No clip in the request", _NONE),
    413: _example("Too large or too long", _LONG),
    503: _example("Too busy; Retry-After says for how long", _BUSY),
}
ONE = {200: _example("The intents, best first", _ANSWER), 422: _example("Not a usable clip", _EMPTY)} | _REFUSED
MANY = {200: _example("An answer for each file", [_ANSWER, _EMPTY])} | _REFUSED
HEALTH = {200: _example("Up", _ABOUT)}


# --- Two ways to run it -----------------------------------------------------------------------------------------------


def cluster(arguments: dict):
    """Build the app for Ray Serve, where ingress and model scale apart: `serve run serve:cluster max_replicas=8`.

    `arguments` may hold `min_replicas` (default 1) and `max_replicas` (64) of the model; each takes a core.
    """
    from ray import serve

    settings = Settings.from_environment()
    low, high = (int(arguments.get(f"{bound}_replicas", n)) for bound, n in (("min", 1), ("max", 64)))

    @serve.deployment(
        name="Model",
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=4,  # one is computed, the others are on their way
        max_queued_requests=500,  # for each ingress; more get 503
        autoscaling_config={"min_replicas": low, "max_replicas": high, "target_ongoing_requests": 2},
    )
    class Replica:
        def __init__(self):
            self.model = Model(settings.model, settings.max_seconds)

        def about(self) -> dict:
            return self.model.about()

        def answer(self, name: str, data: bytes) -> Answer:
            return self.model.answer(name, data)

    @serve.deployment(
        name="Ingress",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=1000,
        autoscaling_config={"min_replicas": 1, "max_replicas": high, "target_ongoing_requests": 500},
    )
    @serve.ingress()
    class Ingress:
        def __init__(self, model):
            self.model = model

        def __serve_build_asgi_app__(self) -> FastAPI:
            return create_app(lambda: Replicas(self.model, settings.max_wait), settings)

    return Ingress.bind(Replica.bind())


def allow_connections() -> None:
    """Raise the limit of open files, of which every connection is one, as far as the system lets us."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def main() -> None:
    """Serve until told to stop; then answer what has been let in, and end."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        settings = Settings.from_environment()
        model = Model(settings.model, settings.max_seconds)
    except ValueError as error:
        sys.exit(f"error: {error}")
    allow_connections()
    app = create_app(lambda: Threads(model, settings.max_wait), settings)
    options = {"backlog": 4096, "timeout_keep_alive": KEEP_ALIVE, "access_log": False}
    uvicorn.run(app, host=settings.host, port=settings.port, **options)


if __name__ == "__main__":
    main()
