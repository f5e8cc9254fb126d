"""Answers over a socket: audio comes as it is recorded, an answer goes out after each request.

Audio is heard in another process (`ears`); a client that sends it faster has to wait, so that a
stream takes the same memory however long it lasts.
"""

import asyncio
import io
import logging
import re
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import BrokenExecutor
from typing import Any

import soundfile
from fastapi import APIRouter, HTTPException
from starlette.datastructures import State
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..clips import check_format
from ..errors import AudioError
from ..intake import PCM
from ..listening import Event, Pauses, Request, SpeechBegan
from ..voice_activity import RATE
from .answers import Answer, Clip
from .asking import Asker, answer_by
from .connections import RESTARTS
from .door import address_of, detail
from .ears import Full, Stream
from .places import Busy

SILENT = 60.0  # seconds without audio, after which a stream is closed
GATHERED = 0.1  # seconds of audio that are worth a call, which takes half a millisecond here
HEARD_AT_ONCE = 0.5  # seconds of audio, at most: others are heard in between
UNSENT = 32  # events of a stream that wait to be sent; then it is not heard further
RETRY_AFTER = 10  # seconds until a client that found no place may try again
END = "end"  # what a client sends last

# How a stream ends: a socket's code, and the reason in at most 123 bytes.
FINISHED = (1000, "")
WENT_SILENT = (1001, f"no audio for {SILENT:g} s; connect again")
NO_AUDIO = (1003, f'what is no audio came; send 16-bit PCM in binary frames, and "{END}" last')
CRASHED = (1011, "the process that heard the stream has ended; connect again")
RESTART = (RESTARTS, "the server ends; connect again")

Message = dict[str, Any]  # for JSON

logger = logging.getLogger("speech_intent")
sockets = APIRouter()


class _Ended(Exception):
    """A stream that ends before its client has said so; has the code and the reason."""


@sockets.websocket("/listen")
async def listen(socket: WebSocket) -> None:
    """Hear a stream, and answer each request in it."""
    state = socket.app.state
    address = address_of(socket.scope)
    sampling_rate, n_channels = format_of(socket.query_params)
    about = await state.queue.about()
    pauses = Pauses.like(about.get("margins"))
    try:
        with state.ears.stream(address, sampling_rate, n_channels, pauses) as stream:
            await socket.accept()
            n_bytes = sampling_rate * n_channels * PCM.itemsize
            await Session(socket, stream, n_bytes).run()
    except Full:
        await _refuse(state)


def format_of(query: Mapping[str, str]) -> tuple[int, int]:
    """Read the sampling rate, in Hz, and the number of channels. Raises 422."""
    numbers = []
    for name, usual in (("rate", RATE), ("channels", 1)):
        text = query.get(name, str(usual))
        if not re.fullmatch("[1-9][0-9]{0,8}", text):
            remedy = "ask for /listen?rate=48000&channels=2, or the like"
            raise HTTPException(422, f"{name} is no whole number above 0; {remedy}")
        numbers.append(int(text))
    sampling_rate, n_channels = numbers
    try:
        check_format("the stream", sampling_rate, n_channels)
    except AudioError as error:
        raise HTTPException(422, str(error)) from None
    return sampling_rate, n_channels


async def _refuse(state: State) -> None:
    """Turn a stream away, in its turn: 503."""
    state.counters.refused.inc()
    await asyncio.sleep(state.queue.places.pause())
    problem = f"too many streams are open; try again in {RETRY_AFTER} s"
    raise HTTPException(503, problem, {"Retry-After": str(RETRY_AFTER)})


