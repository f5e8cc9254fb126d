"""Requests a second with thousands of connections at once: serve.py against a plain FastAPI + pipeline server.

    python benchmarks/load_test.py                      # the classifier in models/
    python benchmarks/load_test.py --model runs/base    # another one; --random-base makes one of wav2vec2-base's size

Both servers run in this one run, one after the other, on the first two cores of the machine, which they share with the
load generator (locust). Every connection sends WAV clips of mixed length from the bundled test split, one after the
other. Only those answers with status 200 count that equal the predictor's own (serve.py: IntentClassifier; the other:
the pipeline), and only those that come after the last connection is there; 503 and errors are counted apart.
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
from pathlib import Path

import numpy as np
import psutil
import soundfile

from speech_intent import IntentClassifier, audio, data, hub

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "models" / "wav2vec2-small-scooter"
N_CLIPS, CORES, RAMP = 100, 2, 500  # RAMP: new connections a second
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
        classifier = IntentClassifier.from_pretrained(model)
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


def load(port: int, connections: int, seconds: int, work: Path) -> tuple[list[tuple[float, str]], int]:
    """Run the load generator.

    Give (seconds, kind) of what was answered after all connections were there, and how many answers there were in all.
    """
    command = [sys.executable, "-m", "locust", "-f", "benchmarks/load_client.py", "--headless", "--loglevel", "ERROR"]
    command += ["-u", str(connections), "-r", str(RAMP), "--run-time", f"{seconds + connections // RAMP + 5}s"]
    command += ["--host", f"http://127.0.0.1:{port}"]
    environment = os.environ | {"LOAD_TEST_FOLDER": str(work)}
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
            results, n_answers = load(port, connections, seconds, work)
            after = psutil.Process(process.pid).cpu_times()
        finally:
            process.kill()
            process.wait()
    good = [took for took, kind in results if kind == "200"]
    quantiles = np.quantile(good, [0.5, 0.95, 0.99]) if good else [float("nan")] * 3
    return {
        "answers": dict(Counter(kind for _, kind in results)),
        "requests_per_second": len(good) / seconds,
        "seconds": dict(zip(["p50", "p95", "p99"], map(float, quantiles), strict=True)),
        "core_seconds_per_request": (after.user + after.system - before.user - before.system) / max(1, n_answers),
    }


def random_base(folder: Path) -> None:
    """Save a classifier of wav2vec2-base's size with random weights."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
    Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**labels)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


def main() -> None:
    """Measure both servers and write the figures, beside those of other models."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--model", type=Path, default=SHIPPED, metavar="DIR", help="(default: models/wav2vec2-small-scooter)"
    )
    p.add_argument("--random-base", action="store_true", help="first make DIR, of wav2vec2-base's size, random weights")
    p.add_argument("--connections", type=int, default=2000, help="at once (default: %(default)s)")
    p.add_argument("--seconds", type=int, default=60, help="of measuring each server (default: %(default)s)")
    p.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "serving.json", help="JSON file")
    args = p.parse_args()
    if args.random_base:
        random_base(args.model)
    hub.quiet_transformers()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    wavs, model = clips(), str(args.model.resolve())
    servers = {
        server: measure(server, model, wavs, args.connections, args.seconds) for server in ("serve.py", "pipeline")
    }
    ours, plain = (servers[name]["requests_per_second"] for name in ("serve.py", "pipeline"))
    result = {
        "connections": args.connections,
        "seconds": args.seconds,
        "clip_seconds": float(np.mean([soundfile.info(io.BytesIO(wav)).duration for wav in wavs])),
        "machine": f"{CORES} of {os.cpu_count()} cores, {platform.machine()}",
        "servers": servers,
        "ratio": ours / plain if plain else None,
    }
    results = json.loads(args.output.read_text()) if args.output.exists() else {}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results | {args.model.name: result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
