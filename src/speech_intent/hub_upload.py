"""What of a folder goes to the Hub, and how it gets there."""

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token

from . import cards, hub_errors, hub_models, hub_reach, public_names, run_folder
from .errors import ModelError, OutputError, UserError
from .hub_names import Kind
from .json_fields import read_json
from .model_config import (
    CONFIG,
    EXTRACTOR,
    PROCESSOR,
    RECORD,
    read_config,
    read_extractor,
    read_record,
)
from .model_facts import ModelFacts, read_facts
from .model_files import (
    CLIPS,
    EXPORT_AGAIN,
    INT8,
    LICENSE,
    ONNX,
    POOLED,
    REJECTION,
    check_onnx_file,
    has_digest,
    onnx_file,
    weights_files,
)
from .model_results import METRICS, TRAINING
from .names import printable
from .terms import CARD, Terms

DESCRIPTIONS = (
    CONFIG,
    EXTRACTOR,
    PROCESSOR,
    METRICS,
    TRAINING,
    CLIPS,
    POOLED,
    REJECTION,
    LICENSE,
)
RECORDS = (CONFIG, EXTRACTOR, PROCESSOR, METRICS, TRAINING, RECORD)  # that may name folders
OUTSIDE = "is a link to a file outside of the folder"
NO_LINK = "put the file itself there"

Files = dict[str, Path | bytes]  # by the name on the Hub


def model_files(
    folder: Path,
    name: str,
    facts: ModelFacts | None = None,
    without_results: bool = False,
) -> Files:
    """List what is uploaded of a model folder, and its card, which says what `facts` does.

    Nothing that lies there by chance: only files that this package or transformers loads a model
    from, and no local path in them. Raises `ModelError` for a model that cannot be loaded or,
    unless `without_results`, that nobody has scored, and for a link out of the folder.
    """
    if not folder.is_dir():  # which would be looked for on the Hub
        raise ModelError(folder, "there is no such folder", "name one that holds the model")
    hub_models.model_folder(folder)  # says which files it lacks
    read_extractor(folder, read_config(folder).takes_mels)
    if not (folder / METRICS).exists() and not without_results:
        remedy = "score it with evaluate, or add --without-results"
        raise ModelError(folder, f"has no {METRICS}", remedy)
    facts = facts or read_facts(folder)
    paths = [folder / name for name in DESCRIPTIONS]
    paths += [*weights_files(folder), *_onnx_files(folder)]
    files: Files = {
        path.relative_to(folder).as_posix(): path for path in sorted(paths) if path.is_file()
    }
    for path_name in files:
        if not is_inside(folder, path_name):
            raise ModelError(folder / path_name, OUTSIDE, NO_LINK)
    files |= _without_paths(folder, files, facts)
    files[CARD] = cards.model_card(folder, name, facts).encode()
    return files


def _without_paths(folder: Path, files: Files, facts: ModelFacts) -> Files:
    """Give those of the records anew in which a local path stands."""
    changed: Files = {}
    for name in files.keys() & set(RECORDS):
        record = read_json(folder / name)
        public = public_names.public(record, facts.names)
        if public != record:
            changed[name] = (json.dumps(public, indent=1, ensure_ascii=False) + "\n").encode()
    return changed


def _onnx_files(folder: Path) -> list[Path]:
    """List what `export` wrote. Raises `ModelError` if it was not that, or from other weights."""
    if onnx_file(folder) is None:
        return []
    record = read_record(folder)
    check_onnx_file(folder, record)
    names = [name for name in (ONNX, INT8) if name in record["digests"]]
    for name in names:
        path = folder / name
        if not path.is_file() or not has_digest(path, record["digests"][name]):
            raise ModelError(path, "is not the file that export wrote", EXPORT_AGAIN)
    return [folder / RECORD, *(folder / name for name in names)]


def left_out(folder: Path, files: Mapping[str, Path | bytes]) -> list[str]:
    """Name what lies in a model folder and is not uploaded."""
    within = (folder / ONNX).parent
    paths = {path for path in folder.iterdir() if path != within} | set(within.glob("*"))
    return sorted({path.relative_to(folder).as_posix() for path in paths} - files.keys())


def notes(folder: Path, files: Files, facts: ModelFacts, given: Terms) -> list[str]:
    """Say what the publisher of a model should know: what is unsaid, and what is left out."""
    others = left_out(folder, files)
    listed = [f"left out: {', '.join(map(printable, others))}"] if others else []
    return [*facts.notes(given), *listed]


def is_inside(folder: Path, name: str) -> bool:
    """Whether a file lies in a folder, wherever links lead."""
    return (folder / name).resolve().is_relative_to(folder.resolve())


def write(files: Mapping[str, Path | bytes], folder: Path) -> None:
    """Put into a folder what would be uploaded. Raises `OutputError` if it holds anything."""
    with run_folder.held(folder):
        if {path.name for path in folder.iterdir()} - {run_folder.LOCK}:
            raise OutputError(folder, "is not empty", "choose another folder, or delete it first")
        for name, source in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    (folder / run_folder.LOCK).unlink(missing_ok=True)


def upload(
    name: str,
    files: Mapping[str, Path | bytes],
    kind: Kind,
    private: bool = False,
    message: str = "Publish with speech_intent",
) -> str:
    """Put files on the Hub in one commit, so that nobody sees a part of them.

    Returns the address. Raises `UserError` if there is no right or no connection to it.
    """
    address = open_repository(name, kind, private)
    operations = [CommitOperationAdd(path, _content(source)) for path, source in files.items()]
    with _explained(name):
        HfApi().create_commit(name, operations, repo_type=kind, commit_message=message)
    return address


def check_token(name: str) -> None:
    """Raise `UserError` if nobody is logged in who could write to a repository."""
    if get_token() is None:
        remedy = "log in with `hf auth login`, or set HF_TOKEN"
        raise UserError(name, "there is no token", remedy)


def open_repository(name: str, kind: Kind, private: bool = False) -> str:
    """Make a repository unless it is there, and give its address.

    Raises `UserError` if there is no right or no connection to it.
    """
    check_token(name)
    with _explained(name):
        _check_reach(name, kind)
        sdk = "static" if kind == "space" else None
        address = HfApi().create_repo(
            name, repo_type=kind, private=private, exist_ok=True, space_sdk=sdk
        )
    return str(address)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say as a `UserError` why something cannot be written to a repository."""
    try:
        yield
    except Exception as error:  # huggingface_hub and httpx raise many kinds
        cause = hub_errors.explain(error, writing=True)
        raise UserError(name, cause.problem, cause.remedy) from error


def _check_reach(name: str, kind: Kind) -> None:
    """Raise an error at once if no Hub answers; whether the repository is there is no matter."""
    try:
        hub_reach.remote_files(name, kind)
    except Exception as error:
        if hub_errors.explain(error).is_out_of_reach:
            raise


def _content(source: Path | bytes) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source
