"""Recordings become a data folder, clip by clip, whoever stops or writes as well."""

import contextlib
import csv
import io
import itertools
import json
import os
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from filelock import FileLock, Timeout

from . import audio
from .errors import OutputError, UserError
from .names import one_line
from .quality import measure
from .tables import CORRECTED, ORIGINAL, YES

COLUMNS = ("file_name", "intent", "speaker", "text")
MARKS = (CORRECTED, ORIGINAL)  # further columns, of corrected clips
NEEDED = ("file_name", "intent")  # of a table that was there before
LONGEST_NAME = 2_000  # characters; a sentence has a hundred
LONGEST_FIELD = 1 << 30  # characters that are read; csv's own limit is 131,072
LOCK_SECONDS = 10.0  # to wait for another page that is writing


class Recordings:
    """A folder with `clips/` and `metadata.csv`, as `--data` takes it.

    A clip is complete on disk before its row is written, and the table is replaced as a whole, so
    that a reader at any moment finds a valid table whose files are all there. Each clip carries its
    own row as a comment: one that was written while the row was not is listed again at the next
    start. Raises `OutputError` if the folder is not one that can be added to, `UserError` if its
    table cannot be read.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.clips = self.folder / "clips"
        self.table = self.folder / "metadata.csv"
        self._lock = FileLock(self.folder / ".lock", timeout=LOCK_SECONDS)
        with self._refusals():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_splits()
            self._recover()

    def rows(self) -> list[dict[str, str]]:
        """Read the table: `COLUMNS` and whatever other columns it has.

        Raises `UserError` if it cannot be read, `OutputError` if it cannot be added to.
        """
        if not self.table.exists():
            return []
        try:
            csv.field_size_limit(LONGEST_FIELD)
            with self.table.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, strict=True)
                rows = list(reader)
                columns = list(reader.fieldnames or [])
        except (csv.Error, UnicodeDecodeError) as error:
            problem = f"is not a comma-separated table in UTF-8 ({error})"
            raise UserError(self.table, problem, "repair it") from error
        except OSError as error:
            problem = f"cannot be read ({error.strerror or error})"
            raise UserError(self.table, problem, "check its permissions") from error
        self._check_columns(columns)
        if any(None in row for row in rows):  # where DictReader puts what is too much
            problem = "has rows with more fields than its header"
            raise UserError(self.table, problem, "quote fields with commas")
        return [{column: value or "" for column, value in row.items()} for row in rows]

    def keep(
        self,
        clip: str | Path,
        intent: str | None,
        speaker: str | None,
        text: str | None = "",
        corrected: bool = False,
    ) -> dict[str, str]:
        """Add a clip, mixed to mono, as 16-bit FLAC at its own sampling rate; return its row.

        Names are data: cleaned of line breaks and outer blanks, never part of a path. A `corrected`
        clip (see `tables.is_corrected`) may have no speaker, and is taken once. Raises `AudioError`
        for a clip that cannot be used, `UserError` without an intent or a speaker, `OutputError`
        where nothing can be written; the folder is then as it was.
        """
        names = {"intent": one_line(intent), "speaker": one_line(speaker), "text": one_line(text)}
        needed = ("intent",) if corrected else ("intent", "speaker")
        missing = [column for column in needed if not names[column]]
        if missing:
            problem = f"has no {' and no '.join(missing)}"
            raise UserError(clip, problem, f"give the {' and the '.join(missing)} first")
        long = [column for column, name in names.items() if len(name) > LONGEST_NAME]
        if long:
            problem = f"has too long a {' and '.join(long)}, above {LONGEST_NAME:,} characters"
            raise UserError(clip, problem, "shorten it")
        file_name = f"clips/{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:12]}.flac"
        row = {"file_name": file_name, **names}
        if corrected:
            row |= {CORRECTED: YES, ORIGINAL: measure(clip, warn=audio.say_nothing).digest}
        content = _encode(clip, row)
        with self._refusals(), self._lock:
            self._add(row, content)
        return row

    def counts(self) -> pd.DataFrame:
        """Count clips: a row an intent, a column a speaker, with totals."""
        rows = self.rows()
        if not rows:
            return pd.DataFrame(columns=["intent", "all"])
        table = pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value="")
        speakers = table["speaker"].replace("", "(no name)")
        counts = pd.crosstab(table["intent"], speakers)
        counts.insert(0, "all", counts.sum(axis=1))
        return counts.rename_axis(columns=None).reset_index()

    def _add(self, row: dict[str, str], content: bytes) -> None:
        """Write a clip, then its row; take the clip back where the row cannot be written."""
        rows = self.rows()
        _check_new(row, rows)
        self.clips.mkdir(exist_ok=True)
        path = self.folder / row["file_name"]
        _replace(path, content)
        try:
            self._write([*rows, row])
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def _write(self, rows: list[dict[str, str]]) -> None:
        columns = list(dict.fromkeys([*COLUMNS, *itertools.chain(*rows)]))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _replace(self.table, text.getvalue().encode())

    def _recover(self) -> None:
        """Sweep half-written files; list clips again whose row was not written.

        Other files are left alone.
        """
        with self._lock:
            for part in self.folder.glob("metadata.csv.part"):
                part.unlink()
            for part in self.clips.glob("*.flac.part"):
                part.unlink()
            rows = self.rows()
            listed = {row["file_name"] for row in rows}
            clips = sorted(self.clips.glob("*.flac"))
            unlisted = [path for path in clips if f"clips/{path.name}" not in listed]
            lost = [row for row in map(_row_in, unlisted) if row is not None]
            if lost:
                self._write([*rows, *lost])

    def _check_splits(self) -> None:
        datasets = [self.folder / name for name in ("csv", "train.csv")]
        if not self.table.exists() and any(path.exists() for path in datasets):
            problem = "holds a dataset with splits of its own"
            raise OutputError(self.folder, problem, "name another folder for recordings")

    def _check_columns(self, columns: list[str]) -> None:
        missing = [column for column in NEEDED if column not in columns]
        if missing:
            problem = f"has no column {', '.join(missing)}"
            raise OutputError(self.table, problem, "repair it, or name another folder")
        if "split" in columns:
            problem = "has a split column, which new clips lack"
            raise OutputError(self.table, problem, "name another folder")

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Say what the system refused as an `OutputError`."""
        try:
            yield
        except Timeout as error:
            problem = "is being written to by another program"
            raise OutputError(self.folder, problem, "try again") from error
        except OSError as error:
            problem = f"cannot be written to ({error.strerror or error})"
            remedy = "make room or check its permissions, or name another folder"
            raise OutputError(self.folder, problem, remedy) from error


