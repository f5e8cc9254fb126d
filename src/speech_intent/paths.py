"""Where things lie: in the clone, from which `pip install -e` installs the package, and caches."""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "dataset"
RUNS = ROOT / "runs"
MOONSHINE = ROOT / "models" / "moonshine-tiny-en"  # the encoder that `train` starts from
SMALL = ROOT / "models" / "wav2vec2-small-en"  # the encoder that `pretraining/` made
SHIPPED = ROOT / "models" / "moonshine-tiny-scooter"  # the classifier that `make models` made
BUNDLED_ENCODERS = {"moonshine": MOONSHINE, "small": SMALL, "random": MOONSHINE}


def cache_folder(name: str) -> Path:
    """Find a folder in the user's cache, or one for as long as this process runs."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "speech_intent" / name
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        pass
    return _temporary_folder()


@functools.cache
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="speech-intent-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
