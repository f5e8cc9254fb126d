import hashlib
import json
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from speech_intent import evaluate


def contents(folder) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def refused(capsys, *arguments) -> str:
    assert evaluate.main([str(argument) for argument in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    return err


@pytest.fixture(scope="module")
def results(model_folder, tone_folder, tmp_path_factory):
    """What `python -m speech_intent.evaluate` writes, and the model's bytes before and after."""
    output_dir, before = tmp_path_factory.mktemp("results") / "test", contents(model_folder)
    options = ["--model", model_folder, "--data", tone_folder, "--output-dir", output_dir]
    command = [sys.executable, "-m", "speech_intent.evaluate", *map(str, options)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.endswith(f"Results: {output_dir}\n")
    return output_dir, before, contents(model_folder)


def test_the_figures_are_those_of_training(results, run_folder, model_folder, tone_folder):
    result, trained = (json.loads((folder / "metrics.json").read_text()) for folder in (results[0], run_folder))
    own = {"encoder", "note", "train_seconds", "epochs", "steps", "parameters", "best_validation", "hyperparameters"}
    assert {key: value for key, value in trained.items() if key not in own} == {
        key: value for key, value in result.items() if key != "model"
    }
    assert result["model"] == str(model_folder)
    assert (results[0] / "predictions.csv").read_bytes() == (run_folder / "predictions.csv").read_bytes()


def test_a_picture_of_the_confusion_matrix_is_written(results):
    assert {path.name for path in results[0].iterdir()} == {
        "metrics.json",
        "predictions.csv",
        "confusion_matrix.png",
        "by_duration.png",
        "reliability.png",
        "report.html",
    }
    assert (results[0] / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")


def test_the_model_is_not_changed(results):
    assert results[1] == results[2]


def test_another_split_is_scored(model_folder, tone_folder, tmp_path, capsys):
    options = ["--model", model_folder, "--data", tone_folder, "--split", "validation", "--output-dir", tmp_path]
    assert evaluate.main([str(option) for option in options]) == 0
    assert capsys.readouterr().out.startswith("Validation: accuracy ")
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert (result["n"], result["split"]) == (8, "validation (given)")
    assert all(name[-5] in "45" for name in pd.read_csv(tmp_path / "predictions.csv")["file_name"])


def test_without_a_given_split_the_seed_of_the_model_decides(model_folder, tmp_path):
    assert evaluate.model_seed(model_folder) == 0
    (tmp_path / "training.json").write_text('{"seed": 7}')
    assert evaluate.model_seed(tmp_path) == 7
    assert evaluate.model_seed("someone/some-model") == 0


def test_data_with_some_of_the_models_intents_are_scored(model_folder, write_folder, tmp_path):
    folder = write_folder(tmp_path / "data", 3, intents=("hear_high", "hear_upper"))
    assert evaluate.main(["--model", str(model_folder), "--data", str(folder), "--output-dir", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert (result["n"], result["accuracy"]) == (2, 1.0)
    assert set(result["per_class"]) == {"hear_high", "hear_low", "hear_middle", "hear_upper"}


def test_a_model_with_other_labels_is_refused(model_folder, write_folder, tmp_path, capsys):
    folder = write_folder(tmp_path / "data", 3, seconds=0.05)
    table = (folder / "metadata.csv").read_text()
    (folder / "metadata.csv").write_text(table.replace(",hear_low", ",whisper"))
    err = refused(capsys, "--model", model_folder, "--data", folder, "--output-dir", tmp_path / "out")
    assert err == (
        f"error: {model_folder}: does not know the intents whisper of the data; "
        "it knows hear_high, hear_low, hear_middle, hear_upper\n"
    )
    assert not (tmp_path / "out").exists()


def test_results_are_never_written_over(model_folder, tone_folder, run_folder, capsys):
    before = contents(run_folder / "model")
    for folder in (run_folder, model_folder):
        err = refused(capsys, "--model", model_folder, "--data", tone_folder, "--output-dir", folder)
        assert err == f"error: {folder}: holds results; choose another folder, or delete it first\n"
    assert contents(run_folder / "model") == before


@pytest.mark.parametrize(
    ("model", "problem"), [("/gone", "there is no such folder"), ("someone/some-model", "the Hub cannot be reached")]
)
def test_a_model_that_cannot_be_had(tone_folder, tmp_path, capsys, model, problem):
    err = refused(capsys, "--model", model, "--data", tone_folder, "--output-dir", tmp_path)
    assert problem in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--model", "x", "--output-dir", "y", "--split", "dev"]])
def test_wrong_usage_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        evaluate.main(arguments)
    assert stop.value.code == 2
    assert "usage: python -m speech_intent.evaluate" in capsys.readouterr().err


def test_the_report_is_one_page_that_fetches_nothing(results):
    page = (results[0] / "report.html").read_text(encoding="utf-8")
    result = json.loads((results[0] / "metrics.json").read_text())
    assert f"{100 * result['accuracy']:.1f} %" in page and page.count("data:image/png;base64,") == 3
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)|@import|url\(|<script", page)
    assert "$" not in page and page.count(f"<td>{result['correct']}/{result['n']}</td>") == 10


def test_several_models_are_compared_on_the_same_clips(model_folder, tone_folder, tmp_path, capsys):
    other, out = tmp_path / "other", tmp_path / "out"
    shutil.copytree(model_folder, other)
    models = ["--model", model_folder, other, "--data", tone_folder, "--output-dir", out]
    assert evaluate.main([str(option) for option in models]) == 0
    table = pd.read_csv(out / "comparison.csv", index_col=0)
    assert list(table.index) == [str(model_folder), str(other)]
    assert table["p"].iloc[1] == 1.0 and table["only_best"].iloc[1] == 0
    assert "only_this" in capsys.readouterr().out and len(list(out.glob("*/report.html"))) == 2


def test_models_with_splits_of_their_own_are_not_compared(model_folder, write_folder, tmp_path, capsys):
    other, folder = tmp_path / "other", write_folder(tmp_path / "data", 8)
    shutil.copytree(model_folder, other)
    (other / "training.json").write_text('{"seed": 7}')
    options = ["--data", folder, "--output-dir", tmp_path / "out"]
    assert evaluate.main([str(option) for option in ["--model", model_folder, other, *options]]) == 1
    assert "not scored on the same clips; add --seed" in capsys.readouterr().err


def test_robustness_is_scored_under_every_condition(model_folder, tone_folder, tmp_path):
    options = ["--model", model_folder, "--data", tone_folder, "--output-dir", tmp_path, "--robustness"]
    assert evaluate.main([str(option) for option in options]) == 0
    table = pd.read_csv(tmp_path / "robustness.csv", index_col=0)
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert len(table) == 11 and table["accuracy"]["clean"] == result["accuracy"] and set(table["n"]) == {result["n"]}
    assert "by condition" in (tmp_path / "report.html").read_text()


def test_ten_thousand_clips_are_written_up_in_seconds(tmp_path):
    rng, labels = np.random.default_rng(0), [f"intent_{i:02d}" for i in range(14)]
    scores = rng.dirichlet(np.full(14, 0.2), 10_000)
    guesses = scores.argmax(axis=1)
    truth = np.where(rng.random(10_000) < 0.8, guesses, rng.integers(0, 14, 10_000))
    names = np.array(labels)
    answers = {"file_name": [f"{i}.wav" for i in range(10_000)], "intent": names[truth], "predicted": names[guesses]}
    answers |= {"score": scores.max(axis=1), "accepted": True, "speaker": [f"s{i % 60}" for i in range(10_000)]}
    answers |= {"seconds": rng.uniform(1, 6, 10_000)} | {label: scores[:, i] for i, label in enumerate(labels)}
    began = time.process_time()
    result = evaluate.write_results(pd.DataFrame(answers), labels, tmp_path, {"threshold": None})
    assert time.process_time() - began < 20
    assert result["n"] == 10_000 and result["bootstrap"] == "over 60 speakers"
