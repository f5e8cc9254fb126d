"""What it takes to refuse a request: three servers of HTTP, each with an app that only refuses.

    pip install granian==2.8.9 hypercorn==0.18.0    # beside uvicorn; and wrk
    python benchmarks/front_ends.py

2,000 connections send 94 kB each and ask again at once. Writes benchmarks/results/front-ends.json
and its part of docs/scaling.md.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from blocks import table, write_block
from load_test import MANY, RESULTS, free_port, tree

from speech_intent.paths import ROOT

BLOCK = (ROOT / "docs" / "scaling.md", "figures: benchmarks/front_ends.py")
FILE = RESULTS / "front-ends.json"
SECONDS = 10
REFUSAL = b'{"detail": "too many requests are waiting"}'
BODY = 'wrk.method = "POST"\nwrk.body = string.rep("x", 94000)\n'
SERVERS = {
    "uvicorn": ["uvicorn", "front_ends:refuse", "--no-access-log", "--port"],
    "granian": ["granian", "front_ends:refuse", "--interface", "asgi", "--port"],
    "hypercorn": ["hypercorn", "front_ends:refuse", "--bind"],
}


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Refuse everything."""
    if scope["type"] != "http":
        return
    headers = [(b"content-length", str(len(REFUSAL)).encode())]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSAL})


def measure(name: str) -> dict[str, Any]:
    """Put one server under load."""
    port = free_port()
    module, app, *options = SERVERS[name]
    where = f"127.0.0.1:{port}" if options[-1] == "--bind" else str(port)
    command = [sys.executable, "-m", module, app, *options, where]
    process = psutil.Popen(command, cwd=ROOT / "benchmarks", stderr=subprocess.DEVNULL)
    try:
        time.sleep(3)
        before = {each.pid: sum(each.cpu_times()[:2]) for each in tree(process)}
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            Path(script.name).write_text(BODY, encoding="utf-8")
            load = ["wrk", "-t1", f"-c{MANY}", f"-d{SECONDS}s", "--timeout=20s", "-s", script.name]
            done = subprocess.run(
                [*load, f"http://127.0.0.1:{port}/predict"], capture_output=True, text=True
            )
        busy = sum(sum(each.cpu_times()[:2]) - before[each.pid] for each in tree(process))
    finally:
        for each in reversed(tree(process)):
            each.kill()
        process.wait()
    words = done.stdout.split()
    n_refused = int(words[words.index("requests") - 1])
    errors = [line.strip() for line in done.stdout.splitlines() if "Socket errors" in line]
    return {"refused": n_refused, "core seconds": busy, "errors": errors}


def content() -> str:
    """Write what a refusal takes with each, from the results."""
    results = json.loads(FILE.read_text(encoding="utf-8"))
    rows = [
        [name, f"{1000 * row['core seconds'] / row['refused']:.2f} ms", "".join(row["errors"])]
        for name, row in results.items()
    ]
    lines = table(["server", "a refusal takes of a core", "errors seen by wrk"], rows)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all three and write the figures."""
    results = {name: measure(name) for name in SERVERS}
    FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_block(*BLOCK, content())


if __name__ == "__main__":
    main()
