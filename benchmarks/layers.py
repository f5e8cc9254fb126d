"""Where the time of one answer goes: an exported model's operations, on one core.

    python benchmarks/layers.py                         # the classifier in models/
    python benchmarks/layers.py runs/base --random-base # first makes one of wav2vec2-base's size

Takes a clip of 3 s of noise, the arithmetic that the model answers in, and medians of 30 calls.
Beside the operations, a bare loop of such multiplications in torch says what the processor can
do, and a sum of a large array how fast its memory is. Writes benchmarks/results/layers.json and
its part of docs/speed.md.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blocks import table, write_block

from speech_intent import features, onnx_export
from speech_intent.model_files import INT8, ONNX
from speech_intent.onnx_model import GROUP, OnnxModel
from speech_intent.paths import ROOT, SHIPPED

BLOCK = (ROOT / "docs" / "speed.md", "layers: benchmarks/layers.py")
FILE = ROOT / "benchmarks" / "results" / "layers.json"
NAMES = {SHIPPED.name: "shipped classifier", "base": "wav2vec2-base size"}  # by folder
SECONDS = 3
REPEATS = 30
STEP = 4_000  # samples
KINDS = {
    "FullyConnected": "linear layers",
    "FullyConnectedCompressed": "linear layers",  # of 8-bit weights
    "Convolution": "convolutions",
    "GroupConvolution": "convolutions",
    "Subgraph": "attention, and what is fused",
    "MatMul": "attention, and what is fused",
    "Softmax": "attention, and what is fused",
}
OTHERS = "all other operations"
LARGE = 100_000_000  # numbers of an array that no cache holds
MATRIX = (150, 768, 3_072)  # frames of 3 s, inputs and outputs of wav2vec2-base's largest layers


def operations(folder: Path) -> dict[str, float]:
    """Time a model's operations by kind, and its whole call: milliseconds."""
    import openvino

    model = OnnxModel(folder)
    file = folder / (INT8 if "int8" in model.precision else ONNX)
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if "bfloat16" in model.precision else "f32",
        "INFERENCE_NUM_THREADS": 1,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,
        "PERF_COUNT": True,
    }
    request = openvino.Core().compile_model(file, "CPU", options).create_infer_request()
    noise = 0.1 * np.random.default_rng(0).standard_normal(SECONDS * model.extractor.sampling_rate)
    waveform = noise.astype(np.float32)
    inputs = features.model_inputs([waveform], model.extractor, model.rule, STEP)
    request.infer(inputs)
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(REPEATS):
        began = time.perf_counter()
        request.infer(inputs)
        times["together"].append(1_000 * (time.perf_counter() - began))
        counts: dict[str, float] = defaultdict(float)
        for each in request.get_profiling_info():
            kind = KINDS.get(each.node_type, OTHERS)
            counts[kind] += 1_000 * each.real_time.total_seconds()
        for kind, milliseconds in counts.items():
            times[kind].append(milliseconds)
    return {kind: float(np.median(values)) for kind, values in times.items()}


def machine() -> dict[str, float]:
    """Measure what one core can do: multiplications a second, and bytes from memory."""
    torch.set_num_threads(1)
    n_frames, n_inputs, n_outputs = MATRIX
    layer = torch.nn.Linear(n_inputs, n_outputs).to(torch.bfloat16)
    frames = torch.randn(n_frames, n_inputs, dtype=torch.bfloat16)
    array = np.ones(LARGE, np.float32)
    with torch.inference_mode():
        multiply = _median(lambda: layer(frames))
    read = _median(array.sum)
    return {
        "GFLOP/s in bfloat16": 2 * n_frames * n_inputs * n_outputs / multiply / 1e9,
        "GB/s from memory": array.nbytes / read / 1e9,
    }


def _median(work: Any) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def content() -> str:
    """Write the part of docs/speed.md from the results."""
    results = json.loads(FILE.read_text(encoding="utf-8"))
    models = [name for name in NAMES if name in results]
    kinds = [*dict.fromkeys(KINDS.values()), OTHERS, "together"]
    rows = [
        [kind, *(f"{results[model].get(kind, 0.0):.1f} ms" for model in models)] for kind in kinds
    ]
    core = results["machine"]
    lines = table(["a clip of 3 s, one core", *(NAMES[model] for model in models)], rows)
    lines += [
        "",
        f"The same core multiplies {core['GFLOP/s in bfloat16']:.0f} GFLOP/s in bfloat16 in a bare "
        f"loop, and reads {core['GB/s from memory']:.0f} GB/s from memory.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure one model, beside what was measured of others."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=Path, nargs="?", default=SHIPPED, help=f"(default: models/{SHIPPED.name})")
    add("--random-base", action="store_true", help="first make the model, of wav2vec2-base's size")
    args = parser.parse_args()
    if args.random_base:
        maker = ROOT / "benchmarks" / "random_base.py"
        subprocess.run([sys.executable, str(maker), str(args.model)], check=True)
        onnx_export.export(args.model)
    results = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    results |= {args.model.name: operations(args.model), "machine": machine()}
    FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_block(*BLOCK, content())


if __name__ == "__main__":
    main()
