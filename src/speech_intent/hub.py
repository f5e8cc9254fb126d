"""From a model's name to a local folder, with clear words for everything that can be wrong on the way."""

import contextlib
import hashlib
import logging
import os
import threading
from pathlib import Path

REACH_SECONDS = 8.0  # to find out whether the Hub answers
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
ONNX, INT8, RECORD = "model.onnx", "model-int8.onnx", "onnx.json"  # what `export` writes; int8 only where it pays

logger = logging.getLogger("speech_intent")


class ModelError(ValueError):
    """A model that cannot be used. The message names it, what is wrong and what to do, in one line."""


class HubUnreachable(ModelError):
    """The Hub did not answer, and the model is not in the local cache."""


def model_folder(model: str | Path, engine: str = "torch") -> Path:
    """Find a model's files: a local folder as it is, a Hub id as a snapshot in the local cache.

    `engine` says what it must hold: weights for "torch", the ONNX file for "onnx", either of them for "auto". Raises
    `HubUnreachable` for a Hub id that is not in the cache when the Hub gives no answer within 8 s, `ModelError` if
    there is no such folder or repository, no right to it, or a file missing.
    """
    folder = Path(model)
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        if folder.is_absolute() or str(model).startswith((".", "~")) or str(model).count("/") > 1:
            raise ModelError(f"{model}: there is no such folder; check the path")
        folder = _snapshot(str(model), engine)
    if missing := _missing_files(folder, engine):
        remedy = "save model and feature extractor with save_pretrained"
        remedy = "run python -m speech_intent.export on the folder" if missing == [ONNX] else remedy
        raise ModelError(f"{model}: has no {', '.join(missing)}; {remedy}")
    if (engine == "torch" or not onnx_file(folder)) and not any(folder.glob("*.safetensors")):
        logger.warning("warning: %s: its weights are a pickle; they are read by torch's weights-only loader", model)
    return folder


def onnx_file(folder: Path) -> Path | None:
    """Find the ONNX file that answers, the reduced form where there is one; None if `export` has not been there."""
    files = [folder / name for name in (INT8, ONNX) if (folder / name).is_file()]
    return files[0] if files and (folder / RECORD).is_file() else None


def weights_digest(folder: Path) -> str | None:
    """Tell weights from others, by their size and the first and last MB; None where a folder has none."""
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        return None
    with file.open("rb") as stream:
        ends, size = stream.read(2**20), stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 2**20))
        ends += stream.read()
    return hashlib.sha256(ends + str(size).encode()).hexdigest()


def _missing_files(folder: Path, engine: str = "torch") -> list[str]:
    missing = [name for name in ("config.json", "preprocessor_config.json") if not (folder / name).is_file()]
    if engine != "torch" and onnx_file(folder):
        return missing
    if engine == "onnx":
        return [*missing, ONNX]
    return missing if any((folder / name).is_file() for name in WEIGHTS) else [*missing, WEIGHTS[0]]


def _snapshot(model: str, engine: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import LocalEntryNotFoundError

    try:
        files = _remote_files(model)
        weights = next((name for name in WEIGHTS if name in files), WEIGHTS[0])
        pattern = weights.removesuffix(".index.json").replace(".", "*.")  # with the shards of a large model
        if engine != "torch" and RECORD in files:
            pattern = next((name for name in (INT8, ONNX) if name in files), pattern)
        return Path(snapshot_download(model, allow_patterns=["*.json", pattern]))
    except HFValidationError as error:
        raise ModelError(f"{model}: is neither a folder nor a Hub id; check the spelling") from error
    except GatedRepoError as error:
        raise ModelError(f"{model}: its owner must grant access; ask on its Hub page, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        problem = "is not on the Hub, or is private, and is no local folder"
        raise ModelError(f"{model}: {problem}; check the spelling, or log in with `hf auth login`") from error
    except Exception as error:  # no name resolution, refused, timed out, offline mode, 5xx
        with contextlib.suppress(LocalEntryNotFoundError):
            folder = Path(snapshot_download(model, allow_patterns=["*.json"], local_files_only=True))
            if not _missing_files(folder, engine):  # an interrupted download leaves a part
                return folder
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        problem = f"the Hub cannot be reached ({reason[:200]})"
        raise HubUnreachable(f"{model}: {problem}, and no such folder; connect, or name a local model") from error


def _remote_files(model: str) -> set[str]:
    """List a Hub repository's files; give up after `REACH_SECONDS`, whatever the network does."""
    from huggingface_hub import HfApi

    result: list = []

    def ask() -> None:
        try:
            result.append({file.rfilename for file in HfApi().model_info(model, timeout=REACH_SECONDS).siblings})
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=ask, daemon=True)  # name resolution has no timeout of its own
    thread.start()
    thread.join(REACH_SECONDS)
    if not result:
        raise TimeoutError(f"no answer within {REACH_SECONDS:.0f} s")
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


def quiet_transformers() -> None:
    """Keep transformers' progress bars and notices off the terminal; errors still raise."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
