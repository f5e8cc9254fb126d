"""Change the code in small ways, one at a time: the tests that claim it must notice each.

    python tests/mutants.py [WORD ...]     only changes in whose file or description a word occurs

The changes stand in mutants.toml. The clone itself is left alone: a copy of it is changed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("src", "tests", "examples", "app.py", "inference.py", "listen.py", "serve.py")
COPIED += ("pyproject.toml",)
LINKED = ("benchmarks", "dataset", "jupyter_notebooks", "models", "pretraining", "README.md")
PYTEST = ("-m", "pytest", "-n0", "-x", "-q", "-p", "no:cacheprovider")
NO_TESTS_FAILED = 0
TESTS_FAILED = 1


@dataclass(frozen=True)
class Mutant:
    """A change to one place of one file."""

    what: str
    file: str
    old: str  # occurs once
    new: str
    test: str  # the file that must notice


def read_mutants(words: list[str]) -> list[Mutant]:
    """Read the changes that the words choose, all where there are none."""
    text = (ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8")
    mutants = [Mutant(**table) for table in tomllib.loads(text)["mutant"]]
    if not words:
        return mutants
    return [each for each in mutants if any(word in each.file + each.what for word in words)]


def copy_clone(target: Path) -> None:
    """Copy what is changed and tested; link what is only read."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy(source, target / name)
    for name in LINKED:
        (target / name).symlink_to(ROOT / name)


def is_noticed(mutant: Mutant, clone: Path) -> bool:
    """Make one change, run the tests that claim the place, and take it back."""
    path = clone / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        sys.exit(f"{mutant.file}: {mutant.old!r} does not occur once; mend mutants.toml")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    settings = {"PYTHONPATH": str(clone / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        [sys.executable, *PYTEST, mutant.test],
        cwd=clone,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    path.write_text(text, encoding="utf-8")
    if process.returncode not in (NO_TESTS_FAILED, TESTS_FAILED):
        sys.exit(f"{mutant.test} could not be run:\n{process.stdout}{process.stderr}")
    return process.returncode == TESTS_FAILED


def main() -> int:
    """Print a line a change; return 1 if one was not noticed."""
    mutants = read_mutants(sys.argv[1:])
    n_missed = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        clone = Path(folder)
        copy_clone(clone)
        for number, mutant in enumerate(mutants, start=1):
            noticed = is_noticed(mutant, clone)
            n_missed += not noticed
            verdict = "noticed" if noticed else "MISSED "
            print(f"{number}/{len(mutants)} {verdict} {mutant.file}: {mutant.what}", flush=True)
    print(f"{len(mutants) - n_missed} of {len(mutants)} noticed")
    return 1 if n_missed else 0


if __name__ == "__main__":
    sys.exit(main())
