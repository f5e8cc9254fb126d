"""The command line alone; what it serves is in test_serving_*.py."""

import inspect
import os
import subprocess
import sys
from dataclasses import fields

import pytest

from speech_intent.paths import ROOT
from speech_intent.serving.settings import Settings

HEAVY = {"fastapi", "uvicorn", "torch", "numpy", "ray"}


@pytest.fixture(scope="module")
def serve():
    """serve.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        import serve
    return serve


def run(program: str, **environment: str) -> subprocess.CompletedProcess:
    """Run Python code beside serve.py."""
    command = [sys.executable, "-c", program]
    names = os.environ | environment
    return subprocess.run(command, cwd=ROOT, env=names, capture_output=True, text=True)


def test_help_names_every_setting_and_loads_nothing_heavy():
    program = "import sys, atexit, serve\n"
    program += "atexit.register(lambda: print('loaded', *sys.modules))\nserve.main(['--help'])"
    done = run(program)
    text, _, loaded = done.stdout.partition("loaded ")
    assert done.returncode == 0
    assert "serve" in loaded.split()
    assert not HEAVY & set(loaded.split())
    for setting in fields(Settings):
        assert f"_{setting.name.upper()}" in text


@pytest.mark.parametrize("name", ["fastapi", "uvicorn", "prometheus_fastapi_instrumentator"])
def test_a_missing_package_is_named_with_its_remedy(name):
    done = run(f"import sys; sys.modules['{name}'] = None; import serve; sys.exit(serve.main([]))")
    assert done.returncode == 1
    assert done.stderr == f'error: {name} is not installed; pip install -e ".[serve]"\n'


def test_wrong_usage_is_2(serve, capsys):
    with pytest.raises(SystemExit) as end:
        serve.main(["--port", "8000"])
    assert end.value.code == 2
    assert "unrecognized arguments: --port 8000" in capsys.readouterr().err


def test_a_wrong_setting_ends_it_with_one_line(serve, monkeypatch, capsys):
    monkeypatch.setenv("SPEECH_INTENT_PORT", "http")
    assert serve.main([]) == 1
    problem = "'http' is not a positive number; set it to one, or unset it"
    assert capsys.readouterr().err == f"error: SPEECH_INTENT_PORT: {problem}\n"


def test_a_wrong_model_ends_the_process_with_one_line(tmp_path):
    gone = tmp_path / "gone"
    names = os.environ | {"SPEECH_INTENT_MODEL": str(gone)}
    command = [sys.executable, ROOT / "serve.py"]
    done = subprocess.run(command, env=names, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: {gone}: there is no such folder; check the path\n"


def test_ray_serve_finds_a_builder_of_one_argument(serve):
    assert inspect.isfunction(serve.cluster)
    assert list(inspect.signature(serve.cluster).parameters) == ["arguments"]
