import json
import os
import shutil

import pytest

from speech_intent.digests import sha256
from speech_intent.errors import ModelError
from speech_intent.model_config import read_record
from speech_intent.model_files import (
    check_onnx_file,
    disguise,
    missing_files,
    onnx_file,
    weights_files,
)
from speech_intent.paths import SHIPPED

MODEL = ("config.json", "preprocessor_config.json")
ONNX, INT8 = "onnx/model.onnx", "onnx/model_quantized.onnx"
RECORD = {"precision": "float32", "digests": {}, "weights": {}, "reduced": [], "difference": 0.0}


def fill(folder, names, precision="float32"):
    (folder / "onnx").mkdir()
    for name in names:
        text = json.dumps(RECORD | {"precision": precision}) if name == "onnx.json" else "{}"
        (folder / name).write_text(text)


# Which file answers


@pytest.mark.parametrize(
    ("names", "precision", "answers"),
    [
        ([], "", None),
        (["onnx.json"], "float32", None),
        (["onnx.json", "model.onnx"], "float32", None),  # by an earlier version
        ([ONNX, INT8], "", None),  # not by `export`, which leaves its record
        ([ONNX, "onnx.json"], "bfloat16", ONNX),
        ([ONNX, "onnx.json"], "int8+float32", None),
        ([INT8, "onnx.json"], "int8+float32", INT8),
        ([INT8, "onnx.json"], "float32", None),
        ([ONNX, INT8, "onnx.json"], "float32", ONNX),
        ([ONNX, INT8, "onnx.json"], "int8+bfloat16", INT8),
    ],
)
def test_the_record_says_which_onnx_file_answers(tmp_path, names, precision, answers):
    fill(tmp_path, names, precision)
    assert onnx_file(tmp_path) == (tmp_path / answers if answers else None)
    if "onnx.json" in names:
        missing = [] if answers else [INT8 if "int8" in precision else ONNX]
        assert missing_files(tmp_path, "onnx")[2:] == missing


def test_a_record_that_cannot_be_read_is_no_matter_to_torch(tmp_path):
    fill(tmp_path, [*MODEL, "model.safetensors", ONNX])
    (tmp_path / "onnx.json").write_text("[]")
    assert missing_files(tmp_path, "torch") == []
    with pytest.raises(ModelError, match=r"onnx\.json: holds no JSON object"):
        missing_files(tmp_path, "auto")


@pytest.mark.parametrize(
    ("names", "engine", "missing"),
    [
        ([], "torch", ["config.json", "preprocessor_config.json", "model.safetensors"]),
        ([], "onnx", ["config.json", "preprocessor_config.json", ONNX]),
        ([], "auto", ["config.json", "preprocessor_config.json", "model.safetensors"]),
        ([*MODEL, "model.safetensors"], "torch", []),
        ([*MODEL, "pytorch_model.bin"], "torch", []),
        (["config.json", "processor_config.json", "pytorch_model.bin"], "torch", [MODEL[1]]),
        ([*MODEL, "model.safetensors"], "onnx", [ONNX]),
        ([*MODEL, "model.safetensors"], "auto", []),
        ([*MODEL, ONNX, "onnx.json"], "onnx", []),
        ([*MODEL, ONNX, "onnx.json"], "auto", []),
        ([*MODEL, ONNX, "onnx.json"], "torch", ["model.safetensors"]),
        (["config.json", ONNX, "onnx.json"], "auto", ["preprocessor_config.json"]),
    ],
)
def test_what_a_folder_lacks_depends_on_the_engine(tmp_path, names, engine, missing):
    fill(tmp_path, names)
    assert missing_files(tmp_path, engine) == missing


@pytest.mark.parametrize("name", ["feature_extractor", "audio_processor"])
def test_a_processors_file_does_for_the_extractors(tmp_path, name):
    fill(tmp_path, ["config.json", "model.safetensors"])
    (tmp_path / "processor_config.json").write_text(json.dumps({name: {}}))
    assert missing_files(tmp_path) == []


