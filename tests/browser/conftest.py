"""Chromium, whose microphone plays files; what it asks for must be on this machine."""

import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from playwright.sync_api import BrowserContext, expect, sync_playwright

from speech_intent.paths import BUNDLED

SECONDS = 1000  # playwright counts in milliseconds
DESKTOP = {"width": 1000, "height": 760}

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
