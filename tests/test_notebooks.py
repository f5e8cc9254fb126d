"""The three notebooks: they are tidy, and they run top to bottom on other data, in their order."""

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
import torch
from conftest import TONES
from nbclient import NotebookClient

from speech_intent import IntentClassifier
from speech_intent.data import load_data
from speech_intent.model import build_model
from speech_intent.recipes import resolve

FOLDER = Path(__file__).resolve().parents[1] / "jupyter_notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [
    "1.data_analysis_and_processing.ipynb",
    "2.fine_tuning_speech_models_for_intent_classification.ipynb",
    "3.inference_and_performance_analysis.ipynb",
]
ABSOLUTE = re.compile(
    r"(?<![\w.])/(?:home|root|work|workspace|tmp|opt|usr|mnt|Users|private)/|\b[A-Z]:\\"
)
SECONDS = 120  # a cell may take on a slow machine


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_parameters(cell) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def texts(notebook):
    """Everything in a notebook that is text: sources, and outputs without their pictures."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get("outputs", []):
            data = {
                key: value
                for key, value in output.get("data", {}).items()
                if not key.startswith("image/")
            }
            yield "\n".join([output.get("text", ""), *map(str, data.values())])


def test_there_are_three():
    assert [path.name for path in PATHS] == NAMES


def test_is_valid_and_small(path, notebook):
    nbformat.validate(notebook)
    assert path.stat().st_size < 150_000


def test_opens_with_a_title_question_inputs_and_outputs(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert all(
        word in first.source for word in ("**Question.**", "**Inputs.**", "**Outputs.**", "minutes")
    )


def test_imports_come_first_behind_what_colab_needs_then_the_only_parameters_cell(notebook):
    colab, imports, parameters, *rest = code_cells(notebook)
    assert '"google.colab" in sys.modules' in colab.source
    assert all(
        line.startswith(("import ", "from ")) for line in imports.source.splitlines() if line
    )
    assert is_parameters(parameters) and "data = " in parameters.source
    assert not any(map(is_parameters, rest))


def test_every_code_cell_is_introduced_and_every_result_is_read(notebook):
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        assert cell.cell_type == "markdown" or before.cell_type == "markdown"
    assert notebook.cells[-1].source.startswith("## What we learned")


def test_cells_are_short(notebook):
    for i, cell in enumerate(code_cells(notebook)):
        limit = 15 if i < 3 else 10  # what Colab needs, imports and parameters may be more
        assert len([line for line in cell.source.splitlines() if line.strip()]) <= limit, (
            cell.source
        )


def test_cells_hold_no_logic_and_no_shell(notebook):
    for cell in code_cells(notebook):
        assert not re.search(
            r"^\s*(?:async\s+)?(?:def|class|while)\b|\blambda\b|^\s*[!%]", cell.source, re.M
        ), cell.source
        assert not re.search(r"notebook_login|push_to_hub|sys\.path", cell.source)


def test_nothing_points_outside_the_repository(notebook):
    for text in texts(notebook):
        assert not ABSOLUTE.search(text), text


def test_outputs_are_clean(notebook):
    assert "widgets" not in notebook.metadata
    assert not any("data:image" in text or "data:audio" in text for text in texts(notebook))
    for cell in notebook.cells:
        assert not cell.get("attachments")
    for output in [output for cell in code_cells(notebook) for output in cell.outputs]:
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        assert not any(
            "widget" in key or key.startswith("audio/") for key in output.get("data", {})
        )


def test_cells_were_executed_in_order_or_not_at_all(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert set(counts) == {None} or counts == list(range(1, len(counts) + 1))


def test_players_find_their_clips(notebook):
    for text in texts(notebook):
        for url in re.findall(r'<source src="([^"]+)"', text):
            assert (FOLDER / unquote(unescape(url))).is_file(), url


# The cell for Colab


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """Run the first cell in an empty folder, with a repository's address; give its commands."""
    (cell,) = {code_cells(nbformat.read(path, as_version=4))[0].source for path in PATHS}
    commands = []

    def note(command, check, cwd=None):
        commands.append((command[0], command[-1], cwd))
        if command[0] == "git":
            (tmp_path / command[-1] / "jupyter_notebooks").mkdir(parents=True)

    def run(address="https://example.org/repository") -> list:
        commands.clear()
        with contextlib.suppress(SystemExit):  # which asks for a restart
            exec(cell.replace('REPOSITORY = ""', f"REPOSITORY = {address!r}"), {})
        return list(commands)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", note)
    return run


def test_outside_of_colab_nothing_is_done(colab, tmp_path):
    assert "google.colab" not in sys.modules
    for address in ("", "https://example.org/repository"):
        assert colab(address) == []
    assert Path.cwd() == tmp_path and list(tmp_path.iterdir()) == []


