"""The files of a model folder: which there are, and whether they belong together."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

from .errors import ModelError

Engine = Literal["auto", "onnx", "torch"]

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
NEEDED = ("config.json", "preprocessor_config.json")
ONNX = "model.onnx"  # this and the next two: what `export` writes
INT8 = "model-int8.onnx"  # only where it pays
RECORD = "onnx.json"
EDGE = 2**20  # bytes of a file's beginning and end that its digest looks at


def onnx_file(folder: Path) -> Path | None:
    """Find the ONNX file that answers, the reduced form where there is one.

    None if `export` has not been there.
    """
    if not (folder / RECORD).is_file():
        return None
    for name in (INT8, ONNX):
        if (folder / name).is_file():
            return folder / name
    return None


def checked_onnx_file(folder: Path) -> Path | None:
    """Find a folder's ONNX file, or None.

    Raises `ModelError` if it was made from other weights than lie beside it.
    """
    file = onnx_file(folder)
    if file is None:
        return None
    digest = weights_digest(folder)
    if digest and digest != read_json(folder / RECORD)["weights"]:
        problem = f"{file.name} was made from other weights than those beside it"
        remedy = "run python -m speech_intent.export again, or choose the engine torch"
        raise ModelError(folder, problem, remedy)
    return file


def weights_digest(folder: Path) -> str | None:
    """Tell weights from others, by their size and the first and last MB; None without weights."""
    files = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not files:
        return None
    with files[0].open("rb") as stream:
        ends = stream.read(EDGE)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - EDGE))
        ends += stream.read()
    return hashlib.sha256(ends + str(size).encode()).hexdigest()


def missing_files(folder: Path, engine: Engine = "torch") -> list[str]:
    """Name the files that an engine needs and a folder lacks."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if engine != "torch" and onnx_file(folder):
        return missing
    if engine == "onnx":
        return [*missing, ONNX]
    if not any((folder / name).is_file() for name in WEIGHTS):
        missing.append(WEIGHTS[0])
    return missing


def read_json(file: Path) -> dict[str, Any]:
    """Read one of a model's JSON files, or raise `ModelError`."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({error})"
        remedy = "save, export or download the model again"
        raise ModelError(file, problem, remedy) from error
