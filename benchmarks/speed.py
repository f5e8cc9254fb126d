"""Time answers against transformers.pipeline, both sides in one run.

    python benchmarks/speed.py            # everything: ten minutes on 2 cores that do nothing else
    python benchmarks/speed.py --quick    # a few clips and repetitions, to see that it works
    python benchmarks/speed.py --table    # the tables again, from benchmarks/results/speed.json

Writes the tables of README.md and docs/speed.md; --quick stores nothing. The model of wav2vec2-base
size has random weights, which cost the same; clips are those of `dataset/`. Linux only.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from blocks import table, write_block

from speech_intent.paths import BUNDLED, ROOT, RUNS, SHIPPED

HERE = ROOT / "benchmarks"
RESULT = HERE / "results" / "speed.json"
ENGINES = HERE / "results" / "engines.json"
INFERENCE = ROOT / "inference.py"
WARM = HERE / "speed_warm.py"
PIPELINE = HERE / "speed_pipeline.py"
README_BLOCK = (ROOT / "README.md", "speed: benchmarks/speed.py")
DOCUMENT_BLOCK = (ROOT / "docs" / "speed.md", "figures: benchmarks/speed.py")
NAMES = {"base": "wav2vec2-base size", "small": "shipped classifier"}
GROWTH = ["1x1", "3x1", "6x1", "15x1", "30x1", "60x1", "3x8", "3x32"]  # seconds x clips
CLIP_SECONDS = 3
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")

Result = dict[str, Any]
Figures = dict[str, float]


@dataclass(frozen=True)
class Ran:
    """A program that ran to its end."""

    seconds: float
    megabytes: float  # the most memory that it held
    last_line: str  # of what it printed

    def cost(self) -> Figures:
        """Say what the whole process cost."""
        return {"seconds": self.seconds, "megabytes": self.megabytes}

    def said(self) -> Result:
        """Read the last line as JSON."""
        return json.loads(self.last_line)


@dataclass(frozen=True)
class Clips:
    """What is answered."""

    one: Path  # of 3 s
    many: Path  # a folder, of 1 to 6 s
    long: Path


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    n_clips: int = 300
    repeat: int = 20
    runs: int = 5
    long_seconds: int = 3600


QUICK = Amount(n_clips=12, repeat=3, runs=1, long_seconds=40)


def run(*command: object) -> Ran:
    """Run a program to its end, the first argument of a Python."""
    began = time.perf_counter()
    words = [sys.executable, *map(str, command)]
    # The package sets it as it is imported, here too; the other side has to be without.
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env) as process:
        out = process.stdout.read()
        _, process.returncode, usage = os.wait4(process.pid, 0)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    seconds = time.perf_counter() - began
    return Ran(seconds, usage.ru_maxrss / 1024, out.splitlines()[-1])


def in_turn(
    ours: list[object],
    theirs: list[object],
    runs: int,
    figures: Callable[[Ran], Figures],
    warm_up: bool = True,
) -> Result:
    """Run two programs in turn; give medians of their figures, and of the ratios pair by pair.

    With `warm_up` the first pair does not count.
    """
    pairs = [(figures(run(*ours)), figures(run(*theirs))) for _ in range(runs + warm_up)]
    pairs = pairs[warm_up:]
    names = list(pairs[0][0])
    return {
        "ours": {name: median(our[name] for our, _ in pairs) for name in names},
        "pipeline": {name: median(their[name] for _, their in pairs) for name in names},
        "ratio": {name: median(our[name] / their[name] for our, their in pairs) for name in names},
        "runs": runs,
    }


def make_models(work: Path) -> dict[str, Path]:
    """Write a classifier of wav2vec2-base size and a copy of ours, both with their ONNX files."""
    models = {"base": work / "base", "small": work / "small"}
    if not (models["small"] / "onnx.json").exists():
        shutil.rmtree(work, ignore_errors=True)
        run(HERE / "random_base.py", models["base"])
        run("-m", "speech_intent.export", models["base"])
        shutil.copytree(SHIPPED, models["small"])
    return models


def make_clips(work: Path, amount: Amount) -> Clips:
    """Write a clip of 3 s, a folder of bundled clips, and a long file."""
    import numpy as np
    import soundfile

    clips = Clips(
        one=work / "clip.wav",
        many=work / f"clips-{amount.n_clips}",
        long=work / f"long-{amount.long_seconds}.wav",
    )
    sources = sorted((BUNDLED / "audio").iterdir())[: amount.n_clips]
    waveform, rate = soundfile.read(sources[0], dtype="float32")
    waveform = np.resize(waveform, CLIP_SECONDS * rate)
    soundfile.write(clips.one, waveform, rate)
    with soundfile.SoundFile(clips.long, "w", rate, 1) as file:
        # In pieces: a child's peak memory counts that of its parent.
        for _ in range(amount.long_seconds // CLIP_SECONDS):
            file.write(waveform)
    shutil.rmtree(clips.many, ignore_errors=True)
    clips.many.mkdir()
    for source in sources:
        (clips.many / source.name).symlink_to(source)
    return clips


def measure(work: Path, amount: Amount) -> Result:
    """Take every figure of both models."""
    models = make_models(work)
    clips = make_clips(work, amount)
    result: Result = {"machine": machine(), "clips": amount.n_clips}
    for name, model in models.items():
        print(f"{NAMES[name]} ...", flush=True)
        result[name] = measure_model(model, clips, amount)
    return result


def measure_model(model: Path, clips: Clips, amount: Amount) -> Result:
    """Take every figure of one model."""
    ours = [INFERENCE, "--json", "--model", model]
    theirs = [PIPELINE, model]
    repeat = ["--repeat", amount.repeat]
    few = ["--repeat", max(3, amount.repeat // 3)]
    growth = run(WARM, "ours", model, clips.one, *GROWTH, *few).said()
    return {
        "cold": in_turn([*ours, clips.one], [*theirs, clips.one], amount.runs, Ran.cost),
        "warm": in_turn(
            [WARM, "ours", model, clips.one, "3x1", *repeat],
            [WARM, "pipeline", model, clips.one, "3x1", *repeat],
            max(1, amount.runs // 2),
            lambda ran: ran.said()["ms"],
            warm_up=False,
        ),
        "many": in_turn([*ours, clips.many], [*theirs, clips.many], 1, Ran.cost, warm_up=False),
        "precision": growth["precision"],
        "ms": growth["ms"],
        "long": run(WARM, "ours", model, clips.long).said()["megabytes_above"],
    }


def machine() -> str:
    """Describe the processor by what matters to the engines."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    known = re.search(r"flags\s*:(.*)", info)[1].split()
    name = re.search(r"model name.*: (.*)", info)[1]
    flags = [flag for flag in FLAGS if flag in known]
    return f"{os.cpu_count()} cores, {name} ({', '.join(flags)})"