@pytest.mark.parametrize("stem", ["model.safetensors", "pytorch_model.bin"])
def test_an_index_names_the_files_with_the_weights(tmp_path, stem):
    fill(tmp_path, MODEL)
    index = {"weight_map": {"a": "2.bin", "b": "1.bin", "c": "2.bin"}}
    (tmp_path / f"{stem}.index.json").write_text(json.dumps(index))
    names = [file.name for file in weights_files(tmp_path)]
    assert names == [f"{stem}.index.json", "1.bin", "2.bin"]
    (tmp_path / "1.bin").write_bytes(b"")
    assert missing_files(tmp_path) == ["2.bin"]
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert [file.name for file in weights_files(tmp_path)] == ["model.safetensors"]


# Whether the files belong together


@pytest.fixture
def exported(tmp_path):
    """As `export` would leave a folder, but with contents that nobody can load."""
    (tmp_path / "onnx").mkdir()
    for name in ("model.safetensors", ONNX, INT8):
        (tmp_path / name).write_bytes(name.encode())
    record = {
        "precision": "float32",
        "digests": {name: sha256(tmp_path / name) for name in (ONNX, INT8)},
        "weights": {"model.safetensors": sha256(tmp_path / "model.safetensors")},
    }
    return tmp_path, record


def refusal(folder, record) -> ModelError:
    with pytest.raises(ModelError) as error:
        check_onnx_file(folder, record)
    return error.value


def test_files_of_one_export_belong_together(exported):
    folder, record = exported
    check_onnx_file(folder, record)
    (folder / "model.safetensors").unlink()  # the ONNX file is enough
    check_onnx_file(folder, record)


def test_an_onnx_file_of_other_weights_is_refused(exported):
    folder, record = exported
    (folder / "model.safetensors").write_bytes(b"Model.safetensors")
    error = refusal(folder, record)
    assert error.name == str(folder)
    assert error.problem == "onnx/model.onnx was made from other weights than those beside it"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert refusal(folder, record).problem == error.problem


def test_one_changed_byte_in_the_middle_of_the_weights_is_noticed(exported):
    folder, record = exported
    content = bytearray(5 * 2**20)
    (folder / "model.safetensors").write_bytes(content)
    record["weights"] = {"model.safetensors": sha256(folder / "model.safetensors")}
    check_onnx_file(folder, record)
    content[len(content) // 2] = 1
    (folder / "model.safetensors").write_bytes(content)
    assert "other weights" in refusal(folder, record).problem


def test_another_onnx_file_is_refused(exported):
    folder, record = exported
    (folder / ONNX).write_bytes(b"Onnx/model.onnx")
    error = refusal(folder, record)
    assert error.name == str(folder / ONNX)
    assert error.problem == "is not the file that export wrote"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(exported):
    folder, record = exported
    (folder / ONNX).chmod(0)
    assert refusal(folder, record).problem == "cannot be read (Permission denied)"


@pytest.mark.parametrize(("precision", "name"), [("float32", ONNX), ("int8+float32", INT8)])
def test_only_the_file_that_answers_is_looked_at(exported, precision, name):
    folder, record = exported
    record["precision"] = precision
    (folder / (ONNX if name == INT8 else INT8)).unlink()
    check_onnx_file(folder, record)
    (folder / name).write_bytes(b"other")
    assert refusal(folder, record).name == str(folder / name)


def test_the_model_that_ships_was_exported_from_its_weights(tmp_path):
    record = read_record(SHIPPED)
    check_onnx_file(SHIPPED, record)
    folder = shutil.copytree(SHIPPED, tmp_path / "model")
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(5_000_000)  # neither at its beginning nor at its end
        file.write(b"\0\1\0\1")
    assert "other weights" in refusal(folder, record).problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\n <html>", "is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "is Git LFS's pointer to the file, which `git lfs pull` would fetch",
        ),
        (b"version https", None),
        (b"\x08\x08\x12\x07pytorch", None),
    ],
)
def test_the_first_bytes_tell_what_is_no_file_with_numbers(tmp_path, content, problem):
    (tmp_path / "file").write_bytes(content)
    assert disguise(tmp_path / "file") == problem
