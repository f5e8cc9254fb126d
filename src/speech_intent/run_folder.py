"""The folder that a run writes to: what may not be written over, and what is written whole."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from .errors import OutputError

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PreTrainedModel

LOCK = ".lock"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)
LEAST_ROOM = 2**20  # bytes; with less, a failed write is put down to the full disk


def check_output(folder: Path, resume: bool) -> None:
    """Raise `OutputError` for a folder with a run that would be written over."""
    trained = (folder / "model").exists()
    # Killed before the model got its own copy, a run is scored again.
    copied = (folder / "model" / "metrics.json").exists() or not trained
    finished = (folder / "metrics.json").exists() and (copied or not resume)
    if finished or (trained and not resume):
        problem = "holds a finished run"
        raise OutputError(folder, problem, "choose another folder, or delete it first")
    if last_checkpoint(folder / "checkpoints") and not resume:
        problem = "holds an unfinished run"
        raise OutputError(folder, problem, "add --resume to go on, or choose another folder")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a folder to one run, and say as an `OutputError` why nothing can be written there."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / LOCK, timeout=0))
        except Timeout as error:
            problem = "is being written to by another run"
            raise OutputError(folder, problem, "wait for it, or choose another folder") from error
        except OSError as error:
            raise _refusal(folder, error) from error
        try:
            yield
        except OSError as error:
            if error.errno not in (*NO_ROOM, *NO_RIGHT):
                raise
            raise _refusal(folder, error) from error
        except (SafetensorError, RuntimeError) as error:  # how weights fail to be written
            if shutil.disk_usage(folder).free >= LEAST_ROOM:
                raise
            raise _no_room(folder) from error


def _refusal(folder: Path, error: OSError) -> OutputError:
    """Say what the system refused, by its number."""
    if error.errno in NO_ROOM:
        return _no_room(folder)
    place = error.filename or folder
    problem = f"cannot be written to ({error.strerror or type(error).__name__})"
    return OutputError(os.fspath(place), problem, "check its permissions, or choose another folder")


def _no_room(folder: Path) -> OutputError:
    remedy = "make room, then go on with --resume"
    return OutputError(folder, "cannot be written to: the disk is full", remedy)


def has_begun(folder: Path) -> bool:
    """Whether a run has left something in a folder that it can go on from."""
    trained = (folder / "model" / "training.json").exists()
    return trained or last_checkpoint(folder / "checkpoints") is not None


def last_checkpoint(folder: Path) -> Path | None:
    """Find the newest checkpoint that was written whole.

    The Trainer writes trainer_state.json last.
    """
    by_step = {}
    for path in folder.glob("checkpoint-*"):
        try:
            state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            by_step[int(state["global_step"])] = path
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the process was killed while it was writing this one
    return by_step[max(by_step)] if by_step else None


def save_model(
    model: "PreTrainedModel",
    extractor: "FeatureExtractionMixin",
    record: dict[str, Any],
    folder: Path,
    others: Iterable[Path] = (),
) -> None:
    """Write model, feature extractor and record to a folder that appears when it is complete.

    Copies of `others` come with them.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    extractor.save_pretrained(partial)
    write_json(partial / "training.json", record)
    for file in others:
        shutil.copy(file, partial)
    partial.rename(folder)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that is there in full or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in the same way."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
