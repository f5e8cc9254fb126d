"""What `export` leaves in a model folder: ONNX files, and a record that names them."""

from pathlib import Path
from typing import Any

from .digests import sha256
from .errors import ModelError
from .model_config import RECORD, read_record
from .model_files import INT8, ONNX
from .run_folder import write_json

EARLIER = ("model.onnx", "model-int8.onnx")  # what earlier versions wrote


def make_record(scratch: Path, precision: str, with_int8: bool = False) -> dict[str, Any]:
    """Name a scratch folder's files and the precision they answer in, nothing yet of their worth.

    In other precisions than 8 bits, the file of 8 bits is one of them only `with_int8`.
    """
    names = [ONNX, INT8] if "int8" in precision or with_int8 else [ONNX]
    digests = {name: sha256(scratch / name) for name in names}
    return {
        "precision": precision,
        "digests": digests,
        "weights": {},
        "reduced": [],
        "difference": 0.0,
    }


def install(scratch: Path, folder: Path, record: dict[str, Any]) -> None:
    """Move the files that the record speaks of into a model folder, and clear an earlier export."""
    write_json(scratch / RECORD, record)
    stale = _exported(folder) - record["digests"].keys()
    (folder / ONNX).parent.mkdir(exist_ok=True)
    for name in [*record["digests"], RECORD]:  # the record last: it speaks of the others
        (scratch / name).replace(folder / name)
    for name in stale:
        (folder / name).unlink(missing_ok=True)


def _exported(folder: Path) -> set[str]:
    """Name the ONNX files that an earlier export left; none where its record cannot be read."""
    try:
        return read_record(folder)["digests"].keys() & {ONNX, INT8, *EARLIER}
    except ModelError:
        return set()
