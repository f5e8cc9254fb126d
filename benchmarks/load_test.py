"""Requests a second under load: serve.py against plain servers, in a storm, under attack.

    python benchmarks/load_test.py            # the classifier in models/; needs wrk
    python benchmarks/load_test.py --table    # docs/scaling.md again, from the results

The plain servers are FastAPI around transformers.pipeline, with the model in FastAPI's threads, and
one call at a time. All run in this one run, one after the other, on the first two cores of the
machine, which they share with wrk. Every connection sends WAV clips of mixed length from the
bundled test split, one after the other, and asks again at once, whatever it got. Only answers with
the label that the predictor itself gives count as right.

Under attack, one more client sends the worst batch that is taken, again and again (a hundred FLACs
of a minute's silence, eight channels at 192 kHz), and 200 connections send headers only.
"""

import argparse
import contextlib
import http.client
import io
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from blocks import UNMEASURED, table, write_block

from speech_intent import IntentClassifier, audio, data, hub_models
from speech_intent.paths import ROOT, SHIPPED

RESULTS = ROOT / "benchmarks" / "results"
BLOCK = (ROOT / "docs" / "scaling.md", "figures: benchmarks/load_test.py")
RATE = 16_000  # Hz
N_CLIPS = 100
CORES = 2
OURS = "serve.py"
PATHS = {
    OURS: "/predict",
    "pipeline, in threads": "/threads",
    "pipeline, one at a time": "/alone",
}
FEW, MANY = 64, 2_000  # connections
PATIENCE = 120  # seconds that wrk waits for an answer; 2,000 on a plain server wait long
QUANTILES = (50, 99)  # percent
N_HALF_OPEN = 200
N_REQUESTS = 200_000  # after which memory is compared
SHORT = 0.25  # seconds of a clip of these
BEFORE_THE_END = 15  # seconds of storm until the server is told to end
BUSY = 0.7  # of the cores, on paper

Result = dict[str, Any]


def clips() -> list[np.ndarray]:
    """Read every fourth clip of the bundled test split: waveforms at 16 kHz."""
    sources = data.load_data().tables["test"]["audio"]
    step = max(1, len(sources) // N_CLIPS)
    return [audio.load(source, RATE) for source in sources[::step][:N_CLIPS]]


def write_clips(waveforms: list[np.ndarray], server: str, folder: Path) -> None:
    """Write what storm.lua sends: clips, and the labels that the server's predictor gives."""
    files = [folder / f"{number}.wav" for number in range(1, len(waveforms) + 1)]
    for file, waveform in zip(files, waveforms, strict=True):
        soundfile.write(file, waveform, RATE)
    labels = labels_of(files, server)
    (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")


def labels_of(files: list[Path], server: str) -> list[str]:
    """Ask what a server runs directly for the best intent of each clip."""
    if server == OURS:
        classifier = IntentClassifier.from_pretrained(SHIPPED, parallel=True)
        return [classifier.predict(file).label for file in files]
    from transformers import pipeline

    classify = pipeline("audio-classification", model=str(SHIPPED), trust_remote_code=False)
    waveforms = [soundfile.read(file, dtype="float32")[0] for file in files]
    clips = [{"raw": waveform, "sampling_rate": RATE} for waveform in waveforms]
    return [classify(clip, top_k=1)[0]["label"] for clip in clips]


@contextlib.contextmanager
def running(server: str, model: Path = SHIPPED) -> Iterator[tuple[psutil.Process, int]]:
    """Run a server with a model; give its process and port once it is up."""
    port = free_port()
    arguments = ["serve.py"]
    if server != OURS:
        arguments = ["-m", "uvicorn", "pipeline_server:app", "--app-dir", "benchmarks"]
        arguments += ["--no-access-log", "--port", str(port)]
    names = {"SPEECH_INTENT_MODEL": str(model), "SPEECH_INTENT_PORT": str(port)}
    environment = os.environ | names | {"MODEL": str(model)}
    process = psutil.Popen([sys.executable, *arguments], cwd=ROOT, env=environment)
    try:
        while not is_up(port):
            if process.poll() is not None:
                raise SystemExit(f"error: {server} ended with status {process.returncode}")
            time.sleep(0.2)
        yield process, port
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):  # it was told to end
            for each in tree(process):
                each.kill()
        process.wait()


def is_up(port: int) -> bool:
    """Ask for a server's health."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wrk(port: int, path: str, connections: int, seconds: int, folder: Path) -> Result:
    """Put a server under load; give what storm.lua counted."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={PATIENCE}s"]
    command += ["-s", "benchmarks/storm.lua", f"http://127.0.0.1:{port}", "--", str(folder), path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("result ")]
    if not lines:
        raise SystemExit(f"error: wrk ended with status {done.returncode}\n{done.stderr}")
    return json.loads(lines[-1].removeprefix("result "))


def figures(load: Result) -> Result:
    """Sum up what came back."""
    waits = load["waits"]
    quantiles = {f"p{q}": float(np.quantile(waits, q / 100)) for q in QUANTILES} if waits else {}
    names = ("right", "refused", "wrong", "others", "lost", "unanswered")
    rate = load["right"] / load["seconds"]
    return {name: load[name] for name in names} | {"a second": rate, "wait": quantiles}


