import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TONES
from transformers import AutoConfig, AutoModelForAudioClassification, EvalPrediction, set_seed

from speech_intent import data, metrics, model, train, training
from speech_intent.predict import IntentClassifier

FIGURES = [f"{name}_{average}" for name in ("precision", "recall", "f1") for average in ("micro", "macro", "weighted")]


@pytest.fixture(scope="module")
def splits(tone_folder):
    return data.load_data(tone_folder)[0]


def accuracy(model_folder, table) -> float:
    classifier = IntentClassifier.from_pretrained(model_folder)
    names = table.features["label"].names
    answers = [prediction.label for prediction in classifier.predict_many(list(table["audio"]))]
    return float(np.mean([answer == names[label] for answer, label in zip(answers, table["label"], strict=True)]))


# Learning


def test_a_tiny_model_of_each_family_learns_4_times_4_clips_by_heart(tmp_path, splits, encoder, numbers):
    train_split = splits["train"]
    assert len(train_split) == 16
    same = type(splits)(train=train_split, validation=train_split)
    record = training.fine_tune(encoder, same, numbers(epochs=60, learning_rate=1e-2), tmp_path)
    assert record["train_seconds"] < 30
    assert accuracy(tmp_path / "model", train_split) == 1.0


def test_what_was_learned_holds_for_new_clips(run_folder):
    assert json.loads((run_folder / "metrics.json").read_text())["accuracy"] >= 0.9  # chance: 0.25


def test_shuffled_labels_stay_at_chance_on_held_out_clips(tmp_path, splits, encoders, numbers, tone):
    def shuffle(table):  # each tone gets each label equally often: nothing can be known from it
        tones, n = np.array(table["label"]), 0
        labels = np.empty(len(tones), int)
        for label in range(4):
            n = (tones == label).sum()
            labels[tones == label] = np.random.default_rng([label, n]).permutation(np.arange(n) % 4)
        features = table.features
        return table.remove_columns("label").add_column("label", labels.tolist()).cast(features.copy())

    shuffled = type(splits)({name: shuffle(table) for name, table in splits.items()})
    training.fine_tune(encoders["wav2vec2_layer"], shuffled, numbers(), tmp_path)
    classifier = IntentClassifier.from_pretrained(tmp_path / "model")
    clips = [(tone(f, 0.4, seed=100 + i), 16_000) for f in TONES.values() for i in range(16)]
    truth = [label for _ in TONES for label in classifier.labels * 4]
    right = [p.label == label for p, label in zip(classifier.predict_many(clips), truth, strict=True)]
    assert np.mean(right) < 0.45  # 0.25 by chance, with a standard deviation of at most 0.054


def test_a_frozen_encoder_keeps_its_weights_and_its_head_learns(tmp_path, splits, encoder, numbers):
    labels = splits["train"].features["label"].names
    record = training.fine_tune(encoder, splits, numbers(freeze="encoder", epochs=2), tmp_path)
    before, _ = model.build_model(encoder, labels, spec_augment=False, seed=0)
    after = AutoModelForAudioClassification.from_pretrained(tmp_path / "model").state_dict()
    assert record["hyperparameters"]["freeze"] == "encoder"
    for name, weight in before.state_dict().items():
        assert torch.equal(weight, after[name]) is not name.startswith(("projector.", "classifier."))


def test_the_best_checkpoint_by_the_validation_metric_is_kept(run_folder, splits):
    log = pd.read_csv(run_folder / "training_log.csv")
    training_record = json.loads((run_folder / "model" / "training.json").read_text())
    assert training_record["best_validation"] == {"f1_macro": pytest.approx(log["eval_f1_macro"].max())}
    best = log.loc[log["eval_f1_macro"].idxmax()]
    assert accuracy(run_folder / "model", splits["validation"]) == pytest.approx(best["eval_accuracy"])


def test_the_best_weights_come_back_although_later_ones_are_worse(tmp_path, splits, encoders, numbers):
    classifier, extractor = model.build_model(encoders["wav2vec2_layer"], ["a", "b", "c", "d"])
    model.freeze(classifier, "encoder")
    trainer = training.build_trainer(classifier, extractor, splits, numbers(epochs=4), tmp_path)
    scores, weights = iter([0.1, 0.9, 0.3, 0.2]), []

    def score(predictions) -> dict:
        weights.append(classifier.classifier.weight.detach().clone())
        return {"f1_macro": (score := next(scores)), "choice": score}

    trainer.compute_metrics = score
    trainer.train()
    assert not torch.equal(weights[1], weights[3])
    assert torch.equal(classifier.classifier.weight, weights[1])


def test_among_equal_scores_the_surer_checkpoint_is_chosen():
    score, labels = metrics.validation_scores("accuracy"), np.array([0, 1])
    faint, clear, wrong = np.eye(2) * 0.1, np.eye(2) * 3, np.array([[3.0, 0], [3.0, 0]])
    faint, clear, wrong = (score(EvalPrediction(logits, labels)) for logits in (faint, clear, wrong))
    assert faint["accuracy"] == clear["accuracy"] == 1 and wrong["accuracy"] == 0.5
    assert clear["choice"] > faint["choice"] > wrong["choice"]


