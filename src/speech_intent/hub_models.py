"""From a model's name to a local folder, with clear words for what can be wrong on the way."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from . import hub_errors, hub_names
from .errors import HubUnreachable, ModelError
from .hub_reach import remote_files
from .model_config import RECORD, read_record
from .model_files import (
    CLIPS,
    INT8,
    ONNX,
    PICKLE,
    REJECTION,
    WEIGHTS,
    Engine,
    answering,
    missing_files,
    onnx_file,
    weights_files,
)

logger = logging.getLogger("speech_intent")


def model_folder(model: str | Path, engine: Engine = "torch", others: Sequence[str] = ()) -> Path:
    """Find a model's files: a local folder as it is, a Hub id as a snapshot in the local cache.

    A Hub id may be its address in a browser. `engine` says what it must hold: weights for "torch",
    the ONNX file for "onnx", either of them for "auto"; `others` are files to download besides,
    where the repository has them. Raises `HubUnreachable` for a Hub id that
    is not in the cache when the Hub gives no answer within 8 s or is failing, `ModelError` if there
    is no such folder or repository, no right to it, or a file missing.
    """
    folder = Path(model)
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        repo = hub_names.repository(str(model), "model")
        if Path(repo).is_absolute() or repo.startswith((".", "~")) or repo.count("/") > 1:
            raise ModelError(model, "there is no such folder", "check the path")
        folder = _snapshot(str(model), repo, engine, others)
    missing = missing_files(folder, engine)
    if missing:
        remedy = "save model and feature extractor with save_pretrained"
        if set(missing) <= {ONNX, INT8}:
            remedy = "run python -m speech_intent.export on the folder"
        raise ModelError(model, f"has no {', '.join(missing)}", remedy)
    reads_weights = engine == "torch" or onnx_file(folder) is None
    if reads_weights and weights_files(folder)[0].name.startswith(PICKLE):
        logger.warning(
            "warning: %s: its weights are a pickle; they are read by torch's weights-only loader",
            model,
        )
    return folder


def _snapshot(name: str, repo: str, engine: Engine, others: Sequence[str]) -> Path:
    """Download what an engine needs of a Hub model, or find it in the cache.

    `name` is what its user calls it.
    """
    hub_names.check_endpoint()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        weights = _weights_pattern(repo, engine)
        patterns = ["*.json", CLIPS, REJECTION, weights]
        return Path(snapshot_download(repo, allow_patterns=[*patterns, *others]))
    except ModelError:  # of a record that cannot be read
        raise
    except HFValidationError as error:
        problem = "is neither a folder nor a Hub id"
        raise ModelError(name, problem, "check the spelling") from error
    except Exception as error:  # huggingface_hub and httpx raise many kinds
        cause = hub_errors.explain(error)
        folder = None if cause.is_refusal else _cached(repo, engine)
        if folder is not None:
            return folder
        kind = HubUnreachable if cause.is_out_of_reach else ModelError
        raise kind(name, f"{cause.problem}, and there is no such folder", cause.remedy) from error


def _weights_pattern(repo: str, engine: Engine) -> str:
    """Choose which of a repository's files with weights to download, as a glob pattern.

    Raises `ModelError` for a record of `export` that cannot be read.
    """
    from huggingface_hub import hf_hub_download

    files = remote_files(repo, "model")
    if engine != "torch" and RECORD in files and files & {ONNX, INT8}:
        name = answering(read_record(Path(hf_hub_download(repo, RECORD)).parent))
        if name in files:
            return name
    weights = next((name for name in WEIGHTS if name in files), WEIGHTS[0])
    return weights.removesuffix(".index.json").replace(".", "*.")  # with a large model's shards


def _cached(model: str, engine: Engine) -> Path | None:
    """Find a model in the local cache; an interrupted download leaves a part, which is none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(model, allow_patterns=["*.json"], local_files_only=True))
        return None if missing_files(path, engine) else path
    except (LocalEntryNotFoundError, OSError):  # OSError: a cache that cannot be read
        return None


def quiet_transformers() -> None:
    """Keep transformers' progress bars and notices off the terminal; errors still raise."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
