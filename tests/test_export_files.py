import json
from pathlib import Path

import pytest

from speech_intent import export_files

ONNX, INT8 = "onnx/model.onnx", "onnx/model_quantized.onnx"


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def scratch(tmp_path) -> Path:
    folder = tmp_path / "scratch"
    (folder / "onnx").mkdir(parents=True)
    for name in (ONNX, INT8):
        (folder / name).write_bytes(b"new")
    return folder


def exported(folder: Path, names: list[str]) -> Path:
    """Write what an export left before, beside a file of somebody's own."""
    for name in [*names, "onnx/own.onnx"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"old")
    record = {"precision": "float32", "digests": {name: "0" * 64 for name in names}}
    record |= {"weights": {}, "reduced": [], "difference": 0.0}
    (folder / "onnx.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("precision", "with_int8", "names"),
    [
        ("float32", False, {ONNX}),
        ("bfloat16", False, {ONNX}),
        ("float32", True, {ONNX, INT8}),
        ("int8+float32", False, {ONNX, INT8}),
    ],
)
@pytest.mark.parametrize(
    "before", [[], [ONNX, INT8], ["model.onnx", "model-int8.onnx"]], ids=["none", "same", "earlier"]
)
def test_a_new_export_takes_the_place_of_another(
    scratch, tmp_path, precision, with_int8, names, before
):
    folder = exported(tmp_path / "model", before)
    record = export_files.make_record(scratch, precision, with_int8)
    assert record["digests"].keys() == names
    export_files.install(scratch, folder, record)
    found = contents(folder)
    assert json.loads(found.pop("onnx.json")) == record
    assert found == {"onnx/own.onnx": b"old", **dict.fromkeys(names, b"new")}


@pytest.mark.parametrize("name", ["../kept", "model.safetensors"])
def test_a_record_deletes_nothing_but_onnx_files(scratch, tmp_path, name):
    folder = exported(tmp_path / "model", [name])
    export_files.install(scratch, folder, export_files.make_record(scratch, "float32"))
    assert (folder / name).read_bytes() == b"old"


def test_files_that_no_record_speaks_of_stay(scratch, tmp_path):
    folder = exported(tmp_path / "model", ["model.onnx"])
    (folder / "onnx.json").write_text("[]")
    export_files.install(scratch, folder, export_files.make_record(scratch, "float32"))
    assert (folder / "model.onnx").read_bytes() == b"old"
