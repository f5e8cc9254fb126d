"""The files of a model folder: which there are, and whether they belong together."""

from pathlib import Path
from typing import Any, Literal

from .digests import has_digest
from .errors import ModelError
from .json_fields import REMEDY, Fields
from .model_config import CONFIG, EXTRACTOR, RECORD, extractor_fields, read_record

Engine = Literal["auto", "onnx", "torch"]

SAFETENSORS = "model.safetensors"
PICKLE = "pytorch_model.bin"
INDEX = ".index.json"  # follows the name where the weights are in several files
WEIGHTS = (
    SAFETENSORS,
    SAFETENSORS + INDEX,
    PICKLE,
    PICKLE + INDEX,
)
# What `export` writes, with a record that says which answers. Transformers.js looks there.
ONNX = "onnx/model.onnx"
INT8 = "onnx/model_quantized.onnx"  # only where it answers, or Transformers.js may ask for it
CLIPS = "clips.csv"  # the clips that it was trained, validated and tested on
POOLED = "pooled.safetensors"  # what its head saw of them; only `add_intent` reads it
REJECTION = "unknown.safetensors"  # what decides whether it answers at all
LICENSE = "LICENSE"  # of the encoder, where its terms ask that it comes along
LFS_POINTER = b"version https://git-lfs"
# The families of waveform classifiers that Transformers.js has.
TRANSFORMERS_JS = ("wav2vec2", "wavlm", "hubert", "unispeech", "unispeech-sat")
EXPORT_AGAIN = "run python -m speech_intent.export again, or choose the engine torch"


def onnx_file(folder: Path) -> Path | None:
    """Find the ONNX file that answers.

    None if `export` has not been there, or an earlier version of it, which put its files elsewhere.
    Raises `ModelError` for a record that cannot be read.
    """
    names = [name for name in (ONNX, INT8) if (folder / name).is_file()]
    if not names or not (folder / RECORD).is_file():
        return None
    name = answering(read_record(folder))
    return folder / name if name in names else None


def answering(record: dict[str, Any]) -> str:
    """Name the file that answers by `export`'s record."""
    return INT8 if "int8" in record["precision"] else ONNX


def check_onnx_file(folder: Path, record: dict[str, Any]) -> None:
    """Raise `ModelError` if the ONNX file that answers is not the one of `export`'s record.

    Or was made from other weights than lie beside it.
    """
    name = answering(record)
    if not _is_the_one(folder / name, record["digests"].get(name)):
        problem = disguise(folder / name) or "is not the file that export wrote"
        raise ModelError(folder / name, problem, EXPORT_AGAIN)
    for weights in filter(Path.is_file, weights_files(folder)):
        if not _is_the_one(weights, record["weights"].get(weights.name)):
            problem = f"{name} was made from other weights than those beside it"
            raise ModelError(folder, problem, EXPORT_AGAIN)


def _is_the_one(file: Path, digest: str | None) -> bool:
    try:
        return has_digest(file, digest)
    except OSError as error:
        raise ModelError(file, f"cannot be read ({error.strerror})", REMEDY) from error


def weights_files(folder: Path) -> list[Path]:
    """List the files with the weights that are loaded: an index comes before its parts.

    Empty without weights. Raises `ModelError` for an index that cannot be read.
    """
    for name in WEIGHTS:
        file = folder / name
        if not file.is_file():
            continue
        if not name.endswith(INDEX):
            return [file]
        parts = list(Fields.read(file).child("weight_map").values.values())
        if not parts or not all(map(_is_file_name, parts)):
            raise ModelError(file, "does not name the files with the weights", REMEDY)
        return [file, *(folder / part for part in sorted(set(parts)))]
    return []


def _is_file_name(part: object) -> bool:
    return isinstance(part, str) and Path(part).name == part


def missing_files(folder: Path, engine: Engine = "torch") -> list[str]:
    """Name the files that an engine needs and a folder lacks.

    Raises `ModelError` for one that says which, and cannot be read.
    """
    missing = []
    if not (folder / CONFIG).is_file():
        missing.append(CONFIG)
    if extractor_fields(folder) is None:
        missing.append(EXTRACTOR)
    if engine != "torch" and onnx_file(folder):
        return missing
    if engine == "onnx":
        has_record = (folder / RECORD).is_file()
        return [*missing, answering(read_record(folder)) if has_record else ONNX]
    files = weights_files(folder)
    if not files:
        missing.append(SAFETENSORS)
    missing += [file.name for file in files if not file.is_file()]
    return missing


def disguise(file: Path) -> str | None:
    """Say what a file with numbers really is, where its first bytes tell; else None."""
    with file.open("rb") as stream:
        start = stream.read(len(LFS_POINTER))
    if not start:
        return "is empty"
    if start == LFS_POINTER:
        return "is Git LFS's pointer to the file, which `git lfs pull` would fetch"
    if start.lstrip().startswith(b"<"):
        return "is a web page"
    return None
