"""listen.py: a recording, raw PCM, a microphone."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import RATE

from speech_intent import audio, microphone
from speech_intent.paths import BUNDLED, SHIPPED

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import listen

ROOT = Path(__file__).resolve().parents[1]

CLIPS = ("test-0006.mp3", "test-0012.mp3")  # both are answered
INTENTS = ["battery", "bike_modes"]


@pytest.fixture(scope="module")
def stream() -> np.ndarray:
    """Two requests, and noise before, between and behind them: 16-bit PCM, (n_samples,)."""
    rng = np.random.default_rng(0)
    parts = []
    for name in CLIPS:
        parts.append(audio.load(BUNDLED / "audio" / name, RATE))
        parts.append(np.zeros(2 * RATE, np.float32))
    waveform = np.concatenate([np.zeros(RATE, np.float32), *parts])
    waveform += rng.normal(0, 1e-3, len(waveform)).astype(np.float32)
    return np.round(waveform * 32_767).astype("<i2")


@pytest.fixture(scope="module")
def file(stream, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("listen") / "long.wav"
    soundfile.write(path, stream, RATE, "PCM_16")
    return str(path)


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_recording_gets_an_object_a_request(file, stream, capsys):
    assert listen.main(["--model", str(SHIPPED), "--file", file]) == 0
    out, err = capsys.readouterr()
    answers = lines(out)
    assert err == ""
    assert [answer["label"] for answer in answers] == INTENTS
    assert list(answers[0])[:4] == ["file", "start", "end", "label"]
    assert answers[0]["file"] == file
    first, second = answers
    assert 0.9 < first["start"] < first["end"] < 4.2 < second["start"] < second["end"]
    assert second["end"] < len(stream) / RATE - 1.5


@pytest.mark.parametrize("n_channels", [1, 2])
def test_standard_input_is_the_same(file, stream, capsys, monkeypatch, n_channels):
    data = np.repeat(stream, n_channels).tobytes()
    standard_input = SimpleNamespace(buffer=io.BytesIO(data))
    monkeypatch.setattr(sys, "stdin", standard_input)
    arguments = ["--model", str(SHIPPED), "--channels", str(n_channels)]
    assert listen.main([*arguments, "--file", "-"]) == 0
    piped = lines(capsys.readouterr().out)
    assert listen.main(["--model", str(SHIPPED), "--file", file]) == 0
    assert [one | {"file": "-"} for one in lines(capsys.readouterr().out)] == piped


def test_what_is_no_request_gets_no_answer(tmp_path, capsys):
    speech = audio.load(BUNDLED / "unknown" / "audio" / "train-0001.opus", RATE)
    silence = np.zeros(RATE, np.float32)
    soundfile.write(tmp_path / "other.wav", np.concatenate([silence, speech, silence]), RATE)
    arguments = ["--model", str(SHIPPED), "--file", str(tmp_path / "other.wav")]
    assert listen.main(arguments) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--file", "no.wav"], "error: no.wav: does not exist; check the path"),
        (["--file", "-", "--rate", "1"], "error: the stream: has a sampling rate of 1 Hz"),
        (["--file", "x", "--model", "no/folder"], "error: no/folder: the Hub cannot be reached"),
    ],
)
def test_what_cannot_be_used_gets_one_line(arguments, message, capsys):
    assert listen.main(["--model", str(SHIPPED), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["0.2", "0.9", "nan", "much"])
def test_a_silence_that_is_none_is_wrong_usage(text, capsys):
    with pytest.raises(SystemExit) as caught:
        listen.main(["--silence", text])
    assert caught.value.code == 2
    assert "--silence" in capsys.readouterr().err


def talking(monkeypatch, blocks) -> None:
    """Let the microphone give blocks, and then somebody press Ctrl-C."""

    class Recorder:
        name = "Mic"
        n_lost = 0

        def blocks(self):
            yield from blocks
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def recording(device):
        yield Recorder()

    monkeypatch.setattr(microphone, "recording", recording)


def test_who_talks_is_answered_until_ctrl_c(stream, monkeypatch, capsys):
    talking(monkeypatch, np.array_split(stream.astype(np.float32) / 32_768, 200))
    assert listen.main(["--model", str(SHIPPED)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[2] for line in out.splitlines()] == INTENTS
    assert all(line.endswith("s after it)") for line in out.splitlines())
    assert err.splitlines() == ["Listening to Mic; Ctrl-C ends it.", "Ended after 10 s."]


def test_the_meter_shows_the_level(stream):
    from speech_intent.listening import Listener

    listener = Listener()
    assert listen.meter(listener) == f"  {'':30}  -60 dB"
    list(listener.hear(np.full(512, 1.0, np.float32)))
    assert listen.meter(listener) == f"  {'#' * 30}    0 dB"


def test_it_is_a_program(file):
    command = [sys.executable, ROOT / "listen.py", "--model", SHIPPED, "--file", file]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [answer["label"] for answer in lines(ran.stdout)] == INTENTS


def test_whoever_has_read_enough_gets_no_traceback(file):
    command = [sys.executable, ROOT / "listen.py", "--model", SHIPPED, "--file", file]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
