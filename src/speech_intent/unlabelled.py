"""Recordings without labels, from any folder of audio files: what a head is adapted to."""

import functools
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import additions, archives, layouts, quality
from .audio import SILENT_PEAK
from .data import DIGEST_LENGTH
from .errors import AudioError, DataError
from .names import printable

if TYPE_CHECKING:
    from datasets import Dataset

N_NAMED = 3  # files that a warning names

logger = logging.getLogger("speech_intent")


@dataclass(frozen=True)
class Unlabelled:
    """Recordings that can be used, each once."""

    folder: str  # its last part, for a record
    clips: "Dataset"  # `audio` ({"bytes", "path"}, not decoded), `seconds`, `digest`, `label` (0)

    def facts(self) -> dict[str, Any]:
        """Say for a record which recordings these are: their number, a digest of their list."""
        listing = "\n".join(sorted(self.clips["digest"])).encode()
        digest = hashlib.sha256(listing).hexdigest()[:16]
        return {"folder": self.folder, "clips": len(self.clips), "digest": digest}


def read(name: str) -> Unlabelled:
    """Read every audio file of a folder or zip; tables and their labels are not looked at.

    Files that cannot be used are left out, with a warning. Raises `DataError` where none is left.
    """
    folder = Path(name)
    if folder.is_file():
        folder = archives.unpack(folder)
    if not folder.is_dir():
        problem = "there is no such folder; name one with recordings, or a zip of it"
        raise DataError(name, [problem])
    files = [folder / file for file in layouts.audio_files(folder)]
    stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return _read(name, tuple(files), tuple(stamps))


@functools.lru_cache(maxsize=2)  # a run asks twice, and each fold again, for two folders
def _read(name: str, files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> Unlabelled:
    """Decode files once; `stamps` tell whether they are still the same."""
    from datasets import Dataset, Features, Value

    rows: dict[str, dict[str, Any]] = {}
    problems = []
    for file in files:
        try:
            clip = quality.measure(file)
        except AudioError as error:
            problems.append(f"{file.name}: {error.reason}")
            continue
        if clip.peak < SILENT_PEAK:
            problems.append(f"{file.name}: is silent")
            continue
        audio = {"bytes": None, "path": str(file)}
        digest = clip.digest[:DIGEST_LENGTH]
        row = {"audio": audio, "seconds": clip.seconds, "digest": digest, "label": 0}
        rows.setdefault(digest, row)
    if not rows:
        raise DataError(name, problems or ["it holds no audio files"])
    if problems:
        shown = printable("; ".join(problems[:N_NAMED])) + "; ..." * (len(problems) > N_NAMED)
        text = "warning: %s: left out %d files that cannot be used: %s"
        logger.warning(text, name, len(problems), shown)
    features = Features(
        {
            "audio": {"bytes": Value("binary"), "path": Value("string")},
            "seconds": Value("float32"),
            "digest": Value("string"),
            "label": Value("int64"),
        }
    )
    clips = Dataset.from_list(list(rows.values()), features=features)
    return Unlabelled(additions.last_part(name), clips)
