import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from speech_intent import evaluate
from speech_intent.errors import UserError

HEAVY = ["torch", "numpy", "transformers", "datasets", "pandas", "sklearn", "matplotlib"]


def run(*arguments) -> int:
    return evaluate.main([str(argument) for argument in arguments])


def refused(capsys, *arguments) -> str:
    assert run(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    return err


def test_a_model_is_scored_from_the_command_line(model_folder, tone_folder, tmp_path):
    out = tmp_path / "out"
    options = ["--model", model_folder, "--data", tone_folder, "--output-dir", out]
    command = [sys.executable, "-m", "speech_intent.evaluate", *map(str, options)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    result = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert (result["n"], result["split"], result["seed"]) == (16, "test (given)", 0)
    headline, last = process.stdout.splitlines()
    figures = f"{result['accuracy']:.4f} = {result['correct']}/16"
    assert headline.startswith(f"Test: accuracy {figures} (95 % interval ")
    assert last == f"Results: {out}"


def test_help_is_quick():
    program = (
        "import sys\nfrom speech_intent import evaluate\n"
        "try:\n    evaluate.main(['--help'])\n"
        f"finally:\n    print('heavy', [name for name in {HEAVY} if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.returncode == 0
    assert process.stdout.startswith("usage: python -m speech_intent.evaluate ")
    assert process.stdout.splitlines()[-1] == "heavy []"


@pytest.mark.parametrize("arguments", [[], ["--model", "x", "--output-dir", "y", "--split", "dev"]])
def test_wrong_usage_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    assert "usage: python -m speech_intent.evaluate" in capsys.readouterr().err


@pytest.fixture
def calls(monkeypatch):
    """What would be scored, where nothing is: model, recipe, split, folder, robustness, seed."""
    from speech_intent import evaluation

    calls = []

    def score_model(*arguments):
        calls.append(arguments)
        return {
            "accuracy": 0.5,
            "accuracy_interval": [0.25, 0.75],
            "correct": 4,
            "n": 8,
            "f1_macro": 0.4,
        }

    monkeypatch.setattr(evaluation, "score_model", score_model)
    return calls


def test_every_option_reaches_its_place(calls, tmp_path, capsys):
    options = ["--data", "folder", "--config", "en", "--audio-column", "wav"]
    options += ["--intent-column", "label", "--speaker-column", "who", "--split", "validation"]
    options += ["--seed", "7", "--robustness", "--drop-copies", "--output-dir", tmp_path]
    assert run("--model", "some/model", *options) == 0
    ((model, recipe, split, folder, robustness, seed),) = calls
    assert (model, split, folder, robustness) == ("some/model", "validation", tmp_path, True)
    assert (recipe.data, recipe.config, seed) == ("folder", "en", 7)
    assert recipe.drop_copies
    assert (recipe.audio, recipe.intent, recipe.speaker) == ("wav", "label", "who")
    assert capsys.readouterr().out == (
        "Validation: accuracy 0.5000 = 4/8 (95 % interval 0.250 to 0.750), macro F1 0.4000\n"
        f"Results: {tmp_path}\n"
    )


def test_a_recipe_may_be_the_settings_of_a_run(calls, run_folder, tone_folder, tmp_path):
    file = run_folder / "settings.toml"
    assert run("--model", run_folder / "model", "--recipe", file, "--output-dir", tmp_path) == 0
    ((_, recipe, *_),) = calls
    assert recipe.data == str(tone_folder)


def test_each_model_has_a_folder_inside_the_output_folder(tmp_path):
    models = ["someone/some-model", "../runs/a", "runs/a", "/elsewhere/b"]
    folders = evaluate.model_folders(models, tmp_path)
    assert list(folders) == models
    assert [folder.parent for folder in folders.values()] == [tmp_path] * 4
    assert len(set(folders.values())) == 4
    assert folders["someone/some-model"] == tmp_path / "someone--some-model"


def test_a_single_model_has_the_output_folder_to_itself(tmp_path):
    assert evaluate.model_folders(["a/b"], tmp_path) == {"a/b": tmp_path}


def test_a_model_is_not_compared_with_itself(tmp_path):
    with pytest.raises(UserError, match=r"^x: is named twice; name each model once$"):
        evaluate.model_folders(["x", "y", "x"], tmp_path)


def test_several_models_are_compared_on_the_same_clips(model_folder, tone_folder, tmp_path, capsys):
    other = shutil.copytree(model_folder, tmp_path / "other")
    out = tmp_path / "out"
    models = ["--model", model_folder, other]
    assert run(*models, "--data", tone_folder, "--output-dir", out) == 0
    table = pd.read_csv(out / "comparison.csv", index_col=0)
    assert list(table.index) == sorted([str(model_folder), str(other)])
    assert table["n"].tolist() == [16, 16]
    printed = capsys.readouterr().out
    assert f"\n{other}: accuracy " in printed
    assert "only_best  only_this" in printed
    assert len(list(out.glob("*/report.html"))) == 2


def test_models_with_splits_of_their_own_are_not_compared(
    model_folder, write_folder, tmp_path, capsys
):
    """Neither lists its clips: the seed of each draws its split."""
    folder = write_folder(tmp_path / "data", 8)
    first, other = (shutil.copytree(model_folder, tmp_path / name) for name in ("one", "two"))
    for model in (first, other):
        (model / "clips.csv").unlink()
    (other / "training.json").write_text('{"seed": 7}')
    options = ["--model", first, other, "--data", folder]
    assert run(*options, "--output-dir", tmp_path / "out") == 1
    assert capsys.readouterr().err == (
        f"error: {other}: was not scored on the same clips as {first}; "
        "give the data a split column\n"
    )
    assert run(*options, "--seed", 3, "--output-dir", tmp_path / "drawn") == 0


def test_results_are_never_written_over(model_folder, tone_folder, run_folder, capsys):
    for folder in (run_folder, model_folder):
        before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        options = ["--data", tone_folder, "--output-dir", folder]
        err = refused(capsys, "--model", model_folder, *options)
        assert err == (
            f"error: {folder}: holds results; choose another folder, or delete it first\n"
        )
        assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("/gone", "there is no such folder"),
        ("someone/some-model", "the Hub cannot be reached"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line(tone_folder, tmp_path, capsys, model, problem):
    options = ["--data", tone_folder, "--output-dir", tmp_path]
    err = refused(capsys, "--model", model, *options)
    assert problem in err
    assert err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(calls, tmp_path, monkeypatch):
    from speech_intent import evaluation

    def broken(result):
        raise ValueError("too many values to unpack")

    monkeypatch.setattr(evaluation, "headline", broken)
    with pytest.raises(ValueError, match="too many values"):
        run("--model", "x", "--output-dir", tmp_path)
