"""Requests a second with thousands of connections at once: serve.py against plain FastAPI + pipeline servers.

    python benchmarks/load_test.py                      # the classifier in models/
    python benchmarks/load_test.py --model runs/base    # another one; --random-base makes one of wav2vec2-base's size
    python benchmarks/load_test.py --table              # docs/scaling.md again, from benchmarks/results/

All servers run in this one run, one after the other, on the first two cores of the machine, which they share with the
load generator (locust); the plain one with its model in FastAPI's threads, and one call at a time. Every connection
sends WAV clips of mixed length from the bundled test split, one after the other. Only those answers with status 200
count that equal the predictor's own (serve.py: IntentClassifier; the others: the pipeline), and only those that come
after the last connection is there; 503 and errors are counted apart.
"""

import argparse
import io
import json
import os
import pickle
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import soundfile

from speech_intent import IntentClassifier, audio, data, export, hub

ROOT = Path(__file__).resolve().parents[1]
RESULTS, DOCUMENT = ROOT / "benchmarks" / "results", ROOT / "docs" / "scaling.md"
BLOCK = r"(?s)(<!-- figures: benchmarks/load_test.py -->\n).*?(<!-- end -->)"
SHIPPED = ROOT / "models" / "wav2vec2-small-scooter"
N_CLIPS, CORES, RAMP = 100, 2, 500  # RAMP: new connections a second
PATHS = {"serve.py": "/predict", "pipeline, in threads": "/threads", "pipeline, one at a time": "/alone"}
NAMES = {"wav2vec2-small-scooter": "shipped", "base": "wav2vec2-base size"}
LABELS = [f"intent_{i}" for i in range(9)]


def clips() -> list[bytes]:
    """Encode every fourth clip of the bundled test split as a WAV file."""
    rows = data.load_data("bundled")[0]["test"]["audio"]
    files = []
    for row in rows[:: max(1, len(rows) // N_CLIPS)][:N_CLIPS]:
        file = io.BytesIO()
        soundfile.write(file, audio.load(row, 16_000), 16_000, format="WAV")
        files.append(file.getvalue())
    return files


def form(clip: bytes) -> bytes:
    """Put a clip into a form, as a browser does."""
    head = b'--clip\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n\r\n'
    return head + clip + b"\r\n--clip--\r\n"


def own_answers(server: str, model: str, wavs: list[bytes]) -> list[dict[str, float]]:
    """Ask what a server runs directly: the score of each label, for each clip."""
    if server == "serve.py":
        classifier = IntentClassifier.from_pretrained(model, parallel=True)
        return [dict(classifier.predict(wav).scores) for wav in wavs]
    from transformers import pipeline

    classify = pipeline("audio-classification", model=model)
    waveforms = [soundfile.read(io.BytesIO(wav), dtype="float32") for wav in wavs]
    answers = [classify({"raw": waveform, "sampling_rate": rate}, top_k=None) for waveform, rate in waveforms]
    return [{entry["label"]: entry["score"] for entry in answer} for answer in answers]


def start(server: str, model: str, port: int) -> subprocess.Popen:
    """Start a server and wait until it is up."""
    plain = ["-m", "uvicorn", "pipeline_server:app", "--app-dir", "benchmarks", "--no-access-log", "--port", str(port)]
    command = [sys.executable, *(["serve.py"] if server == "serve.py" else plain)]
    names = {"SPEECH_INTENT_MODEL": model, "SPEECH_INTENT_PORT": str(port), "MODEL": model}
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | names)
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return process
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"error: {server} ended with status {process.returncode}") from None
            time.sleep(0.2)


def load(port: int, path: str, connections: int, seconds: int, work: Path) -> tuple[list[tuple[float, str]], int]:
    """Run the load generator.

    Give (seconds, kind) of what was answered after all connections were there, and how many answers there were in all.
    """
    command = [sys.executable, "-m", "locust", "-f", "benchmarks/load_client.py", "--headless", "--loglevel", "ERROR"]
    command += ["-u", str(connections), "-r", str(RAMP), "--run-time", f"{seconds + connections // RAMP + 5}s"]
    command += ["--host", f"http://127.0.0.1:{port}"]
    environment = os.environ | {"LOAD_TEST_FOLDER": str(work), "LOAD_TEST_PATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: locust ended with status {done.returncode}\n{done.stderr}")
    record = json.loads((work / "answered.json").read_text())
    answered = record["answered"]
    measured = [(took, kind) for when, took, kind in answered if 0 <= when - record["began"] <= seconds]
    return measured, sum(kind == "200" for *_, kind in answered)


def measure(server: str, model: str, wavs: list[bytes], connections: int, seconds: int) -> dict:
    """Put one server under load."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        work, answers = Path(folder), own_answers(server, model, wavs)
        requests = [(form(wav), answer) for wav, answer in zip(wavs, answers, strict=True)]
        (work / "requests.pickle").write_bytes(pickle.dumps(requests))
        process = start(server, model, port)
        try:
            before = psutil.Process(process.pid).cpu_times()
            results, n_answers = load(port, PATHS[server], connections, seconds, work)
            after = psutil.Process(process.pid).cpu_times()
        finally:
            process.kill()
            process.wait()
    good = [took for took, kind in results if kind == "200"]
    busy = after.user + after.system - before.user - before.system
    return {
        "answers": dict(Counter(kind for _, kind in results)),
        "requests_per_second": len(good) / seconds,
        "seconds": {f"p{q}": float(np.quantile(good, q / 100)) for q in (50, 95, 99)} if good else {},
        "core_seconds_per_request": busy / n_answers if n_answers else None,
    }


def random_base(folder: Path) -> None:
    """Save a classifier of wav2vec2-base's size with random weights."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
    Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**labels)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


