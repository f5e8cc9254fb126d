"""Chromium, whose microphone plays files; what it asks for must be on this machine."""

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from page_server import ROOT
from playwright.sync_api import BrowserContext, expect, sync_playwright

from speech_intent.paths import BUNDLED

SCREENSHOTS = ROOT / "runs" / "browser"
SECONDS = 1000  # playwright counts in milliseconds
DESKTOP = {"width": 1000, "height": 760}
PHONE = {"width": 390, "height": 844}
OUTSIDE = """
elements => elements.filter(e => e.getBoundingClientRect().right > innerWidth)
                    .map(e => e.outerHTML)
"""

expect.set_options(timeout=60 * SECONDS)  # a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def microphone(tmp_path_factory):
    """Put a bundled clip before the microphone; give its seconds.

    It is played once, whenever a recording starts.
    """
    path = tmp_path_factory.mktemp("microphone") / "playing.wav"

    def play(file_name: str) -> float:
        waveform, rate = soundfile.read(BUNDLED / file_name)
        soundfile.write(path, np.pad(waveform, rate // 4), rate)
        return len(waveform) / rate + 0.5

    play.path = path
    return play


@pytest.fixture(scope="module")
def browser(microphone):
    executable = shutil.which("chromium")
    assert executable, "needs Chromium; on Debian: apt install chromium"
    arguments = [
        "--no-sandbox",  # in containers, where there is no other user
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone.path}%noloop",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def context(browser) -> BrowserContext:
    """A browser of a new user; afterwards, all its requests must have been to this machine."""
    context = browser.new_context(viewport=DESKTOP)
    hosts = []

    def note(request) -> None:
        hosts.append(urlsplit(request.url).hostname)  # None: data: and blob:

    context.on("request", note)
    yield context
    context.close()
    assert "127.0.0.1" in hosts
    assert set(hosts) <= {"127.0.0.1", None}


class QuietHandler(SimpleHTTPRequestHandler):
    """Any web server that serves a folder."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; give its address."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
