"""What of a folder goes to the Hub, and how it gets there."""

import io
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token

from . import audio, cards, folders, hub_errors, hub_models, hub_reach
from .errors import AudioError, DataError, ModelError, UserError
from .hub_names import Kind
from .model_config import (
    CONFIG,
    EXTRACTOR,
    PROCESSOR,
    RECORD,
    read_config,
    read_extractor,
    read_record,
)
from .model_files import (
    CLIPS,
    EXPORT_AGAIN,
    LICENSE,
    POOLED,
    REJECTION,
    check_onnx_file,
    has_digest,
    onnx_file,
    weights_files,
)
from .model_results import METRICS

CARD = "README.md"
DESCRIPTIONS = (
    CONFIG,
    EXTRACTOR,
    PROCESSOR,
    METRICS,
    "training.json",
    CLIPS,
    POOLED,
    REJECTION,
    LICENSE,
)
OUTSIDE = "is a link to a file outside of the folder"
NO_LINK = "put the file itself there"

Files = dict[str, Path | bytes]  # by the name on the Hub


def model_files(
    folder: Path,
    name: str,
    without_results: bool = False,
    license: str | None = None,
    language: str | None = None,
) -> Files:
    """List what is uploaded of a model folder, and its card, which says `license` and `language`.

    Nothing that lies there by chance: only files that this package or transformers loads a model
    from. Raises `ModelError` for a model that cannot be loaded or, unless `without_results`, that
    nobody has scored, and for a link out of the folder.
    """
    if not folder.is_dir():  # which would be looked for on the Hub
        raise ModelError(folder, "there is no such folder", "name one that holds the model")
    hub_models.model_folder(folder)  # says which files it lacks
    read_extractor(folder, read_config(folder).takes_mels)
    if not (folder / METRICS).exists() and not without_results:
        remedy = "score it with evaluate, or add --without-results"
        raise ModelError(folder, f"has no {METRICS}", remedy)
    paths = [folder / name for name in DESCRIPTIONS]
    paths += [*weights_files(folder), *_onnx_files(folder)]
    files: Files = {path.name: path for path in sorted(paths) if path.is_file()}
    for path_name in files:
        if not _is_inside(folder, path_name):
            raise ModelError(folder / path_name, OUTSIDE, NO_LINK)
    files[CARD] = cards.model_card(folder, name, license, language).encode()
    return files


def _onnx_files(folder: Path) -> list[Path]:
    """List what `export` wrote. Raises `ModelError` if it was not that, or from other weights."""
    answers = onnx_file(folder)
    if answers is None:
        return []
    record = read_record(folder)
    check_onnx_file(folder, answers, record)
    paths = [folder / name for name in record["digests"]]
    for path in paths:
        if not path.is_file() or not has_digest(path, record["digests"][path.name]):
            raise ModelError(path, "is not the file that export wrote", EXPORT_AGAIN)
    return [folder / RECORD, *paths]


def left_out(folder: Path, files: Mapping[str, Path | bytes]) -> list[str]:
    """Name what lies in a model folder and is not uploaded."""
    return sorted({path.name for path in folder.iterdir()} - files.keys())


def dataset_files(folder: Path, license: str | None = None, language: str | None = None) -> Files:
    """List a data folder's clips, its table as AudioFolder's metadata.csv, and its card.

    The card is the folder's own README.md, or is made from the table and says `license` and
    `language`. Raises `DataError` for a folder that cannot be trained on, or whose table names what
    is no audio or lies elsewhere, `UserError` for what an own card should say.
    """
    table = folders.read_table(folder)
    problems = [_clip_problem(folder, name) for name in table["file_name"]]
    if any(problems):
        raise DataError(folder, filter(None, problems))
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
    if not _is_inside(folder, CARD):
        raise UserError(folder / CARD, OUTSIDE, NO_LINK)
    files[CARD] = folder / CARD
    return files


def _clip_problem(folder: Path, name: str) -> str | None:
    """Say why a file that the table names is not published; None if it is audio in the folder."""
    if not _is_inside(folder, name):
        return f"{name}: {OUTSIDE}; {NO_LINK}"
    try:
        audio.header(folder / name)
    except AudioError as error:
        return f"{name}: {error.reason}"
    return None


def _is_inside(folder: Path, name: str) -> bool:
    """Whether a file lies in a folder, wherever links lead."""
    return (folder / name).resolve().is_relative_to(folder.resolve())


def has_card(folder: Path) -> bool:
    """Whether a data folder has a card of its own."""
    return (folder / CARD).exists()


def upload(
    name: str,
    files: Mapping[str, Path | bytes],
    kind: Kind,
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
        _check_reach(name, kind)
        address = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        api.create_commit(
            name, operations, repo_type=kind, commit_message="Publish with speech_intent"
        )
    except Exception as error:  # huggingface_hub and httpx raise many kinds
        cause = hub_errors.explain(error, writing=True)
        raise UserError(name, cause.problem, cause.remedy) from error
    return str(address)


def _check_reach(name: str, kind: Kind) -> None:
    """Raise an error at once if no Hub answers; whether the repository is there is no matter."""
    try:
        hub_reach.remote_files(name, kind)
    except Exception as error:
        if hub_errors.explain(error).is_out_of_reach:
            raise


def _content(source: Path | bytes) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source
