import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK, TONES
from safetensors.torch import load_file
from transformers import AutoConfig

from speech_intent import evaluation, experiment, train, training
from speech_intent.errors import DataError, OutputError, UserError
from speech_intent.progress import Progress
from speech_intent.recipes import resolve
from speech_intent.run_folder import held as folder_lock
from speech_intent.trainer import WEIGHTS, SpeechTrainer

AVERAGES = ("micro", "macro", "weighted")
FIGURES = [f"{name}_{average}" for name in ("precision", "recall", "f1") for average in AVERAGES]


def test_what_was_learned_holds_for_new_clips(run_folder):
    result = json.loads((run_folder / "metrics.json").read_text())
    assert result["accuracy"] >= 0.9  # chance: 0.25


# What a run leaves behind


def test_a_run_leaves_model_extractor_labels_and_figures(run_folder):
    assert {path.name for path in (run_folder / "model").iterdir()} == {
        "clips.csv",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "pooled.safetensors",
        "preprocessor_config.json",
        "training.json",
    }
    assert {path.name for path in run_folder.iterdir()} == {
        ".lock",
        "clips.csv",
        "made_of.json",
        "model",
        "metrics.json",
        "predictions.csv",
        "settings.toml",
        "training_log.csv",
        "training_curves.png",
        "confusion_matrix.png",
        "reliability.png",
        "by_duration.png",
        "report.html",
        "validation.png",
    }
    config = json.loads((run_folder / "model" / "config.json").read_text())
    ids = {"hear_high": 0, "hear_low": 1, "hear_middle": 2, "hear_upper": 3}
    assert config["label2id"] == ids
    assert AutoConfig.from_pretrained(run_folder / "model").id2label[3] == "hear_upper"


def test_metrics_json_has_every_figure_in_both_places(run_folder, tone_folder):
    result = json.loads((run_folder / "metrics.json").read_text())
    assert json.loads((run_folder / "model" / "metrics.json").read_text()) == result
    named = {"accuracy_interval", "per_class", "split", "train_seconds", "hyperparameters"}
    assert named | set(FIGURES) <= set(result)
    assert (result["n"], result["seed"], result["data"]) == (16, 0, str(tone_folder))
    assert result["split"] == "test (given)"
    assert result["accuracy"] == result["correct"] / result["n"]
    assert set(result["per_class"]) == set(TONES)


def test_predictions_are_listed_clip_by_clip(run_folder):
    rows = pd.read_csv(run_folder / "predictions.csv")
    result = json.loads((run_folder / "metrics.json").read_text())
    columns = ["file_name", "intent", "predicted", "score", "accepted", "knownness"]
    columns += ["speaker", "seconds"]
    probabilities = [f"p_{name}" for name in sorted(TONES)]
    assert list(rows) == [*columns, *probabilities]
    assert rows["accepted"].all()
    assert np.allclose(rows[probabilities].sum(axis=1), 1)
    assert np.allclose(rows[probabilities].max(axis=1), rows["score"])
    assert (rows["intent"] == rows["predicted"]).sum() == result["correct"]
    assert rows["score"].between(0.25, 1).all()


def test_the_recipes_note_and_split_are_printed(tmp_path, recipe, capsys):
    quick = recipe(freeze="encoder", note="Tones, not speech.")
    experiment.run(quick, tmp_path / "out")
    out = capsys.readouterr().out
    assert "Split: given\nNote: Tones, not speech.\n" in out


@pytest.mark.parametrize(
    "names", [("lights: on", "lights: off"), ("$5_or_$6", "a/b"), ("on", "on_low")]
)
def test_intents_may_be_called_anything(tmp_path, write_folder, recipe, names):
    """Each of these once stopped a run at its pictures, or was drawn as what it is not."""
    folder = write_folder(
        tmp_path / "data",
        4,
        lambda _, i: {"split": ("train", "train", "validation", "test")[i]},
        intents=("hear_high", "hear_low"),
    )
    table = (folder / "metadata.csv").read_text()
    for old, new in zip(("hear_high", "hear_low"), names, strict=True):
        table = table.replace(f",{old},", f",{new},")
    (folder / "metadata.csv").write_text(table)
    result = experiment.run(recipe(data=folder, freeze="encoder"), tmp_path / "out")
    assert set(result["per_class"]) == set(names)
    assert (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "out" / "validation.png").exists()