def test_in_colab_the_repository_is_fetched_once_and_installed_until_it_is_there(
    colab, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    install = [(sys.executable, "torchvision", None)]
    install += [(sys.executable, "requirements.txt", "repository")]
    with pytest.raises(AssertionError, match="write the address"):
        colab("")
    assert colab() == [("git", "repository", None), *install]
    assert colab() == install and Path.cwd() == tmp_path  # it was broken off, or not restarted
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())  # after the restart
    for _ in range(2):
        assert colab() == []
        assert Path.cwd() == tmp_path / "repository" / "jupyter_notebooks"


# One answer, by hand


def section(notebook, title: str) -> list[str]:
    """Give the sources of the code cells below a heading, up to the next one."""
    found, inside = [], False
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            inside = cell.source.startswith(f"## {title}\n")
        elif inside and cell.cell_type == "code":
            found.append(cell.source)
    return found


def test_three_ways_give_one_answer_whatever_the_encoder(encoder, tone_folder, tmp_path):
    """Cell by cell, the pipeline, and ours; with random weights, a head and a temperature."""
    new = build_model(encoder, sorted(TONES), seed=0)
    with torch.no_grad():
        new.model.classifier.weight *= 30  # or all scores would be nearly the same
    for part in (new.model, new.extractor):
        part.save_pretrained(tmp_path)
    notebook = nbformat.read(FOLDER / NAMES[2], as_version=4)
    names = {}
    exec(code_cells(notebook)[1].source, names)  # imports
    tables = load_data(resolve(data=tone_folder, unknown="none")).tables
    classifier = IntentClassifier.from_pretrained(tmp_path, engine="torch")
    names |= {"model": str(tmp_path), "classifier": classifier, "tables": tables}
    cells = section(notebook, "One answer, by hand")
    assert len(cells) == 6
    for source in cells:
        exec(source, names)
    table = names["table"]
    assert list(table) == ["by hand", "pipeline", "IntentClassifier"]
    assert sorted(table.index) == sorted(TONES) and table.index[0] == names["label"]
    assert table.sum().tolist() == pytest.approx([1, 1, 1])
    assert table.max().min() > 0.3  # of four intents


# From top to bottom


def execute(name: str, **parameters):
    """Run a notebook from its folder with other parameters; return it with its outputs."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    tagged = next(i for i, cell in enumerate(notebook.cells) if is_parameters(cell))
    source = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    notebook.cells.insert(tagged + 1, nbformat.v4.new_code_cell(source))
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )
    return client.execute()


def pictures(notebook) -> int:
    return sum(
        "image/png" in output.get("data", {})
        for cell in code_cells(notebook)
        for output in cell.outputs
    )


def test_notebooks_run_in_order_on_a_folder_of_ones_own(tmp_path, write_folder, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # figures inline, as for a reader
    folder = write_folder(tmp_path / "my clips", 8, lambda _, i: {"speaker": f"speaker {i % 4}"})
    data, run, tables, scores = (
        str(folder),
        tmp_path / "run",
        tmp_path / "tables",
        tmp_path / "scores",
    )

    first = execute(NAMES[0], data=data, output_dir=str(tables))
    table = pd.read_csv(tables / "metadata.csv")
    assert len(table) == 32 and set(table["split"]) == {"train", "validation", "test"}
    assert table.groupby("speaker")["split"].nunique().max() == 1
    assert pictures(first) == 3
    link = next(url for text in texts(first) for url in re.findall(r'<source src="([^"]+)"', text))
    assert not link.startswith("/") and "%20" in link and (FOLDER / unquote(link)).is_file()

    epochs = {"small": 1, "moonshine": 1}
    second = execute(NAMES[1], data=data, epochs=epochs, unknown="none", output_dir=str(run))
    assert pictures(second) == 3
    assert {path.name for path in run.iterdir()} >= {
        "small",
        "moonshine",
        "comparison.csv",
        "model",
        "metrics.json",
        "predictions.csv",
        "training_log.csv",
    }
    assert sorted(json.loads((run / "model" / "config.json").read_text())["label2id"]) == sorted(
        TONES
    )
    trained = json.loads((run / "metrics.json").read_text())
    assert trained["n"] == (table["split"] == "test").sum()

    third = execute(
        NAMES[2], data=data, model=os.path.relpath(run / "model", FOLDER), output_dir=str(scores)
    )
    assert pictures(third) == 4
    scored = json.loads((scores / "metrics.json").read_text())
    assert {key: scored[key] for key in ("n", "correct", "confusion")} == {
        key: trained[key] for key in ("n", "correct", "confusion")
    }
    predicted = pd.read_csv(scores / "predictions.csv")
    assert sorted(predicted["file_name"]) == sorted(
        table.loc[table["split"] == "test", "file_name"]
    )
