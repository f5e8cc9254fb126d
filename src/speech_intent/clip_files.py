"""Which file of a data folder the name in a row means, and why none."""

import ntpath
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .layouts import is_junk
from .names import composed

LEAVES = "file_name leaves the folder; it must be relative to it, without '..'"


@dataclass(frozen=True)
class ClipFile:
    """A file that a row names."""

    name: str  # as the disk has it, else as the row has it
    problem: str | None


class ClipFiles:
    """The files that rows of a folder may name."""

    def __init__(self, folder: Path, clips: Iterable[str]):
        self.folder = folder
        self._roots = _roots(folder)
        names = list(clips)
        self._by_look = {_look(os.path.splitext(name)[0]): name for name in names}
        self._by_look |= {_look(name): name for name in names}

    def find(self, name: str) -> ClipFile:
        """Find the file that a name means, also where the disk writes its accents otherwise."""
        if not name:
            return ClipFile(name, "file_name is empty")
        if leaves(name):
            return ClipFile(name, LEAVES)
        if any(map(is_junk, PurePosixPath(name).parts)):
            return ClipFile(name, "is a hidden file, or in a hidden folder; name it otherwise")
        problem = _file_problem(self.folder / name)
        if problem is None:
            return ClipFile(name, self._link_problem(name))
        other = self._by_look.get(_look(name))
        if other is None:
            return ClipFile(name, problem)
        if composed(other) == composed(str(PurePosixPath(name))):
            return ClipFile(other, self._link_problem(other))
        return ClipFile(name, f"there is no such file; there is {other}")

    def _link_problem(self, name: str) -> str | None:
        """Say that a file is a link, or in a linked folder, that leads out of the folder."""
        real = Path(os.path.realpath(self.folder / name))
        if any(real.is_relative_to(root) for root in self._roots):
            return None
        return "is a link that leaves the folder; copy the file into it"


def leaves(name: str) -> bool:
    """Whether a name leads out of the folder that it counts from."""
    has_drive = bool(ntpath.splitdrive(name)[0])  # pathlib takes ten times as long
    return name.startswith("/") or has_drive or ".." in name.split("/")


def _roots(folder: Path) -> list[Path]:
    """List the folders that files may lie in once links are followed."""
    root = folder.resolve()
    if root.parent.name == "snapshots":  # the Hub's cache: files are links to blobs beside it
        return [root, root.parent.parent / "blobs"]
    return [root]


def _look(name: str) -> str:
    return composed(str(PurePosixPath(name))).casefold()


def _file_problem(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no text for a name
        return "there is no such file"
    except OSError as error:  # a name that is too long, a folder that may not be read
        return f"there is no such file to be read ({error.strerror})"
    return None if stat.S_ISREG(mode) else "is no file"
