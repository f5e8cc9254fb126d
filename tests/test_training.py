import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TONES
from sklearn.metrics import f1_score
from transformers import AutoConfig, AutoModelForAudioClassification, TrainerCallback

from speech_intent import audio, calibration, data, frozen_head, model, provenance, training
from speech_intent.digests import sha256
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Hyperparameters
from speech_intent.trainer import build_trainer


@pytest.fixture(scope="module")
def tables(recipe):
    return data.load_data(recipe()).tables


def accuracy(model_folder, table) -> float:
    classifier = IntentClassifier.from_pretrained(model_folder)
    names = table.features["label"].names
    answers = [classifier.predict(clip).label for clip in table["audio"]]
    truth = [names[label] for label in table["label"]]
    return float(np.mean(np.array(answers) == np.array(truth)))


# Numbers


@pytest.mark.parametrize(
    ("n_train", "changed", "epochs"),
    [
        (16, {}, 60),  # 800 steps would be 400 epochs of 2 steps
        (240, {}, 27),  # 30 steps an epoch
        (10_000, {}, 10),
        (240, {"gradient_accumulation_steps": 2}, 54),
        (240, {"steps": 300}, 10),
        (240, {"epochs": 3.5}, 3.5),
    ],
)
def test_small_data_get_optimizer_steps(encoders, n_train, changed, epochs):
    classifier = model.build_model(encoders["wav2vec2_layer"], ["a", "b"])
    settled = training.settle(Hyperparameters(**changed), classifier, n_train)
    assert settled.epochs == epochs
    assert settled.learning_rate == 3e-4


