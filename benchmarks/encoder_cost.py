"""What a small encoder costs: size, one forward pass of a 3 s clip, and fine-tuning on 112 clips of 2.5 s.

python benchmarks/encoder_cost.py --encoder small --output runs/cost.json

112 clips is the training set of the scooter system (160 clips, 70 %). The clips are bundled ones, cut or filled with
zeros to 2.5 s.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from speech_intent import audio, data, hub, model, training
from speech_intent.recipes import Hyperparameters

RATE, N_CLIPS, SECONDS = 16_000, 112, 2.5


def forward_ms(encoder: str, passes: int = 100) -> list[float]:
    """Time passes of a 3 s clip through the encoder with its head, after ten that do not count."""
    classifier, extractor = model.build_model(encoder, ["a", "b"])
    waveform = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    inputs = extractor(waveform, sampling_rate=RATE, return_tensors="pt")["input_values"]
    classifier.eval()
    times = []
    with torch.inference_mode():
        for _ in range(passes + 10):
            began = time.perf_counter()
            classifier(inputs)
            times.append(1000 * (time.perf_counter() - began))
    return times[10:]


def fixed_clips(folder: Path):
    """Write 112 bundled training clips of exactly 2.5 s; return the DatasetDict with 18 validation clips."""
    splits, _ = data.load_data("bundled")
    train = splits["train"].shuffle(seed=0).select(range(N_CLIPS))

    def fix(row, index):
        waveform = audio.load(row["audio"], RATE, max_seconds=SECONDS)
        waveform = np.pad(waveform, (0, round(SECONDS * RATE) - len(waveform)))
        soundfile.write(folder / f"{index}.wav", waveform, RATE)
        return {"audio": {"bytes": None, "path": str(folder / f"{index}.wav")}, "seconds": SECONDS}

    splits["train"] = train.map(fix, with_indices=True)
    splits["validation"] = splits["validation"].shuffle(seed=0).select(range(18))
    return splits


def main() -> None:
    """Measure and write the figures."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--encoder", default="small", help="(default: %(default)s)")
    p.add_argument("--output", type=Path, required=True, help="JSON file")
    args = p.parse_args()
    hub.quiet_transformers()
    times = forward_ms(args.encoder)
    with tempfile.TemporaryDirectory() as scratch:
        splits = fixed_clips(Path(scratch))
        began = time.perf_counter()
        record = training.fine_tune(args.encoder, splits, Hyperparameters(), Path(scratch) / "run")
        seconds = time.perf_counter() - began
    folder = model.SMALL if args.encoder == "small" else Path(args.encoder)
    result = {
        "encoder": args.encoder,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "parameters": record["parameters"],
        "megabytes": sum(file.stat().st_size for file in folder.iterdir()) / 1e6 if folder.is_dir() else None,
        "forward_3s_ms": {"median": statistics.median(times), "p90": float(np.quantile(times, 0.9)), "n": len(times)},
        "fine_tune_112_clips": {"seconds": seconds, "steps": record["steps"], "epochs": record["epochs"]},
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
