"""The three notebooks: they are tidy, and they run top to bottom on other data, in their order."""

import json
import os
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from conftest import TONES
from nbclient import NotebookClient

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


def test_imports_come_first_then_the_only_parameters_cell(notebook):
    imports, parameters, *rest = code_cells(notebook)
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
        limit = 15 if i < 2 else 10  # imports and parameters may be more
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
