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


def fill(folder, names):
    for name in names:
        (folder / name).write_text("{}")


# Which file answers


@pytest.mark.parametrize(
    ("names", "answers"),
    [
        ([], None),
        (["onnx.json"], None),
        (["model.onnx", "model-int8.onnx"], None),  # not by `export`, which leaves its record
        (["model.onnx", "onnx.json"], "model.onnx"),
        (["model-int8.onnx", "onnx.json"], "model-int8.onnx"),
        (["model.onnx", "model-int8.onnx", "onnx.json"], "model-int8.onnx"),
    ],
)
def test_the_reduced_onnx_file_answers_where_there_is_one(tmp_path, names, answers):
    fill(tmp_path, names)
    assert onnx_file(tmp_path) == (tmp_path / answers if answers else None)


@pytest.mark.parametrize(
    ("names", "engine", "missing"),
    [
        ([], "torch", ["config.json", "preprocessor_config.json", "model.safetensors"]),
        ([], "onnx", ["config.json", "preprocessor_config.json", "model.onnx"]),
        ([], "auto", ["config.json", "preprocessor_config.json", "model.safetensors"]),
        ([*MODEL, "model.safetensors"], "torch", []),
        ([*MODEL, "pytorch_model.bin"], "torch", []),
        (["config.json", "processor_config.json", "pytorch_model.bin"], "torch", [MODEL[1]]),
        ([*MODEL, "model.safetensors"], "onnx", ["model.onnx"]),
        ([*MODEL, "model.safetensors"], "auto", []),
        ([*MODEL, "model.onnx", "onnx.json"], "onnx", []),
        ([*MODEL, "model.onnx", "onnx.json"], "auto", []),
        ([*MODEL, "model.onnx", "onnx.json"], "torch", ["model.safetensors"]),
        (["config.json", "model.onnx", "onnx.json"], "auto", ["preprocessor_config.json"]),
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
    for name in ("model.safetensors", "model.onnx"):
        (tmp_path / name).write_bytes(name.encode())
    record = {
        "precision": "float32",
        "digests": {"model.onnx": sha256(tmp_path / "model.onnx")},
        "weights": {"model.safetensors": sha256(tmp_path / "model.safetensors")},
    }
    return tmp_path, record


def refusal(folder, record) -> ModelError:
    with pytest.raises(ModelError) as error:
        check_onnx_file(folder, onnx_file(folder), record)
    return error.value


def check(folder, record) -> None:
    check_onnx_file(folder, folder / "model.onnx", record)


def test_files_of_one_export_belong_together(exported):
    folder, record = exported
    check(folder, record)
    (folder / "model.safetensors").unlink()  # the ONNX file is enough
    check(folder, record)


def test_an_onnx_file_of_other_weights_is_refused(exported):
    folder, record = exported
    (folder / "onnx.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"Model.safetensors")
    error = refusal(folder, record)
    assert error.name == str(folder)
    assert error.problem == "model.onnx was made from other weights than those beside it"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert refusal(folder, record).problem == error.problem


def test_one_changed_byte_in_the_middle_of_the_weights_is_noticed(exported):
    folder, record = exported
    (folder / "onnx.json").write_text("{}")
    content = bytearray(5 * 2**20)
    (folder / "model.safetensors").write_bytes(content)
    record["weights"] = {"model.safetensors": sha256(folder / "model.safetensors")}
    check(folder, record)
    content[len(content) // 2] = 1
    (folder / "model.safetensors").write_bytes(content)
    assert "other weights" in refusal(folder, record).problem


def test_another_onnx_file_is_refused(exported):
    folder, record = exported
    (folder / "onnx.json").write_text("{}")
    (folder / "model.onnx").write_bytes(b"Model.onnx")
    error = refusal(folder, record)
    assert error.name == str(folder / "model.onnx")
    assert error.problem == "is not the file that export wrote"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(exported):
    folder, record = exported
    (folder / "onnx.json").write_text("{}")
    (folder / "model.onnx").chmod(0)
    assert refusal(folder, record).problem == "cannot be read (Permission denied)"


def test_the_file_in_8_bits_answers_only_if_the_record_says_so(exported):
    folder, record = exported
    (folder / "onnx.json").write_text("{}")
    (folder / "model-int8.onnx").write_bytes(b"8 bits")
    words = "its onnx.json says that model.onnx answers, and there is model-int8.onnx"
    assert refusal(folder, record).problem == words
    record["precision"] = "int8+float32"
    (folder / "model-int8.onnx").unlink()
    words = "its onnx.json says that model-int8.onnx answers, and there is model.onnx"
    assert refusal(folder, record).problem == words


def test_the_model_that_ships_was_exported_from_its_weights(tmp_path):
    record = read_record(SHIPPED)
    check(SHIPPED, record)
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