def test_training_stops_early_when_nothing_gets_better(tmp_path, splits, encoders, numbers):
    record = training.fine_tune(
        encoders["wav2vec2_layer"], splits, numbers(learning_rate=1e-12, patience=2, freeze="encoder"), tmp_path
    )
    assert record["epochs"] == 3.0


# Numbers


def test_small_data_get_optimizer_steps_and_no_fewer_than_ten_epochs(tmp_path, numbers):
    def epochs(n_train, **changed):
        numbers_ = numbers(epochs=None, batch_size=8, **changed)
        return training.training_arguments(numbers_, tmp_path, n_train, False).num_train_epochs

    assert epochs(16) == 60
    assert epochs(240) == 20  # 30 steps an epoch
    assert epochs(10_000) == 10
    assert epochs(240, gradient_accumulation_steps=2) == 40


def test_the_loss_is_the_cross_entropy_and_class_weights_follow_the_counts(splits):
    table = splits["train"].select([0, 1, 2, 3, 4, 8, 12])  # four clips of the first intent, one of each other
    assert np.bincount(table["label"]).tolist() == [4, 1, 1, 1]
    logits, labels = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 2, 3])
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    plain, weighted = (model.intent_loss(table, on) for on in (False, True))
    torch.testing.assert_close(plain({"logits": logits}, labels), each.mean())
    weights = torch.tensor([7 / 16, 7 / 16, 7 / 4, 7 / 4, 7 / 4])
    torch.testing.assert_close(weighted({"logits": logits}, labels), (weights * each).mean())
    torch.testing.assert_close(plain({"logits": logits}, labels, 10), each.sum() / 10)


def test_accumulated_batches_give_the_loss_and_the_gradient_of_one_big_batch(tmp_path, splits, encoders, numbers):
    logs = []
    for batch, accumulated in ((16, 1), (4, 4)):
        numbers_ = numbers(epochs=1, batch_size=batch, gradient_accumulation_steps=accumulated)
        classifier, extractor = model.build_model(encoders["wav2vec2_layer"], ["a", "b", "c", "d"], False)
        set_seed(0)
        trainer = training.build_trainer(classifier, extractor, splits, numbers_, tmp_path / str(batch))
        trainer.train()
        assert trainer.state.global_step == 1
        logs.append(next(entry for entry in trainer.state.log_history if "loss" in entry))
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-4)
    assert logs[0]["grad_norm"] == pytest.approx(logs[1]["grad_norm"], rel=1e-3)


def test_validation_clips_are_neither_cropped_at_random_nor_augmented_nor_padded(tmp_path, splits, encoders, numbers):
    classifier, extractor = model.build_model(encoders["wav2vec2_group"], ["a", "b", "c", "d"])
    trainer = training.build_trainer(classifier, extractor, splits, numbers(augment=True), tmp_path)
    assert trainer.data_collator.training and trainer.data_collator.augment
    batches = trainer.get_eval_dataloader()
    assert not batches.collate_fn.training and not batches.collate_fn.augment
    assert len(batches) == len(splits["validation"])  # one clip a batch
    assert trainer.data_collator.training


# What a run leaves behind


def test_a_run_leaves_model_extractor_labels_and_figures(run_folder):
    assert {path.name for path in (run_folder / "model").iterdir()} == {
        "config.json",
        "metrics.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training.json",
    }
    assert {path.name for path in run_folder.iterdir()} == {
        "model",
        "metrics.json",
        "predictions.csv",
        "training_log.csv",
        "training_curves.png",
        "confusion_matrix.png",
        "reliability.png",
        "by_duration.png",
        "report.html",
        "validation.png",
    }
    config = json.loads((run_folder / "model" / "config.json").read_text())
    assert config["label2id"] == {"hear_high": 0, "hear_low": 1, "hear_middle": 2, "hear_upper": 3}
    assert AutoConfig.from_pretrained(run_folder / "model").id2label[3] == "hear_upper"


def test_metrics_json_has_every_figure_in_both_places(run_folder, tone_folder):
    result = json.loads((run_folder / "metrics.json").read_text())
    assert json.loads((run_folder / "model" / "metrics.json").read_text()) == result
    named = {"n", "correct", "accuracy", "accuracy_interval", "per_class", "split", "seed", "train_seconds", "data"}
    assert named | set(FIGURES) <= set(result)
    assert (result["n"], result["seed"], result["data"]) == (16, 0, str(tone_folder))
    assert result["split"] == "test (given)"
    assert result["accuracy"] == result["correct"] / result["n"]
    assert result["train_seconds"] > 0
    assert set(result["per_class"]) == {"hear_high", "hear_low", "hear_middle", "hear_upper"}


def test_predictions_are_listed_clip_by_clip(run_folder):
    rows = pd.read_csv(run_folder / "predictions.csv")
    result = json.loads((run_folder / "metrics.json").read_text())
    columns = ["file_name", "intent", "predicted", "score", "accepted", "speaker", "seconds"]
    probabilities = [f"p_{name}" for name in sorted(TONES)]
    assert list(rows) == [*columns, *probabilities] and rows["accepted"].all()
    assert np.allclose(rows[probabilities].sum(axis=1), 1)
    assert np.allclose(rows[probabilities].max(axis=1), rows["score"])
    assert (rows["intent"] == rows["predicted"]).sum() == result["correct"]
    assert rows["score"].between(0.25, 1).all()