def tree(process: psutil.Process) -> list[psutil.Process]:
    """List a server's processes."""
    return [process, *process.children(recursive=True)]


def core_seconds(process: psutil.Process) -> float:
    """Read how long a server has kept cores busy."""
    return sum(sum(each.cpu_times()[:2]) for each in tree(process))


def at_64_clients(server: str, waveforms: list[np.ndarray], seconds: int) -> Result:
    """Measure one server with as many clients as it likes."""
    with tempfile.TemporaryDirectory() as name, running(server) as (process, port):
        write_clips(waveforms, server, Path(name))
        before = core_seconds(process)
        load = wrk(port, PATHS[server], FEW, seconds, Path(name))
        busy = core_seconds(process) - before
    row = figures(load)
    return row | {"core seconds": busy / load["right"] if load["right"] else None}


class Attack:
    """A client that sends the worst batch, and many that send headers only, until it is left."""

    def __init__(self, port: int):
        self.port = port
        self.batches: Counter[int] = Counter()  # by status
        self._ended = threading.Event()
        targets = [self._send_batches, *[self._stay_half_open] * N_HALF_OPEN]
        self._threads = [threading.Thread(target=target) for target in targets]

    def __enter__(self) -> "Attack":
        """Begin."""
        self._body = worst_batch()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send_batches(self) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=clip"}
        while not self._ended.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.request("POST", "/predict/batch", self._body, headers)
                self.batches[connection.getresponse().status] += 1

    def _stay_half_open(self) -> None:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
        while not self._ended.is_set():
            with contextlib.suppress(OSError), self._connected() as connection:
                connection.sendall(head)
                while not self._ended.is_set():
                    with contextlib.suppress(TimeoutError):
                        if not connection.recv(1_000):
                            break

    def _connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=1)


def worst_batch() -> bytes:
    """Make a form of a hundred clips that decode to as much as a clip may."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 192_000, 8, format="FLAC") as out:
        for _ in range(60):
            out.write(np.zeros((192_000, 8), np.int16))
    parts = []
    for i in range(100):
        head = f'--clip\r\nContent-Disposition: form-data; name="f"; filename="{i}.flac"\r\n\r\n'
        parts.append(head.encode() + file.getvalue() + b"\r\n")
    return b"".join(parts) + b"--clip--\r\n"


def storm(waveforms: list[np.ndarray], seconds: int, is_attacked: bool) -> Result:
    """Let 2,000 clients ask again at once, whatever they get; with an attack, if that is asked."""
    with tempfile.TemporaryDirectory() as name, running(OURS) as (_, port):
        write_clips(waveforms, OURS, Path(name))
        attack = Attack(port)
        with attack if is_attacked else contextlib.nullcontext():
            row = figures(wrk(port, PATHS[OURS], MANY, seconds, Path(name)))
        return row | {"batches": dict(attack.batches)} if is_attacked else row


def ending(waveforms: list[np.ndarray]) -> Result:
    """Tell the server to end in the midst of a storm."""
    with tempfile.TemporaryDirectory() as name, running(OURS) as (process, port):
        write_clips(waveforms, OURS, Path(name))
        told: Result = {}

        def tell() -> None:
            time.sleep(BEFORE_THE_END)
            told.update(waiting=waiting_clips(port), at=time.time())
            process.send_signal(signal.SIGTERM)
            process.wait()
            told["seconds"] = time.time() - told["at"]

        teller = threading.Thread(target=tell)
        teller.start()
        load = wrk(port, PATHS[OURS], MANY, 2 * BEFORE_THE_END, Path(name))
        teller.join()
    answered = sum(at >= told["at"] for at in load["times"])
    return {"seconds": told["seconds"], "waiting": told["waiting"], "answered": answered}


def waiting_clips(port: int) -> int:
    """Read from /metrics how many clips are let in and not answered yet."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    [line] = [line for line in lines if line.startswith("speech_intent_waiting_clips ")]
    return int(float(line.split()[1]))


def memory(waveforms: list[np.ndarray]) -> Result:
    """Ask for many answers; note what the server's processes hold on the way."""
    short = [waveform[: int(SHORT * RATE)] for waveform in waveforms[:20]]
    megabytes = []
    n_answered = 0
    with tempfile.TemporaryDirectory() as name, running(OURS) as (process, port):
        write_clips(short, OURS, Path(name))
        while n_answered < N_REQUESTS:
            n_answered += wrk(port, PATHS[OURS], FEW, 30, Path(name))["right"]
            held = sum(each.memory_info().rss for each in tree(process))
            megabytes.append([n_answered, round(held / 1e6, 1)])
    return {"answered": n_answered, "megabytes": megabytes}