class Session:
    """A client and its stream, of so many bytes a second."""

    def __init__(self, socket: WebSocket, stream: Stream, n_bytes: int):
        self.socket = socket
        self.stream = stream
        self.n_bytes = n_bytes
        self.asker = Asker(socket.app.state, address_of(socket.scope), _gone)
        # What the client is told, in this order; None ends it.
        self._unsent: asyncio.Queue[asyncio.Task[Message | None] | None] = asyncio.Queue(UNSENT)

    async def run(self) -> None:
        """Hear and tell until the stream ends; then tell what is left, and close."""
        try:
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._tell())
                ending = await self._hear(tasks)
                await self._unsent.put(None)
                await telling
                await self.socket.close(*ending)
        except* WebSocketDisconnect:
            pass  # nobody is left to tell, and the tasks have been cancelled

    async def _hear(self, tasks: asyncio.TaskGroup) -> tuple[int, str]:
        """Hear the stream, and give how it ended; who waits for an answer is heard further."""
        try:
            async for data in self._audio():
                await self._note(await self.stream.hear(data), tasks)
            await self._note(await self.stream.finish(), tasks)
        except _Ended as ended:
            code, reason = ended.args
            return code, reason
        except BrokenExecutor:
            return CRASHED
        return FINISHED

    async def _audio(self) -> AsyncIterator[bytes]:
        """Yield what has come, in pieces that are worth a call and hold up nobody."""
        least = round(GATHERED * self.n_bytes)
        most = round(HEARD_AT_ONCE * self.n_bytes)
        gathered = b""
        while (data := await self._receive()) is not None:
            gathered += data
            if len(gathered) >= least:
                for start in range(0, len(gathered), most):
                    yield gathered[start : start + most]
                gathered = b""
        yield gathered

    async def _receive(self) -> bytes | None:
        """Receive audio; None where the client ends the stream."""
        try:
            async with asyncio.timeout(SILENT):
                message = await self.socket.receive()
        except TimeoutError:
            raise _Ended(*WENT_SILENT) from None
        if message["type"] == "websocket.disconnect":
            if message["code"] == RESTARTS:  # who is connected still (`connections`)
                raise _Ended(*RESTART)
            raise WebSocketDisconnect(message["code"])
        data = message.get("bytes")
        if data is None and message["text"] != END:
            raise _Ended(*NO_AUDIO)
        return data

    async def _note(self, events: list[Event], tasks: asyncio.TaskGroup) -> None:
        for event in events:
            await self._unsent.put(tasks.create_task(self._message(event)))

    async def _tell(self) -> None:
        while (task := await self._unsent.get()) is not None:
            message = await task
            if message is not None:
                await self.socket.send_json(message)

    async def _message(self, event: Event) -> Message | None:
        """Say what a client is told of an event, if anything."""
        if isinstance(event, SpeechBegan):
            return {"event": "speech", "start": round(event.start, 3)}
        return message_of(event, await self._answer(event))

    async def _answer(self, request: Request) -> Answer:
        """Ask the queue, within the limits of all others."""
        state = self.asker.state
        clip = clip_of(request)
        deadline = asyncio.get_running_loop().time() + state.settings.patience
        try:
            with state.queue.places.holding(self.asker.address) as hold:
                hold(len(clip.data))
                return await answer_by(deadline, self.asker, clip)
        except Busy as busy:
            state.counters.refused.inc()
            return Answer(503, {"detail": detail(busy)})
        except Exception:
            logger.exception("a request of a stream got no answer")
            return Answer(500, {"detail": "the server failed; its log says why"})


def clip_of(request: Request) -> Clip:
    """Write a request as a clip: WAV, 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, request.waveform, RATE, format="WAV", subtype="PCM_16")
    return Clip("request", file.getvalue())


def message_of(request: Request, answer: Answer) -> Message | None:
    """Say what a client is told of a request; nothing if the model says that it is none."""
    body = {name: value for name, value in answer.body.items() if name != "file"}
    when = {"start": round(request.start, 3), "end": round(request.end, 3)}
    if answer.status != 200:
        return {"event": "error", **when, "status": answer.status, **body}
    if "guess" in body:
        return None
    return {"event": "answer", **when, **body}


async def _gone() -> bool:
    """Say that the client is there: the tasks of one that leaves are cancelled."""
    return False
