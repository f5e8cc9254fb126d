"""Graphs that say what torch says, however a clip is filled up, and their weights in 8 bits."""

import copy
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from tiny import LAYER_NORM, TINY, WHISPER

from speech_intent import features
from speech_intent.onnx_graph import (
    OUTPUTS,
    Framing,
    MaskedConvolutions,
    framing,
    mind_padding,
    quantise,
    store_halves,
    to_int8,
    write_onnx,
)
from speech_intent.whisper import WhisperForAudioClassification

LABELS = dict(enumerate("abcd"))


def waves(kind: str, **options) -> transformers.PreTrainedModel:
    """Make a waveform classifier with random weights."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**TINY | options, id2label=LABELS)
    return getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()


# Frames and padding


def test_a_frame_of_wav2vec2_sees_25_ms_every_20_ms():
    assert framing(transformers.Wav2Vec2Config()) == Framing(field=400, stride=320)


def test_a_field_grows_by_what_each_layer_sees_of_the_one_below():
    # 4 samples every 2; then 3 of those: 4 + 2 * 2 samples, every 2 * 5
    config = SimpleNamespace(conv_kernel=(4, 3), conv_stride=(2, 5))
    assert framing(config) == Framing(field=8, stride=10)


def pair_sums() -> MaskedConvolutions:
    """Make one channel that adds up pairs of samples, with a norm whose figures can be told."""
    layer = torch.nn.Module()
    layer.conv = torch.nn.Conv1d(1, 1, kernel_size=2, stride=2, bias=False)
    layer.layer_norm = torch.nn.GroupNorm(1, 1, eps=0.0)
    layer.activation = torch.nn.Identity()
    with torch.no_grad():
        layer.conv.weight[:] = 1
        layer.layer_norm.weight[:] = 3
        layer.layer_norm.bias[:] = 10
    return MaskedConvolutions(torch.nn.ModuleList([layer]))


@torch.no_grad()
def test_the_norm_is_that_of_the_frames_that_lie_in_the_clip():
    convolutions = pair_sums()
    # Sums of pairs: 2 and 6, with mean 4 and standard deviation 2, become 10 - 3 and 10 + 3.
    for samples, n_samples in [
        ([1, 1, 3, 3], 4),
        ([1, 1, 3, 3, 0, 0, 0, 0, 0, 0], 4),
        ([1, 1, 3, 3, 9, 0, 0, 0], 5),  # the 9 is in no whole frame of the clip
        ([1, 1, 3, 3, 9], 5),
    ]:
        convolutions.lengths = torch.tensor([[n_samples]])
        frames = convolutions(torch.tensor([samples], dtype=torch.float32))
        assert frames.shape == (1, 1, len(samples) // 2)
        assert frames[0, 0, :2].tolist() == pytest.approx([7, 13], abs=1e-5)


@torch.no_grad()
def test_each_clip_of_a_batch_has_its_own_norm():
    convolutions = pair_sums()
    convolutions.lengths = torch.tensor([[4], [6]])
    values = torch.tensor([[1, 1, 3, 3, 0, 0], [0, 0, 3, 3, 6, 6]], dtype=torch.float32)
    first, second = convolutions(values)[:, 0].tolist()
    assert first[:2] == pytest.approx([7, 13], abs=1e-5)
    # Sums 0, 6, 12: mean 6, variance (36 + 0 + 36) / 3
    assert second == pytest.approx([10 - 3 * 6 / 24**0.5, 10, 10 + 3 * 6 / 24**0.5], abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["Wav2Vec2", "WavLM", "Hubert"])
@pytest.mark.parametrize("options", [{}, LAYER_NORM], ids=["group", "layer"])
def test_a_clip_alone_and_filled_up_is_the_same_to_every_family(kind, options):
    network = waves(kind, **options)
    clip = torch.randn(1, 5_000)
    alone = network(clip, torch.ones(1, 5_000, dtype=torch.long)).logits
    minded = copy.deepcopy(network)
    mind_padding(minded)
    mask = (torch.arange(9_123) < 5_000).long()[None]
    filled_up = minded(torch.nn.functional.pad(clip, (0, 4_123)), mask).logits
    torch.testing.assert_close(filled_up, alone, atol=1e-5, rtol=0)


# Graphs


def shapes(file) -> dict[str, list[int | str]]:
    graph = onnx.load(file).graph
    return {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output[:1]]
    }


def test_batch_and_length_of_waveforms_are_open(tmp_path):
    network = waves("Wav2Vec2")
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    write_onnx(network, tmp_path / "model.onnx")
    assert [value.name for value in onnx.load(tmp_path / "model.onnx").graph.output] == [*OUTPUTS]
    assert shapes(tmp_path / "model.onnx") == {
        "input_values": ["batch", "samples"],
        "attention_mask": ["batch", "samples"],
        "logits": ["batch", 4],
    }
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for n, n_samples in [(1, 400), (3, 7_001)]:  # from a single frame on
        values = torch.randn(n, n_samples)
        mask = torch.ones(n, n_samples, dtype=torch.long)
        inputs = {"input_values": values.numpy(), "attention_mask": mask.numpy()}
        with torch.no_grad():
            expected = network(values, mask).logits.numpy()
        np.testing.assert_allclose(session.run(None, inputs)[0], expected, atol=1e-5)


def test_the_batch_of_whisper_is_open_and_its_length_fixed(tmp_path):
    config = transformers.WhisperConfig(**WHISPER, id2label=LABELS)
    network = transformers.WhisperForAudioClassification(config).eval()
    write_onnx(network, tmp_path / "model.onnx")
    assert shapes(tmp_path / "model.onnx") == {
        "input_features": ["batch", 16, 200],
        "logits": ["batch", 4],
    }
    values = torch.randn(3, 16, 200)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    with torch.no_grad():
        expected = network(values).logits.numpy()
    logits = session.run(None, {"input_features": values.numpy()})[0]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_the_length_of_a_whisper_cut_to_the_clip_is_open(tmp_path):
    torch.manual_seed(0)
    config = transformers.WhisperConfig(**WHISPER, id2label=LABELS, cut_to_clip=True)
    network = WhisperForAudioClassification(config).eval()
    write_onnx(network, tmp_path / "model.onnx")
    assert shapes(tmp_path / "model.onnx") == {
        "input_features": ["batch", 16, "frames"],
        "logits": ["batch", 4],
    }
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for n, n_frames in [(1, 25), (3, 175), (2, 200)]:
        values = torch.randn(n, 16, n_frames)
        values[0, :, n_frames // 2 :] = values.amin()  # which fills it up
        with torch.no_grad():
            expected = network(values).logits.numpy()
        logits = session.run(None, {"input_features": values.numpy()})[0]
        np.testing.assert_allclose(logits, expected, atol=1e-5)


# Halves


def answers(file, n_samples: int = 8_000) -> np.ndarray:
    """Run a waveform classifier's graph on noise."""
    extractor = SimpleNamespace(do_normalize=True)
    clip = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    inputs = features.model_inputs([clip], extractor, "mask")
    return onnxruntime.InferenceSession(file).run(None, inputs)[0]


