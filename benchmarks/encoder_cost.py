"""What an encoder costs: size, one pass of a 3 s clip, training on 500 clips of 4 s.

python benchmarks/encoder_cost.py --output runs/cost.json

Trained with the default settings, and with `--freeze encoder`, start and encoding included. The
clips are bundled ones, one after the other until they fill 4 s, and cut there.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch

from speech_intent import audio, data, hub_models, model, training
from speech_intent.paths import BUNDLED_ENCODERS
from speech_intent.recipes import resolve

if TYPE_CHECKING:
    from datasets import DatasetDict

RATE = 16_000  # Hz
N_CLIPS = 500
N_VALIDATION = 50
SECONDS = 4.0
PASS_SECONDS = 3
WARM_UP = 10  # passes that do not count


def forward_ms(encoder: str, passes: int = 100) -> list[float]:
    """Time passes of a 3 s clip through the encoder with its head."""
    classifier = model.build_model(encoder, ["a", "b"])
    waveform = np.random.default_rng(0).standard_normal(PASS_SECONDS * RATE).astype(np.float32)
    inputs = classifier.extractor(waveform, sampling_rate=RATE, return_tensors="pt")
    network = classifier.model.eval()
    times = []
    with torch.inference_mode():
        for _ in range(passes + WARM_UP):
            began = time.perf_counter()
            network(inputs["input_values"])
            times.append(1000 * (time.perf_counter() - began))
    return times[WARM_UP:]


def fixed_clips(folder: Path) -> "DatasetDict":
    """Write 500 bundled training clips of exactly 4 s; return them with 50 validation clips."""
    tables = data.load_data().tables
    train = tables["train"].shuffle(seed=0).select(range(N_CLIPS))
    n_samples = round(SECONDS * RATE)

    def fix(row: dict[str, Any], index: int) -> dict[str, Any]:
        path = folder / f"{index}.wav"
        waveform = audio.load(row["audio"], RATE)
        soundfile.write(path, np.resize(waveform, n_samples), RATE)
        return {"audio": {"bytes": None, "path": str(path)}, "seconds": SECONDS}

    tables["train"] = train.map(fix, with_indices=True)
    tables["validation"] = tables["validation"].shuffle(seed=0).select(range(N_VALIDATION))
    return tables


def megabytes(encoder: str) -> float | None:
    """Count what an encoder takes on disk; None where it is on the Hub."""
    folder = Path(BUNDLED_ENCODERS.get(encoder, encoder))
    if not folder.is_dir():
        return None
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


def training_cost(
    encoder: str, freeze: str, tables: "DatasetDict", output_dir: Path
) -> dict[str, Any]:
    """Train on the clips with the default settings; give seconds, steps and epochs."""
    recipe = resolve("bundled", encoder=encoder, freeze=freeze, unknown="none")
    began = time.perf_counter()
    record = training.fine_tune(recipe, tables, output_dir)
    seconds = time.perf_counter() - began
    kept = {name: record[name] for name in ("steps", "epochs", "parameters")}
    return {"seconds": round(seconds, 1), **kept}


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="moonshine", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    args = parser.parse_args()
    hub_models.quiet_transformers()
    times = forward_ms(args.encoder)
    with tempfile.TemporaryDirectory() as scratch:
        tables = fixed_clips(Path(scratch))
        frozen = training_cost(args.encoder, "encoder", tables, Path(scratch) / "frozen")
        tuned = training_cost(args.encoder, "auto", tables, Path(scratch) / "tuned")
    result = {
        "encoder": args.encoder,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "parameters": tuned["parameters"],
        "megabytes": megabytes(args.encoder),
        "forward_3s_ms": {
            "median": statistics.median(times),
            "p90": float(np.quantile(times, 0.9)),
            "n": len(times),
        },
        "clips": {"n": N_CLIPS, "seconds": SECONDS},
        "frozen": frozen,
        "fine_tuned": tuned,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
