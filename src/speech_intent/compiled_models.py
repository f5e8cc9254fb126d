"""Compiled ONNX models in the user's cache, each with a checksum of its bytes.

OpenVINO's own cache goes by path, size and time of a file, and believes what it finds.
"""

import hashlib
import json
import os
import platform
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import user_cache

HEADER = 64  # bytes: the checksum of what follows, and blanks
PROCESSOR = Path("/proc/cpuinfo")
PROCESSOR_FACTS = ("model name", "flags", "Features")


def place(digest: str, **choices: Any) -> Path | None:
    """Find where the compiled form of a file with this SHA-256 is kept; None where nothing can be.

    `choices` are all that decide how it is compiled, but for OpenVINO's version and the processor.
    """
    folder = user_cache.cache_folder()
    if folder is None:
        return None
    made_of = {"digest": digest, "openvino": _openvino(), "processor": _processor()}
    key = json.dumps(made_of | choices, sort_keys=True)
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.compiled"


def _openvino() -> list[int]:
    """Tell this build of OpenVINO from others, without importing it or reading its metadata."""
    found = find_spec("openvino")
    if found is None or found.origin is None:
        return []
    status = os.stat(found.origin)
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _processor() -> list[str]:
    """Describe this machine: another one with the same home compiles otherwise."""
    facts = [platform.machine(), str(os.cpu_count())]
    try:
        with PROCESSOR.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(2**13).split("\n\n")[0].splitlines()  # the first core's
    except OSError:
        return [*facts, platform.processor()]
    return facts + [line for line in lines if line.startswith(PROCESSOR_FACTS)]


def read(path: Path) -> np.ndarray | None:
    """Read a compiled model, uint8, (n_bytes,); None if there is none, or not as it was kept."""
    try:
        content = np.memmap(path, np.uint8, "c")  # OpenVINO wants to be allowed to write
    except (OSError, ValueError):  # ValueError: an empty file
        return None
    blob = content[HEADER:]
    if content[:HEADER].tobytes() != _header(blob.data):
        return None
    user_cache.used(path)
    return blob


def keep(path: Path, blob: bytes) -> None:
    """Keep a compiled model, in the place of one that was damaged."""
    user_cache.keep(path, [_header(blob), blob])


def _header(blob: bytes | memoryview) -> bytes:
    """Write the length and the CRC-32 of a blob: against accidents, at twice SHA-256's speed."""
    return f"{len(blob)} {zlib.crc32(blob):08x}".encode().ljust(HEADER)
