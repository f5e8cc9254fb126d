"""A request to clips, within the limits of size and time."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from .answers import Clip
from .settings import Settings

ARRIVAL = 15.0  # seconds until a body is there
MAX_FILES = 100  # of one form
FORM = "multipart/form-data"


class _InMemory(MultiPartParser):
    """Keeps audio off the disk; starlette puts files above 1 MB there."""

    spool_max_size = sys.maxsize


async def read_clips(
    request: Request, settings: Settings, hold: Callable[[int], None]
) -> list[Clip]:
    """Read a request: the file parts of a form, at least one, or else the whole body as one clip.

    `hold` is told of the bytes as they arrive. Raises 400 for a form that cannot be used, 408 for a
    body that takes too long, and 413 as soon as there are too many bytes, or are to be.
    """
    declared = int(request.headers.get("content-length", 0))
    if declared > settings.max_bytes:
        raise _too_large(settings.max_bytes)
    try:
        async with asyncio.timeout(ARRIVAL):
            pieces = _limited(request, settings.max_bytes, hold)
            kind, _, _ = request.headers.get("content-type", "").partition(";")
            if kind.strip().lower() == FORM:
                return await _read_form(request, pieces)
            return [Clip("body", b"".join([piece async for piece in pieces]))]
    except TimeoutError:
        problem = f"the request did not arrive within {ARRIVAL:g} s; send it again"
        raise HTTPException(408, problem) from None


async def _limited(
    request: Request, max_bytes: int, hold: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of a body as they come, until they are too many."""
    n_bytes = 0
    async for piece in request.stream():
        n_bytes += len(piece)
        if n_bytes > max_bytes:
            raise _too_large(max_bytes)
        hold(len(piece))
        yield piece


async def _read_form(request: Request, pieces: AsyncGenerator[bytes, None]) -> list[Clip]:
    parser = _InMemory(_of_utf8(request.headers), pieces, max_files=MAX_FILES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        reason = error.message.rstrip(".")
        problem = f"the form cannot be read ({reason}); send it again"
        raise HTTPException(400, problem) from error
    clips = []
    for _, part in form.multi_items():
        if isinstance(part, UploadFile):
            clips.append(Clip(part.filename or "file", await part.read()))
    if not clips:
        problem = "the form has no file part; send the clip as one: curl -F file=@clip.wav"
        raise HTTPException(400, problem)
    return clips


def _of_utf8(headers: Headers) -> Headers:
    """Leave out the charset that a form says it has: some are no charsets, and none is needed."""
    _, options = parse_options_header(headers["content-type"])
    boundary = options.get(b"boundary")
    kind = FORM if boundary is None else f'{FORM}; boundary="{boundary.decode("latin-1")}"'
    return Headers({"content-type": kind})


def _too_large(max_bytes: int) -> HTTPException:
    problem = f"the request is larger than {max_bytes / 1e6:g} MB"
    return HTTPException(413, f"{problem}; send less audio, or FLAC, OGG or MP3")
