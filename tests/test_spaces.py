"""The files of a page that answers in a browser, and how they come to the Hub."""

import json
import re
import shutil
from pathlib import Path

import hub_client
import pytest
from huggingface_hub import HfApi, RepoCard

from speech_intent import ModelError, browser_runtime, publish, spaces, terms
from speech_intent.model_facts import read_facts
from speech_intent.paths import SHIPPED
from speech_intent.voice_activity import weights_file

RUNTIME = dict.fromkeys(browser_runtime.FILES, b"runtime")


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    """ONNX Runtime Web, without asking npm for it."""
    monkeypatch.setattr(browser_runtime, "runtime_files", lambda: dict(RUNTIME))


@pytest.fixture
def copy(onnx_folder, tmp_path) -> Path:
    return shutil.copytree(onnx_folder, tmp_path / "model")


def files_of(folder: Path, license: str | None = None) -> dict[str, Path | bytes]:
    facts = read_facts(folder, terms.given(license, None, None))
    return spaces.space_files(folder, "someone/requests", facts)


def test_the_page_has_all_that_it_asks_for():
    files = files_of(SHIPPED)
    page = {path.name for path in spaces.PAGE.iterdir()}
    model = {"model.json", "onnx/model.onnx", "unknown.safetensors", "speech.onnx", "LICENSE"}
    assert files.keys() == page | model | {f"onnxruntime/{name}" for name in RUNTIME} | {
        "README.md"
    }
    assert files["speech.onnx"] == weights_file()
    asked = set()
    for name in page:
        text = (spaces.PAGE / name).read_text(encoding="utf-8")
        asked |= set(
            re.findall(r'(?:from|Worker\(|fetch\(|src=|URL\()\s*"(?:\./)?([\w./-]+)"', text)
        )
    assert {"page.js", "worker.js", "model.json", "onnxruntime/ort.wasm.bundle.min.mjs"} <= asked
    assert asked <= files.keys()
    shown = json.loads(files["model.json"])
    assert (shown["title"], shown["about"]) == ("requests", "Licence of the model: mit.")


def test_a_model_that_always_answers_needs_no_detector(copy):
    names = files_of(copy).keys()
    assert "onnx/model.onnx" in names
    assert not names & {"unknown.safetensors", "speech.onnx", "LICENSE"}


def test_the_card_names_what_is_known_and_no_path(copy):
    text = files_of(copy, "apache-2.0")["README.md"].decode()
    card = RepoCard(text).data
    assert (card.title, card.sdk, card.app_file) == ("requests", "static", "index.html")
    assert card.license == "apache-2.0"
    assert "onnxruntime-web@" in text and "## Use and limits" in text
    assert str(copy) not in text
    assert "license" not in RepoCard(files_of(copy)["README.md"].decode()).data.to_dict()


def test_what_a_page_needs_must_lie_in_the_folder(copy, tmp_path):
    (tmp_path / "secret").write_text("a licence")
    (copy / "LICENSE").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="is a link to a file outside of the folder"):
        files_of(copy)


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path):
    with pytest.raises(ModelError, match="there is no such folder"):
        spaces.space_files(tmp_path / "none", "someone/requests", None)


def test_a_model_lacking_what_decides_is_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "model")
    facts = read_facts(tmp_path / "model")
    (tmp_path / "model" / "unknown.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no unknown\.safetensors, which its config\.json"):
        spaces.space_files(tmp_path / "model", "someone/requests", facts)


def test_a_page_is_published_as_a_static_space(copy, monkeypatch, capsys):
    address = hub_client.visit(monkeypatch)
    assert publish.main([str(copy), "tester/page", "--space", "--license", "mit"]) == 0
    assert capsys.readouterr().out == f"{address}/spaces/tester/page\n"
    names = set(HfApi().list_repo_files("tester/page", repo_type="space"))
    assert {"index.html", "onnx/model.onnx", "README.md"} <= names
    assert RepoCard.load("tester/page", repo_type="space").data.sdk == "static"
    assert publish.main([str(copy), "tester/page", "--space", "--license", "mit"]) == 0  # again


def test_a_page_is_not_made_of_recordings(copy, capsys):
    with pytest.raises(SystemExit):
        publish.main([str(copy), "tester/page", "--space", "--dataset"])
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_model_that_was_not_exported_is_refused(model_folder, tmp_path, capsys):
    folder = tmp_path / "page"
    options = ["--space", "--dry-run", str(folder)]
    assert publish.main([str(model_folder), "tester/page", *options]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "has no ONNX file of ours; run python -m speech_intent.export on it" in err
    assert not folder.exists()
