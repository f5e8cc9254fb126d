"""What ships in `models/`: sizes, plain loading, what pretraining kept apart, and cards that say what was measured."""

import gzip
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, pipeline

from speech_intent import data, publish, training
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Hyperparameters

ROOT = Path(__file__).resolve().parents[1]
ENCODER, SCOOTER = ROOT / "models" / "wav2vec2-small-en", ROOT / "models" / "wav2vec2-small-scooter"
PRETRAINING = ROOT / "pretraining"


@pytest.fixture(scope="module")
def ship():
    spec = importlib.util.spec_from_file_location("ship", PRETRAINING / "ship.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def normalised(text: str) -> str:
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


def test_the_encoder_loads_with_plain_transformers_in_float32():
    encoder = AutoModel.from_pretrained(ENCODER)
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}
    extractor = AutoFeatureExtractor.from_pretrained(ENCODER)
    assert extractor.sampling_rate == 16_000
    inputs = extractor(np.zeros(16_000, np.float32), sampling_rate=16_000, return_tensors="pt")
    hidden = encoder(**inputs).last_hidden_state
    assert hidden.shape == (1, 49, encoder.config.hidden_size) and hidden.isfinite().all()


def test_only_the_head_of_a_classifier_is_new():
    _, report = AutoModelForAudioClassification.from_pretrained(ENCODER, num_labels=3, output_loading_info=True)
    assert {name.split(".")[0] for name in report["missing_keys"]} == {"projector", "classifier"}


def test_sizes():
    assert 1e6 < AutoModel.from_pretrained(ENCODER).num_parameters() <= 6e6
    assert sum(file.stat().st_size for file in ENCODER.iterdir()) <= 12e6
    files = [file for file in (ROOT / "models").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 40e6 and max(file.stat().st_size for file in files) <= 20e6


def test_a_handful_of_clips_beats_chance_by_thirty_points(tmp_path):
    splits, _ = data.load_data("bundled")
    rows = pd.DataFrame({"label": splits["train"]["label"]}).groupby("label").sample(8, random_state=0).index
    splits["train"] = splits["train"].select(sorted(rows))
    splits["validation"] = splits["validation"].shuffle(seed=0).select(range(18))
    training.fine_tune("small", splits, Hyperparameters(epochs=12, learning_rate=1e-3), tmp_path / "run")
    classifier = IntentClassifier.from_pretrained(tmp_path / "run" / "model")
    table = splits["test"].shuffle(seed=0).select(range(120))
    predictions = classifier.predict_many([row["audio"] for row in table])
    names = table.features["label"].names
    accuracy = np.mean([p.label == names[label] for p, label in zip(predictions, table["label"], strict=True)])
    assert accuracy >= 1 / 9 + 0.3


def test_the_classifier_answers_as_its_metrics_say():
    stored = json.loads((SCOOTER / "metrics.json").read_text())
    classifier = IntentClassifier.from_pretrained(SCOOTER, engine="torch")
    table = data.load_data("bundled")[0]["test"].shuffle(seed=0).select(range(100))
    names = table.features["label"].names
    right = [
        p.label == names[row["label"]] for p, row in zip(map(classifier.predict, table["audio"]), table, strict=True)
    ]
    low, high = stored["accuracy_interval"]
    assert stored["n"] == 400 and low - 0.06 <= np.mean(right) <= high + 0.06


def test_the_pipeline_gives_the_scores_of_our_classifier():
    clip = ROOT / "dataset" / "audio" / "test-0001.mp3"
    ours = dict(IntentClassifier.from_pretrained(SCOOTER, engine="torch").predict(clip).scores)
    theirs = pipeline("audio-classification", model=str(SCOOTER))
    from speech_intent import audio

    answers = theirs({"raw": audio.load(clip, 16_000), "sampling_rate": 16_000}, top_k=None)
    assert {row["label"]: row["score"] for row in answers} == pytest.approx(ours, abs=1e-4)


def test_pretraining_had_no_voice_of_the_validation_and_test_splits():
    voices = pd.read_csv(ROOT / "dataset" / "voices.csv")
    held_out = voices[voices["split"] != "train"]
    assert len(held_out) == 21
    held_out = set(held_out["engine"] + "/" + held_out["voice"])
    used = set((PRETRAINING / "voices.txt").read_text().split())
    assert len(used) > 100 and not used & held_out


def test_pretraining_had_no_text_of_the_validation_and_test_splits():
    phrasings = pd.read_csv(ROOT / "dataset" / "phrasings.csv")
    held_out = set(map(normalised, phrasings.loc[phrasings["split"] != "train", "text"]))
    used = set(map(normalised, gzip.decompress((PRETRAINING / "texts.txt.gz").read_bytes()).decode().splitlines()))
    assert len(used) > 10_000 and not used & held_out


def test_the_left_out_recordings_are_listed_by_their_samples():
    table = pd.read_csv(PRETRAINING / "left_out_commands.csv")
    assert list(table.columns) == ["intent", "sha256"] and table["sha256"].is_unique and len(table) == 652


def test_the_cards_are_what_the_stored_results_say(ship):
    assert (ENCODER / "README.md").read_text(encoding="utf-8") == ship.encoder_card()
    assert (SCOOTER / "README.md").read_text(encoding="utf-8") == publish.model_card(SCOOTER, ship.SCOOTER_NAME)


@pytest.mark.parametrize("path", [PRETRAINING / "README.md", ROOT / "README.md"], ids=["pretraining", "main"])
def test_the_readmes_hold_the_same_table(ship, path):
    assert ship.figures() in path.read_text(encoding="utf-8")


def test_the_readme_holds_what_was_measured_of_thresholds_and_intervals(ship):
    assert ship.evaluation() in (ROOT / "README.md").read_text(encoding="utf-8")
