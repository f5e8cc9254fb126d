"""Requests a second with thousands of connections at once: serve.py against plain servers.

    python benchmarks/load_test.py                      # the classifier in models/
    python benchmarks/load_test.py --model runs/base    # another one
    python benchmarks/load_test.py --table              # docs/scaling.md again, from the results

--random-base first makes the model, of wav2vec2-base's size. The plain servers are FastAPI around
transformers.pipeline, with the model in FastAPI's threads, and one call at a time. All run in this
one run, one after the other, on the first two cores of the machine, which they share with the load
generator (locust). Every connection sends WAV clips of mixed length from the bundled test split,
one after the other. Only those answers with status 200 count that equal the predictor's own
(serve.py: IntentClassifier; the others: the pipeline), and only those that come after the last
connection is there; 503 and errors are counted apart.
"""

import argparse
import io
import json
import os
import pickle
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from blocks import table, write_block

from speech_intent import IntentClassifier, audio, data, hub_models, onnx_export
from speech_intent.paths import ROOT, SHIPPED

RESULTS = ROOT / "benchmarks" / "results"
BLOCK = (ROOT / "docs" / "scaling.md", "figures: benchmarks/load_test.py")
RATE = 16_000  # Hz
N_CLIPS = 100
CORES = 2
RAMP = 500  # new connections a second
SPARE_SECONDS = 5
OURS = "serve.py"
PATHS = {
    OURS: "/predict",
    "pipeline, in threads": "/threads",
    "pipeline, one at a time": "/alone",
}
NAMES = {SHIPPED.name: "shipped", "base": "wav2vec2-base size"}  # by folder
QUANTILES = (50, 95, 99)  # percent
BUSY = 0.7  # of the cores, on paper

Result = dict[str, Any]


@dataclass(frozen=True)
class Load:
    """What a load generator saw."""

    measured: list[tuple[float, str]]  # seconds and kind of answers once all connections were there
    n_answers: int  # with status 200, in all

    @property
    def waits(self) -> list[float]:
        """The seconds of what was answered rightly."""
        return [seconds for seconds, kind in self.measured if kind == "200"]


def clips() -> list[bytes]:
    """Encode every fourth clip of the bundled test split as a WAV file."""
    sources = data.load_data().tables["test"]["audio"]
    step = max(1, len(sources) // N_CLIPS)
    files = []
    for source in sources[::step][:N_CLIPS]:
        file = io.BytesIO()
        soundfile.write(file, audio.load(source, RATE), RATE, format="WAV")
        files.append(file.getvalue())
    return files


def form(clip: bytes) -> bytes:
    """Put a clip into a form, as a browser does."""
    disposition = b'Content-Disposition: form-data; name="file"; filename="clip.wav"'
    return b"--clip\r\n" + disposition + b"\r\n\r\n" + clip + b"\r\n--clip--\r\n"


def expected_scores(server: str, model: str, wavs: list[bytes]) -> list[dict[str, float]]:
    """Ask what a server runs directly: the score of each label, for each clip."""
    if server == OURS:
        classifier = IntentClassifier.from_pretrained(model, parallel=True)
        return [dict(classifier.predict(wav).scores) for wav in wavs]
    from transformers import pipeline

    classify = pipeline("audio-classification", model=model, trust_remote_code=False)
    scores = []
    for wav in wavs:
        waveform, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
        answer = classify({"raw": waveform, "sampling_rate": rate}, top_k=None)
        scores.append({entry["label"]: entry["score"] for entry in answer})
    return scores


def start(server: str, model: str, port: int) -> subprocess.Popen:
    """Start a server and wait until it is up."""
    if server == OURS:
        arguments = ["serve.py"]
    else:
        arguments = ["-m", "uvicorn", "pipeline_server:app", "--app-dir", "benchmarks"]
        arguments += ["--no-access-log", "--port", str(port)]
    environment = {
        **os.environ,
        "SPEECH_INTENT_MODEL": model,
        "SPEECH_INTENT_PORT": str(port),
        "MODEL": model,
    }
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment)
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return process
        except OSError:
            if process.poll() is not None:
                message = f"error: {server} ended with status {process.returncode}"
                raise SystemExit(message) from None
            time.sleep(0.2)