def test_the_log_has_a_row_an_epoch(run_folder):
    log = pd.read_csv(run_folder / "training_log.csv")
    assert log["epoch"].tolist() == list(range(1, 21))
    assert log["loss"].iloc[-1] < log["loss"].iloc[0] / 4


# Interrupted runs

KILLED_IN_EPOCH_3 = """
import os, signal, sys
from speech_intent import train, training

def kill(self, args, state, control, **kwargs):
    if state.global_step == 10:
        os.kill(os.getpid(), signal.SIGKILL)

training.Progress.on_step_end = kill
train.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def options(tone_folder, encoders):
    """Arguments of a run of 5 epochs with 4 steps each."""
    encoder = str(encoders["wav2vec2_layer"])
    numbers = ["--epochs", "5", "--batch-size", "4", "--no-augment", "--no-spec-augment", "--learning-rate", "5e-3"]
    return ["--data", str(tone_folder), "--encoder", encoder, *numbers]


def test_a_run_killed_in_mid_epoch_goes_on_from_its_last_checkpoint(tmp_path, options, monkeypatch, capsys):
    options = [*options, "--output-dir", str(tmp_path / "out")]
    process = subprocess.run([sys.executable, "-c", KILLED_IN_EPOCH_3, *options], capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr

    assert train.main(options) == 1  # not without being told to
    assert "unfinished run; add --resume" in capsys.readouterr().err

    half_written = tmp_path / "out" / "checkpoints" / "checkpoint-12"
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(b"\0" * 10)
    steps = []
    on_step_end = training.Progress.on_step_end

    def count(self, args, state, control, **kwargs):
        steps.append(state.global_step)
        on_step_end(self, args, state, control, **kwargs)

    monkeypatch.setattr(training.Progress, "on_step_end", count)
    assert train.main([*options, "--resume"]) == 0
    assert steps == list(range(9, 21))  # the last whole checkpoint was written after step 8
    assert pd.read_csv(tmp_path / "out" / "training_log.csv")["step"].tolist() == [4, 8, 12, 16, 20]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["steps"] == 20
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    for step, state in ((4, "{}"), (8, "{}"), (12, '{"epoch": '), (16, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert training.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-8")
    assert training.last_checkpoint(tmp_path / "gone") is None


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_a_finished_run_is_never_written_over(run_folder, options, capsys, more):
    before = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")}
    assert train.main([*options, "--output-dir", str(run_folder), *more]) == 1
    assert capsys.readouterr().err == (
        f"error: {run_folder}: holds a finished run; choose another folder, or delete it first\n"
    )
    assert {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")} == before


def test_a_run_killed_before_its_test_split_was_scored_is_scored_and_not_trained_again(
    tmp_path, run_folder, options, monkeypatch
):
    out = tmp_path / "out"
    (out / "model").mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "preprocessor_config.json", "training.json"):
        os.link(run_folder / "model" / name, out / "model" / name)
    os.link(run_folder / "training_log.csv", out / "training_log.csv")
    monkeypatch.setattr(training, "build_trainer", None)
    assert train.main([*options, "--output-dir", str(out), "--resume"]) == 0
    assert json.loads((out / "metrics.json").read_text()) == json.loads((run_folder / "metrics.json").read_text())


def test_two_processes_train_one_model(tmp_path, options):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "speech_intent.train", *options, "--epochs", "1", "--output-dir", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("Results: ") == 1
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert (result["n"], result["steps"]) == (16, 2)  # 16 clips, 4 clips in each of two processes
    assert not (tmp_path / "checkpoints").exists()


def test_temperature_and_threshold_are_fitted_on_validation_and_saved(tmp_path, splits, encoders, numbers):
    training.fine_tune(encoders["wav2vec2_layer"], splits, numbers(epochs=3, target_precision=0.9), tmp_path / "run")
    config = AutoConfig.from_pretrained(tmp_path / "run" / "model")
    assert 0.5 <= config.calibration_temperature <= 20 and 0 <= config.rejection_threshold <= 1
    assert IntentClassifier.from_pretrained(tmp_path / "run" / "model").threshold == config.rejection_threshold


def test_dividing_the_head_by_the_temperature_scales_every_logit(encoders):
    classifier, _ = model.build_model(encoders["wav2vec2_layer"], sorted(TONES))
    before = classifier.classifier.weight.detach().clone()
    logits = np.array([[9.0, 0, 0, 0], [9.0, 0, 0, 0], [0, 9.0, 0, 0]])
    model.calibrate(classifier, logits, np.array([0, 1, 1]), None)
    temperature = classifier.config.calibration_temperature
    assert temperature > 1.5  # one in three sure answers is wrong
    torch.testing.assert_close(classifier.classifier.weight * temperature, before)
    assert not hasattr(classifier.config, "rejection_threshold")
