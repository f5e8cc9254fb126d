"""Sounds that are no speech, by the commands of docs/recipes.md: a folder a kind, tiny encoders."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import RATE

from speech_intent import audit, evaluate, publish, train

PROGRAM = Path(__file__).resolve().parents[1] / "inference.py"
SECONDS = 0.5
N = 12  # clips a kind
N_TEST = 12


def bell(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """Partials that are no multiples of each other, and die away."""
    pitch = rng.uniform(600, 700)
    return sum(np.exp(-4 * k * t) * np.sin(2 * np.pi * k * pitch * t) for k in (1, 2.76, 5.4))


def bird(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """A pitch that goes up and down."""
    return np.sin(2 * np.pi * rng.uniform(2900, 3100) * t + 50 * np.sin(2 * np.pi * 6 * t))


def engine(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """A hum with all its multiples."""
    pitch = rng.uniform(55, 65)
    return sum(np.sin(2 * np.pi * k * pitch * t + rng.uniform(0, 1)) / k for k in range(1, 12))


SOUNDS = {"bell": bell, "bird": bird, "engine": engine}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """A folder with one a kind in it, and no table."""
    root = tmp_path_factory.mktemp("sounds") / "sounds"
    t = np.arange(round(SECONDS * RATE)) / RATE
    for name, make in SOUNDS.items():
        (root / name).mkdir(parents=True)
        for i in range(N):
            rng = np.random.default_rng([i, len(name)])
            wave = make(rng, t)
            wave = 0.4 * wave / np.abs(wave).max() + 0.004 * rng.standard_normal(len(t))
            soundfile.write(root / name / f"{i}.wav", wave, RATE)
    return root


def trained(sounds, encoder, out: Path, *more: str) -> Path:
    """Train as `more` says; give the model's folder."""
    command = ["--data", sounds, "--encoder", encoder, "--output-dir", out]
    assert train.main([*map(str, command), *more]) == 0
    return out / "model"


@pytest.fixture(scope="module")
def model(sounds, encoders, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    more = "--unknown none --no-augment"
    quick = "--no-spec-augment --epochs 8 --batch-size 4 --learning-rate 5e-3"
    return trained(sounds, encoders["wav2vec2_layer"], out, *more.split(), *quick.split())


@pytest.fixture(scope="module")
def inference():
    """inference.py as a module."""
    spec = importlib.util.spec_from_file_location("inference", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sounds_are_told_apart_and_answered_though_nobody_speaks(
    sounds, model, inference, tmp_path, capsys
):
    scores = json.loads((model.parent / "metrics.json").read_text())
    assert (scores["n"], sorted(scores["per_class"])) == (N_TEST, sorted(SOUNDS))
    assert scores["accuracy"] > 0.6  # chance is a third
    again = ["--model", model, "--data", sounds, "--output-dir", tmp_path / "again"]
    assert evaluate.main([*map(str, again), "--robustness"]) == 0
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["n"] == N_TEST
    test = pd.read_csv(model.parent / "predictions.csv")
    names = [str(sounds / name) for name in test["file_name"]]
    capsys.readouterr()
    assert inference.main([*names, "--model", str(model), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["label"] for answer in answers] == test["predicted"].tolist()
    assert not any("reason" in answer for answer in answers)


def test_other_sounds_may_be_unknown_and_are_said_to_be_no_speech(
    sounds, encoders, inference, tmp_path, capsys
):
    """`--unknown FOLDER`: what of them is not answered has a reason that is true of all sounds."""
    others = tmp_path / "others"
    others.mkdir()
    for i in range(20):
        noise = 0.1 * np.random.default_rng(i).standard_normal(round(SECONDS * RATE))
        soundfile.write(others / f"{i}.wav", noise, RATE)
    encoder = encoders["wav2vec2_layer"]
    more = ["--unknown", str(others), "--freeze", "encoder"]
    model = trained(sounds, encoder, tmp_path / "out", *more)
    capsys.readouterr()
    assert inference.main([str(others / "3.wav"), "--model", str(model), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["label"], answer["reason"]) == ("unknown", "no speech")


def test_an_audit_of_sounds_looks_for_wrong_labels(sounds, encoders, tmp_path, capsys):
    """And not for speech, which none of them is."""
    data = shutil.copytree(sounds, tmp_path / "sounds")
    (data / "bell" / "3.wav").rename(data / "engine" / "bell.wav")
    out = tmp_path / "audit"
    command = ["--data", data, "--encoder", encoders["wav2vec2_layer"], "--output-dir", out]
    assert audit.main([*map(str, command)]) == 0
    assert "speechless" in capsys.readouterr().out
    found = pd.read_csv(out / "audit.csv")
    assert (found["file_name"][0], found["suggested"][0]) == ("engine/bell.wav", "bell")
    assert found["score"].max() > 0.5  # a fault of all of them would hide the others


def test_the_card_of_such_a_model_speaks_of_no_speech(model, tmp_path):
    look = tmp_path / "look"
    options = ["--language", "zxx", "--license", "mit", "--dry-run", str(look)]
    assert publish.main([str(model), "user/sounds", *options]) == 0
    card = (look / "README.md").read_text()
    assert "tags:\n- sound-classification\n- wav2vec2\n" in card
    assert "name: Audio classification" in card
    assert "What it heard is no language." in card
    assert "speaker wants" not in card and "intent" not in card.split("## How it was made")[0]
