"""app.py as a process of its own that notes where it connects to."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 120
# Runs `python app.py ARGUMENTS` and writes a line for every host that it looks up, connects to or
# listens on.
RUNNER = """
import runpy, sys
_, log, folder, *arguments = sys.argv
log = open(log, "a", buffering=1)
sys.path[0] = folder
sys.argv = ["app.py", *arguments]
def note(event, args):
    if event == "socket.getaddrinfo" and args[0]:
        print(args[0], file=log)
    if event in ("socket.connect", "socket.bind") and isinstance(args[1], tuple):
        print(args[1][0], file=log)
sys.addaudithook(note)
runpy.run_path(folder + "/app.py", run_name="__main__")
"""


@contextmanager
def page_server(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve the page from `folder`, where it writes `recordings/`; give its address and process.

    Stop it in the end. Fails if the server had to do with any other machine, or printed a
    traceback.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    connections = folder / "connections.txt"
    output = folder / "output.txt"
    arguments = ("--port", port, *arguments)
    command = [sys.executable, "-c", RUNNER, connections, ROOT, *arguments]
    with output.open("a") as file:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, stdout=file, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    end = time.monotonic() + START_SECONDS
    try:
        while not answers(address):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.2)
        yield address, process
        assert "Traceback" not in output.read_text(), output.read_text()
        assert set(connections.read_text().split()) <= {"127.0.0.1", "localhost"}
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(address: str) -> bool:
    """Say whether something answers there."""
    try:
        urllib.request.urlopen(address, timeout=10).close()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True
