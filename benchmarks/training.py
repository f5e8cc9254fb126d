"""Compare training with that of transformers' audio classification example, both in one run.

    python benchmarks/training.py                                    # nothing else should run
    python benchmarks/training.py --encoder moonshine                # the others' figures stay
    python benchmarks/training.py --encoder moonshine --clips 40     # stores nothing: does it work?
    python benchmarks/training.py --table       # again, from benchmarks/results/training.json

Writes a block of docs/speed.md. Encoders have their true size and random weights, clips are tones
in noise, 1 to 8 s long; both sides see each clip once, in batches of 8. Linux only.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

from blocks import table, write_block
from speed import machine, run

from speech_intent.paths import ROOT, RUNS

HERE = ROOT / "benchmarks"
RESULT = HERE / "results" / "training.json"
BLOCK = (ROOT / "docs" / "speed.md", "training: benchmarks/training.py")
NAMES = {"wav2vec2": "wav2vec2-base", "whisper": "Whisper base", "moonshine": "Moonshine Tiny"}
N_CLIPS = 200
BATCH = 8
FEW = 5  # of so many clips one, for training beside another program
SEEDS = {"ours": 42, "ours, another seed": 43}
SIDES = (*SEEDS, "reference")
N_PARTS = 5  # of a loss curve
BUSY = "import torch; a = torch.randn(1000, 1000)\nwhile True: a @ a"

Result = dict[str, Any]


@contextmanager
def busy() -> Iterator[subprocess.Popen]:
    """Let another program work on all cores, as programs of torch do."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        try:
            yield process
        finally:
            process.kill()


def make_inputs(encoder: str, n_clips: int, work: Path) -> Path:
    """Write model and clips; return their folder."""
    folder = work / f"{encoder}-{n_clips}"
    shutil.rmtree(folder, ignore_errors=True)
    run(HERE / "training_inputs.py", encoder, n_clips, folder)
    return folder


def train(side: str, folder: Path, *options: object) -> Result:
    """Train one side in a process of its own: what it says, and its peak memory."""
    output = folder / "output"
    program = HERE / f"training_{side}.py"
    ran = run(program, folder / "model", folder / "data", output, *options)
    shutil.rmtree(output)
    return {**ran.said(), "megabytes": ran.megabytes}


def measure(encoder: str, n_clips: int, work: Path) -> Result:
    """Train both sides, ours with two seeds, and ours alone and beside another program."""
    folder = make_inputs(encoder, n_clips, work)
    result: Result = {"machine": machine(), "clips": n_clips}
    for name, seed in SEEDS.items():
        result[name] = train("ours", folder, "--seed", seed)
    result["reference"] = train("reference", folder)
    few = make_inputs(encoder, max(BATCH, n_clips // FEW), work)
    result["alone_seconds"] = train("ours", few)["seconds"]
    with busy():
        result["beside_seconds"] = train("ours", few)["seconds"]
    return result


def clips_a_second(result: Result, side: str) -> float:
    """Give a side's speed, validation included."""
    return result["clips"] / result[side]["seconds"]


def speed_rows(results: Result) -> list[list[str]]:
    """Lay out speed and memory, a row an encoder."""
    rows = []
    for encoder, result in results.items():
        ours, theirs = (clips_a_second(result, side) for side in ("ours", "reference"))
        memory = [f"{result[side]['megabytes']:.0f} MB" for side in ("ours", "reference")]
        slower = result["beside_seconds"] / result["alone_seconds"]
        speeds = [f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.1f}"]
        rows.append([NAMES[encoder], *speeds, *memory, f"{slower:.1f}"])
    return rows


def parts(losses: list[float]) -> list[float]:
    """Average a loss curve over equal parts of the updates."""
    n = len(losses)
    ends = [n * i // N_PARTS for i in range(N_PARTS + 1)]
    return [mean(losses[start:end]) for start, end in pairwise(ends)]


def loss_rows(results: Result) -> list[list[str]]:
    """Lay out loss curves, a row a side."""
    rows = []
    for encoder, result in results.items():
        for side in SIDES:
            losses = [*parts(result[side]["losses"]), result[side]["validation_loss"]]
            rows.append([NAMES[encoder], side, *(f"{loss:.2f}" for loss in losses)])
    return rows


def tables(results: Result) -> str:
    """Write the block."""
    speed_header = ["encoder", "clips a second: ours", "reference", "ours / reference"]
    speed_header += ["peak memory: ours", "reference", "ours beside a busy program / alone"]
    curve = [f"loss, part {i + 1} of {N_PARTS}" for i in range(N_PARTS)]
    loss_header = ["encoder", "side", *curve, "validation"]
    conditions = [
        f"{NAMES[encoder]}: {result['clips']} clips, {len(result['ours']['losses'])} updates, "
        f"{'bfloat16' if result['ours']['bfloat16'] else 'float32'}; {result['machine']}."
        for encoder, result in results.items()
    ]
    lines = table(speed_header, speed_rows(results))
    lines += ["", *table(loss_header, loss_rows(results)), "", *conditions]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, store and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--clips", type=int, default=N_CLIPS, help="(default: %(default)s)")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.clips < N_PARTS * BATCH:
        parser.error(f"--clips: give {N_PARTS * BATCH} or more")
    results = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    if not args.table:
        for encoder in args.encoder:
            print(f"{NAMES[encoder]} ...", flush=True)
            measured = measure(encoder, args.clips, RUNS / "training")
            results = {**results, encoder: measured}
            print(tables({encoder: measured}))
            if args.clips == N_CLIPS:
                RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if args.table or args.clips == N_CLIPS:
        write_block(*BLOCK, tables(results))


if __name__ == "__main__":
    main()
