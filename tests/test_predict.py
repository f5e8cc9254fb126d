import dataclasses
import json
import shutil

import numpy as np
import pytest
import soundfile
import transformers
from conftest import TONES

import speech_intent
from speech_intent import AudioError, IntentClassifier, ModelError

RATE = 16_000


@pytest.fixture
def copy(model_folder, tmp_path):
    """A model folder to be damaged."""
    return shutil.copytree(model_folder, tmp_path / "model")


def close(one, other) -> bool:
    return dict(one.scores) == pytest.approx(dict(other.scores), abs=1e-4) and one.seconds == other.seconds


# Answers


@pytest.mark.parametrize("intent", TONES)
def test_each_tone_is_told_by_its_name(classifier, tone, intent):
    assert classifier.predict((tone(TONES[intent], seed=77), RATE)).label == intent


def test_a_prediction_is_a_frozen_ranking_of_every_intent(classifier, tone):
    prediction = classifier.predict((tone(787, 0.75), RATE))
    scores = [score for _, score in prediction.scores]
    assert (prediction.label, prediction.score) == prediction.scores[0]
    assert {label for label, _ in prediction.scores} == set(TONES) == set(classifier.labels)
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)
    assert prediction.seconds == 0.75
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.label = "other"


def test_path_bytes_array_and_dict_get_the_same_answer(classifier, tone, tmp_path):
    path = tmp_path / "clip.flac"
    soundfile.write(path, tone(213), RATE)
    waveform, rate = soundfile.read(path, dtype="int16")
    sources = [str(path), path.read_bytes(), (waveform, rate), {"bytes": None, "path": str(path)}]
    for source in sources:
        assert classifier.predict(source) == classifier.predict(path)


def test_many_clips_are_answered_in_order_and_each_as_alone(classifier, tone):
    clips = [(tone(f, 0.2 + 0.07 * i, seed=i), RATE) for i in range(3) for f in TONES.values()]  # more than one batch
    together = classifier.predict_many(clips)
    assert [p.seconds for p in together] == [len(waveform) / RATE for waveform, _ in clips]
    assert all(close(p, classifier.predict(clip)) for p, clip in zip(together, clips, strict=True))
    assert classifier.predict_many([]) == []


def test_logits_of_a_long_clip_are_averaged_over_its_windows(classifier, tone, monkeypatch):
    monkeypatch.setattr(classifier, "max_seconds", 0.5)
    clip = np.concatenate([tone(f, 0.4) for f in (213, 787, 3171)])  # 1.2 s
    logits = classifier._logits([clip[:8_000], clip[8_000:16_000], clip[-8_000:]]).mean(axis=0)
    expected = np.exp(logits) / np.exp(logits).sum()
    long, short = classifier.predict_many([(clip, RATE), (clip[:8_000], RATE)])
    assert [dict(long.scores)[label] for label in classifier.labels] == pytest.approx(expected, abs=1e-4)
    assert (long.seconds, short.seconds) == (1.2, 0.5)


def test_the_training_cap_is_the_window_of_prediction(copy):
    config = json.loads((copy / "config.json").read_text())
    assert config["max_seconds"] == 15.0
    (copy / "config.json").write_text(json.dumps(config | {"max_seconds": 4.0}))
    assert IntentClassifier.from_pretrained(copy).max_seconds == 4.0
    del config["max_seconds"]  # a model that somebody else trained
    (copy / "config.json").write_text(json.dumps(config))
    assert IntentClassifier.from_pretrained(copy).max_seconds == 15.0


def test_the_first_bad_clip_is_named(classifier, tone, tmp_path):
    with pytest.raises(AudioError, match=r"gone\.wav: does not exist"):
        classifier.predict_many([(tone(213), RATE), tmp_path / "gone.wav"])


def test_transformers_pipeline_gives_the_same_scores(classifier, model_folder, tone):
    pipeline = transformers.pipeline("audio-classification", model=str(model_folder))
    for frequency, seconds in ((787, 0.4), (2_000, 1.3)):
        waveform = tone(frequency, seconds)
        answer = pipeline({"raw": waveform, "sampling_rate": RATE}, top_k=None)
        scores = {entry["label"]: entry["score"] for entry in answer}
        assert dict(classifier.predict((waveform, RATE)).scores) == pytest.approx(scores, abs=1e-4)


def test_any_family_answers(encoder, tmp_path, tone):
    from speech_intent import model

    labels = ["a", "b", "c"]
    for part in model.build_model(encoder, labels):
        part.save_pretrained(tmp_path)
    loaded = IntentClassifier.from_pretrained(tmp_path)
    assert loaded.labels == labels
    assert loaded.predict((tone(213, 0.3), RATE)).label in labels


# Models that cannot be used


def refusal(name) -> str:
    with pytest.raises(ModelError) as error:
        IntentClassifier.from_pretrained(name)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{name}: ")
    return str(error.value).removeprefix(f"{name}: ")


def test_no_such_model_folder(tmp_path):
    assert refusal(tmp_path / "gone") == "there is no such folder; check the path"


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json", "config.json"])
def test_a_model_folder_without_weights_extractor_or_config(copy, name):
    (copy / name).unlink()
    assert refusal(copy) == f"has no {name}; save model and feature extractor with save_pretrained"


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"damaged" * 100])
def test_a_model_folder_with_a_damaged_file(copy, name, content):
    (copy / name).write_bytes(content)
    assert refusal(copy).startswith("cannot be loaded (")


def test_an_encoder_without_a_trained_head(encoder):
    assert refusal(encoder).startswith("has no trained classification head (")


def test_the_package_offers_its_four_names():
    assert set(speech_intent.__all__) == {"AudioError", "IntentClassifier", "ModelError", "Prediction"}
    assert all(getattr(speech_intent, name).__name__ == name for name in speech_intent.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Classifier'"):
        _ = speech_intent.Classifier
