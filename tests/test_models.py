"""What ships in `models/`: sizes, plain loading, what pretraining kept apart."""

import gzip
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    pipeline,
)

from speech_intent import audio, data, training
from speech_intent.paths import BUNDLED, MOONSHINE, ROOT, SHIPPED, SMALL
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import resolve

MODELS = ROOT / "models"
PRETRAINING = ROOT / "pretraining"


@pytest.fixture(scope="module")
def tables() -> DatasetDict:
    """The bundled speech."""
    return data.load_data(resolve("bundled")).tables


# The encoders


def test_only_the_head_of_a_classifier_from_moonshine_is_new():
    network, report = AutoModelForAudioClassification.from_pretrained(
        MOONSHINE, num_labels=3, output_loading_info=True
    )
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert not report["unexpected_keys"]
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert 7e6 < network.num_parameters() < 8e6
    extractor = AutoFeatureExtractor.from_pretrained(MOONSHINE)
    assert extractor.sampling_rate == 16_000
    assert not extractor.do_normalize


def test_moonshine_is_there_under_its_licence():
    licence = (MOONSHINE / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("MIT License")
    assert "Copyright (c) 2025 Moonshine AI" in licence
    assert (SHIPPED / "LICENSE").read_text(encoding="utf-8") == licence


def test_the_encoder_loads_with_plain_transformers_in_float32():
    encoder = AutoModel.from_pretrained(SMALL)
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}
    extractor = AutoFeatureExtractor.from_pretrained(SMALL)
    assert extractor.sampling_rate == 16_000
    inputs = extractor(np.zeros(16_000, np.float32), sampling_rate=16_000, return_tensors="pt")
    hidden = encoder(**inputs).last_hidden_state
    assert hidden.shape == (1, 49, encoder.config.hidden_size)
    assert hidden.isfinite().all()


def test_only_the_head_of_a_classifier_is_new():
    _, report = AutoModelForAudioClassification.from_pretrained(
        SMALL, num_labels=3, output_loading_info=True
    )
    parts = {name.split(".")[0] for name in report["missing_keys"]}
    assert parts == {"projector", "classifier"}


def test_a_handful_of_clips_and_a_head_beat_chance_by_thirty_points(tables, tmp_path):
    labels = pd.Series(tables["train"]["label"])
    rows = labels.groupby(labels).sample(8, random_state=0).index
    few = DatasetDict(
        train=tables["train"].select(sorted(rows)),
        validation=tables["validation"].shuffle(seed=0).select(range(18)),
    )
    recipe = resolve("bundled", freeze="encoder")
    training.fine_tune(recipe, few, tmp_path / "run")
    classifier = IntentClassifier.from_pretrained(tmp_path / "run" / "model")
    assert accuracy(classifier, tables["test"].shuffle(seed=0).select(range(120))) >= 1 / 9 + 0.3


def accuracy(classifier: IntentClassifier, table) -> float:
    """Count how many clips of a table a classifier answers rightly."""
    names = table.features["label"].names
    answers = [classifier.predict(clip).label for clip in table["audio"]]
    return float(np.mean([names[label] for label in table["label"]] == np.array(answers)))


# The classifier


def test_the_classifier_answers_as_its_metrics_say(tables):
    stored = json.loads((SHIPPED / "metrics.json").read_text())
    classifier = IntentClassifier.from_pretrained(SHIPPED, engine="torch")
    low, high = stored["accuracy_interval"]
    assert stored["n"] == len(tables["test"]) == 400
    measured = accuracy(classifier, tables["test"].shuffle(seed=0).select(range(100)))
    assert low - 0.06 <= measured <= high + 0.06


def test_the_pipeline_gives_the_scores_of_our_classifier():
    clip = BUNDLED / "audio" / "test-0001.mp3"
    ours = IntentClassifier.from_pretrained(SHIPPED, engine="torch").predict(clip)
    classify = pipeline("audio-classification", model=str(SHIPPED))
    raw = {"raw": audio.load(clip, 16_000), "sampling_rate": 16_000}
    theirs = {row["label"]: row["score"] for row in classify(raw, top_k=None)}
    assert theirs == pytest.approx(dict(ours.scores), abs=1e-4)


def test_both_engines_give_the_shipped_classifiers_answer():
    clip = BUNDLED / "audio" / "test-0001.mp3"
    reference = IntentClassifier.from_pretrained(SHIPPED, engine="torch")
    exported = IntentClassifier.from_pretrained(SHIPPED, engine="onnx")
    tolerance = 1e-4 if exported.precision == "float32" else 0.02
    scores = dict(reference.predict(clip).scores)
    assert dict(exported.predict(clip).scores) == pytest.approx(scores, abs=tolerance)


def test_sizes():
    assert 1e6 < AutoModel.from_pretrained(SMALL).num_parameters() <= 6e6
    assert sum(file.stat().st_size for file in SMALL.iterdir()) <= 12e6
    sizes = [file.stat().st_size for file in MODELS.rglob("*") if file.is_file()]
    assert sum(sizes) <= 65e6
    assert max(sizes) <= 20e6


# What pretraining kept apart


def test_pretraining_had_no_voice_of_the_validation_and_test_splits():
    voices = pd.read_csv(BUNDLED / "voices.csv")
    held_out = voices[voices["split"] != "train"]
    assert len(held_out) == 21
    used = set((PRETRAINING / "voices.txt").read_text().split())
    assert len(used) > 100
    assert not used & set(held_out["engine"] + "/" + held_out["voice"])


def test_pretraining_had_no_text_of_the_validation_and_test_splits():
    phrasings = pd.read_csv(BUNDLED / "phrasings.csv")
    held_out = phrasings.loc[phrasings["split"] != "train", "text"]
    texts = gzip.decompress((PRETRAINING / "texts.txt.gz").read_bytes()).decode()
    used = set(map(normalised, texts.splitlines()))
    assert len(used) > 10_000
    assert not used & set(map(normalised, held_out))


def normalised(text: str) -> str:
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


def test_the_left_out_recordings_are_listed_by_their_samples():
    table = pd.read_csv(PRETRAINING / "left_out_commands.csv")
    assert list(table.columns) == ["intent", "sha256"]
    assert table["sha256"].is_unique
    assert len(table) == 652