def _check_new(row: dict[str, str], rows: list[dict[str, str]]) -> None:
    """Raise `UserError` for a corrected clip that is among the rows already."""
    for other in rows:
        if row.get(ORIGINAL) and other.get(ORIGINAL) == row[ORIGINAL]:
            problem = f"is kept already, as {other['intent']!r} ({other['file_name']})"
            raise UserError("the clip", problem, "edit its row in metadata.csv if that is wrong")


def _encode(clip: str | Path, row: dict[str, str]) -> bytes:
    """Encode a clip as mono 16-bit FLAC with its row; 16-bit samples come out as they went in.

    Raises `AudioError` for a clip that cannot be used.
    """
    rate = audio.header(clip).sampling_rate
    if rate > 65_535 and rate % 10:  # FLAC has no such rate
        rate = 48_000
    waveform = audio.load(clip, rate)
    samples = np.clip(np.round(waveform * 32768), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, 1, "PCM_16", format="FLAC") as file:
        file.comment = json.dumps(row)
        file.write(samples)
    return buffer.getvalue()


def _row_in(clip: Path) -> dict[str, str] | None:
    """Read the row that `keep` wrote into a clip.

    None for a clip from elsewhere, or one that was renamed.
    """
    try:
        with soundfile.SoundFile(clip) as file:
            row = json.loads(file.comment)
    except (soundfile.SoundFileError, ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or set(row) not in ({*COLUMNS}, {*COLUMNS, *MARKS}):
        return None
    if not all(isinstance(value, str) for value in row.values()):
        return None
    return row if row["file_name"] == f"clips/{clip.name}" else None


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is there in full or not at all, also after a power cut."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    # Windows opens no folders, and some network drives do not sync them.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
