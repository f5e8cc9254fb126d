"""What puts a model into `models/`: its weights, what is kept of the old one, its card."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import ship
import torch
from safetensors.torch import load_file
from tiny import TINY
from transformers import (
    AutoModel,
    AutoModelForAudioClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)

from speech_intent import IntentClassifier, extended_model, stored_outputs
from speech_intent.digests import sha256
from speech_intent.paths import MOONSHINE, SHIPPED

RECORD = '{"encoder": "small", "seed": 3}'


@pytest.fixture
def source(tmp_path) -> Path:
    """A trained classifier, in float32."""
    folder = tmp_path / "source"
    torch.manual_seed(0)
    Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**TINY)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(folder)
    (folder / "training.json").write_text(RECORD)
    (folder / "pooled.safetensors").write_bytes(b"what the head saw")
    return folder


@pytest.fixture
def target(tmp_path) -> Path:
    """What was shipped before."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "README.md").write_text("the card")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_text("of other weights")
    return folder


def test_a_classifier_takes_the_place_of_another(source, target):
    ship.ship_classifier(source, target)
    assert {path.name for path in target.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "pooled.safetensors",
        "preprocessor_config.json",
        "training.json",
    }
    assert (target / "README.md").read_text() == "the card"
    assert (target / "training.json").read_text() == RECORD
    assert Wav2Vec2FeatureExtractor.from_pretrained(target).sampling_rate == 8_000
    assert [path.name for path in target.parent.iterdir() if path.name.endswith(".part")] == []


def test_its_weights_are_halved_and_read_back_as_float32(source, target):
    ship.ship_classifier(source, target)
    stored = load_file(target / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    before = AutoModelForAudioClassification.from_pretrained(source).state_dict()
    after = AutoModelForAudioClassification.from_pretrained(target).state_dict()
    assert {weight.dtype for weight in after.values()} == {torch.float32}
    assert all(torch.equal(after[name], before[name].half().float()) for name in before)


def test_the_licence_of_its_encoder_comes_with_it(source, target):
    (source / "training.json").write_text(RECORD.replace("small", "moonshine"))
    ship.ship_classifier(source, target)
    assert (target / "LICENSE").read_bytes() == (MOONSHINE / "LICENSE").read_bytes()


def test_what_the_head_saw_is_kept_where_training_left_nothing(
    run_folder, recipe, tmp_path, monkeypatch
):
    model = shutil.copytree(run_folder / "model", tmp_path / "model")
    trained = stored_outputs.load_file(model / "pooled.safetensors")
    (model / "pooled.safetensors").unlink()
    monkeypatch.setattr(ship, "resolve", lambda name, seed: recipe(seed=seed, unknown="bundled"))
    ship.keep_decision(model)
    record = json.loads((model / "training.json").read_text())
    assert record["pooled_digest"] == sha256(model / "pooled.safetensors")
    assert record["unknown"]["n"] == len(trained["validation_labels"])
    again = stored_outputs.load_file(model / "pooled.safetensors")
    assert (again["train_labels"] == trained["train_labels"]).all()
    np.testing.assert_allclose(again["train"], trained["train"], atol=5e-3)
    classifier = IntentClassifier.from_pretrained(model, "torch")
    assert classifier.says_unknown
    assert not classifier.predict((np.zeros(8_000), 16_000)).accepted


def test_the_shipped_classifier_can_learn_an_intent():
    trained = extended_model.load_trained(str(SHIPPED))
    n_train, n_validation = (len(trained.pooled.labels[s]) for s in ("train", "validation"))
    assert (n_train, n_validation) == (940, 180)
    known = trained.known()
    outputs, labels = known.validation
    n_right = (known.rows.logits(outputs).argmax(axis=1) == labels).sum()
    assert n_right / n_validation == pytest.approx(0.833, abs=0.012)  # as training found


def test_an_encoder_is_shipped_without_a_head(source, target):
    ship.ship_encoder(source, target)
    stored = load_file(target / "model.safetensors")
    assert not any(name.startswith(("classifier", "projector")) for name in stored)
    assert AutoModel.from_pretrained(target).config.model_type == "wav2vec2"
    assert not (target / "training.json").exists()


def test_the_card_of_the_shipped_classifier_is_what_its_files_say():
    assert (SHIPPED / "README.md").read_text(encoding="utf-8") == ship.classifier_card()


def test_the_card_names_the_figures_of_the_shipped_classifier():
    card = ship.classifier_card()
    assert re.search(r"\d+ of 400 clips", card)
    assert "\nlicense: mit\n" in card and "\nlanguage: en\n" in card
    assert "\nbase_model: UsefulSensors/moonshine-tiny\n" in card
    assert '"models/moonshine-tiny-scooter"' in card
