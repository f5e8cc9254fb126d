import json
import shutil

import pytest

from speech_intent.errors import ModelError
from speech_intent.model_files import (
    EDGE,
    checked_onnx_file,
    missing_files,
    onnx_file,
    read_json,
    weights_digest,
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
        ([*MODEL, "model.safetensors.index.json"], "torch", []),
        ([*MODEL, "pytorch_model.bin"], "torch", []),
        ([*MODEL, "pytorch_model.bin.index.json"], "torch", []),
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


# Whether it belongs to the weights


def test_the_digest_is_that_of_earlier_exports():
    record = json.loads((SHIPPED / "onnx.json").read_text())
    assert weights_digest(SHIPPED) == record["weights"]


def test_without_weights_there_is_no_digest(tmp_path):
    assert weights_digest(tmp_path) is None


def test_beginning_end_and_size_of_the_weights_are_looked_at(tmp_path):
    def digest(content: bytes) -> str:
        (tmp_path / "model.safetensors").write_bytes(content)
        return weights_digest(tmp_path)

    zeros = bytes(3 * EDGE)
    contents = [
        zeros,
        b"\1" + zeros[1:],
        zeros[: EDGE - 1] + b"\1" + zeros[EDGE:],
        zeros[: 2 * EDGE] + b"\1" + zeros[2 * EDGE + 1 :],
        zeros[:-1] + b"\1",
        zeros + b"\0",  # the same ends
        b"abc",  # shorter than an end
        b"abcabc",
        b"",
    ]
    digests = [digest(content) for content in contents]
    assert len(set(digests)) == len(contents)
    assert digest(zeros) == digests[0]


def test_the_weights_that_are_loaded_are_the_ones_looked_at(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"older")
    digest = weights_digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"newer")
    assert weights_digest(tmp_path) != digest


def test_an_onnx_file_of_other_weights_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    record = {"precision": "float32", "weights": weights_digest(tmp_path)}
    (tmp_path / "onnx.json").write_text(json.dumps(record))
    assert checked_onnx_file(tmp_path) is None
    (tmp_path / "model.onnx").write_bytes(b"graph")
    assert checked_onnx_file(tmp_path) == tmp_path / "model.onnx"
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(ModelError) as error:
        checked_onnx_file(tmp_path)
    assert error.value.name == str(tmp_path)
    assert error.value.problem == "model.onnx was made from other weights than those beside it"
    (tmp_path / "model.safetensors").unlink()  # the ONNX file is enough
    assert checked_onnx_file(tmp_path) == tmp_path / "model.onnx"


def test_the_model_that_ships_was_exported_from_its_weights(tmp_path):
    assert checked_onnx_file(SHIPPED) == SHIPPED / "model.onnx"
    folder = shutil.copytree(SHIPPED, tmp_path / "model")
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\0")
    with pytest.raises(ModelError, match="other weights"):
        checked_onnx_file(folder)


# JSON


def test_json_is_read_as_utf_8(tmp_path):
    (tmp_path / "config.json").write_bytes('{"label2id": {"größe": 0}}'.encode())
    assert read_json(tmp_path / "config.json") == {"label2id": {"größe": 0}}


@pytest.mark.parametrize("content", [None, b"", b"damaged", b"\xff\xfe{}"])
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "config.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError) as error:
        read_json(file)
    assert error.value.name == str(file)
    assert error.value.problem.startswith("cannot be read (")
    assert error.value.remedy == "save, export or download the model again"
