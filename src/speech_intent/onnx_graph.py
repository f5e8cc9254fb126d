"""A transformers classifier as an ONNX graph, and the same graph with smaller weights."""

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper

from . import features
from .head_inputs import WithHeadInputs
from .onnx_attention import join_attention

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

OPSET = 20
OUTPUTS = ("logits", "pooled")
FIRST = {0: "batch"}  # axis that is open
EXAMPLE_LENGTHS = (16_000, 12_000)  # samples of the clips that a waveform encoder is traced with
INT8_MAX = 127
SMALLEST_HALF = 256  # values of a constant; fewer are not worth a node in the graph
SMALLEST_PEAK = 1e-12  # of an output's weights; all zeros would give a scale of zero


def write_onnx(network: "PreTrainedModel", file: Path) -> None:
    """Write a transformers classifier as one ONNX file whose batch size and length are open.

    Inputs: `input_values` and `attention_mask`, both (batch, n_samples), for every waveform
    encoder, or Whisper's `input_features` (batch, n_mels, n_frames), whose length is open where
    mels are cut to the clip. Outputs: `logits` (batch, n_labels), and `pooled` (batch, size), which
    the head got.
    """
    network = copy.deepcopy(network).requires_grad_(False)
    network.set_attn_implementation("eager")
    join_attention(network)
    rule = features.padding_rule(network.config)
    if rule in ("cut", "fixed"):
        inputs = _example_features(network.config)
        open_axes = {0: "batch", 2: "frames"} if rule == "cut" else {0: "batch"}
    else:
        inputs = _example_waveforms()
        open_axes = {0: "batch", 1: "samples"}
        if hasattr(network.config, "conv_kernel"):  # our Moonshine minds it anyway
            mind_padding(network)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            WithHeadInputs(network).eval(),
            tuple(inputs.values()),
            file,
            input_names=list(inputs),
            output_names=list(OUTPUTS),
            dynamic_axes={**dict.fromkeys(inputs, open_axes), **dict.fromkeys(OUTPUTS, FIRST)},
            opset_version=OPSET,
            dynamo=False,  # the older exporter: as exact for these models, and 30 times as fast
        )


def _example_features(config: "PretrainedConfig") -> dict[str, torch.Tensor]:
    n_frames = 2 * config.max_source_positions
    return {"input_features": torch.zeros(2, config.num_mel_bins, n_frames)}


def _example_waveforms() -> dict[str, torch.Tensor]:
    lengths = torch.tensor(EXAMPLE_LENGTHS)[:, None]  # (batch, 1)
    n_samples = max(EXAMPLE_LENGTHS)
    return {
        "input_values": torch.randn(len(lengths), n_samples),
        "attention_mask": (torch.arange(n_samples) < lengths).long(),
    }


@dataclass(frozen=True)
class Framing:
    """How a stack of convolutions cuts a waveform into frames."""

    field: int  # samples that a frame sees
    stride: int  # samples from the start of a frame to that of the next


def framing(config: "PretrainedConfig") -> Framing:
    """Find out how a waveform encoder's convolutions cut its input into frames."""
    field = 1
    stride = 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * stride
        stride *= step
    return Framing(field, stride)


