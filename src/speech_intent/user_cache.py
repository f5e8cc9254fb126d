"""What a later start need not work out again, in the user's cache; nothing depends on it."""

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

MOST_FILES = 100
MOST_BYTES = 2**31


def cache_folder() -> Path | None:
    """Find `speech_intent` in the user's cache; None where there can be none."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not home.is_absolute():  # the XDG specification: such a path is to be ignored
            home = Path.home() / ".cache"
        folder = home / "speech_intent"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    return folder if os.access(folder, os.W_OK) else None


def keep(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file whole or not at all, whoever else writes it now; and make room for it."""
    partial = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            partial = Path(file.name)
            file.writelines(parts)
        partial.replace(path)
        _forget_oldest(path.parent)
    except OSError:  # no space, no right: the next start works it out again
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def used(path: Path) -> None:
    """Note that a file is in use, so that others are forgotten before it."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _forget_oldest(folder: Path) -> None:
    """Delete what has not been used for longest, until few and small files are left."""
    files = [(entry.stat(), entry.path) for entry in os.scandir(folder) if entry.is_file()]
    files.sort(key=lambda file: file[0].st_mtime, reverse=True)
    n_bytes = 0
    for number, (status, path) in enumerate(files, start=1):
        n_bytes += status.st_size
        if number > 1 and (number > MOST_FILES or n_bytes > MOST_BYTES):
            with contextlib.suppress(OSError):
                os.unlink(path)
