"""A classifier as ONNX, run by OpenVINO: an answer within a second of the start.

Neither torch nor transformers is imported.
"""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from . import compiled_models, features
from .errors import ModelError
from .model_config import read_config, read_extractor, read_record
from .model_files import EXPORT_AGAIN, INT8, ONNX, answering, check_onnx_file, onnx_file
from .outputs import Outputs
from .quiet_openvino import load_openvino

STEP = 4_000  # samples; clips are filled up to a multiple, since each length is compiled for
GROUP = 128  # inputs of an int8 layer that share a scale; OpenVINO's 32 is slower and no closer
NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


class OnnxModel:
    """The ONNX file that `export` wrote into a model folder, ready to run; safe in threads.

    `rule` is the padding that it takes, "mask", "cut" or "fixed"; `precision` what it computes in:
    "float32", the processor's own reduced precision if `export` checked that one, or either with
    "int8+" for linear layers in 8 bits. With `parallel`, calls from several threads run beside each
    other on a core each; without, a call takes all cores. Raises `ModelError` if the folder has no
    file from `export`, or one of other weights.
    """

    engine: ClassVar = "onnx"

    def __init__(self, folder: Path, parallel: bool = False, cache: bool = True):
        self.config = read_config(folder)
        self.rule: features.PaddingRule = "mask"
        if self.config.takes_mels:
            self.rule = "cut" if self.config.cut_to_clip else "fixed"
        self.extractor = _read_extractor(folder, self.config.takes_mels)
        file = onnx_file(folder)
        if file is None:
            remedy = "run python -m speech_intent.export on it"
            raise ModelError(folder, "has no ONNX file of ours", remedy)
        record = read_record(folder)
        place = _place(record, parallel) if cache else None
        # Reading and hashing leave this thread free to import OpenVINO.
        with ThreadPoolExecutor(1) as beside:
            finding = beside.submit(_find_compiled, folder, record, place)
            options = _options(record["precision"], parallel)
            self._kept = finding.result()  # the numbers of a compiled model stay where they are
        self._compiled = _compile(file, options, self._kept)
        self._check_shapes(file)
        self.gives_pooled = len(self._compiled.outputs) > 1
        arithmetic = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        self.precision = NAMES[arithmetic.get_type_name()]
        if answering(record) == INT8:
            self.precision = f"int8+{self.precision}"

    def _check_shapes(self, file: Path) -> None:
        """Raise `ModelError` for a file of other inputs or outputs than config.json speaks of."""
        shapes = {port.get_any_name(): port.partial_shape for port in self._compiled.inputs}
        wanted = {"input_values", "attention_mask"}
        if self.config.takes_mels:
            wanted = {"input_features"}
        if shapes.keys() != wanted:
            problem = f"takes {', '.join(shapes)}, and config.json is of another kind of model"
            raise ModelError(file, problem, EXPORT_AGAIN)
        n_outputs = self._compiled.output(0).partial_shape[-1]
        if n_outputs.is_dynamic or n_outputs.get_length() != self.config.num_labels:
            n_labels = self.config.num_labels
            problem = f"has {n_outputs} outputs, and config.json names {n_labels} intents"
            raise ModelError(file, problem, EXPORT_AGAIN)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Run the model on waveforms, float32, (n_samples,) each: logits, float32, (n, n_labels).

        One by one: a batch is a new shape to compile for, and hardly faster.
        """
        return self.outputs(waveforms).logits

    def outputs(self, waveforms: Sequence[np.ndarray]) -> Outputs:
        """Do the same, and give what the head got of each waveform, if the file has it."""
        parts = []
        for waveform in waveforms:
            inputs = features.model_inputs([waveform], self.extractor, self.rule, STEP)
            parts.append(self.run(inputs))
        logits = np.concatenate([part.logits for part in parts])
        pooled = [part.pooled for part in parts if part.pooled is not None]
        return Outputs(logits, np.concatenate(pooled) if pooled else None)

    def run(self, inputs: dict[str, np.ndarray]) -> Outputs:
        """Run the model on a batch from `features.model_inputs`."""
        request = self._compiled.create_infer_request()  # one a call: threads cannot share one
        found = request.infer(inputs)
        return Outputs(np.array(found[0]), np.array(found[1]) if len(found) > 1 else None)


def _read_extractor(folder: Path, takes_mels: bool) -> Any:
    """Load Whisper's feature extractor, or the two numbers that a waveform encoder needs."""
    numbers = read_extractor(folder, takes_mels)
    if not takes_mels:
        return numbers
    from .checkpoints import load_extractor  # late: it takes transformers

    return load_extractor(folder, str(folder))


def _options(checked: str, parallel: bool) -> dict[str, Any]:
    """Choose how OpenVINO computes: in a reduced precision only where `export` checked it."""
    native = _native_precision()
    name = NAMES[native]
    return {
        "INFERENCE_PRECISION_HINT": native if checked in (name, f"int8+{name}") else "f32",
        "PERFORMANCE_HINT": "THROUGHPUT" if parallel else "LATENCY",
        # Pinned, the threads of several processes would all sit on the first cores.
        "ENABLE_CPU_PINNING": False,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,
        "CACHE_DIR": "",  # `compiled_models` does it
    }


@dataclass(frozen=True)
class Kept:
    """Where the compiled form of a model is kept, and what is there."""

    place: Path | None  # None: it is not kept
    blob: np.ndarray | None = None  # uint8, (n_bytes,)


def _place(record: dict[str, Any], parallel: bool) -> Path | None:
    """Find where the compiled form of the file that the record speaks of is kept."""
    digest = record["digests"].get(answering(record), "")
    choices = {"precision": record["precision"], "parallel": parallel, "group": GROUP}
    return compiled_models.place(digest, **choices)


def _find_compiled(folder: Path, record: dict[str, Any], place: Path | None) -> Kept:
    """Check that the files belong together, and look for the compiled form of this one."""
    check_onnx_file(folder, record)
    return Kept(place, None if place is None else compiled_models.read(place))


def _compile(file: Path, options: dict[str, Any], kept: Kept) -> Any:
    """Give a compiled model: the one that was kept, or a new one, which is kept in turn."""
    openvino = load_openvino()

    # pybind11 sets up its numpy interface at the first use: two threads that come first would
    # wait for each other.
    openvino.Tensor(np.zeros(1, np.float32)).data.sum()
    core = openvino.Core()
    if kept.blob is not None:
        with contextlib.suppress(RuntimeError):  # of another build, which tells no version
            return core.import_model(openvino.Tensor(kept.blob, True), "CPU", options)
    try:
        compiled = core.compile_model(file, "CPU", options)
    except RuntimeError as error:
        problem = "OpenVINO cannot use it"
        raise ModelError(file, problem, "run python -m speech_intent.export again") from error
    if kept.place is not None:
        compiled_models.keep(kept.place, compiled.export_model().getvalue())
    return compiled


def _native_precision() -> str:
    """Name the arithmetic that OpenVINO would choose: bf16 where the processor multiplies in it."""
    openvino = load_openvino()

    native = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return native.get_type_name()


def reduced_precisions() -> list[str]:
    """List what this processor is faster in than in float32, the fastest first."""
    native = NAMES[_native_precision()]
    precisions = [f"int8+{native}"]
    if native != "float32":
        precisions.append(native)
    return precisions


def describe(record: dict[str, Any]) -> str:
    """Say in words what onnx.json holds."""
    difference = f"{record['difference']:.1e}"
    lines = [f"{ONNX}: float32 scores within {difference} of torch's on fixed signals."]
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
