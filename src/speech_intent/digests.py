"""SHA-256 of the files that belong together."""

import hashlib
import mmap
import os
import time
from pathlib import Path

from . import user_cache

ALWAYS_READ = 2**26  # bytes, 64 MB: read in 50 ms
SETTLED = 2.0  # seconds without a change; clocks of file systems tick slowly


def sha256(file: Path) -> str:
    """Digest a whole file, in hexadecimal; in one go, which other threads need not wait for."""
    with file.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:  # cannot be mapped
            return hashlib.sha256().hexdigest()
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()


def has_digest(file: Path, digest: str | None) -> bool:
    """Whether a file has this SHA-256.

    A large one that had it is not read again as long as its inode, size and times stay: whoever
    writes to a file changes its `ctime`, which no program can set back.
    """
    if digest is None:
        return False
    status = file.stat()
    if status.st_size <= ALWAYS_READ:
        return sha256(file) == digest
    mark = _mark(status, digest)
    if mark is not None and mark.exists():
        user_cache.used(mark)
        return True
    now = time.time()
    is_same = sha256(file) == digest
    if is_same and mark is not None and now - status.st_ctime > SETTLED:
        user_cache.keep(mark, [])
    return is_same


def _mark(status: os.stat_result, digest: str) -> Path | None:
    """Name the empty file that is there if this file, as it stands, was found to have a digest."""
    folder = user_cache.cache_folder()
    if folder is None:
        return None
    seen = (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        digest,
    )
    name = hashlib.sha256(repr(seen).encode()).hexdigest()
    return folder / f"{name}.seen"
