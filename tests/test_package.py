"""What the package looks like from outside: its weight, its size, its density, its arrows."""

import ast
import graphlib
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import speech_intent

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(speech_intent.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ENTRY_POINTS = sorted(ROOT.glob("*.py")) + sorted(ROOT.glob("examples/*.py"))
HEAVY = ["torch", "transformers", "datasets", "pandas", "sklearn", "scipy", "matplotlib"]
LONGEST_LINE = 100
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def loaded_by(program: str) -> set[str]:
    """Run a program in a process of its own; give the modules that it has loaded."""
    program = f"import sys\ntry:\n    {program}\nfinally:\n    print('loaded', *sys.modules)"
    command = [sys.executable, "-c", program, "--help"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return set(process.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_by("import speech_intent")
    assert "speech_intent" in loaded
    assert not loaded & {*HEAVY, "numpy", "soundfile"}


def test_asking_for_help_loads_nothing_heavy():
    loaded = loaded_by("import runpy; runpy.run_path('inference.py', run_name='__main__')")
    assert "argparse" in loaded
    assert not loaded & {*HEAVY, "numpy", "soundfile"}


def test_answering_with_an_exported_model_needs_nothing_heavy():
    loaded = loaded_by("import speech_intent.predict, speech_intent.onnx_model")
    assert "numpy" in loaded
    assert not loaded & set(HEAVY)


WAITS = """
import os, sys
import speech_intent
assert "torch" not in sys.modules
print(os.environ["OMP_WAIT_POLICY"])
"""


@pytest.mark.parametrize("given", [None, "active"])
def test_threads_that_wait_leave_the_cores_to_others_unless_the_user_says_otherwise(
    monkeypatch, given
):
    """It has to be said before torch is there."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    command = [sys.executable, "-c", WAITS]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert said.split() == [given or "passive"]


def code_lines(text: str) -> list[str]:
    """Give the lines of a module that hold code: no blank lines, comments and docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    numbers = {
        number
        for token in tokens
        if token.type not in NO_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        docstring = docstring_of(node)
        if docstring:
            numbers -= set(range(docstring.lineno, docstring.end_lineno + 1))
    lines = text.splitlines()
    return [lines[number - 1] for number in sorted(numbers)]


def docstring_of(node: ast.AST) -> ast.stmt | None:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and ast.get_docstring(node):
        return node.body[0]
    return None


EXAMPLE = '''"""A

module."""

# Why.
A = 1  # metre


def f():
    """Do."""
    return (
        A
    )


B = """
# no comment
"""
'''


def test_code_lines_are_those_that_are_neither_blank_nor_comment_nor_docstring():
    assert code_lines(EXAMPLE) == [
        "A = 1  # metre",
        "def f():",
        "    return (",
        "        A",
        "    )",
        'B = """',
        "# no comment",
        '"""',
    ]


def test_one_idea_a_line():
    lines = [line for path in MODULES for line in code_lines(path.read_text(encoding="utf-8"))]
    assert len(lines) > 1_000
    assert sum(map(len, lines)) / len(lines) <= 45  # characters, indentation included
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


def test_modules_can_be_read_in_one_sitting():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert len(lines) > 10
    assert {name: n for name, n in lines.items() if n > 250} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_functions_fit_on_a_screen(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    lines = {f"{node.name}:{node.lineno}": body_lines(node) for node in functions}
    assert {name: n for name, n in lines.items() if n > 40} == {}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    length = function.end_lineno - function.lineno + 1
    docstring = docstring_of(function)
    if docstring:
        length -= docstring.end_lineno - docstring.lineno + 1
    return length


def module_name(path: Path) -> str:
    """Give the dotted name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Give the dotted name of everything imported, at any depth, but for type checkers.

    `from .a import b` gives "package.a" and "package.a.b": `b` may be a module or a name in one.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = imported_from(node, package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node, package)


def imported_from(node: ast.ImportFrom, package: str) -> str:
    """Give the dotted name of the place that `from ... import` names, seen from a package."""
    if not node.level:
        return node.module
    parts = package.split(".")
    above = ".".join(parts[: len(parts) - (node.level - 1)])
    return f"{above}.{node.module}" if node.module else above


def test_imports_are_found_at_any_depth_but_not_those_for_type_checkers():
    program = "import os\nfrom ..predict import Prediction\nif TYPE_CHECKING:\n    import never\n"
    program += "def f():\n    from . import queues\n"
    assert list(imports(ast.parse(program), "speech_intent.serving")) == [
        "os",
        "speech_intent.predict",
        "speech_intent.predict.Prediction",
        "speech_intent.serving",
        "speech_intent.serving.queues",
    ]


def arrows() -> dict[str, set[str]]:
    """Give the modules of the package that each of them imports; packages themselves left out."""
    names = {module_name(path) for path in MODULES if path.name != "__init__.py"}
    found = {}
    for path in MODULES:
        name = module_name(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[name] = names & set(imports(tree, package))
    return found


def test_the_modules_import_each_other_in_no_circle():
    graph = arrows()
    assert sum(map(len, graph.values())) > 40
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def is_command(path: Path) -> bool:
    return '__name__ == "__main__"' in path.read_text(encoding="utf-8")


def test_nothing_in_the_package_imports_a_command_line():
    commands = {module_name(path) for path in MODULES if is_command(path)}
    assert {f"speech_intent.{name}" for name in ("train", "evaluate", "export")} <= commands
    assert {name: found & commands for name, found in arrows().items() if found & commands} == {}


def test_no_entry_point_imports_another():
    names = {path.stem for path in ENTRY_POINTS}
    assert {"inference", "serve", "app", "score_many"} <= names
    found = {}
    for path in ENTRY_POINTS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[path.stem] = names & set(imports(tree, package=""))
    assert {name: others for name, others in found.items() if others} == {}
