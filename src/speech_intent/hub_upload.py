"""What of a folder goes to the Hub, and how it gets there."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, HfApi, get_token

from . import cards, folders, hub_models
from .errors import ModelError, UserError
from .model_files import checked_onnx_file
from .names import first_line

MODEL_SUFFIXES = (".json", ".safetensors", ".onnx", ".bin", ".data")
CARD = "README.md"

Files = dict[str, Path | bytes]  # by the name on the Hub


def model_files(
    folder: Path,
    name: str,
    without_results: bool = False,
    license: str | None = None,
    language: str | None = None,
) -> Files:
    """List what is uploaded of a model folder, and its card, which says `license` and `language`.

    Raises `ModelError` for a model that cannot be loaded or, unless `without_results`, that nobody
    has scored.
    """
    hub_models.model_folder(folder)  # says which files it lacks
    checked_onnx_file(folder)
    if not (folder / "metrics.json").exists() and not without_results:
        remedy = "score it with evaluate, or add --without-results"
        raise ModelError(folder, "has no metrics.json", remedy)
    files: Files = {
        path.name: path for path in sorted(folder.iterdir()) if path.suffix in MODEL_SUFFIXES
    }
    files[CARD] = cards.model_card(folder, name, license, language).encode()
    return files


def dataset_files(folder: Path, license: str | None = None, language: str | None = None) -> Files:
    """List a data folder's clips, its table as AudioFolder's metadata.csv, and its card.

    The card is the folder's own README.md, or is made from the table and says `license` and
    `language`. Raises `DataError` for a folder that cannot be trained on, `UserError` for what an
    own card should say.
    """
    table = folders.read_table(folder)
    files: Files = {name: folder / name for name in table["file_name"]}
    files["metadata.csv"] = table.to_csv(index=False).encode()
    if not has_card(folder):
        title = folder.resolve().name
        terms = cards.Terms(license, language)
        files[CARD] = cards.dataset_card(title, table["intent"], terms).encode()
        return files
    if license is not None or language is not None:
        problem = "is the card of these recordings, and is published as it is"
        raise UserError(folder / CARD, problem, "write licence and language there")
    files[CARD] = folder / CARD
    return files


def has_card(folder: Path) -> bool:
    """Whether a data folder has a card of its own."""
    return (folder / CARD).exists()


def upload(
    name: str,
    files: Mapping[str, Path | bytes],
    kind: Literal["model", "dataset"],
    private: bool = False,
) -> str:
    """Put files on the Hub in one commit, so that nobody sees a part of them.

    Returns the address. Raises `UserError` if there is no right or no connection to it.
    """
    if get_token() is None:
        remedy = "log in with `hf auth login`, or set HF_TOKEN"
        raise UserError(name, "there is no token", remedy)
    api = HfApi()
    operations = [CommitOperationAdd(path, _content(source)) for path, source in files.items()]
    try:
        address = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        api.create_commit(
            name, operations, repo_type=kind, commit_message="Publish with speech_intent"
        )
    except Exception as error:  # huggingface_hub and httpx raise many kinds
        raise _upload_error(name, error) from error
    return str(address)


def _content(source: Path | bytes) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _upload_error(name: str, error: Exception) -> UserError:
    """Say what went wrong with an upload, and what to do."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status == 401:
        remedy = "log in again with `hf auth login`"
        return UserError(name, "the Hub does not know this token", remedy)
    if status == 403:
        remedy = "use a name of your own, or a token that writes"
        return UserError(name, "this token has no right to write there", remedy)
    return UserError(name, f"the upload failed ({first_line(error)})", "run it again")
