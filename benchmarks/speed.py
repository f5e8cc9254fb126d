"""Time answers against transformers.pipeline, both sides in one run, and write the table in README.md.

    python benchmarks/speed.py            # everything: about half an hour on 2 cores that do nothing else
    python benchmarks/speed.py --quick    # a few clips and repetitions, to see that it works; stores nothing
    python benchmarks/speed.py --table    # the table again, from benchmarks/results/speed.json

The model of wav2vec2-base size has random weights, which cost the same; clips are those of `dataset/`. Linux only.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
RESULT = HERE / "results" / "speed.json"
SCOOTER = ROOT / "models" / "wav2vec2-small-scooter"
BLOCK = r"(?s)(<!-- figures: benchmarks/speed.py -->\n).*?(<!-- end -->)"
NAMES = {"base": "wav2vec2-base size", "small": "bundled small model"}
GROWTH = ["1x1", "3x1", "6x1", "15x1", "30x1", "60x1", "3x8", "3x32"]  # seconds x clips


def run(*command) -> dict:
    """Run a program to its end; give its seconds, the most memory it held, and the last line it printed."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True) as process:
        out = process.stdout.read()
        _, process.returncode, usage = os.wait4(process.pid, 0)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    took = time.perf_counter() - began
    return {"seconds": took, "megabytes": usage.ru_maxrss / 1024, "said": out.splitlines()[-1]}


def in_turn(ours: list, theirs: list, runs: int, figures, warm_up: bool = True) -> dict:
    """Run two programs in turn; give medians of their `figures`, and of the ratios pair by pair."""
    pairs = [(figures(run(*ours)), figures(run(*theirs))) for _ in range(runs + warm_up)][warm_up:]
    names = pairs[0][0]
    return {
        "ours": {name: median(pair[0][name] for pair in pairs) for name in names},
        "pipeline": {name: median(pair[1][name] for pair in pairs) for name in names},
        "ratio": {name: median(pair[0][name] / pair[1][name] for pair in pairs) for name in names},
        "runs": runs,
    }


def process_figures(ran: dict) -> dict:
    """Pick what a whole process cost."""
    return {"seconds": ran["seconds"], "megabytes": ran["megabytes"]}


def make_models(work: Path) -> dict[str, Path]:
    """Write a classifier of wav2vec2-base size with random weights, and a copy of ours, both with their ONNX files."""
    models = {"base": work / "base", "small": work / "small"}
    if not (models["small"] / "onnx.json").exists():
        shutil.rmtree(work, ignore_errors=True)
        program = "import sys, torch, transformers as t; torch.manual_seed(0); "
        program += "t.Wav2Vec2ForSequenceClassification(t.Wav2Vec2Config(num_labels=9)).save_pretrained(sys.argv[1]); "
        program += "t.Wav2Vec2FeatureExtractor().save_pretrained(sys.argv[1]); print('made')"
        run("-c", program, models["base"])
        run("-m", "speech_intent.export", models["base"])
        shutil.copytree(SCOOTER, models["small"])
        run("-m", "speech_intent.export", models["small"])
    return models


