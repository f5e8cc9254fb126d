"""Time the engines that can run an exported model, each in a process of its own.

    pip install onnxruntime==1.31.1
    python benchmarks/speed.py --quick                  # makes runs/speed/base, of that size
    python benchmarks/engines.py runs/speed/base        # stores benchmarks/results/engines.json

Load, a warm clip of 3 s, peak memory. Neither ONNX Runtime nor OpenVINO has a working switch for an
older processor; run it on one.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from speed import engines_table

from speech_intent.model_files import INT8, ONNX
from speech_intent.paths import ROOT

RESULT = ROOT / "benchmarks" / "results" / "engines.json"
ORT_INT8 = "onnx/model_ort_int8.onnx"
CLIP_SAMPLES = 48_000  # 3 s
REPEAT = 30
TURNS = 4  # of all engines; the first fills OpenVINO's cache and does not count
FIGURES = ("first_seconds", "warm_ms", "megabytes")

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]  # input_values and mask to logits


@dataclass(frozen=True)
class Engine:
    """An engine, the file that it runs and the precision that it is told to use."""

    kind: str
    file: str = ""
    precision: str = ""  # its own choice


ENGINES = {
    "torch, float32": Engine("torch"),
    "ONNX Runtime, float32": Engine("onnxruntime", ONNX),
    "ONNX Runtime, int8 MatMul": Engine("onnxruntime", ORT_INT8),
    "OpenVINO, float32": Engine("openvino", ONNX, "f32"),
    "OpenVINO, its own precision": Engine("openvino", ONNX),
    "OpenVINO, int8 + float32": Engine("openvino", INT8, "f32"),
    "OpenVINO, int8 + its own precision": Engine("openvino", INT8),
}


def load_torch(folder: Path) -> Run:
    """Load a model into torch."""
    import torch
    from transformers import AutoModelForAudioClassification

    model = AutoModelForAudioClassification.from_pretrained(folder, trust_remote_code=False).eval()

    @torch.inference_mode()
    def run(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(values)).logits.numpy()

    return run


def load_onnxruntime(file: Path) -> Run:
    """Load an ONNX file into ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda values, mask: session.run(None, {"input_values": values, "attention_mask": mask})[
        0
    ]


def load_openvino(file: Path, precision: str) -> Run:
    """Load an ONNX file into OpenVINO."""
    from speech_intent.onnx_model import GROUP  # first: it keeps OpenVINO quiet
    from speech_intent.user_cache import cache_folder

    import openvino  # isort: skip

    options = {
        "CACHE_DIR": str(cache_folder() or ""),
        "PERFORMANCE_HINT": "LATENCY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,
    }
    if precision:
        options["INFERENCE_PRECISION_HINT"] = precision
    request = openvino.Core().compile_model(file, "CPU", options).create_infer_request()
    return lambda values, mask: request.infer([values, mask])[0].copy()


def load(folder: Path, engine: Engine) -> Run:
    """Load a model folder into an engine."""
    if engine.kind == "torch":
        return load_torch(folder)
    if engine.kind == "onnxruntime":
        return load_onnxruntime(folder / engine.file)
    return load_openvino(folder / engine.file, engine.precision)


def measure(folder: Path, engine: Engine) -> dict[str, Any]:
    """Measure one engine in this process."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((1, CLIP_SAMPLES)).astype(np.float32)
    mask = np.ones(values.shape, np.int64)
    began = time.perf_counter()
    run = load(folder, engine)
    logits = run(values, mask)
    first = time.perf_counter() - began
    times = []
    for _ in range(REPEAT):
        began = time.perf_counter()
        run(values, mask)
        times.append(1000 * (time.perf_counter() - began))
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
    return {
        "first_seconds": first,
        "warm_ms": median(times),
        "megabytes": peak,
        "logits": logits.tolist(),
    }


def in_process(folder: Path, name: str) -> dict[str, Any]:
    """Measure one engine in a process of its own."""
    command = [sys.executable, __file__, str(folder), "--engine", name]
    out = subprocess.check_output(command, stderr=subprocess.DEVNULL)
    return json.loads(out.splitlines()[-1])


def quantise(folder: Path) -> None:
    """Write ONNX Runtime's own int8 file."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        onnx.load(folder / ONNX),
        folder / ORT_INT8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul"],
        extra_options={"MatMulConstBOnly": True},
    )


def main() -> None:
    """Measure every engine three times in turn and keep medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="exported model folder")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        print(json.dumps(measure(args.folder, ENGINES[args.engine])))
        return
    if not (args.folder / ORT_INT8).exists():
        quantise(args.folder)
    turns = [{name: in_process(args.folder, name) for name in ENGINES} for _ in range(TURNS)]
    logits = {name: np.array(turns[0][name]["logits"]) for name in ENGINES}
    result = {}
    for name in ENGINES:
        row = {key: median(turn[name][key] for turn in turns[1:]) for key in FIGURES}
        row["difference"] = float(np.abs(logits[name] - logits["torch, float32"]).max())
        result[name] = row
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n".join(engines_table(result)))


if __name__ == "__main__":
    main()
