"""Downloads of real speech become data folders."""

import make_metadata
import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_intent import quality


def write(path, level: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(1_000, level), 8_000)


@pytest.fixture
def digits(tmp_path):
    for name in ("7_jackson_32", "0_theo_1", "7_ann_0"):
        write(tmp_path / "recordings" / f"{name}.wav", 0.25)
    return tmp_path


@pytest.fixture
def commands(tmp_path):
    for i, name in enumerate(("alexa/1", "alexa/0", "view glass/0")):
        write(tmp_path / "audio" / f"{name}.flac", (i + 1) / 8)
    return tmp_path


def call(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["make_metadata.py", *map(str, arguments)])
    return make_metadata.main()


def test_names_of_digits_say_digit_and_speaker(digits, monkeypatch, capsys):
    assert call(monkeypatch, digits) == 0
    assert pd.read_csv(digits / "metadata.csv").to_numpy().tolist() == [
        ["recordings/0_theo_1.wav", "zero", "theo"],
        ["recordings/7_ann_0.wav", "seven", "ann"],
        ["recordings/7_jackson_32.wav", "seven", "jackson"],
    ]
    assert capsys.readouterr().out == f"{digits / 'metadata.csv'}: 3 clips\n"


def test_folders_of_commands_say_the_command(commands, monkeypatch):
    assert call(monkeypatch, commands) == 0
    assert pd.read_csv(commands / "metadata.csv").to_numpy().tolist() == [
        ["audio/alexa/0.flac", "alexa"],
        ["audio/alexa/1.flac", "alexa"],
        ["audio/view glass/0.flac", "view glass"],
    ]


def test_clips_are_kept_by_their_samples(commands, monkeypatch):
    digest = quality.measure(commands / "audio" / "alexa" / "0.flac").digest
    pd.DataFrame({"sha256": [digest[:16], "0" * 16]}).to_csv(commands / "kept.csv")
    assert call(monkeypatch, commands, "--only", commands / "kept.csv") == 0
    assert list(pd.read_csv(commands / "metadata.csv")["file_name"]) == ["audio/alexa/0.flac"]


def test_another_folder_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, tmp_path) == 1
    out, err = capsys.readouterr()
    assert out == "" and not (tmp_path / "metadata.csv").exists()
    problem = "holds neither recordings/*.wav nor audio/*/*.flac"
    assert err == f"error: {tmp_path}: {problem}; check the path\n"