def make_clips(work: Path, n_clips: int, long_seconds: int) -> tuple[Path, Path, Path]:
    """Write a clip of 3 s, a folder of bundled clips of 1 to 6 s, and a long file."""
    import numpy as np
    import soundfile

    sources = sorted((ROOT / "dataset" / "audio").iterdir())[:n_clips]
    waveform, rate = soundfile.read(sources[0], dtype="float32")
    clip, folder, long = work / "clip.wav", work / f"clips-{n_clips}", work / f"long-{long_seconds}.wav"
    waveform = np.resize(waveform, 3 * rate)
    soundfile.write(clip, waveform, rate)
    with soundfile.SoundFile(long, "w", rate, 1) as file:
        for _ in range(long_seconds // 3):  # in pieces: a child's peak memory counts that of its parent
            file.write(waveform)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for source in sources:
        (folder / source.name).symlink_to(source)
    return clip, folder, long


def measure(work: Path, n_clips: int = 1000, repeat: int = 20, runs: int = 9, long_seconds: int = 3600) -> dict:
    """Take every figure of both models."""
    models, (clip, folder, long) = make_models(work), make_clips(work, n_clips, long_seconds)
    result: dict = {"machine": machine(), "clips": n_clips}
    for name, model in models.items():
        print(f"{NAMES[name]} ...", flush=True)
        warm, count = HERE / "speed_warm.py", ["--repeat", repeat]
        ours, theirs = [ROOT / "inference.py", "--json", "--model", model], [HERE / "speed_pipeline.py", model]
        result[name] = {
            "cold": in_turn([*ours, clip], [*theirs, clip], runs, process_figures),
            "warm": in_turn(
                [warm, "ours", model, clip, "3x1", *count],
                [warm, "pipeline", model, clip, "3x1", *count],
                max(1, runs // 2),
                lambda ran: json.loads(ran["said"])["ms"],
                warm_up=False,
            ),
            "many": in_turn([*ours, folder], [*theirs, folder], 1, process_figures, warm_up=False),
        }
        result[name] |= json.loads(run(warm, "ours", model, clip, *GROWTH, "--repeat", max(3, repeat // 3))["said"])
        result[name] |= {"long": json.loads(run(warm, "ours", model, long)["said"])["megabytes_above"]}
    return result


def machine() -> str:
    """Describe the processor by what matters to the engines."""
    info = Path("/proc/cpuinfo").read_text()
    known = re.search(r"flags\s*:(.*)", info)[1].split()
    has = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8") if flag in known]
    return f"{os.cpu_count()} cores, {re.search(r'model name.*: (.*)', info)[1]} ({', '.join(has)})"


def figure(text: str, value, *path) -> str:
    """Write the number at a place in the results, or that there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return "not measured" if value is None else text.format(value)


def table() -> str:
    """Write the tables of README.md."""
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    many = f"{result.get('clips', 1000):,} clips of 1 to 6 s, start included"
    kinds = [
        ("cold start of `inference.py` to its answer", "{:.2f} s", "cold", "seconds"),
        ("peak memory of that", "{:.0f} MB", "cold", "megabytes"),
        ("warm, a clip of 3 s", "{:.1f} ms", "warm", "3x1"),
        (many, "{:.1f} s", "many", "seconds"),
    ]
    lines = ["| model | measure | ours | pipeline | ours / pipeline |", "|---|---|---|---|---|"]
    for name, model in NAMES.items():
        for what, text, *path in kinds:
            sides = [figure(text, result, name, path[0], side, path[1]) for side in ("ours", "pipeline")]
            ratio = figure("{:.2f}", result, name, path[0], "ratio", path[1])
            lines.append(f"| {model} | {what} | {sides[0]} | {sides[1]} | {ratio} |")
        lines.append(
            f"| {model} | 1-hour file, above the loaded model | {figure('{:.0f} MB', result, name, 'long')} | | |"
        )
    shapes = [shape.split("x") for shape in GROWTH]
    lines += [
        "",
        "| ms a clip, warm | " + " | ".join(f"{s} s" + f", {n} in a call" * (n != "1") for s, n in shapes) + " |",
    ]
    lines.append("|---" * (len(GROWTH) + 1) + "|")
    for name, model in NAMES.items():
        lines.append(
            f"| {model} | " + " | ".join(figure("{:.1f}", result, name, "ms", shape) for shape in GROWTH) + " |"
        )
    precisions = ", ".join(f"{model} {figure('{}', result, name, 'precision')}" for name, model in NAMES.items())
    lines += ["", f"Medians; {result.get('machine', 'not measured')}. Precision: {precisions}."]
    return "\n".join([*lines, *engines()]) + "\n"


def engines() -> list[str]:
    """Write the comparison of benchmarks/engines.py."""
    path = RESULT.with_name("engines.json")
    if not path.exists():
        return ["\nEngines: not measured."]
    lines = ["\nEngines, wav2vec2-base size, the same machine (`python benchmarks/engines.py runs/speed/base`):\n"]
    lines += ["| engine | load and first answer | warm, 3 s | peak memory | largest difference of a logit |"]
    text = "| {} | {first_seconds:.2f} s | {warm_ms:.0f} ms | {megabytes:.0f} MB | {difference:.1e} |"
    rows = json.loads(path.read_text()).items()
    return [*lines, "|---|---|---|---|---|", *(text.format(name, **row) for name, row in rows)]


def main() -> None:
    """Measure, store, and write the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--table", action="store_true")
    p.add_argument("--work", type=Path, default=ROOT / "runs" / "speed", help="models and clips (default: runs/speed)")
    args = p.parse_args()
    if args.quick:
        print(json.dumps(measure(args.work, n_clips=12, repeat=3, runs=1, long_seconds=40), indent=1))
        return
    if not args.table:
        result = measure(args.work)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(BLOCK, lambda block: block[1] + table() + block[2], text)
    (ROOT / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
