"""Write a trained classifier as ONNX for the fast engine: `python -m speech_intent.export --help`."""

import argparse
import copy
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from scipy.special import softmax

from . import evaluate, features
from .data import load_data
from .engine import OnnxModel, describe, reduced_precisions
from .hub import INT8, ONNX, RECORD, ModelError, weights_digest
from .model import LARGE
from .predict import IntentClassifier

FLOAT32_TOLERANCE = 1e-4  # of scores
REDUCED_TOLERANCE = 5e-3  # of scores on fixed signals, where there is no data to say what it costs
ACCURACY_LOST = 0.005  # at most, on validation clips
CHECK_SECONDS = (0.025, 0.4, 1.0, 1.7, 3.0, 6.0)


def export(folder: Path, data: str | None = None) -> dict:
    """Write model.onnx, model-int8.onnx where it pays, and onnx.json into a model folder; return the last's content.

    In float32, scores are within 1e-4 of torch's for clips alone and filled up in one batch, else `ModelError`. A large
    model then answers in the fastest reduced precision that costs little: no score of fixed signals moves by more than
    5e-3, or with `data` (see `data.load_data`) no more than 0.5 points of accuracy on validation clips are lost.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder; name one that holds the model")
    reference = IntentClassifier.from_pretrained(folder, engine="torch")
    signals = check_signals(reference)
    expected = reference._logits(signals)
    record = {"precision": "float32", "weights": weights_digest(folder), "reduced": []}
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as name:
        scratch = Path(name)
        for file in ("config.json", "preprocessor_config.json"):
            shutil.copy(folder / file, scratch)
        try:
            write_onnx(reference.model, scratch / ONNX)
        except Exception as error:  # torch raises many kinds
            raise ModelError(
                f"{folder}: torch cannot write it as ONNX ({type(error).__name__}); use the engine torch"
            ) from error
        exact = load(scratch, "float32")
        record["difference"] = difference(exact, signals, expected)
        if not record["difference"] <= FLOAT32_TOLERANCE:
            problem = f"scores of its ONNX form differ from torch's by {record['difference']:.1e}"
            raise ModelError(f"{folder}: {problem}; this kind of model needs the engine torch")
        quantise(scratch / ONNX, scratch / INT8)
        for precision in reduced_precisions():
            if "int8" not in precision:
                (scratch / INT8).unlink()
            other = load(scratch, precision)
            cost = {"precision": precision, "difference": difference(other, signals, expected)}
            cost |= compare(exact, other, data, evaluate.model_seed(folder)) if data else {}
            record["reduced"].append(cost)
            cheap = cost["accuracy_lost"] <= ACCURACY_LOST if data else cost["difference"] <= REDUCED_TOLERANCE
            if cheap and reference.model.num_parameters() >= LARGE:
                record["precision"] = precision
                break
        (scratch / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        (folder / INT8).unlink(missing_ok=True)
        for file in (ONNX, INT8, RECORD) if "int8" in record["precision"] else (ONNX, RECORD):
            (scratch / file).replace(folder / file)
    return record


def load(scratch: Path, precision: str) -> IntentClassifier:
    """Load one form of a model from a scratch folder, which is not worth a place in the cache."""
    (scratch / RECORD).write_text(json.dumps({"precision": precision}))
    model = OnnxModel(scratch, cache=False)
    return IntentClassifier(model, model.extractor, str(scratch))


def write_onnx(model: torch.nn.Module, file: Path) -> None:
    """Write a transformers classifier as one ONNX file whose batch size and length are open.

    Inputs: `input_values` and `attention_mask`, both (batch, n_samples), for every waveform encoder, or Whisper's
    `input_features` (batch, n_mels, n_frames). Output: `logits` (batch, n_labels).
    """
    model = copy.deepcopy(model).requires_grad_(False)
    model.set_attn_implementation("eager")
    if features.padding_rule(model.config) == "fixed":
        size, axes = (2, model.config.num_mel_bins, 2 * model.config.max_source_positions), {0: "batch"}
        inputs = {"input_features": torch.zeros(size)}
    else:
        inputs, axes = {"input_values": torch.randn(2, 16_000)}, {0: "batch", 1: "samples"}
        inputs["attention_mask"] = (torch.arange(16_000) < torch.tensor([[16_000], [12_000]])).long()
        mind_padding(model)
    axes = dict.fromkeys(inputs, axes) | {"logits": {0: "batch"}}
    with warnings.catch_warnings(action="ignore"):
        # The older exporter: as exact for these models as dynamo=True, and thirty times as fast.
        options = {"input_names": list(inputs), "output_names": ["logits"], "opset_version": 20, "dynamo": False}
        torch.onnx.export(model.eval(), tuple(inputs.values()), file, dynamic_axes=axes, **options)


def mind_padding(model: torch.nn.Module) -> None:
    """Let a waveform encoder, group norm or not, give the same logits however far a clip is filled up, in any dtype."""
    encoder, field, stride = model.base_model, 1, 1
    for kernel, step in zip(model.config.conv_kernel, model.config.conv_stride, strict=True):
        field, stride = field + (kernel - 1) * stride, stride * step  # samples that a frame sees, between two frames
    if model.config.feat_extract_norm == "group":
        encoder.feature_extractor = MaskedConvolutions(encoder.feature_extractor.conv_layers)

    def note_lengths(module, inputs):
        encoder.feature_extractor.lengths = lengths = inputs[1].sum(-1, keepdim=True)  # of the mask: (batch, 1)
        # In place of transformers' own, whose division of lengths comes out wrong in bfloat16 and in OpenVINO.
        for part in (model, encoder):
            part._get_feature_vector_attention_mask = lambda n, mask, **_: torch.arange(n) * stride + field <= lengths

    model.register_forward_pre_hook(note_lengths)


class MaskedConvolutions(torch.nn.Module):
    """The convolutions of an encoder with group norm, whose norm is blind to frames that only padding has made.

    They become two-dimensional with a height of 1: OpenVINO sums over such frames as they lie in memory.
    """

    def __init__(self, layers: torch.nn.ModuleList):
        super().__init__()
        self.layers, self.lengths, norm = layers, None, layers[0].layer_norm
        self.weight, self.bias, self.eps = norm.weight[:, None, None], norm.bias[:, None, None], norm.eps
        layers[0].conv.bias = None  # the norm would take it out again; without it, frames of padding alone are zero
        for layer in layers:
            old = layer.conv
            size = old.in_channels, old.out_channels, (1, *old.kernel_size), (1, *old.stride)
            layer.conv = torch.nn.Conv2d(*size, bias=old.bias is not None)
            layer.conv.load_state_dict({k: v[:, :, None] if k == "weight" else v for k, v in old.state_dict().items()})

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Turn (batch, n_samples), `lengths` (batch, 1) of them real, into (batch, n_channels, n_frames)."""
        first, *others = self.layers
        kernel, stride = first.conv.kernel_size[1], first.conv.stride[1]
        x = first.conv(values[:, None, None])  # (batch, n_channels, 1, n_frames)
        n = (torch.arange(x.shape[-1]) * stride + kernel <= self.lengths).long().sum(-1, keepdim=True)  # (batch, 1)
        # The sums are those over all frames, less the few that see the end of the clip: they are computed again.
        n_edge = (kernel - 1) // stride + 1
        at = n * stride + torch.arange(kernel + stride * (n_edge - 1))
        end = values.gather(-1, at.clamp(max=values.shape[-1] - 1)) * (at < self.lengths)
        edge = first.conv(end[:, None, None]) * (n + torch.arange(n_edge) < x.shape[-1])[:, None, None]
        n = n[:, :, None, None].to(x.dtype)
        mean = (x.sum(-1, keepdim=True) - edge.sum(-1, keepdim=True)) / n
        power = (torch.linalg.vector_norm(x, dim=-1, keepdim=True) ** 2 - (edge**2).sum(-1, keepdim=True)) / n
        scale = self.weight * torch.rsqrt(power - mean**2 + self.eps)
        x = first.activation(x * scale + (self.bias - mean * scale))
        for layer in others:
            x = layer.activation(layer.conv(x))
        return x.squeeze(2)