def mind_padding(network: "PreTrainedModel") -> None:
    """Let a waveform encoder give the same logits however far a clip is filled up, in place.

    With group norm or without, in any dtype.
    """
    encoder = network.base_model
    frames = framing(network.config)
    if network.config.feat_extract_norm == "group":
        layers = encoder.feature_extractor.conv_layers
        encoder.feature_extractor = MaskedConvolutions(layers)

    def note_lengths(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        attention_mask = inputs[1]
        lengths = attention_mask.sum(-1, keepdim=True)  # (batch, 1)
        encoder.feature_extractor.lengths = lengths

        def frame_mask(n_frames: int, *_: object, **__: object) -> torch.Tensor:
            return torch.arange(n_frames) * frames.stride + frames.field <= lengths

        # In place of transformers' own, whose division of lengths comes out wrong in bfloat16 and
        # in OpenVINO.
        for part in (network, encoder):
            part._get_feature_vector_attention_mask = frame_mask

    network.register_forward_pre_hook(note_lengths)


class MaskedConvolutions(torch.nn.Module):
    """The convolutions of an encoder with group norm, blind to frames that only padding made.

    They become two-dimensional with a height of 1: OpenVINO sums over such frames as they lie in
    memory.
    """

    lengths: torch.Tensor  # (batch, 1), samples of each clip; set before each call

    def __init__(self, layers: torch.nn.ModuleList):
        super().__init__()
        first = layers[0]
        self.layers = layers
        self.weight = first.layer_norm.weight[:, None, None]  # (n_channels, 1, 1)
        self.bias = first.layer_norm.bias[:, None, None]
        self.eps = first.layer_norm.eps
        # The norm would take it out again; without it, frames of padding alone are zero.
        first.conv.bias = None
        for layer in layers:
            layer.conv = _with_height(layer.conv)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Turn (batch, n_samples), `lengths` of them real, into (batch, n_channels, n_frames)."""
        first, *others = self.layers
        x = first.conv(values[:, None, None])  # (batch, n_channels, 1, n_frames)
        x = first.activation(self._normalise(x, values))
        for layer in others:
            x = layer.activation(layer.conv(x))
        return x.squeeze(2)

    def _normalise(self, x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Bring each channel's frames to mean 0 and variance 1, as far as a clip goes.

        The sums are those over all frames, less the few that see the end of the clip: they are
        computed again.
        """
        conv = self.layers[0].conv
        kernel = conv.kernel_size[1]
        stride = conv.stride[1]
        frames = torch.arange(x.shape[-1])
        n = (frames * stride + kernel <= self.lengths).long().sum(-1, keepdim=True)  # (batch, 1)
        n_edge = (kernel - 1) // stride + 1
        samples = n * stride + torch.arange(kernel + stride * (n_edge - 1))
        end = values.gather(-1, samples.clamp(max=values.shape[-1] - 1))
        end = end * (samples < self.lengths)
        edge = conv(end[:, None, None])  # (batch, n_channels, 1, n_edge)
        exists = n + torch.arange(n_edge) < x.shape[-1]  # (batch, n_edge)
        edge = edge * exists[:, None, None]
        n = n[:, :, None, None].to(x.dtype)
        mean = (x.sum(-1, keepdim=True) - edge.sum(-1, keepdim=True)) / n
        power = torch.linalg.vector_norm(x, dim=-1, keepdim=True) ** 2
        power = (power - (edge**2).sum(-1, keepdim=True)) / n
        scale = self.weight * torch.rsqrt(power - mean**2 + self.eps)
        return x * scale + (self.bias - mean * scale)


def _with_height(old: torch.nn.Conv1d) -> torch.nn.Conv2d:
    """Make a convolution two-dimensional, with a height of 1 and the same weights."""
    conv = torch.nn.Conv2d(
        old.in_channels,
        old.out_channels,
        (1, *old.kernel_size),
        (1, *old.stride),
        bias=old.bias is not None,
    )
    weights = old.state_dict()
    weights["weight"] = weights["weight"][:, :, None]
    conv.load_state_dict(weights)
    return conv


def store_halves(source: Path, target: Path) -> None:
    """Store constants in half precision where nothing is lost: a model's that was stored in it.

    The graph begins by turning them into float32 again, and computes the same.
    """
    model = onnx.load(source)
    graph = model.graph
    for constant in list(graph.initializer):
        values = numpy_helper.to_array(constant)
        if values.size < SMALLEST_HALF or not _fits_half(values):
            continue
        half = f"{constant.name}_half"
        graph.initializer.remove(constant)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), half))
        restore = onnx.helper.make_node("Cast", [half], [constant.name], to=TensorProto.FLOAT)
        graph.node.insert(0, restore)
    onnx.save(model, target)


def _fits_half(values: np.ndarray) -> bool:
    """Whether these are float32 and every one is the same in half precision."""
    if values.dtype != np.float32:
        return False
    with np.errstate(over="ignore"):
        return np.array_equal(values.astype(np.float16).astype(np.float32), values)


@dataclass(frozen=True)
class Int8:
    """A matrix in 8 bits: `values * scale` is close to it."""

    values: np.ndarray  # int8, (n_inputs, n_outputs)
    scale: np.ndarray  # (n_outputs,)


def to_int8(weight: np.ndarray) -> Int8:
    """Round a matrix (n_inputs, n_outputs) to 8 bits, with one scale an output."""
    peaks = np.abs(weight).max(axis=0)
    scale = np.maximum(peaks, SMALLEST_PEAK) / INT8_MAX
    return Int8(np.rint(weight / scale).astype(np.int8), scale)


def quantise(source: Path, target: Path) -> None:
    """Store the weights of linear layers in 8 bits; OpenVINO then multiplies in 8 bits too."""
    model = onnx.load(source)
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    factors = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for name in sorted(factors & set(constants)):
        weight = to_int8(numpy_helper.to_array(constants[name]))
        parts = [f"{name}_int8", f"{name}_scale"]
        graph.initializer.remove(constants[name])
        graph.initializer.append(numpy_helper.from_array(weight.values, parts[0]))
        graph.initializer.append(numpy_helper.from_array(weight.scale, parts[1]))
        restore = onnx.helper.make_node("DequantizeLinear", parts, [name], axis=1)
        graph.node.insert(0, restore)
    onnx.save(model, target)