def put_under_load(port: int, path: str, connections: int, seconds: int, work: Path) -> Load:
    """Run the load generator."""
    run_time = seconds + connections // RAMP + SPARE_SECONDS
    command = [sys.executable, "-m", "locust", "-f", "benchmarks/load_client.py", "--headless"]
    command += ["--loglevel", "ERROR", "-u", str(connections), "-r", str(RAMP)]
    command += ["--run-time", f"{run_time}s", "--host", f"http://127.0.0.1:{port}"]
    environment = {**os.environ, "LOAD_TEST_FOLDER": str(work), "LOAD_TEST_PATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: locust ended with status {done.returncode}\n{done.stderr}")
    record = json.loads((work / "answered.json").read_text(encoding="utf-8"))
    began = record["began"]
    measured = [
        (took, kind) for when, took, kind in record["answered"] if 0 <= when - began <= seconds
    ]
    return Load(measured, sum(kind == "200" for *_, kind in record["answered"]))


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def core_seconds(process: psutil.Process) -> float:
    """Read how long a process has kept cores busy."""
    times = process.cpu_times()
    return times.user + times.system


def measure(server: str, model: str, wavs: list[bytes], connections: int, seconds: int) -> Result:
    """Put one server under load."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        scores = expected_scores(server, model, wavs)
        requests = [(form(wav), expected) for wav, expected in zip(wavs, scores, strict=True)]
        (work / "requests.pickle").write_bytes(pickle.dumps(requests))
        process = start(server, model, port)
        try:
            before = core_seconds(psutil.Process(process.pid))
            load = put_under_load(port, PATHS[server], connections, seconds, work)
            busy = core_seconds(psutil.Process(process.pid)) - before
        finally:
            process.kill()
            process.wait()
    waits = load.waits
    quantiles = {}
    if waits:
        quantiles = {f"p{q}": float(np.quantile(waits, q / 100)) for q in QUANTILES}
    return {
        "answers": dict(Counter(kind for _, kind in load.measured)),
        "requests_per_second": len(waits) / seconds,
        "seconds": quantiles,
        "core_seconds_per_request": busy / load.n_answers if load.n_answers else None,
    }


def load_results(name: str) -> Result:
    """Read one result file; empty where nothing has been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def tables() -> str:
    """Write the measured part of docs/scaling.md from the stored results."""
    serving = load_results("serving")
    runs = {name: serving[key] for key, name in NAMES.items() if key in serving}
    lines = [
        *servers_table(serving),
        "",
        *batching_table(load_results("batching")),
        "",
        *paper_table(runs),
    ]
    if runs:
        first = next(iter(runs.values()))
        lines += [
            "",
            f"*c*: core-seconds a request; *s* = {first['clip_seconds']:.2f}, mean seconds of a "
            "clip; *b*: its bytes as WAV.",
            f"{first['machine']}; {first['connections']:,} connections, {first['seconds']} s.",
        ]
    return "\n".join(lines) + "\n"


def servers_table(serving: Result) -> list[str]:
    """Write what each server answered, and how fast."""
    header = ["model", "server", "answers/s", "serve.py answers", "503", "others"]
    header += ["p50", "p95", "p99", "core-s a request"]
    rows = []
    for key, name in NAMES.items():
        servers = serving.get(key, {}).get("servers", {})
        for server, row in servers.items():
            ours = servers[OURS]["requests_per_second"]
            rows.append([name, server, *server_cells(row, ours, is_ours=server == OURS)])
    return table(header, rows)