def quantise(source: Path, target: Path) -> None:
    """Store the weights of linear layers in 8 bits, one scale an output; OpenVINO then multiplies in 8 bits too."""
    graph = (model := onnx.load(source)).graph
    constants = {constant.name: constant for constant in graph.initializer}
    for name in sorted({node.input[1] for node in graph.node if node.op_type == "MatMul"} & set(constants)):
        weight = numpy_helper.to_array(constants[name])  # (n_inputs, n_outputs)
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-12) / 127
        graph.initializer.remove(constants[name])
        graph.initializer.append(numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), name + "_int8"))
        graph.initializer.append(numpy_helper.from_array(scale, name + "_scale"))
        parts = [name + "_int8", name + "_scale"]
        graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", parts, [name], axis=1))
    onnx.save(model, target)


def check_signals(classifier: IntentClassifier) -> list[np.ndarray]:
    """Make the signals of the checks: rising tones in noise, of several lengths, the same each time."""
    rng, rate, signals = np.random.default_rng(0), classifier.extractor.sampling_rate, []
    for seconds in CHECK_SECONDS:
        t = np.arange(int(min(seconds, classifier.max_seconds) * rate)) / rate
        tone = np.sin(2 * np.pi * rng.uniform(100, 300) * (1 + 0.3 * t) * t) ** 3
        signals.append((0.3 * tone + 0.1 * rng.standard_normal(len(t))).astype(np.float32))
    return signals


def difference(classifier: IntentClassifier, signals: list[np.ndarray], expected: np.ndarray) -> float:
    """Find by how much a score moves from those of `expected` logits (n, n_labels), one by one and in one batch."""
    batch = features.model_inputs(signals, classifier.extractor, classifier.model.rule)
    expected = softmax(expected, axis=1)
    answers = classifier._logits(signals), classifier.model(batch)
    return float(max(np.abs(softmax(logits, axis=1) - expected).max() for logits in answers))


def compare(exact: IntentClassifier, reduced: IntentClassifier, data: str, seed: int) -> dict:
    """Measure on validation clips how often two forms of a model agree, and the accuracy that the second one loses."""
    table = load_data(data, seed)[0]["validation"]
    if unknown := set(table.features["label"].names) - set(exact.labels):
        raise ModelError(f"{data}: has intents that the model does not know ({', '.join(sorted(unknown))})")
    first, second = (evaluate.predict_table(classifier, table) for classifier in (exact, reduced))
    right = [(answers["predicted"] == answers["intent"]).mean() for answers in (first, second)]
    agreement = float((first["predicted"] == second["predicted"]).mean())
    return {"data": data, "n": len(first), "agreement": agreement, "accuracy_lost": float(right[0] - right[1])}


def main(argv: list[str] | None = None) -> int:
    """Export as the arguments say; return the exit status."""
    p = argparse.ArgumentParser(prog="python -m speech_intent.export", description=__doc__)
    p.add_argument("folder", type=Path, help="model folder, such as OUT/model")
    p.add_argument("--data", metavar="DIR|bundled", help="judge a reduced precision by accuracy on these recordings")
    args = p.parse_args(argv)
    try:
        print(describe(export(args.folder, args.data)))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