def tables() -> str:
    """Write the measured part of docs/scaling.md from the stored results; empty where there are none."""
    files = [RESULTS / f"{name}.json" for name in ("serving", "batching")]
    serving, batching = ({} if not file.exists() else json.loads(file.read_text()) for file in files)
    lines = ["| model | server | answers/s | serve.py answers | 503 | others | p50 | p95 | p99 | core-s a request |"]
    lines += ["|---" * 10 + "|"]
    for key, name in NAMES.items():
        servers = serving.get(key, {}).get("servers", {})
        for server, row in servers.items():
            kinds, rate, cost = dict(row["answers"]), row["requests_per_second"], row["core_seconds_per_request"]
            refused, others = kinds.pop("503", 0), sum(n for kind, n in kinds.items() if kind != "200")
            times = f"{servers['serve.py']['requests_per_second'] / rate:.1f} times as many" if rate else "-"
            waits = [f"{row['seconds'][p]:.1f} s" if rate else "-" for p in ("p50", "p95", "p99")]
            cells = [name, server, f"{rate:.1f}", times if server != "serve.py" else "", refused, others, *waits]
            lines.append(f"| {' | '.join(map(str, cells))} | {f'{cost:.3f}' if cost else '-'} |")
    lines += ["", "| model | batches of 8, mixed lengths | batches of 8, equal lengths |", "|---|---|---|"]
    for key, name in NAMES.items():
        if row := batching.get(key):
            lines.append(f"| {name} | {100 * row['mixed']['gain']:+.0f} % | {100 * row['equal']['gain']:+.0f} % |")
    lines += ["", "| on paper | formula | shipped | wav2vec2-base size |", "|---|---|---|---|"]
    runs = [serving[key] for key in NAMES if key in serving]
    costs = [run["servers"]["serve.py"]["core_seconds_per_request"] for run in runs]
    cores, hours = (
        [10_000 * c / 0.7 for c in costs],
        [1e6 * c / run["clip_seconds"] for c, run in zip(costs, runs, strict=True)],
    )
    bits = [10_000 * (32_000 * run["clip_seconds"] + 44) * 8 / 1e9 for run in runs]
    rows = {
        "cores for 10,000 requests a second, 70 % busy | 10,000 · *c* / 0.7": [f"{n:,.0f}" for n in cores],
        "machines of 32 cores | cores / 32": [f"{n / 32:,.0f}" for n in cores],
        "incoming audio, WAV | 10,000 · *b* · 8 bits": [f"{n:.1f} Gbit/s" for n in bits],
        "core-hours for a million hours of audio | 10⁶ · *c* / *s*": [f"{n:,.0f}" for n in hours],
        "days on 1,000 cores | core-hours / 24,000": [f"{n / 24_000:,.1f}" for n in hours],
    }
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    if runs:
        seconds, machine = runs[0]["clip_seconds"], runs[0]["machine"]
        lines += [
            "",
            f"*c*: core-seconds a request; *s* = {seconds:.2f}, mean seconds of a clip; *b*: its bytes as WAV.",
        ]
        lines += [f"{machine}; {runs[0]['connections']:,} connections, {runs[0]['seconds']} s."]
    return "\n".join(lines) + "\n"


def write_tables() -> None:
    """Put the tables into docs/scaling.md."""
    text = re.sub(BLOCK, lambda block: block[1] + tables() + block[2], DOCUMENT.read_text(encoding="utf-8"))
    DOCUMENT.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure both servers and write the figures, beside those of other models."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--model", type=Path, default=SHIPPED, metavar="DIR", help="(default: models/wav2vec2-small-scooter)"
    )
    p.add_argument("--random-base", action="store_true", help="first make DIR, of wav2vec2-base's size, random weights")
    p.add_argument("--connections", type=int, default=2000, help="at once (default: %(default)s)")
    p.add_argument("--seconds", type=int, default=60, help="of measuring each server (default: %(default)s)")
    p.add_argument("--output", type=Path, default=RESULTS / "serving.json", help="JSON file")
    p.add_argument("--table", action="store_true", help="measure nothing")
    args = p.parse_args()
    if args.table:
        write_tables()
        return
    if args.random_base:
        random_base(args.model)
        export.export(args.model)
    hub.quiet_transformers()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    wavs, model = clips(), str(args.model.resolve())
    servers = {server: measure(server, model, wavs, args.connections, args.seconds) for server in PATHS}
    result = {
        "connections": args.connections,
        "seconds": args.seconds,
        "clip_seconds": float(np.mean([soundfile.info(io.BytesIO(wav)).duration for wav in wavs])),
        "machine": f"{CORES} of {os.cpu_count()} cores, {platform.machine()}",
        "servers": servers,
    }
    results = json.loads(args.output.read_text()) if args.output.exists() else {}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results | {args.model.name: result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    write_tables()


if __name__ == "__main__":
    main()