def server_cells(row: Result, our_rate: float, is_ours: bool) -> list[str]:
    """Write what one server answered; `our_rate` is what serve.py answered a second."""
    rate = row["requests_per_second"]
    kinds = row["answers"]
    n_others = sum(n for kind, n in kinds.items() if kind not in ("200", "503"))
    cost = row["core_seconds_per_request"]
    times = f"{our_rate / rate:.1f} times as many" if rate else "-"
    waits = [f"{row['seconds'][f'p{q}']:.1f} s" if rate else "-" for q in QUANTILES]
    return [
        f"{rate:.1f}",
        "" if is_ours else times,
        str(kinds.get("503", 0)),
        str(n_others),
        *waits,
        f"{cost:.3f}" if cost else "-",
    ]


def batching_table(batching: Result) -> list[str]:
    """Write what batches would gain (benchmarks/batching.py)."""
    header = ["model", "batches of 8, mixed lengths", "batches of 8, equal lengths"]
    rows = []
    for key, name in NAMES.items():
        if key in batching:
            gains = [batching[key][lengths]["gain"] for lengths in ("mixed", "equal")]
            rows.append([name, *(f"{100 * gain:+.0f} %" for gain in gains)])
    return table(header, rows)


def paper_table(runs: Mapping[str, Result]) -> list[str]:
    """Scale the measured costs up, by the name of the model."""
    costs = [run["servers"][OURS]["core_seconds_per_request"] for run in runs.values()]
    seconds = [run["clip_seconds"] for run in runs.values()]
    cores = [10_000 * cost / BUSY for cost in costs]
    hours = [1e6 * cost / length for cost, length in zip(costs, seconds, strict=True)]
    gigabits = [10_000 * (2 * RATE * length + 44) * 8 / 1e9 for length in seconds]  # 16 bit, header
    rows = [
        [
            "cores for 10,000 requests a second, 70 % busy",
            "10,000 · *c* / 0.7",
            *(f"{n:,.0f}" for n in cores),
        ],
        ["machines of 32 cores", "cores / 32", *(f"{n / 32:,.0f}" for n in cores)],
        ["incoming audio, WAV", "10,000 · *b* · 8 bits", *(f"{n:.1f} Gbit/s" for n in gigabits)],
        [
            "core-hours for a million hours of audio",
            "10⁶ · *c* / *s*",
            *(f"{n:,.0f}" for n in hours),
        ],
        ["days on 1,000 cores", "core-hours / 24,000", *(f"{n / 24_000:,.1f}" for n in hours)],
    ]
    return table(["on paper", "formula", *runs], rows)


def measure_all(model: Path, connections: int, seconds: int) -> Result:
    """Put every server under load, one after the other, on the first cores of the machine."""
    hub_models.quiet_transformers()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    wavs = clips()
    name = str(model.resolve())
    servers = {server: measure(server, name, wavs, connections, seconds) for server in PATHS}
    durations = [soundfile.info(io.BytesIO(wav)).duration for wav in wavs]
    return {
        "connections": connections,
        "seconds": seconds,
        "clip_seconds": float(np.mean(durations)),
        "machine": f"{CORES} of {os.cpu_count()} cores, {platform.machine()}",
        "servers": servers,
    }


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        default=SHIPPED,
        metavar="DIR",
        help=f"(default: models/{SHIPPED.name})",
    )
    add("--random-base", action="store_true", help="first make DIR, of wav2vec2-base's size")
    add("--connections", type=int, default=2000, help="at once (default: %(default)s)")
    add("--seconds", type=int, default=60, help="of measuring each server (default: %(default)s)")
    add("--output", type=Path, default=RESULTS / "serving.json", help="JSON file")
    add("--table", action="store_true", help="measure nothing")
    return parser.parse_args()


def main() -> None:
    """Measure all servers and write the figures, beside those of other models."""
    args = parse_arguments()
    path, name = BLOCK
    if args.table:
        write_block(path, name, tables())
        return
    if args.random_base:
        maker = ROOT / "benchmarks" / "random_base.py"
        subprocess.run([sys.executable, str(maker), str(args.model)], check=True)
        onnx_export.export(args.model)
    result = measure_all(args.model, args.connections, args.seconds)
    results = {}
    if args.output.exists():
        results = json.loads(args.output.read_text(encoding="utf-8"))
    results[args.model.name] = result
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    write_block(path, name, tables())


if __name__ == "__main__":
    main()
