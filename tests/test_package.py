import ast
import subprocess
import sys
from pathlib import Path

import pytest

import speech_intent

MODULES = sorted(Path(speech_intent.__file__).parent.glob("*.py"))
HEAVY = ["torch", "numpy", "transformers", "datasets", "pandas", "sklearn", "matplotlib", "soundfile"]


def test_importing_the_package_loads_nothing_heavy():
    program = f"import speech_intent, sys; print([name for name in {HEAVY} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"


def test_asking_for_help_loads_nothing_heavy():
    run = "runpy.run_path('inference.py', run_name='__main__')"
    program = f"import runpy, sys\ntry:\n {run}\nfinally:\n print('loaded', *sys.modules)"
    command, root = [sys.executable, "-c", program, "--help"], Path(__file__).resolve().parents[1]
    process = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    loaded = process.stdout.splitlines()[-1].split()
    assert "argparse" in loaded
    assert not set(HEAVY) & set(loaded)


def test_the_package_stays_thin():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert len(lines) > 10
    assert sum(lines.values()) <= 2_400
    assert {name: n for name, n in lines.items() if n > 250} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_functions_fit_on_a_screen(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if hasattr(node, "returns")]
    lines = {node.name: body_lines(node) for node in functions}
    assert {name: n for name, n in lines.items() if n > 40} == {}


def body_lines(function: ast.FunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    length = function.end_lineno - function.lineno + 1
    return length - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)
