import ast
import io
import subprocess
import sys
import tokenize
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
    assert len(MODULES) > 10
    assert sum(map(code_lines, MODULES)) <= 2_100
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: n for name, n in lines.items() if n > 250} == {}


def code_lines(path: Path) -> int:
    """Count the lines of a module without blank lines, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in empty]
    lines = {line for t in tokens for line in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


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
