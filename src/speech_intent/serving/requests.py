"""A request to clips, within the limits of size and time."""

import asyncio
import sys
from collections.abc import AsyncGenerator

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from .answers import Clip

MAX_FILES = 100  # of one form
FORM = "multipart/form-data"


class _InMemory(MultiPartParser):
    """Keeps audio off the disk; starlette puts files above 1 MB there."""

    spool_max_size = sys.maxsize


def declared_bytes(request: Request, max_bytes: int) -> int:
    """Give the size of a body that was not read yet: what its header says, or else the limit.

    Raises 413 if that is above the limit.
    """
    n_bytes = int(request.headers.get("content-length", max_bytes))
    if n_bytes > max_bytes:
        raise _too_large(max_bytes)
    return n_bytes


async def read_clips(request: Request, max_bytes: int, patience: float) -> list[Clip]:
    """Read a request: the file parts of a form, at least one, or else the whole body as one clip.

    Raises 400 for a form that cannot be used, 408 if it takes more than `patience` seconds, and
    413 as soon as more than `max_bytes` have come.
    """
    try:
        async with asyncio.timeout(patience):
            pieces = _limited(request, max_bytes)
            if request.headers.get("content-type", "").startswith(FORM):
                return await _read_form(request, pieces)
            return [Clip("body", b"".join([piece async for piece in pieces]))]
    except TimeoutError:
        problem = f"the request did not arrive within {patience:g} s; send it again"
        raise HTTPException(408, problem) from None


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of a body as they come, until they are too many."""
    n_bytes = 0
    async for piece in request.stream():
        n_bytes += len(piece)
        if n_bytes > max_bytes:
            raise _too_large(max_bytes)
        yield piece


async def _read_form(request: Request, pieces: AsyncGenerator[bytes, None]) -> list[Clip]:
    parser = _InMemory(request.headers, pieces, max_files=MAX_FILES)
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


def _too_large(max_bytes: int) -> HTTPException:
    problem = f"the request is larger than {max_bytes / 1e6:g} MB"
    return HTTPException(413, f"{problem}; send less audio, or FLAC, OGG or MP3")