@pytest.mark.parametrize("options", [{}, LAYER_NORM], ids=["group", "layer"])
def test_halved_weights_take_half_the_space_and_give_the_same_logits(tmp_path, options):
    network = waves("Wav2Vec2", **options).half().float()
    plain = tmp_path / "plain.onnx"
    write_onnx(network, plain)
    store_halves(plain, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx")

    n_bytes = [
        sum(len(constant.raw_data) for constant in onnx.load(file).graph.initializer)
        for file in (plain, tmp_path / "model.onnx")
    ]
    assert n_bytes[1] < 0.52 * n_bytes[0]
    assert np.array_equal(answers(tmp_path / "model.onnx"), answers(plain))


def test_a_model_whose_weights_are_no_halves_stays_as_it_is(tmp_path):
    write_onnx(waves("Wav2Vec2"), tmp_path / "plain.onnx")
    store_halves(tmp_path / "plain.onnx", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()


@pytest.mark.parametrize(
    ("value", "is_half"),
    [
        (0.5, True),
        (2**-24, True),  # the smallest above 0
        (1 / 3, False),
        (2**-25, False),
        (70_000, False),  # would be infinite
    ],
)
def test_a_constant_is_halved_where_no_value_changes(tmp_path, value, is_half):
    weight = np.ones((16, 16), np.float32)
    weight[3, 5] = value
    small = np.ones(16, np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Add", ["product", "small"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "a product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(small, "small")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "plain.onnx")
    store_halves(tmp_path / "plain.onnx", tmp_path / "model.onnx")
    stored = {c.name: c.data_type for c in onnx.load(tmp_path / "model.onnx").graph.initializer}
    names = {"weight_half": TensorProto.FLOAT16} if is_half else {"weight": TensorProto.FLOAT}
    assert stored == names | {"small": TensorProto.FLOAT}  # a node would take more than it saves


# 8 bits


def test_each_output_has_a_scale_of_its_own():
    weight = np.array([[1.27, -0.5, 0], [-0.4, 2.54, 0], [0.006, 0.01, 0]], np.float32)
    reduced = to_int8(weight)
    assert reduced.values.tolist() == [[127, -25, 0], [-40, 127, 0], [1, 0, 0]]
    assert reduced.values.dtype == np.int8
    assert reduced.scale[:2] == pytest.approx([0.01, 0.02])
    assert reduced.scale[2] > 0  # of an output without weights


def test_the_constants_of_products_are_stored_in_8_bits_and_nothing_else(tmp_path):
    weight = np.array([[127, 50], [-3, -25.4]], np.float32)  # scales 1 and 50 / 127
    bias = np.array([0.25, 100], np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("MatMul", ["sum", "x"], ["y"]),  # of two that are no constants
    ]
    graph = helper.make_graph(
        nodes,
        "two products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    stored = onnx.load(tmp_path / "int8.onnx")
    onnx.checker.check_model(stored)
    constants = {
        constant.name: numpy_helper.to_array(constant) for constant in stored.graph.initializer
    }
    assert set(constants) == {"bias", "weight_int8", "weight_scale"}
    assert constants["weight_int8"].tolist() == [[127, 127], [-3, -65]]  # -25.4 is -64.5 scales
    x = np.array([[1, 0], [0, 1]], np.float32)
    y = onnxruntime.InferenceSession(tmp_path / "int8.onnx").run(None, {"x": x})[0]
    expected = np.array([[127, 50], [-3, -65 * 50 / 127]]) + bias
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_a_classifier_in_8_bits_is_smaller_and_close(tmp_path):
    network = waves("Wav2Vec2", **LAYER_NORM)
    write_onnx(network, tmp_path / "model.onnx")
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size < (tmp_path / "model.onnx").stat().st_size
    exact, reduced = (answers(tmp_path / name) for name in ("model.onnx", "int8.onnx"))
    np.testing.assert_allclose(reduced, exact, atol=0.01)
    assert not np.array_equal(reduced, exact)