def test_processes_share_the_steps(encoders, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    classifier = model.build_model(encoders["wav2vec2_layer"], ["a", "b"])
    assert training.settle(Hyperparameters(), classifier, 240).epochs == 54


def test_a_learning_rate_that_was_given_is_kept(encoders):
    classifier = model.build_model(encoders["wav2vec2_layer"], ["a", "b"])
    numbers = Hyperparameters(learning_rate=7e-5)
    assert training.settle(numbers, classifier, 240).learning_rate == 7e-5


def test_temperature_and_threshold_are_fitted_on_validation_and_saved(tmp_path, tables, recipe):
    record = training.fine_tune(recipe(epochs=3, target_precision=0.9), tables, tmp_path)
    config = AutoConfig.from_pretrained(tmp_path / "model")
    assert 0.5 <= config.calibration_temperature <= 20
    assert not hasattr(config, "rejection_threshold")  # of older models
    assert config.rejection_digest == sha256(tmp_path / "model" / "unknown.safetensors")
    assert (record["unknown"]["promise"], record["unknown"]["share"]) == ("precision", 0.9)
    classifier = IntentClassifier.from_pretrained(tmp_path / "model")
    assert classifier.threshold is None
    assert len(classifier.rejection.unknown) == 0  # no clip of no intent was learned from


def test_without_clips_of_no_intent_and_without_a_promise_every_clip_is_answered(run_folder):
    assert "unknown" not in json.loads((run_folder / "model" / "training.json").read_text())
    assert not (run_folder / "model" / "unknown.safetensors").exists()
    assert IntentClassifier.from_pretrained(run_folder / "model").rejection is None


@pytest.mark.parametrize("family", ["wav2vec2_group", "wav2vec2_layer", "moonshine"])
def test_each_answer_is_compared_with_its_own_label(tmp_path, tables, recipe, encoders, family):
    """Whatever order the Trainer goes through the clips in, scores are calibrated."""
    training.fine_tune(recipe(encoder=encoders[family], epochs=2), tables, tmp_path)
    found = IntentClassifier.from_pretrained(tmp_path / "model").model
    fitted = AutoConfig.from_pretrained(tmp_path / "model").calibration_temperature
    clips = [audio.load(clip, 16_000) for clip in tables["validation"]["audio"]]
    labels = np.array(tables["validation"]["label"])
    temperature = calibration.fit_temperature(found(clips) * fitted, labels)
    assert fitted == pytest.approx(temperature, rel=0.05)


# Learning


def test_a_tiny_model_of_each_family_learns_4_times_4_clips_by_heart(
    tmp_path, tables, encoder, recipe
):
    train = tables["train"]
    assert len(train) == 16
    same = type(tables)(train=train, validation=train)
    training.fine_tune(recipe(encoder=encoder, epochs=60, learning_rate=1e-2), same, tmp_path)
    assert accuracy(tmp_path / "model", train) == 1.0


def test_shuffled_labels_stay_at_chance_on_held_out_clips(tmp_path, tables, recipe, tone):
    def shuffle(table):  # each tone gets each label equally often: nothing can be known from it
        tones = np.array(table["label"])
        labels = np.empty(len(tones), int)
        for label in range(4):
            n = (tones == label).sum()
            rng = np.random.default_rng([label, n])
            labels[tones == label] = rng.permutation(np.arange(n) % 4)
        features = table.features.copy()
        return table.remove_columns("label").add_column("label", labels.tolist()).cast(features)

    shuffled = type(tables)({name: shuffle(table) for name, table in tables.items()})
    training.fine_tune(recipe(), shuffled, tmp_path)
    classifier = IntentClassifier.from_pretrained(tmp_path / "model")
    right = [
        classifier.predict((tone(frequency, 0.4, seed=100 + i), 16_000)).label == label
        for frequency in TONES.values()
        for i, label in enumerate(classifier.labels * 4)
    ]
    assert np.mean(right) < 0.45  # 0.25 by chance, with a standard deviation of at most 0.054


def test_a_frozen_encoder_keeps_its_weights_and_its_head_learns(tmp_path, tables, encoder, recipe):
    labels = tables["train"].features["label"].names
    record = training.fine_tune(recipe(encoder=encoder, freeze="encoder"), tables, tmp_path)
    before = model.build_model(encoder, labels, spec_augment=False, seed=0).model.state_dict()
    after = AutoModelForAudioClassification.from_pretrained(tmp_path / "model").state_dict()
    assert set(before) == set(after)
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    heads = {name for name in before if name.startswith(("projector.", "classifier."))}
    assert {name for name in heads if name.startswith("projector.") or "weight" in name} <= changed
    assert changed <= heads
    assert accuracy(tmp_path / "model", tables["train"]) == 1.0
    assert record["best_validation"] == {
        "f1_macro": pytest.approx(macro_f1(tmp_path / "model", tables["validation"]))
    }


def macro_f1(model_folder, table) -> float:
    classifier = IntentClassifier.from_pretrained(model_folder)
    names = table.features["label"].names
    answers = [classifier.predict(clip).label for clip in table["audio"]]
    truth = [names[label] for label in table["label"]]
    return float(f1_score(truth, answers, average="macro", zero_division=0))


def test_the_record_of_a_frozen_encoder_says_what_had_an_effect(tmp_path, tables, recipe):
    given = recipe(freeze="encoder", class_weights=True, target_precision=0.9, metric="accuracy")
    record = training.fine_tune(given, tables, tmp_path / "out", resume=True)
    assert json.loads((tmp_path / "out" / "model" / "training.json").read_text()) == record
    used = {name: value for name, value in record["hyperparameters"].items() if value is not None}
    assert used == {
        "max_seconds": 15.0,
        "metric": "accuracy",
        "freeze": "encoder",
        "class_weights": True,
        "accept": 0.95,
        "target_precision": 0.9,
        "seed": 0,
    }
    assert (record["epochs"], record["steps"]) == (None, None)
    assert list(record["best_validation"]) == ["accuracy"]
    assert record["unknown"]["n"] == 8
    log = pd.read_csv(tmp_path / "out" / "training_log.csv")
    best = log.loc[log["log_loss"].idxmin()]
    assert record["inverse_regularisation"] == pytest.approx(best["inverse_regularisation"])


def test_neither_seed_nor_epochs_move_a_head_on_a_frozen_encoder(tmp_path, tables, recipe):
    weights = []
    for name, changed in {"a": {}, "b": {"seed": 1, "epochs": 1, "augment": True}}.items():
        training.fine_tune(recipe(freeze="encoder", **changed), tables, tmp_path / name)
        record = json.loads((tmp_path / name / "model" / "training.json").read_text())
        classifier = AutoModelForAudioClassification.from_pretrained(tmp_path / name / "model")
        weights.append((record["inverse_regularisation"], classifier.projector.weight))
    assert weights[0][0] == weights[1][0]
    torch.testing.assert_close(weights[0][1], weights[1][1])


def head_after_no_step(recipe, tables, folder, **changed) -> torch.Tensor:
    """Fine-tune without moving anything: the weights of the head that training began with."""
    still = recipe(learning_rate=1e-12, epochs=1, **changed)
    training.fine_tune(still, tables, folder)
    classifier = AutoModelForAudioClassification.from_pretrained(folder / "model")
    return classifier.classifier.weight.detach() * classifier.config.calibration_temperature


@pytest.mark.parametrize(
    ("name", "family", "fitted"),
    [("moonshine", "moonshine", True), ("random", "moonshine", False), ("small", "hubert", False)],
)
def test_a_pretrained_moonshine_starts_from_a_head_that_fits(
    tmp_path, tables, recipe, encoders, monkeypatch, name, family, fitted
):
    monkeypatch.setitem(model.BUNDLED_ENCODERS, name, encoders[family])
    weight = head_after_no_step(recipe, tables, tmp_path, encoder=name)
    start = model.build_model(name, tables["train"].features["label"].names, spec_augment=False)
    if fitted:
        frozen_head.train(start, tables, recipe().numbers)
    torch.testing.assert_close(weight, start.model.classifier.weight, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("cut", [True, False])
def test_a_recipe_says_whether_whispers_mels_are_cut_to_the_clip(
    tmp_path, tables, recipe, encoders, cut
):
    given = recipe(encoder=encoders["whisper"], freeze="encoder", cut_to_clip=cut)
    training.fine_tune(given, tables, tmp_path)
    assert AutoConfig.from_pretrained(tmp_path / "model").cut_to_clip is cut


class StopAfterAnEpoch(TrainerCallback):
    def on_save(self, args, state, control, **kwargs):
        raise KeyboardInterrupt


def test_a_moonshine_that_goes_on_keeps_the_head_that_it_has(
    tmp_path, tables, recipe, numbers, encoders, monkeypatch
):
    classifier = model.build_model(encoders["moonshine"], ["a", "b", "c", "d"])
    given = recipe(encoder=encoders["moonshine"], epochs=2)
    ingredients = provenance.ingredients(given)
    provenance.claim(tmp_path, ingredients, provenance.clips_of(tables), begun=False)
    trainer = build_trainer(classifier, tables, numbers(epochs=2), tmp_path / "checkpoints")
    trainer.add_callback(StopAfterAnEpoch())
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    monkeypatch.setattr(frozen_head, "train", lambda *_: pytest.fail("a new head"))
    assert training.fine_tune(given, tables, tmp_path, resume=True)["epochs"] == 2.0


def test_the_best_checkpoint_by_the_validation_metric_is_kept(run_folder, tables):
    log = pd.read_csv(run_folder / "training_log.csv")
    record = json.loads((run_folder / "model" / "training.json").read_text())
    best = log.loc[log["eval_f1_macro"].idxmax()]
    assert record["best_validation"] == {"f1_macro": pytest.approx(best["eval_f1_macro"])}
    validation = accuracy(run_folder / "model", tables["validation"])
    assert validation == pytest.approx(best["eval_accuracy"])


def test_training_stops_early_when_nothing_gets_better(tmp_path, tables, recipe):
    still = recipe(learning_rate=1e-12, patience=2)
    assert training.fine_tune(still, tables, tmp_path)["epochs"] == 3.0


# What a run leaves behind


def test_the_log_has_a_row_an_epoch(run_folder, tables):
    log = pd.read_csv(run_folder / "training_log.csv")
    assert log["epoch"].tolist() == list(range(1, 21))
    assert log["loss"].iloc[-1] < log["loss"].iloc[0] / 4
    n_clips = len(tables["train"])
    n_right = log["accuracy"] * n_clips
    assert n_right.to_numpy() == pytest.approx(n_right.round().to_numpy())
    assert log["accuracy"].iloc[-1] > log["accuracy"].iloc[0]


def test_the_record_says_what_was_trained_with(run_folder, encoders):
    record = json.loads((run_folder / "model" / "training.json").read_text())
    assert record["encoder"] == str(encoders["wav2vec2_layer"])
    assert (record["seed"], record["epochs"], record["steps"]) == (0, 20.0, 80)
    assert record["hyperparameters"]["learning_rate"] == 5e-3
    assert record["hyperparameters"]["freeze"] == "none"


@pytest.mark.parametrize(("freeze", "steps"), [("none", 2), ("encoder", None)])
def test_two_processes_train_one_model(tmp_path, tone_folder, encoders, freeze, steps):
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    options = ["--data", tone_folder, "--encoder", encoders["wav2vec2_layer"], "--batch-size", "4"]
    options += ["--epochs", "1", "--no-augment", "--output-dir", tmp_path, "--freeze", freeze]
    options += ["--unknown", "none"]
    command = [*torchrun, "-m", "speech_intent.train", *map(str, options)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("Results: ") == 1
    result = json.loads((tmp_path / "metrics.json").read_text())
    # 16 clips, 4 in each of two processes; a head on a frozen encoder knows no steps
    assert (result["n"], result["steps"]) == (16, steps)
    assert not (tmp_path / "checkpoints").exists()
