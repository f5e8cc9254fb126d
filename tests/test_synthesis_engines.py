"""Each engine speaks, as fast as it is asked to, and the same voice says different things."""

import shutil
import stat

import numpy as np
import pytest

from speech_intent.paths import BUNDLED
from speech_intent.synthesis import engines

CLIP = BUNDLED / "audio" / "test-0001.mp3"
VOICES = {"espeak-ng": "en-us+f3", "piper": "en-us", "hibari": "heart"}


def said(name: str, text: str, pace: float = 1.0, seed: int = 0) -> engines.Spoken:
    return engines.engine(name).speak(text, VOICES[name], pace, np.random.default_rng(seed))


@pytest.mark.parametrize("name", VOICES)
def test_an_engine_speaks(name):
    spoken = said(name, "turn on the light")
    seconds = len(spoken.waveform) / spoken.sampling_rate
    assert spoken.waveform.dtype == np.float32
    assert 0.6 < seconds < 3.0
    assert 0.05 < np.abs(spoken.waveform).max() <= 1.0


@pytest.mark.parametrize("name", VOICES)
def test_pace_is_a_factor(name):
    slow, fast = (said(name, "turn on the light please", pace).waveform for pace in (0.8, 1.25))
    assert len(slow) > 1.25 * len(fast)


def test_the_seed_decides_how_it_is_said():
    first, second, third = (said("hibari", "stop", seed=seed).waveform for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    # The noise in eSpeak NG's voices is drawn inside of it.
    first, second = (said("espeak-ng", "stop", seed=0).waveform for _ in range(2))
    assert len(first) == len(second)


def test_what_is_installed_is_named_in_order():
    assert [name for name in engines.installed() if name in VOICES] == list(VOICES)


def test_an_engine_is_not_used_without_its_package(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    assert engines.installed() == []


def program(folder, monkeypatch, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
@pytest.mark.parametrize(("name", "argument"), [("flite", "-o"), ("text2wave", "-o")])
def test_a_program_is_asked_for_a_file(tmp_path, monkeypatch, name, argument):
    copy = f'while [ "$1" != "{argument}" ]; do shift; done; cp "{CLIP}" "$2"'
    program(tmp_path, monkeypatch, name, copy)
    kind = {"flite": "flite", "text2wave": "festival"}[name]
    engine = engines.KINDS[kind].make()
    spoken = engine.speak("turn on the light", "slt", 1.0, np.random.default_rng(0))
    assert len(spoken.waveform) > 1_000


def test_a_program_that_writes_nothing_has_not_spoken(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "flite", "exit 1")
    engine = engines.KINDS["flite"].make()
    assert not len(engine.speak("on", "slt", 1.0, np.random.default_rng(0)).waveform)
