"""Recordings become a data folder: clips and a metadata.csv that grow one by one, whoever stops or writes as well."""

import contextlib
import csv
import io
import json
import os
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from filelock import FileLock

from speech_intent import audio

COLUMNS = ("file_name", "intent", "speaker", "text")
LOCK_SECONDS = 10.0  # to wait for another page that is writing
FRAME_SECONDS = 0.02


class Recordings:
    """A folder with `clips/` and `metadata.csv`, as `--data` takes it.

    A clip is complete on disk before its row is written, and the table is replaced as a whole, so that a reader at any
    moment finds a valid table whose files are all there. Each clip carries its own row as a comment: one that was
    written while the row was not is listed again at the next start. Raises ValueError if the folder's table is not one
    that can be added to.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.clips, self.table = self.folder / "clips", self.folder / "metadata.csv"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / ".lock", timeout=LOCK_SECONDS)
        if not self.table.exists() and any((self.folder / name).exists() for name in ("csv", "train.csv")):
            raise ValueError(f"{folder}: holds a dataset with splits of its own; name another folder for recordings")
        self._recover()

    def rows(self) -> list[dict[str, str]]:
        """Read the table: `COLUMNS` and whatever other columns it has."""
        if not self.table.exists():
            return []
        try:
            with self.table.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, strict=True)
                rows, columns = list(reader), reader.fieldnames or []
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{self.table}: is not a comma-separated table in UTF-8 ({error}); repair it") from error
        if missing := [column for column in COLUMNS[:2] if column not in columns]:
            raise ValueError(f"{self.table}: has no column {', '.join(missing)}; repair it, or name another folder")
        if "split" in columns:
            raise ValueError(f"{self.table}: has a split column, which new clips lack; name another folder")
        if any(None in row for row in rows):
            raise ValueError(f"{self.table}: has rows with more fields than its header; quote fields with commas")
        return [{column: value or "" for column, value in row.items()} for row in rows]

    def keep(self, clip: str | Path, intent: str, speaker: str, text: str = "") -> dict[str, str]:
        """Add a clip, mixed to mono, as 16-bit FLAC at its own sampling rate; return its row.

        Names are data: cleaned of line breaks and outer blanks, never part of a path. Raises `AudioError` for a clip
        that cannot be used, ValueError without an intent or a speaker, OSError where nothing can be written; the
        folder is then as it was.
        """
        row = {"intent": one_line(intent), "speaker": one_line(speaker), "text": one_line(text)}
        if missing := [column for column in ("intent", "speaker") if not row[column]]:
            raise ValueError(f"give the {' and the '.join(missing)} first")
        rate = native_rate(clip)
        waveform = audio.load(clip, rate)
        name = f"clips/{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:12]}.flac"
        row = {"file_name": name} | row
        with self._lock:
            rows = self.rows()
            self.clips.mkdir(exist_ok=True)
            _replace(self.folder / name, _encode(waveform, rate, row))
            try:
                self._write([*rows, row])
            except OSError:
                (self.folder / name).unlink(missing_ok=True)
                raise
        return row

    def counts(self) -> pd.DataFrame:
        """Count clips: a row an intent, a column a speaker, with totals."""
        rows = self.rows()
        if not rows:
            return pd.DataFrame(columns=["intent", "all"])
        table = pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value="")
        counts = pd.crosstab(table["intent"], table["speaker"].replace("", "(no name)"))
        counts.insert(0, "all", counts.sum(axis=1))
        return counts.rename_axis(columns=None).reset_index()

    def _write(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(dict.fromkeys([*COLUMNS, *rows[0]])), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _replace(self.table, text.getvalue().encode())

    def _recover(self) -> None:
        """Sweep half-written files; list clips again whose row was not written. Other files are left alone."""
        with self._lock:
            for part in [*self.folder.glob("metadata.csv.part"), *self.clips.glob("*.flac.part")]:
                part.unlink()
            rows = self.rows()
            listed = {row["file_name"] for row in rows}
            clips = [path for path in sorted(self.clips.glob("*.flac")) if f"clips/{path.name}" not in listed]
            if found := [row for row in map(_row_in, clips) if row]:
                self._write([*rows, *found])


def one_line(text: str | None) -> str:
    """Put blanks in the place of line breaks and control characters; strip."""
    return " ".join("".join(c if c.isprintable() else " " for c in text or "").split())


def native_rate(clip: str | Path) -> int:
    """Read a file's sampling rate in Hz; for a broken one any rate, since `audio.blocks` says what is wrong with it."""
    try:
        return soundfile.info(clip).samplerate
    except (soundfile.SoundFileError, OSError):
        return 16_000


def _encode(waveform: np.ndarray, rate: int, row: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, 1, "PCM_16", format="FLAC") as file:
        file.comment = json.dumps(row)
        file.write(np.clip(np.round(waveform * 32768), -32768, 32767).astype(np.int16))  # 16-bit input comes out as is
    return buffer.getvalue()


def _row_in(clip: Path) -> dict[str, str] | None:
    """Read the row that `keep` wrote into a clip; None for a clip from elsewhere, or one that was renamed."""
    with contextlib.suppress(soundfile.SoundFileError, ValueError), soundfile.SoundFile(clip) as file:
        row = json.loads(file.comment)
        if set(row) == set(COLUMNS) and row["file_name"] == f"clips/{clip.name}":
            return row
    return None


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
    with contextlib.suppress(OSError):  # Windows opens no folders, and some network drives do not sync them
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@dataclass(frozen=True)
class Measurement:
    """What a clip looks like in frames of 20 ms."""

    seconds: float
    peaks: np.ndarray  # largest absolute sample of each frame, 1 is full scale; float32, (n_frames,)
    levels: np.ndarray  # root mean square of each frame, dB below full scale; float32, (n_frames,)
    clipped: float  # share of the samples at full scale


def measure(clip: str | Path) -> Measurement:
    """Measure a clip of any length at its own sampling rate. Raises `AudioError`."""
    rate = native_rate(clip)
    size, n_samples, n_clipped, peaks, powers = round(FRAME_SECONDS * rate), 0, 0, [], []
    for block in audio.blocks(clip, rate):
        starts = np.arange(0, len(block), size)
        level = np.abs(block)
        peaks.append(np.maximum.reduceat(level, starts))
        powers.append(np.add.reduceat(level**2, starts) / np.diff(starts, append=len(block)))
        n_samples, n_clipped = n_samples + len(block), n_clipped + int((level >= 0.999).sum())
    levels = 10 * np.log10(np.concatenate(powers) + 1e-10)
    return Measurement(n_samples / rate, np.concatenate(peaks), levels, n_clipped / n_samples)


def complaints(clip: Measurement) -> list[str]:
    """Say what makes a clip a doubtful example; nothing for a good one."""
    loud = np.percentile(clip.levels, 95)  # of speech with pauses: its vowels
    sounding = float((clip.levels > -50).sum() * FRAME_SECONDS)
    found = []
    if clip.seconds < 0.5:
        found.append(f"too short ({clip.seconds:.2f} s): was the end cut off?")
    if sounding < 0.2:
        found.append("nearly silent: is the right microphone on?")
    elif loud < -35:
        found.append(f"too quiet ({loud:.0f} dB): speak up or come closer")
    if clip.clipped > 5e-4:
        found.append(f"clipped ({100 * clip.clipped:.1f} % of the samples at full scale): turn the input down")
    return found
