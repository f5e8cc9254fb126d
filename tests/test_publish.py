"""Recipes go from their data to the Hub and back; what the command line publishes, and says."""

import json
import shutil
from dataclasses import asdict, replace

import hub_client
import numpy as np
import pytest
import soundfile
from hub_client import LOCALES, MINDS14, SCOOTER
from huggingface_hub import HfApi, ModelCard
from transformers import pipeline

from speech_intent import IntentClassifier, evaluate, hub_recordings, hub_upload, publish, train
from speech_intent import terms as said
from speech_intent.model_facts import read_facts
from speech_intent.recipes import RECIPES


@pytest.fixture
def hub(monkeypatch):
    """This process may write to a Hub on this machine."""
    return hub_client.visit(monkeypatch)


# From data to the Hub and back

LANGUAGES = {  # one recipe an encoder; test_hub_datasets reads what the others start from
    "scooter": None,  # its one configuration has no name
    "minds14-whisper": "en",
    "minds14-language": "multilingual",
    "skit-s2i": None,
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_recipe_goes_from_its_data_to_the_hub_and_back(hub, tmp_path, name, monkeypatch):
    hub_client.make_datasets()
    hub_client.make_encoders()
    hub_client.use_cache(monkeypatch, tmp_path / "cache")
    recipe = RECIPES[name]
    out = tmp_path / "out"
    repo = f"tester/{name}"
    options = ["--recipe", name]
    assert train.main([*options, "--epochs", "1", "--output-dir", str(out)]) == 0
    assert publish.main([str(out / "model"), repo]) == 0
    results = json.loads((out / "metrics.json").read_text())
    assert (results["data"], results["config"]) == (recipe.data, recipe.config)
    assert results["encoder"] == recipe.encoder
    settled = replace(recipe.numbers, epochs=1, freeze="features")  # as "auto" comes out
    numbers = asdict(settled)
    given = {number: value for number, value in numbers.items() if value is not None}
    assert given.items() <= results["hyperparameters"].items()
    check_card(repo, results, LANGUAGES[name], recipe.license)
    check_answers(out / "model", repo, tmp_path / "clip.wav", monkeypatch)
    check_labels(out / "model", name)
    again = tmp_path / "again"
    model = ["--model", str(out / "model")]
    assert evaluate.main([*options, *model, "--output-dir", str(again)]) == 0
    scored = json.loads((again / "metrics.json").read_text())
    assert scored["confusion"] == results["confusion"]


def check_labels(folder, name: str) -> None:
    """Compare what a model can answer with the classes of its data."""
    labels = {"scooter": SCOOTER, "minds14-whisper": MINDS14, "minds14-language": LOCALES}
    expected = labels.get(name, RECIPES[name].intents)
    assert IntentClassifier.from_pretrained(folder).labels == sorted(expected)


def check_card(repo: str, results: dict, language: str | None, license: str | None) -> None:
    """Compare what the Hub says of a model with what was measured."""
    card = ModelCard.load(repo).data
    assert card.base_model == results["encoder"]
    assert card.datasets == [results["data"]]
    assert card.language == language
    assert card.license == license
    is_language = results["config"] == "all"
    assert ("language-identification" in card.tags) == is_language
    assert ("intent-classification" in card.tags) != is_language
    assert len(card.eval_results) == 10
    for figure in card.eval_results:
        assert (figure.task_name == "Spoken intent classification") != is_language
        assert figure.dataset_type == results["data"]
        assert figure.dataset_config == results["config"]
        assert figure.metric_value == results[figure.metric_name.replace(" ", "_")]


def check_answers(folder, repo, path, monkeypatch) -> None:
    """Compare a local model's answers with the published one's, also by transformers alone."""
    soundfile.write(path, 0.5 * np.sin(np.arange(8_000) / 9), 16_000)
    scores = dict(IntentClassifier.from_pretrained(folder).predict(path).scores)
    waveform, rate = soundfile.read(path, dtype="float32")
    classify = pipeline("audio-classification", model=repo)
    answers = classify({"raw": waveform, "sampling_rate": rate}, top_k=None)
    assert {row["label"]: row["score"] for row in answers} == pytest.approx(scores, abs=1e-4)
    online = IntentClassifier.from_pretrained(repo).predict(path)
    hub_client.set_offline(monkeypatch, True)
    offline = IntentClassifier.from_pretrained(repo).predict(path)
    hub_client.set_offline(monkeypatch, False)
    assert dict(online.scores) == dict(offline.scores) == pytest.approx(scores, abs=1e-6)


# The command line


@pytest.fixture
def uploads(monkeypatch):
    """Note what would be uploaded."""
    noted = []

    def upload(name, files, kind, private):
        noted.append((name, files, kind, private))
        return "https://huggingface.co/somewhere"

    monkeypatch.setattr(hub_upload, "upload", upload)
    return noted


def test_a_model_is_published_with_what_the_options_say(uploads, model_folder, capsys):
    options = ["--license", "mit", "--language", "de", "--private"]
    assert publish.main([str(model_folder), "user/name", *options]) == 0
    out, err = capsys.readouterr()
    assert out == "https://huggingface.co/somewhere\n"
    assert err == ""
    ((name, files, kind, private),) = uploads
    assert (name, kind, private) == ("user/name", "model", True)
    facts = read_facts(model_folder, said.given("mit", "de", None))
    expected = hub_upload.model_files(model_folder, "user/name", facts)
    assert files == expected


def test_what_is_left_out_is_said(uploads, model_folder, tmp_path, capsys):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    for name in (".env", "optimizer.bin", "two\nlines"):
        (folder / name).write_text("private")
    options = ["--license", "mit", "--language", "de"]
    assert publish.main([str(folder), "user/name", *options]) == 0
    assert capsys.readouterr().err == "note: left out: .env, optimizer.bin, two\\nlines\n"
    assert not {".env", "optimizer.bin"} & set(uploads[0][1])


@pytest.mark.parametrize("options", [[], ["--dataset"]])
@pytest.mark.parametrize("name", ["name", "user/two words", "a/b/c", "user/" + "x" * 100])
def test_a_name_that_the_hub_would_not_take_is_refused_first(
    uploads, model_folder, capsys, name, options
):
    assert publish.main([str(model_folder), name, *options]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {name}: ")
    assert "; name it USER/NAME: letters" in err
    assert uploads == []


def test_the_address_of_a_repository_names_it(uploads, model_folder):
    address = "https://huggingface.co/user/name"
    assert publish.main([str(model_folder), address, "--license", "mit"]) == 0
    ((name, files, _, _),) = uploads
    assert name == "user/name"
    assert b'model="user/name"' in files["README.md"]


def test_what_a_card_leaves_out_is_said_once(uploads, model_folder, tone_folder, capsys):
    assert publish.main([str(model_folder), "user/name"]) == 0
    assert publish.main([str(tone_folder), "user/name", "--dataset", "--license", "mit"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "note: the card names no licence (--license) and no language (--language); "
        "dataset.toml beside the data may too",
        "note: the card names no language (--language), no pretty name (--data-name), "
        "no consent; dataset.toml beside the recordings may name all of it",
    ]


def test_a_language_that_the_data_tell_is_not_asked_for(uploads, model_folder, tmp_path, capsys):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    results = json.loads((folder / "metrics.json").read_text())
    results |= {"data": "PolyAI/minds14", "data_called": "PolyAI/minds14", "config": "ko-KR"}
    (folder / "metrics.json").write_text(json.dumps(results))
    assert publish.main([str(folder), "user/name"]) == 0
    note = "note: the card names no licence (--license); dataset.toml beside the data may too\n"
    assert note in capsys.readouterr().err
    assert b"\nlanguage: ko\n" in uploads[0][1]["README.md"]


def test_recordings_are_published_with_what_the_options_say(uploads, tone_folder, capsys):
    options = ["--dataset", "--license", "mit", "--language", "de", "--data-name", "Tones"]
    assert publish.main([str(tone_folder), "user/name", *options]) == 0
    err = capsys.readouterr().err
    assert (
        err == "note: the card names no consent; dataset.toml beside the recordings may name "
        "all of it\n"
    )
    given = said.given("mit", "de", "Tones")
    expected = hub_recordings.dataset_files(tone_folder, given).files
    assert uploads == [("user/name", expected, "dataset", False)]


def test_a_zip_of_recordings_is_published_as_they_are(uploads, tone_folder, tmp_path):
    path = shutil.make_archive(str(tmp_path / "tones"), "zip", tone_folder)
    assert publish.main([path, "user/name", "--dataset"]) == 0
    ((_, files, _, _),) = uploads
    expected = hub_recordings.dataset_files(tone_folder).files
    assert files["metadata.csv"] == expected["metadata.csv"]
    assert files["README.md"] == expected["README.md"].replace(b"# data", b"# tones")
    names = files.keys() - {"metadata.csv", "README.md"}
    assert names == expected.keys() - {"metadata.csv", "README.md"}
    assert all(files[name].read_bytes() == expected[name].read_bytes() for name in names)


def test_of_a_card_of_the_folders_own_nothing_is_said(uploads, write_folder, tmp_path, capsys):
    folder = write_folder(tmp_path / "data", 2, seconds=0.05)
    card = "---\nlicense: mit\nlanguage: en\n---\n# Ours\n"
    (folder / "README.md").write_text(card)
    assert publish.main([str(folder), "user/name", "--dataset"]) == 0
    assert capsys.readouterr().err == ""
    (folder / "README.md").write_text("# Ours\n")
    assert publish.main([str(folder), "user/name", "--dataset"]) == 0
    note = "note: README.md names no licence and no language; write YAML at its top\n"
    assert capsys.readouterr().err == note


def test_a_dry_run_writes_everything_and_uploads_nothing(uploads, model_folder, tmp_path, capsys):
    look = tmp_path / "look"
    options = ["--license", "mit", "--language", "de", "--data-name", "Tones"]
    assert publish.main([str(model_folder), "user/name", *options, "--dry-run", str(look)]) == 0
    out, err = capsys.readouterr()
    assert uploads == []
    assert err == ""
    names = {path.name for path in look.iterdir()}
    assert out == f"Nothing was uploaded: {len(names)} files are in {look}\n"
    assert {"README.md", "config.json", "model.safetensors", "metrics.json"} <= names
    assert json.loads((look / "metrics.json").read_text())["data"] == "Tones"
    assert "data: Tones; split: test (given)" in (look / "README.md").read_text()
    assert publish.main([str(model_folder), "user/name", "--dry-run", str(look)]) == 1
    assert "is not empty; choose another folder" in capsys.readouterr().err


def test_a_dry_run_of_recordings_is_a_folder_to_train_on(uploads, tone_folder, tmp_path):
    look = tmp_path / "look"
    options = ["--dataset", "--dry-run", str(look)]
    assert publish.main([str(tone_folder), "user/name", *options]) == 0
    assert uploads == []
    assert len(list(look.rglob("*.wav"))) == 40
    assert (look / "metadata.csv").is_file()


def test_data_that_forbid_commercial_use_are_no_source_of_an_apache_model(
    uploads, model_folder, tmp_path, capsys
):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    record = json.loads((folder / "training.json").read_text())
    for source in record["sources"]:
        if source["role"] == "data":
            source["license"] = "cc-by-nc-4.0"
    (folder / "training.json").write_text(json.dumps(record))
    assert publish.main([str(folder), "user/name", "--license", "apache-2.0"]) == 1
    err = capsys.readouterr().err
    assert "/data: is under cc-by-nc-4.0, which forbids commercial use, and apache-2.0" in err
    assert err.endswith("; publish as cc-by-nc-4.0: leave --license out\n")
    assert uploads == []
    assert publish.main([str(folder), "user/name"]) == 0
    assert b"\nlicense: cc-by-nc-4.0\n" in uploads[0][1]["README.md"]


def test_a_model_without_figures_needs_to_be_asked_for(uploads, model_folder, tmp_path, capsys):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "metrics.json").unlink()
    assert publish.main([str(folder), "user/name"]) == 1
    reason = "has no metrics.json; score it with evaluate, or add --without-results"
    assert capsys.readouterr().err == f"error: {folder}: {reason}\n"
    assert publish.main([str(folder), "user/name", "--without-results"]) == 0
    assert len(uploads) == 1


def test_recordings_that_cannot_be_used_are_listed(uploads, tmp_path, capsys):
    assert publish.main([str(tmp_path), "user/name", "--dataset"]) == 1
    heading, problem = capsys.readouterr().err.splitlines()
    assert heading == f"error: {tmp_path} cannot be used:"
    assert problem.startswith("  - it has neither metadata.csv nor ")
    assert uploads == []


def test_an_error_of_the_hub_without_words_is_one_line(hub, model_folder, monkeypatch, capsys):
    def create_commit(*args, **kwargs):
        raise TimeoutError

    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    options = ["--license", "mit", "--language", "en"]
    assert publish.main([str(model_folder), "tester/timed-out", *options]) == 1
    reason = "the Hub cannot be reached: it gives no answer in time; "
    reason += "run it again once the Hub answers"
    assert capsys.readouterr().err == f"error: tester/timed-out: {reason}\n"


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch, model_folder):
    def fail(*args):
        raise ValueError("a bug")

    monkeypatch.setattr(hub_upload, "model_files", fail)
    with pytest.raises(ValueError, match="a bug"):
        publish.main([str(model_folder), "user/name"])


def test_a_user_of_the_command_line_publishes(hub, model_folder, tmp_path):
    """In a process of its own, which learns address and token from the environment."""
    command = ("-m", "speech_intent.publish", model_folder, "tester/by-command")
    refused = hub_client.run_as_user(*command, HF_TOKEN="hf_wrong", HF_HOME=str(tmp_path))
    assert refused.returncode == 1
    *_, note, error = refused.stderr.splitlines()
    assert note.startswith("note: the card names no licence")
    assert error.startswith("error: tester/by-command: the Hub does not know this token; ")
    assert "hf_wrong" not in refused.stderr
    published = hub_client.run_as_user(*command, HF_HOME=str(tmp_path))
    assert published.returncode == 0, published.stderr
    assert published.stdout == f"{hub}/tester/by-command\n"
    names = HfApi().list_repo_files("tester/by-command")
    assert {"config.json", "model.safetensors", "README.md"} <= set(names)
