"""A classifier as ONNX, run by OpenVINO: an answer within a second of the start, without torch and transformers."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from . import features
from .hub import INT8, RECORD, ModelError, onnx_file, weights_digest

# OpenVINO reports to Google Analytics that it was imported, unless its reporter cannot be: nothing leaves the machine.
sys.modules.setdefault("openvino_telemetry", None)

STEP = 4_000  # samples; clips are filled up to a multiple, since OpenVINO compiles kernels for each length it meets
GROUP = 128  # inputs of an int8 layer that share a scale; OpenVINO's own 32 is slower and was no closer to float32
NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


class OnnxModel:
    """The ONNX file that `export` wrote into a model folder, ready to run; safe to call from several threads.

    `rule` is the padding that it takes, "mask" or "fixed"; `precision` what it computes in: "float32", the processor's
    own reduced precision if `export` checked that one, or either with "int8+" for linear layers in 8 bits. With
    `parallel`, calls from several threads run beside each other on a core each; without, a call takes all cores. Raises
    `ModelError` if the folder has no file from `export`, or one of other weights.
    """

    def __init__(self, folder: Path, parallel: bool = False, cache: bool = True):
        config = read_json(folder / "config.json")
        names = {int(i): label for i, label in config["id2label"].items()}
        self.config = SimpleNamespace(**config | {"id2label": names, "num_labels": len(names)})
        self.rule = "fixed" if features.padding_rule(self.config) == "fixed" else "mask"
        self.extractor, file = _extractor(folder, self.rule), checked_file(folder)
        if file is None:
            raise ModelError(f"{folder}: has no ONNX file of ours; run python -m speech_intent.export on it")
        import openvino

        # pybind11 sets up its numpy interface at the first use: two threads that come first would wait for each other.
        openvino.Tensor(np.zeros(1, np.float32)).data.sum()
        core, native = openvino.Core(), _native()
        checked = read_json(folder / RECORD)["precision"].split("+")[-1] == NAMES[native]
        options = {"INFERENCE_PRECISION_HINT": native if checked else "f32"}
        options |= {"PERFORMANCE_HINT": "THROUGHPUT" if parallel else "LATENCY"}
        options |= {"DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP}
        self._compiled = _compile(core, file, options, cache_folder() if cache else "")
        arithmetic = NAMES[self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()]
        self.precision = "int8+" * (file.name == INT8) + arithmetic

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Run the model on inputs from `features.model_inputs`; return logits (batch, n_labels)."""
        request = self._compiled.create_infer_request()  # one a call: threads cannot share one
        return np.array(request.infer(inputs)[0])


def _compile(core, file: Path, options: dict, cache: str):
    """Compile a model, or load it compiled from the cache, with which anything may be wrong."""
    try:
        return core.compile_model(file, "CPU", options | {"CACHE_DIR": cache})
    except RuntimeError as error:
        if cache:
            return _compile(core, file, options, "")
        raise ModelError(f"{file}: OpenVINO cannot use it; run python -m speech_intent.export again") from error


def read_json(file: Path) -> dict:
    """Read one of a model's JSON files, or raise `ModelError`."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read ({error}); save, export or download the model again") from error


def checked_file(folder: Path) -> Path | None:
    """Find a folder's ONNX file, or None; raise `ModelError` if it was made from other weights than lie beside it."""
    if (file := onnx_file(folder)) is None:
        return None
    weights = weights_digest(folder)
    if weights and weights != read_json(folder / RECORD)["weights"]:
        problem = f"{file.name} was made from other weights than those beside it"
        raise ModelError(f"{folder}: {problem}; run python -m speech_intent.export again, or choose the engine torch")
    return file


def cache_folder() -> str:
    """Find a folder for compiled models, `speech_intent` in the user's cache; "" where none can be written."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speech_intent"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""


def reduced_precisions() -> list[str]:
    """List what this processor is faster in than in float32, the fastest first."""
    native = NAMES[_native()]
    return [f"int8+{native}"] + [native] * (native != "float32")


def _native() -> str:
    """Name the arithmetic that OpenVINO itself would choose: bf16 where the processor multiplies in it, else f32."""
    import openvino

    return openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()


def describe(record: dict) -> str:
    """Say in words what onnx.json holds."""
    lines = [f"model.onnx: float32 scores within {record['difference']:.1e} of torch's on fixed signals."]
    for row in record["reduced"]:
        cost = f"{row['precision']}: no score of fixed signals moves by more than {row['difference']:.1e}"
        if "n" in row:
            cost += f"; the same label for {100 * row['agreement']:.1f} % of {row['n']} validation clips"
            cost += f", {100 * row['accuracy_lost']:.2f} points of accuracy lost"
        lines.append(cost + ".")
    return "\n".join([*lines, f"It answers in {record['precision']}."])


def _extractor(folder: Path, rule: str):
    """Load Whisper's feature extractor, or the two numbers that a waveform encoder needs."""
    if rule == "fixed":
        from transformers import AutoFeatureExtractor

        return AutoFeatureExtractor.from_pretrained(folder)
    usual = {"sampling_rate": 16_000, "do_normalize": True}
    return SimpleNamespace(**usual | read_json(folder / "preprocessor_config.json"))