def load_results(name: str) -> Result:
    """Read one result file; empty where nothing has been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def tables() -> str:
    """Write the measured part of docs/scaling.md from the stored results."""
    serving = load_results("serving")
    lines = [*servers_table(serving), "", *storm_lines(serving), ""]
    lines += [*batching_table(load_results("batching")), "", *paper_table(serving), ""]
    lines += [
        f"*c*: core-seconds a request; *s* = {serving['clip_seconds']:.2f}, mean seconds of a "
        "clip; *b*: its bytes as WAV.",
        f"{serving['machine']}; the shipped classifier; {serving['seconds']} s each.",
    ]
    return "\n".join(lines) + "\n"


def servers_table(serving: Result) -> list[str]:
    """Write what each server answered, and how fast."""
    header = ["server", "clients", "right answers/s", "serve.py answers", "503"]
    header += ["errors", "p50", "p99", "core-s a request"]
    ours = serving["servers"][OURS]["a second"]
    rows = [
        [name, str(FEW), *server_cells(row, ours / row["a second"] if row["a second"] else None)]
        for name, row in serving["servers"].items()
    ]
    rows[0][3] = ""
    for name, key in (("serve.py, in a storm", "storm"), ("the same, under attack", "attack")):
        rate, _, *others = server_cells(serving[key], None)
        share = serving[key]["a second"] / ours
        rows.append([name, f"{MANY:,}", rate, f"{share:.2f} of those", *others])
    return table(header, rows)


def server_cells(row: Result, times: float | None) -> list[str]:
    """Write what one server answered; ours answered so many `times` as much."""
    n_errors = sum(row[name] for name in ("wrong", "others", "lost", "unanswered"))
    waits = [f"{row['wait'][f'p{q}']:.2f} s" if row["wait"] else "-" for q in QUANTILES]
    cost = row.get("core seconds")
    return [
        f"{row['a second']:.1f}",
        f"{times:.1f} times as many" if times else "-",
        str(row["refused"]),
        str(n_errors),
        *waits,
        f"{cost:.4f}" if cost else "-",
    ]


def storm_lines(serving: Result) -> list[str]:
    """Say how a server ends in a storm, and what it holds after many requests."""
    end = serving["ending"]
    memory = f"Memory after many requests: {UNMEASURED}."
    if "memory" in serving:
        first, last = serving["memory"]["megabytes"][0], serving["memory"]["megabytes"][-1]
        memory = (
            f"Memory of its processes: {first[1]:.0f} MB after {first[0]:,} requests, "
            f"{last[1]:.0f} MB after {last[0]:,}."
        )
    return [
        f"SIGTERM after {BEFORE_THE_END} s of storm: {end['waiting']} clips were let in, "
        f"{end['answered']} answers came after it, and the server had ended after "
        f"{end['seconds']:.1f} s. {memory}",
    ]


def batching_table(batching: Result) -> list[str]:
    """Write what batches would gain (benchmarks/batching.py)."""
    header = ["model", "batches of 8, mixed lengths", "batches of 8, equal lengths"]
    gains = [batching["base"][lengths]["gain"] for lengths in ("mixed", "equal")]
    return table(header, [["wav2vec2-base size", *(f"{100 * gain:+.0f} %" for gain in gains)]])


def paper_table(serving: Mapping[str, Any]) -> list[str]:
    """Scale the measured cost up."""
    cost = serving["servers"][OURS]["core seconds"]
    seconds = serving["clip_seconds"]
    cores = 10_000 * cost / BUSY
    hours = 1e6 * cost / seconds
    gigabits = 10_000 * (2 * RATE * seconds + 44) * 8 / 1e9  # 16 bit, header
    rows = [
        ["cores for 10,000 requests a second, 70 % busy", "10,000 · *c* / 0.7", f"{cores:,.0f}"],
        ["machines of 32 cores", "cores / 32", f"{cores / 32:,.0f}"],
        ["incoming audio, WAV", "10,000 · *b* · 8 bits", f"{gigabits:.1f} Gbit/s"],
        ["core-hours for a million hours of audio", "10⁶ · *c* / *s*", f"{hours:,.0f}"],
        ["days on 1,000 cores", "core-hours / 24,000", f"{hours / 24_000:,.1f}"],
    ]
    return table(["on paper", "formula", "shipped classifier"], rows)


def measure(seconds: int) -> Result:
    """Put every server under load, one after the other, on the first cores of the machine."""
    hub_models.quiet_transformers()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    waveforms = clips()
    return {
        "seconds": seconds,
        "clip_seconds": float(np.mean([len(waveform) / RATE for waveform in waveforms])),
        "machine": f"{CORES} of {os.cpu_count()} cores, {platform.machine()}",
        "servers": {server: at_64_clients(server, waveforms, seconds) for server in PATHS},
        "storm": storm(waveforms, seconds, is_attacked=False),
        "attack": storm(waveforms, seconds, is_attacked=True),
        "ending": ending(waveforms),
        "memory": memory(waveforms),
    }


def main() -> None:
    """Measure all servers and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=int, default=60, help="of measuring each server (default: %(default)s)")
    add("--table", action="store_true", help="measure nothing")
    args = parser.parse_args()
    if not args.table:
        result = measure(args.seconds)
        path = RESULTS / "serving.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(result, indent=1))
    write_block(*BLOCK, tables())


if __name__ == "__main__":
    main()
