"""Time the engines that can run model.onnx, each in a process of its own: load, a warm clip of 3 s, peak memory.

    pip install onnxruntime==1.31.1
    python benchmarks/speed.py --quick                  # makes runs/speed/base, of wav2vec2-base size
    python benchmarks/engines.py runs/speed/base        # prints a table, stores benchmarks/results/engines.json

Neither ONNX Runtime nor OpenVINO has a working switch for an older processor; run it on one.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

RESULT = Path(__file__).resolve().parent / "results" / "engines.json"
WAYS = {
    "torch, float32": "torch",
    "ONNX Runtime, float32": "ort model.onnx",
    "ONNX Runtime, int8 MatMul": "ort model-ort-int8.onnx",
    "OpenVINO, float32": "openvino model.onnx f32",
    "OpenVINO, its own precision": "openvino model.onnx",
    "OpenVINO, int8 + float32": "openvino model-int8.onnx f32",
    "OpenVINO, int8 + its own precision": "openvino model-int8.onnx",
}


def loaded(folder: Path, engine: str, file: str = "", precision: str = ""):
    """Load a model; return a function from inputs to logits."""
    if engine == "torch":
        import torch
        from transformers import AutoModelForAudioClassification

        model = AutoModelForAudioClassification.from_pretrained(folder).eval()
        return torch.inference_mode()(lambda values, mask: model(torch.from_numpy(values)).logits.numpy())
    if engine == "ort":
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
        return lambda values, mask: session.run(None, {"input_values": values, "attention_mask": mask})[0]
    from speech_intent.engine import GROUP, cache_folder  # first: it keeps OpenVINO from reporting to its makers

    import openvino  # isort: skip

    options = {"CACHE_DIR": cache_folder(), "PERFORMANCE_HINT": "LATENCY", "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP}
    options |= {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    request = openvino.Core().compile_model(folder / file, "CPU", options).create_infer_request()
    return lambda values, mask: request.infer([values, mask])[0].copy()


def child(folder: Path, way: str) -> dict:
    """Measure one way in this process."""
    values = np.random.default_rng(0).standard_normal((1, 48_000)).astype(np.float32)
    mask, began, times = np.ones(values.shape, np.int64), time.perf_counter(), []
    run = loaded(folder, *way.split())
    logits = run(values, mask)
    first = time.perf_counter() - began
    for _ in range(30):
        began = time.perf_counter()
        run(values, mask)
        times.append(1000 * (time.perf_counter() - began))
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    return {"first_seconds": first, "warm_ms": median(times), "megabytes": peak, "logits": logits.tolist()}


def main() -> None:
    """Measure every way three times in turn and keep medians."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, help="exported model folder")
    p.add_argument("--way", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.way:
        print(json.dumps(child(args.folder, args.way)))
        return
    if not (args.folder / "model-ort-int8.onnx").exists():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        model = onnx.load(args.folder / "model.onnx")
        options = {"weight_type": QuantType.QInt8, "per_channel": True, "op_types_to_quantize": ["MatMul"]}
        quantize_dynamic(
            model, args.folder / "model-ort-int8.onnx", extra_options={"MatMulConstBOnly": True}, **options
        )
    rounds = []
    for turn in range(4):  # the first fills the cache
        rounds.append({})
        for name, way in WAYS.items():
            command = [sys.executable, __file__, str(args.folder), "--way", way]
            rounds[turn][name] = json.loads(
                subprocess.check_output(command, stderr=subprocess.DEVNULL).splitlines()[-1]
            )
    exact, result = np.array(rounds[0]["torch, float32"]["logits"]), {}
    print("| engine | first answer | warm, 3 s | peak memory | largest difference of a logit |\n|---|---|---|---|---|")
    for name in WAYS:
        row = {key: median(turn[name][key] for turn in rounds[1:]) for key in ("first_seconds", "warm_ms", "megabytes")}
        row["difference"] = float(np.abs(np.array(rounds[0][name]["logits"]) - exact).max())
        result[name] = row
        text = "| {} | {first_seconds:.2f} s | {warm_ms:.0f} ms | {megabytes:.0f} MB | {difference:.1e} |"
        print(text.format(name, **row))
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