# What is refused


def test_everything_wrong_with_the_data_is_listed_before_any_training(
    tmp_path, write_folder, recipe
):
    folder = write_folder(tmp_path / "data", 3, seconds=0.05)
    (folder / "clips/hear_low_0.wav").write_text("not audio")
    (folder / "clips/hear_low_1.wav").unlink()
    with pytest.raises(DataError) as error:
        experiment.run(recipe(data=folder), tmp_path / "out")
    assert len(error.value.problems) == 2
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_never_written_over(run_folder, recipe):
    before = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")}
    for resume in (False, True):
        with pytest.raises(OutputError, match="holds a finished run"):
            experiment.run(recipe(), run_folder, resume)
    assert {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")} == before


# Interrupted runs

KILLED_IN_EPOCH_3 = """
import json, os, signal, sys
from pathlib import Path
from speech_intent import experiment, progress, recipes

def kill(self, args, state, control, **kwargs):
    if state.global_step == 10:
        os.kill(os.getpid(), signal.SIGKILL)

progress.Progress.on_step_end = kill
experiment.run(recipes.resolve(**json.loads(sys.argv[1])), Path(sys.argv[2]))
"""


def test_a_run_killed_in_mid_epoch_goes_on_from_its_last_checkpoint(
    tmp_path, tone_folder, encoders, recipe, monkeypatch
):
    out = tmp_path / "out"
    given = QUICK | {"epochs": 5}  # of 4 steps
    options = {"data": str(tone_folder), "encoder": str(encoders["wav2vec2_layer"]), **given}
    options["unknown"] = "none"
    command = [sys.executable, "-c", KILLED_IN_EPOCH_3, json.dumps(options), str(out)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr

    with pytest.raises(OutputError, match="unfinished run; add --resume"):
        experiment.run(recipe(epochs=5), out)

    half_written = out / "checkpoints" / "checkpoint-12"
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(b"\0" * 10)
    steps = []
    on_step_end = Progress.on_step_end

    def count(self, args, state, control, **kwargs):
        steps.append(state.global_step)
        on_step_end(self, args, state, control, **kwargs)

    monkeypatch.setattr(Progress, "on_step_end", count)
    result = experiment.run(recipe(epochs=5), out, resume=True)
    assert steps == list(range(9, 21))  # the last whole checkpoint was written after step 8
    log = pd.read_csv(out / "training_log.csv")
    assert log["step"].tolist() == [4, 8, 12, 16, 20]
    assert result["steps"] == 20
    assert not (out / "checkpoints").exists()


def test_a_run_killed_before_its_test_split_was_scored_is_scored_and_not_trained_again(
    tmp_path, run_folder, recipe, monkeypatch
):
    out = tmp_path / "out"
    (out / "model").mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "preprocessor_config.json", "training.json"):
        os.link(run_folder / "model" / name, out / "model" / name)
    for name in ("training_log.csv", "clips.csv", "made_of.json"):
        os.link(run_folder / name, out / name)
    monkeypatch.setattr(training, "build_trainer", None)
    result = experiment.run(recipe(), out, resume=True)
    assert result == json.loads((run_folder / "metrics.json").read_text())


def test_a_run_killed_before_the_model_got_its_figures_is_scored_again(
    tmp_path, run_folder, recipe
):
    out = tmp_path / "out"
    shutil.copytree(run_folder, out)
    (out / "model" / "metrics.json").unlink()
    with pytest.raises(OutputError, match="holds a finished run"):
        experiment.run(recipe(), out)
    result = experiment.run(recipe(), out, resume=True)
    assert json.loads((out / "model" / "metrics.json").read_text()) == result
    with pytest.raises(OutputError, match="holds a finished run"):
        experiment.run(recipe(), out, resume=True)
    shutil.rmtree(out / "model")
    with pytest.raises(OutputError, match="holds a finished run"):
        experiment.run(recipe(), out, resume=True)


STOPPED = """
import json, os, signal, sys
from pathlib import Path
from speech_intent import experiment, recipes, trainer, training

def kill(self, *args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

trainer.SpeechTrainer.predict = kill  # what comes right after training
experiment.run(recipes.resolve(**json.loads(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("ended", ["early", "at the end"])
def test_a_run_killed_after_its_last_epoch_is_not_trained_any_more(
    tmp_path, tone_folder, encoders, recipe, monkeypatch, ended
):
    out = tmp_path / "out"
    changed = {"epochs": 2}
    if ended == "early":
        changed = {"patience": 1, "learning_rate": 1e-12}  # after two epochs, of twenty
    options = {"data": str(tone_folder), "encoder": str(encoders["wav2vec2_layer"]), **QUICK}
    options["unknown"] = "none"
    arguments = [json.dumps(options | changed), str(out)]
    process = subprocess.run([sys.executable, "-c", STOPPED, *arguments], capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    best = json.loads((out / "checkpoints" / "checkpoint-8" / "trainer_state.json").read_text())
    expected = load_file(out / "checkpoints" / f"checkpoint-{best['best_global_step']}" / WEIGHTS)

    monkeypatch.setattr(SpeechTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    result = experiment.run(recipe(**changed), out, resume=True)
    assert (result["steps"], result["epochs"]) == (8, 2.0)
    assert pd.read_csv(out / "training_log.csv")["step"].tolist() == [4, 8]
    found = load_file(out / "model" / WEIGHTS)
    for name in expected.keys() - {"classifier.weight", "classifier.bias"}:  # these are calibrated
        assert torch.equal(found[name], expected[name])


@pytest.fixture
def unfinished(tmp_path, run_folder):
    """A run that was trained and not scored yet."""
    out = tmp_path / "out"
    shutil.copytree(run_folder, out)
    (out / "metrics.json").unlink()
    return out


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"seed": 1}, "seed 0 (now 1)"),
        ({"epochs": 21}, "epochs 20 (now 21)"),
        ({"freeze": "encoder"}, "epochs 20 (now None)"),
        ({"learning_rate": 1e-4}, "learning_rate 0.005 (now 0.0001)"),
        ({"encoder": "small"}, "(now small), encoder_digests"),
    ],
)
def test_a_run_of_other_numbers_is_not_gone_on_with(unfinished, recipe, changed, difference):
    with pytest.raises(OutputError) as refusal:
        experiment.run(recipe(**changed), unfinished, resume=True)
    assert difference in refusal.value.problem
    assert not (unfinished / "metrics.json").exists()


def test_a_run_on_other_clips_is_not_gone_on_with(unfinished, recipe, write_folder, tmp_path):
    """As many intents and clips, under other names: once the old model answered to them."""
    splits = ["train"] * 4 + ["validation"] * 2 + ["test"] * 4
    folder = write_folder(tmp_path / "data", 10, lambda _, i: {"split": splits[i]}, seconds=0.5)
    table = (folder / "metadata.csv").read_text()
    (folder / "metadata.csv").write_text(table.replace(",hear_low,", ",play_low,"))
    with pytest.raises(OutputError) as refusal:
        experiment.run(recipe(data=folder), unfinished, resume=True)
    assert refusal.value.problem == (
        "holds results of other clips (10 of another intent, 40 with other samples)"
    )


def test_settings_stay_those_of_the_run_that_is_gone_on_with(unfinished, recipe):
    """A run that is refused has written nothing."""
    before = resolve(unfinished / "settings.toml")
    assert before == recipe()
    with pytest.raises(OutputError, match="other seed 0"):
        experiment.run(recipe(seed=1), unfinished, resume=True)
    assert resolve(unfinished / "settings.toml") == before


def test_a_runs_settings_make_the_same_again(run_folder, tmp_path):
    options = ["--recipe", run_folder / "settings.toml", "--output-dir", tmp_path / "again"]
    assert train.main(list(map(str, options))) == 0
    first, second = (
        json.loads((folder / "metrics.json").read_text())
        for folder in (run_folder, tmp_path / "again")
    )
    for name in ("confusion", "hyperparameters", "recipe", "best_validation", "split"):
        assert second[name] == first[name]


def test_a_folder_may_move_between_two_parts_of_a_run(unfinished, recipe, tone_folder, tmp_path):
    moved = shutil.copytree(tone_folder, tmp_path / "elsewhere")
    result = experiment.run(recipe(data=moved), unfinished, resume=True)
    assert result["data"] == str(moved)


def test_two_runs_do_not_write_into_one_folder(recipe, tmp_path):
    out = tmp_path / "out"
    with folder_lock(out), pytest.raises(OutputError, match="is being written to by another run"):
        experiment.run(recipe(epochs=1), out)


# Training that fails


def test_a_training_that_diverges_says_so_and_keeps_no_broken_weights(tmp_path, recipe):
    with pytest.raises(UserError) as refusal:
        experiment.run(recipe(learning_rate=1e30, max_grad_norm=0), tmp_path)
    assert str(refusal.value) == (
        "training: diverged in epoch 1; lower --learning-rate, in another --output-dir"
    )
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_disk_that_is_full_ends_a_run_that_can_be_resumed(tmp_path, recipe, monkeypatch):
    save = SpeechTrainer._save

    def fail(self, output_dir=None, state_dict=None):
        if self.state.global_step == 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, output_dir, state_dict)

    monkeypatch.setattr(SpeechTrainer, "_save", fail)
    with pytest.raises(OutputError, match="the disk is full; make room, then go on with --resume"):
        experiment.run(recipe(epochs=3), tmp_path)
    monkeypatch.setattr(SpeechTrainer, "_save", save)
    assert experiment.run(recipe(epochs=3), tmp_path, resume=True)["steps"] == 12


# Several encoders


def test_encoders_are_compared_in_one_table(tmp_path, recipe, encoders, monkeypatch):
    scores = {"wav2vec2_layer": 0.5, "hubert": 0.75}

    def run(recipe, output_dir, resume, extras):
        name = output_dir.name
        assert recipe.encoder == str(encoders[name])
        output_dir.mkdir(parents=True)
        row = dict.fromkeys(experiment.COMPARED[1:], 1)
        row |= {"accuracy": scores[name], "train_seconds": 2.0, "left": "out"}
        return row | {"best_validation": {"f1_macro": scores[name] / 2}}

    monkeypatch.setattr(experiment, "run", run)
    recipes = [recipe(encoder=encoders[name]) for name in scores]
    table = experiment.compare_encoders(recipes, tmp_path)
    assert list(table.columns) == list(experiment.COMPARED)
    assert table["accuracy"].to_dict() == {
        str(encoders[name]): score for name, score in scores.items()
    }
    assert table["validation"].tolist() == [0.25, 0.375]
    written = pd.read_csv(tmp_path / "comparison.csv", index_col="encoder")
    assert written["accuracy"].to_dict() == table["accuracy"].to_dict()


def test_a_comparison_that_was_interrupted_goes_on(tmp_path, run_folder, recipe, monkeypatch):
    finished = recipe()
    recipes = [finished, recipe(encoder="small")]
    folders = experiment.encoder_folders([each.encoder for each in recipes])
    shutil.copytree(run_folder, tmp_path / folders[finished.encoder])
    before = json.loads((run_folder / "metrics.json").read_text())
    ran = []

    def run(recipe, output_dir, resume, extras):
        ran.append((recipe.encoder, resume))
        return before

    monkeypatch.setattr(experiment, "run", run)
    table = experiment.compare_encoders(recipes, tmp_path, resume=True)
    assert ran == [("small", True)]
    assert table["accuracy"].tolist() == [before["accuracy"]] * 2
    others = [replace(recipe(seed=1), encoder=finished.encoder), recipes[1]]
    with pytest.raises(OutputError, match=r"other seed 0 \(now 1\)"):
        experiment.compare_encoders(others, tmp_path, resume=True)


def test_the_run_that_validation_prefers_is_kept_and_the_others_stay(tmp_path):
    for name in ("small", "moonshine", "base"):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "metrics.json").write_text(name)
        (tmp_path / name / "model" / "config.json").write_text(name)
    table = pd.DataFrame(
        {"validation": [0.5, 0.75, 0.75], "accuracy": [0.9, 0.5, 0.4]},  # which has no say
        index=["small", "moonshine", "facebook/base"],
    )
    assert experiment.keep_best(table, tmp_path) == "moonshine"
    for name in ("metrics.json", "model/config.json"):
        assert (tmp_path / name).read_text() == "moonshine"
        assert (tmp_path / "small" / name).read_text() == "small"


def test_each_encoder_has_a_folder_of_its_own():
    assert experiment.encoder_folders(["small", "facebook/wav2vec2-base", "../x"]) == {
        "small": "small",
        "facebook/wav2vec2-base": "wav2vec2-base",
        "../x": "x",
    }
    assert experiment.encoder_folders(["ann/base", "ben/base"]) == {
        "ann/base": "ann--base",
        "ben/base": "ben--base",
    }
    assert experiment.encoder_folders(["small", "runs/a/model"]) == {
        "small": "small",
        "runs/a/model": "runs--a--model",
    }


# With clips of another folder


@pytest.fixture
def voices(tmp_path, write_folder):
    return write_folder(
        tmp_path / "voices", 3, lambda _, i: {"engine": "robot", "split": "test"}, seconds=0.5
    )


def test_added_clips_are_learned_and_listed_and_people_are_tested(
    tmp_path, recipe, tone_folder, voices, capsys
):
    given = recipe(freeze="encoder", add=[voices])
    result = experiment.run(given, tmp_path / "out")
    assert (result["n"], result["added"]) == (16, [str(voices)])
    assert result["synthetic"] == {"train": [12, 28], "validation": [0, 8], "scored": [0, 16]}
    clips = pd.read_csv(tmp_path / "out" / "model" / "clips.csv")
    assert clips["file_name"].is_unique
    assert clips["file_name"].str.startswith("voices/clips/").sum() == 12
    assert set(clips.loc[clips["file_name"].str.startswith("voices/"), "split"]) == {"train"}
    made_of = json.loads((tmp_path / "out" / "made_of.json").read_text())
    assert made_of["added"] == ["voices"]
    out = capsys.readouterr().out
    assert "Split: given; 12 clips added to train from voices\n12 of 28 training clips are " in out


def test_people_alone_may_test_what_learned_from_synthetic_clips(
    tmp_path, recipe, write_folder, voices, capsys
):
    people = write_folder(tmp_path / "people", 2, lambda _, i: {"split": "test"})
    given = recipe(data=people, freeze="encoder", add=[voices])
    result = experiment.run(given, tmp_path / "out")
    assert result["synthetic"] == {"train": [8, 8], "validation": [4, 4], "scored": [0, 8]}
    out = capsys.readouterr().out
    assert "No person was heard in training: all 8 training clips are synthetic.\n" in out
    again = evaluation.score_model(
        str(tmp_path / "out" / "model"), recipe(data=people), "test", tmp_path / "again"
    )
    assert again["accuracy"] == result["accuracy"]
    assert again["synthetic"] == result["synthetic"]


def test_a_run_is_not_gone_on_with_other_added_clips(tmp_path, recipe, voices, write_folder):
    given = recipe(freeze="encoder", add=[voices])
    experiment.run(given, tmp_path / "out")
    (tmp_path / "out" / "metrics.json").unlink()
    with pytest.raises(OutputError, match=r"of other added \['voices'\] \(now None\), clips \(12"):
        experiment.run(recipe(freeze="encoder"), tmp_path / "out", resume=True)
    table = (voices / "metadata.csv").read_text()
    (voices / "metadata.csv").write_text(table.rsplit("\n", 2)[0] + "\n")
    with pytest.raises(OutputError, match=r"of other clips \(1 fewer\)"):
        experiment.run(given, tmp_path / "out", resume=True)
    (voices / "metadata.csv").write_text(table)
    moved = shutil.copytree(voices, tmp_path / "elsewhere" / "voices")
    again = recipe(freeze="encoder", add=[moved])
    assert experiment.run(again, tmp_path / "out", resume=True)["n"] == 16


def test_a_run_is_not_gone_on_with_other_recordings_to_adapt_to(tmp_path, recipe, voices):
    given = recipe(freeze="encoder", adapt=voices)
    experiment.run(given, tmp_path / "out")
    (tmp_path / "out" / "metrics.json").unlink()
    (voices / "clips" / "hear_low_1.wav").unlink()
    with pytest.raises(OutputError, match="of other adapted"):
        experiment.run(given, tmp_path / "out", resume=True)
