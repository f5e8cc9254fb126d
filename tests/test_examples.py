"""The examples that no other test file starts: see also test_serving_listen.py and cluster/."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import soundfile
from conftest import TONES

from speech_intent import IntentClassifier
from speech_intent.paths import ROOT, SHIPPED
from speech_intent.train import read_command

EXAMPLES = ROOT / "examples"
RATE = 16_000
CLIP = ROOT / "dataset" / "audio" / "test-0009.mp3"


@pytest.fixture(scope="module")
def route_calls():
    """examples/route_calls.py as a module."""
    spec = importlib.util.spec_from_file_location("route_calls", EXAMPLES / "route_calls.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clip(tmp_path, tone) -> str:
    soundfile.write(tmp_path / "clip.wav", tone(TONES["hear_low"], 0.75, seed=50), RATE)
    return str(tmp_path / "clip.wav")


@pytest.fixture
def run(route_calls, classifier, tmp_path, capsys, monkeypatch):
    """Run route_calls.py with the tiny model and these routes; return (exit status, out, err)."""
    monkeypatch.setattr(IntentClassifier, "from_pretrained", lambda name: classifier)

    def call(routes: str | bytes, *arguments: str) -> tuple[int, str, str]:
        path = tmp_path / "routes.toml"
        path.write_bytes(routes if isinstance(routes, bytes) else routes.encode())
        status = route_calls.main([*arguments, "--routes", str(path)])
        return status, *capsys.readouterr()

    return call


def test_a_clip_goes_to_the_queue_of_its_intent(run, clip):
    status, out, err = run('hear_low = "cellar"\nhear_high = "attic"', clip, clip)
    first, second = out.splitlines()
    assert (status, err, first) == (0, "", second)
    assert first.startswith(f"{clip} -> cellar (hear_low, ")


def test_who_was_not_understood_goes_to_a_person(run, clip, classifier, monkeypatch):
    routes = 'hear_low = "cellar"'
    assert f"{clip} -> person (hear_low, " in run(routes, clip, "--least", "1.1")[1]
    assert f"{clip} -> person (hear_low, " in run('hear_high = "attic"', clip)[1]
    monkeypatch.setattr(classifier, "threshold", 1.1)
    assert f"{clip} -> person (unknown, " in run(routes, clip)[1]


def test_a_clip_that_cannot_be_used_goes_to_a_person_and_holds_up_no_other(run, clip):
    status, out, err = run('hear_low = "cellar"', "no.wav", clip)
    first, second = out.splitlines()
    assert (status, err) == (0, "")
    assert first == "no.wav -> person (does not exist; check the path)"
    assert "-> cellar" in second


REMEDY = 'give it a line for each intent, such as: battery = "service"'


@pytest.mark.parametrize(
    ("routes", "problem", "remedy"),
    [
        ("hear_low = ", "is no TOML (", REMEDY),
        (b"\xff", "is no TOML (", REMEDY),
        ("[hear_low]", "the queue of hear_low is no text", REMEDY),
        ('hear = "x"', "hear is no intent of the model", "it knows hear_high, "),
    ],
)
def test_routes_that_cannot_be_used_get_one_line(run, clip, routes, problem, remedy):
    status, out, err = run(routes, clip)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"routes.toml: {problem}" in err
    assert f"; {remedy}" in err


def test_routes_that_are_not_there_get_one_line(route_calls, classifier):
    with pytest.raises(route_calls.UserError, match=r"cannot be read \(No such file") as found:
        route_calls.read_routes("no.toml", classifier.labels)
    assert found.value.remedy == REMEDY


def test_the_routes_are_those_of_the_shipped_model(route_calls):
    labels = IntentClassifier.from_pretrained(SHIPPED).labels
    routes = tomllib.loads(Path(route_calls.ROUTES).read_text(encoding="utf-8"))
    assert sorted(routes) == sorted(labels)


def test_it_is_a_program():
    command = [sys.executable, EXAMPLES / "route_calls.py", CLIP]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{CLIP} -> dealers (Locate_Dealer, 0.")


def test_a_cluster_gets_a_command_that_there_is_and_that_goes_on(tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$OMP_NUM_THREADS" "$@"\n')
    python.chmod(0o755)
    command = ["bash", EXAMPLES / "train.slurm"]
    names = {"PATH": "/usr/bin:/bin", "SLURM_CPUS_PER_TASK": "6"}
    done = subprocess.run(
        command, cwd=tmp_path, env=names, capture_output=True, text=True, check=True
    )
    threads, option, module, *arguments = done.stdout.splitlines()
    assert (threads, option, module) == ("6", "-m", "speech_intent.train")
    assert read_command(arguments).args.resume
