"""A classifier as ONNX, run by OpenVINO: an answer within a second of the start.

Neither torch nor transformers is imported.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from . import features
from .errors import ModelError
from .model_files import INT8, RECORD, checked_onnx_file, read_json

# OpenVINO reports its import to Google Analytics, unless its reporter cannot be imported:
# nothing leaves the machine.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

STEP = 4_000  # samples; clips are filled up to a multiple, since each length is compiled for
GROUP = 128  # inputs of an int8 layer that share a scale; OpenVINO's 32 is slower and no closer
NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


class OnnxModel:
    """The ONNX file that `export` wrote into a model folder, ready to run; safe in threads.

    `rule` is the padding that it takes, "mask" or "fixed"; `precision` what it computes in:
    "float32", the processor's own reduced precision if `export` checked that one, or either with
    "int8+" for linear layers in 8 bits. With `parallel`, calls from several threads run beside each
    other on a core each; without, a call takes all cores. Raises `ModelError` if the folder has no
    file from `export`, or one of other weights.
    """

    engine: ClassVar = "onnx"

    def __init__(self, folder: Path, parallel: bool = False, cache: bool = True):
        self.config = _read_config(folder)
        encoder_rule = features.padding_rule(self.config)
        self.rule: features.PaddingRule = "fixed" if encoder_rule == "fixed" else "mask"
        self.extractor = _read_extractor(folder, self.rule)
        file = checked_onnx_file(folder)
        if file is None:
            remedy = "run python -m speech_intent.export on it"
            raise ModelError(folder, "has no ONNX file of ours", remedy)
        options = _options(folder, parallel)
        self._compiled = _compile(file, options, cache_folder() if cache else "")
        arithmetic = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        self.precision = NAMES[arithmetic.get_type_name()]
        if file.name == INT8:
            self.precision = f"int8+{self.precision}"

    def __call__(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Run the model on waveforms, float32, (n_samples,) each: logits, float32, (n, n_labels).

        One by one: a batch is a new shape to compile for, and hardly faster.
        """
        logits = []
        for waveform in waveforms:
            inputs = features.model_inputs([waveform], self.extractor, self.rule, STEP)
            logits.append(self.run(inputs))
        return np.concatenate(logits)

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Run the model on a batch from `features.model_inputs`: logits (batch, n_labels)."""
        request = self._compiled.create_infer_request()  # one a call: threads cannot share one
        return np.array(request.infer(inputs)[0])


def _read_config(folder: Path) -> SimpleNamespace:
    """Read of config.json what transformers' own config would give."""
    config = read_json(folder / "config.json")
    labels = {int(i): label for i, label in config["id2label"].items()}
    return SimpleNamespace(**config | {"id2label": labels, "num_labels": len(labels)})


def _read_extractor(folder: Path, rule: features.PaddingRule) -> Any:
    """Load Whisper's feature extractor, or the two numbers that a waveform encoder needs."""
    if rule == "fixed":
        from transformers import AutoFeatureExtractor

        return AutoFeatureExtractor.from_pretrained(folder)
    usual = {"sampling_rate": 16_000, "do_normalize": True}
    return SimpleNamespace(**usual | read_json(folder / "preprocessor_config.json"))


def _options(folder: Path, parallel: bool) -> dict[str, Any]:
    """Choose how OpenVINO computes: in reduced precision only where `export` checked it."""
    native = _native_precision()
    name = NAMES[native]
    checked = read_json(folder / RECORD)["precision"] in (name, f"int8+{name}")
    return {
        "INFERENCE_PRECISION_HINT": native if checked else "f32",
        "PERFORMANCE_HINT": "THROUGHPUT" if parallel else "LATENCY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,
    }


def _compile(file: Path, options: dict[str, Any], cache: str) -> Any:
    """Compile a model, or load it compiled from the cache, with which anything may be wrong."""
    import openvino

    # pybind11 sets up its numpy interface at the first use: two threads that come first would
    # wait for each other.
    openvino.Tensor(np.zeros(1, np.float32)).data.sum()
    core = openvino.Core()
    try:
        return core.compile_model(file, "CPU", options | {"CACHE_DIR": cache})
    except RuntimeError as error:
        if cache:
            return _compile(file, options, "")
        remedy = "run python -m speech_intent.export again"
        raise ModelError(file, "OpenVINO cannot use it", remedy) from error


def _native_precision() -> str:
    """Name the arithmetic that OpenVINO would choose: bf16 where the processor multiplies in it."""
    import openvino

    native = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return native.get_type_name()


def reduced_precisions() -> list[str]:
    """List what this processor is faster in than in float32, the fastest first."""
    native = NAMES[_native_precision()]
    precisions = [f"int8+{native}"]
    if native != "float32":
        precisions.append(native)
    return precisions


def cache_folder() -> str:
    """Find a folder for compiled models, `speech_intent` in the user's cache.

    "" where none can be written.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "speech_intent"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""


def describe(record: dict[str, Any]) -> str:
    """Say in words what onnx.json holds."""
    difference = f"{record['difference']:.1e}"
    lines = [f"model.onnx: float32 scores within {difference} of torch's on fixed signals."]
    lines += [_describe_reduced(row) for row in record["reduced"]]
    lines.append(f"It answers in {record['precision']}.")
    return "\n".join(lines)


def _describe_reduced(row: dict[str, Any]) -> str:
    text = f"{row['precision']}: no score of fixed signals moves by more than "
    text += f"{row['difference']:.1e}"
    if "n" in row:
        percent = 100 * row["agreement"]
        text += f"; the same label for {percent:.1f} % of {row['n']} validation clips"
        text += f", {100 * row['accuracy_lost']:.2f} points of accuracy lost"
    return text + "."