def figure(text: str, value: Any, *path: str) -> str:
    """Write the number at a place in the results, or that there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return "not measured" if value is None else text.format(value)


@dataclass(frozen=True)
class Kind:
    """A figure that both sides have."""

    name: str
    text: str  # format of the number
    path: tuple[str, str]  # in the results of a model

    def of(self, result: Result, model: str, side: str) -> str:
        """Write the figure of one side, "ours" or "pipeline"."""
        return figure(self.text, result, model, self.path[0], side, self.path[1])


def kinds(result: Result) -> list[Kind]:
    """List the figures that both sides have."""
    n_clips = result.get("clips", Amount().n_clips)
    return [
        Kind("cold start of `inference.py` to its answer", "{:.2f} s", ("cold", "seconds")),
        Kind("peak memory of that", "{:.0f} MB", ("cold", "megabytes")),
        Kind("warm, a clip of 3 s", "{:.1f} ms", ("warm", "3x1")),
        Kind(f"{n_clips:,} clips of 1 to 6 s, start included", "{:.1f} s", ("many", "seconds")),
    ]


def short_table(result: Result) -> str:
    """Write the table of README.md: four rows."""
    small, base = NAMES["small"], NAMES["base"]
    header = ["", f"{small}: ours", "pipeline", f"{base}: ours", "pipeline"]
    rows = []
    for kind in kinds(result):
        sides = [
            kind.of(result, model, side)
            for model in ("small", "base")
            for side in ("ours", "pipeline")
        ]
        rows.append([kind.name, *sides])
    return "\n".join(table(header, rows)) + "\n"


def tables(result: Result, engines: Result) -> str:
    """Write the tables of docs/speed.md."""
    parts = [
        *both_sides(result),
        "",
        *growth_table(result),
        "",
        f"Medians; {result.get('machine', 'not measured')}. Precision: {precisions(result)}.",
        "",
        *engines_table(engines),
    ]
    return "\n".join(parts) + "\n"


def both_sides(result: Result) -> list[str]:
    """Write what both sides took, and their ratio."""
    rows = []
    for name, model in NAMES.items():
        for kind in kinds(result):
            sides = [kind.of(result, name, side) for side in ("ours", "pipeline")]
            ratio = figure("{:.2f}", result, name, kind.path[0], "ratio", kind.path[1])
            rows.append([model, kind.name, *sides, ratio])
        long = figure("{:.0f} MB", result, name, "long")
        rows.append([model, "1-hour file, above the loaded model", long, "", ""])
    return table(["model", "measure", "ours", "pipeline", "ours / pipeline"], rows)


def growth_table(result: Result) -> list[str]:
    """Write how the time of a clip grows with its length, and with clips in a call."""
    header = ["ms a clip, warm", *map(growth_name, GROWTH)]
    rows = []
    for name, model in NAMES.items():
        cells = [figure("{:.1f}", result, name, "ms", shape) for shape in GROWTH]
        rows.append([model, *cells])
    return table(header, rows)


def growth_name(shape: str) -> str:
    """Say in words what a shape such as "3x8" is."""
    seconds, n_clips = shape.split("x")
    return f"{seconds} s" if n_clips == "1" else f"{seconds} s, {n_clips} in a call"


def precisions(result: Result) -> str:
    """Say in what both models answer."""
    return ", ".join(
        f"{model} {figure('{}', result, name, 'precision')}" for name, model in NAMES.items()
    )


def engines_table(engines: Result) -> list[str]:
    """Write the comparison of benchmarks/engines.py."""
    if not engines:
        return ["Engines: not measured."]
    command = "`python benchmarks/engines.py runs/speed/base`"
    header = ["engine", "load and first answer", "warm, 3 s", "peak memory"]
    header.append("largest difference of a logit")
    rows = [
        [
            name,
            f"{row['first_seconds']:.2f} s",
            f"{row['warm_ms']:.0f} ms",
            f"{row['megabytes']:.0f} MB",
            f"{row['difference']:.1e}",
        ]
        for name, row in engines.items()
    ]
    return [
        f"Engines, wav2vec2-base size, the same machine ({command}):",
        "",
        *table(header, rows),
    ]


def load(path: Path) -> Result:
    """Read a result file; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def blocks() -> list[tuple[Path, str, str]]:
    """List what this program writes: file, name of the block, content."""
    result = load(RESULT)
    return [
        (*README_BLOCK, short_table(result)),
        (*DOCUMENT_BLOCK, tables(result, load(ENGINES))),
    ]


def main() -> None:
    """Measure, store, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument(
        "--work", type=Path, default=RUNS / "speed", help="models and clips (default: runs/speed)"
    )
    args = parser.parse_args()
    if args.quick:
        print(json.dumps(measure(args.work, QUICK), indent=1))
        return
    if not args.table:
        result = measure(args.work, Amount())
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for path, name, content in blocks():
        write_block(path, name, content)


if __name__ == "__main__":
    main()
