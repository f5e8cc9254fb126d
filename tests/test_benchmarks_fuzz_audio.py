import os
import re
import signal
import time

import fuzz_audio
import numpy as np
import pytest

from speech_intent import audio
from speech_intent.errors import AudioError


def test_no_damage_crashes_hangs_or_takes_the_memory(capsys, tmp_path):
    assert fuzz_audio.main(["--n", "60", "--seed", "0", "--keep", str(tmp_path / "faults")]) == 0
    rows = capsys.readouterr().out.splitlines()
    columns = rows[0].split()
    assert columns == ["right", "warned", "refused", "error", "crash", "hang", "memory"]
    counts = [int(number) for number in re.findall(r"\d+", rows[-1])]
    assert rows[-1].startswith("all")
    assert sum(counts) == 60
    assert counts[3:] == [0, 0, 0, 0]
    assert min(counts[:3]) > 5
    assert not (tmp_path / "faults").exists()


def test_damage_depends_on_the_seed_alone():
    rng = np.random.default_rng(0)
    files = [rng.bytes(5_000), rng.bytes(5_000)]
    first = [fuzz_audio.damaged(files[0], files, np.random.default_rng(i)) for i in range(50)]
    again = [fuzz_audio.damaged(files[0], files, np.random.default_rng(i)) for i in range(50)]
    assert first == again
    assert len(set(first)) == 50
    assert files[0] not in first


def crash(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(*args, **kwargs):
    time.sleep(60)


def grow(*args, **kwargs):
    np.ones(50_000_000)
    yield np.zeros(100)


def fail(*args, **kwargs):
    raise ZeroDivisionError("a mistake of ours")


def refuse(*args, **kwargs):
    raise AudioError("clip", "is empty", "record it")


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [(fail, "error: ZeroDivisionError('a mistake of ours')"), (refuse, "refused")],
)
def test_what_is_no_refusal_is_a_fault(monkeypatch, blocks, expected):
    monkeypatch.setattr(audio, "blocks", blocks)
    assert fuzz_audio.outcome(b"") == expected


@pytest.mark.parametrize(
    ("blocks", "expected", "seconds"),
    [(crash, "crash", 10.0), (hang, "hang", 0.5), (grow, "memory", 10.0)],
)
def test_a_worker_that_does_not_survive_is_replaced(monkeypatch, blocks, expected, seconds):
    monkeypatch.setattr(fuzz_audio, "START", "fork")  # with what was put in the place of `blocks`
    monkeypatch.setattr(fuzz_audio, "LONGEST_WAIT", seconds)
    worker = fuzz_audio.Worker()
    good = (fuzz_audio.ODD / "base.wav").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(audio, "blocks", blocks)
        assert worker.outcome(good).split(":")[0] == expected
    monkeypatch.setattr(fuzz_audio, "LONGEST_WAIT", 10.0)
    assert worker.outcome(good) == "right"
    worker.end()
