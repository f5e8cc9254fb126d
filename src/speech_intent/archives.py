"""A zip of a data folder becomes that folder, in the user's cache.

Nothing that a zip says of itself is believed: no name in it leaves the folder, and bytes are
counted as they are written.
"""

import atexit
import functools
import hashlib
import lzma
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .clip_files import leaves
from .decoding import SUFFIXES
from .errors import DataError
from .layouts import TABLE_SUFFIXES, is_junk, without_wrapping
from .names import file_stem
from .table_files import mistaken
from .user_cache import cache_folder

MOST_FILES = 500_000  # five times those of Speech Commands
# Speech takes a few times less room in a zip; zeros take 1,032 times less.
LARGEST_RATIO = 20
ALLOWANCE = 100_000_000  # bytes that a zip of whatever size may hold besides
RESERVE = 500_000_000  # bytes of the disk that stay free
BEGINNING = 1_000  # bytes that tell what a file is
CHUNK = 1 << 20  # bytes unpacked at a time
ENCRYPTED = 0x1  # a bit of a member's flags
FILES = {0, stat.S_IFREG, stat.S_IFDIR}  # 0: packed on Windows
DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError)
NOT_READ = (NotImplementedError, RuntimeError)  # zipfile knows no such compression

Members = Mapping[str, zipfile.ZipInfo]  # by their names in the folder


def unpack(path: Path) -> Path:
    """Unpack the tables and clips of a zip, unless that was done before; give the folder.

    It lies in the user's cache, or in a temporary folder where none can be written. Raises
    `DataError` for what is no zip, and for a zip that cannot be trusted.
    """
    if path.suffix.lower() != ".zip":
        problem = "it is a file; name the folder that holds it, or a zip of that folder"
        raise DataError(path, [problem])
    try:
        with path.open("rb") as file:
            other = mistaken(file.read(BEGINNING))
            if other is not None:
                raise DataError(path, [f"it {other}"])
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        target = _folder_of_zips() / digest / file_stem(path.stem)
        if not target.is_dir():
            with zipfile.ZipFile(path) as archive:
                _unpack_whole(path, archive, target)
    except DAMAGES as error:
        problem = f"it is no zip, or damaged ({error}); copy or pack it again"
        raise DataError(path, [problem]) from error
    except NOT_READ as error:
        problem = f"it is packed in a way that cannot be read ({error}); pack it again"
        raise DataError(path, [problem]) from error
    except OSError as error:
        problem = f"it cannot be unpacked ({error.strerror or error})"
        raise DataError(path, [problem]) from error
    return without_wrapping(target)


def _folder_of_zips() -> Path:
    folder = cache_folder()
    return _temporary_folder() if folder is None else folder / "zips"


@functools.cache
def _temporary_folder() -> Path:
    """Make a folder for as long as this process runs."""
    folder = tempfile.mkdtemp(prefix="speech-intent-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _members(path: Path, archive: zipfile.ZipFile) -> Members:
    """List tables and clips. Raises `DataError` for members that no honest zip holds."""
    infos = archive.infolist()
    if len(infos) > MOST_FILES:
        raise DataError(path, [f"it holds {len(infos):,} files, and may hold {MOST_FILES:,}"])
    members: dict[str, zipfile.ZipInfo] = {}
    problems = []
    for info in infos:
        name = info.filename.replace("\\", "/")  # as some programs on Windows pack
        problem = _member_problem(info, name)
        if problem is None and not _is_wanted(name):
            continue
        name = str(PurePosixPath(name))
        if name in members:
            problem = "is in it twice"
        if problem:
            problems.append(f"{name} {problem}")
        members[name] = info
    if problems:
        raise DataError(path, problems)
    if not members:
        raise DataError(path, ["it holds no table and no audio; unpack zips within it"])
    return members


def _member_problem(info: zipfile.ZipInfo, name: str) -> str | None:
    if leaves(name) or "\0" in info.orig_filename:
        return "leaves the folder"
    if stat.S_IFMT(info.external_attr >> 16) not in FILES:
        return "is a link, or no file"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted; unpack it with its password"
    return None


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    suffixes = SUFFIXES | TABLE_SUFFIXES
    is_file = not name.endswith("/")
    return is_file and path.suffix.lower() in suffixes and not any(map(is_junk, path.parts))


def _unpack_whole(path: Path, archive: zipfile.ZipFile, target: Path) -> None:
    """Unpack into a folder of another name, which gets its own when all is there."""
    members = _members(path, archive)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        _unpack_members(path, archive, members, partial)
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unpack_members(path: Path, archive: zipfile.ZipFile, members: Members, folder: Path) -> None:
    """Write the members, as long as they are no more than a zip of recordings may hold."""
    largest = LARGEST_RATIO * path.stat().st_size + ALLOWANCE
    free = shutil.disk_usage(folder).free - RESERVE
    n_bytes = 0
    for name, info in members.items():
        try:
            file = _new_file(folder / name)
        except OSError as error:  # its name is too long, or that of a folder
            problem = f"{name} cannot be unpacked ({error.strerror})"
            raise DataError(path, [problem]) from error
        with archive.open(info) as source, file:
            while chunk := source.read(CHUNK):
                n_bytes += len(chunk)
                if n_bytes > largest:
                    problem = f"it unpacks to over {largest:,} bytes, as no recordings do"
                    raise DataError(path, [problem])
                if n_bytes > free:
                    raise DataError(path, ["what it holds does not fit on the disk"])
                file.write(chunk)


def _new_file(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")
