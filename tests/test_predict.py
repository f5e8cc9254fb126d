import dataclasses
import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import soundfile
import transformers
from conftest import TONES

import speech_intent
from speech_intent import AudioError, IntentClassifier, ModelError, Prediction
from speech_intent.audio import AudioWarning
from speech_intent.model import build_model
from speech_intent.model_config import ModelConfig
from speech_intent.outputs import Outputs
from speech_intent.predict import BATCH_SIZE

RATE = 16_000


@pytest.fixture
def copy(model_folder, tmp_path):
    """A model folder to be damaged."""
    return shutil.copytree(model_folder, tmp_path / "model")


class Model:
    """Logits that a waveform's first sample chooses, so that answers can be worked out by hand."""

    engine = "torch"
    precision = "float32"
    extractor = SimpleNamespace(sampling_rate=RATE)

    def __init__(self, *labels: str, logits=None, **config):
        names = dict(enumerate(labels))
        self.config = ModelConfig("wav2vec2", names, **config)
        self.logits = logits or (lambda first: [0.0] * len(labels))
        self.sizes: list[int] = []

    def outputs(self, waveforms):
        self.sizes.append(len(waveforms))
        logits = [self.logits(float(waveform[0])) for waveform in waveforms]
        pooled = [[waveform[0]] for waveform in waveforms]
        return Outputs(np.array(logits, np.float32), np.array(pooled, np.float32))


def constant(value: float, seconds: float = 0.5) -> tuple[np.ndarray, int]:
    return np.full(round(seconds * RATE), value, np.float32), RATE


# Answers


def test_scores_are_the_softmax_of_the_logits_best_first():
    logits = [math.log(2), math.log(1), math.log(5)]
    model = Model("b", "c", "a", logits=lambda first: logits)
    prediction = IntentClassifier(model, "m").predict(constant(0.5))
    assert [label for label, _ in prediction.scores] == ["a", "b", "c"]
    assert [score for _, score in prediction.scores] == pytest.approx([5 / 8, 2 / 8, 1 / 8])
    assert (prediction.label, prediction.score) == prediction.scores[0]
    assert (prediction.seconds, prediction.accepted, prediction.warnings) == (0.5, True, ())


def test_equal_scores_stand_in_the_order_of_the_ids():
    prediction = IntentClassifier(Model("z", "a", "m"), "m").predict(constant(0.5))
    assert prediction.scores == (("z", 1 / 3), ("a", 1 / 3), ("m", 1 / 3))


def test_logits_of_a_long_clip_are_averaged_over_its_windows():
    model = Model("a", "b", logits=lambda first: [0.0, 100 * first], max_seconds=0.1)
    levels = np.arange(1, 2 * BATCH_SIZE + 2) / 1_000  # a window each: 17 windows
    waveform = np.repeat(levels, RATE // 10)
    prediction = IntentClassifier(model, "m").predict((waveform, RATE))
    assert model.sizes == [BATCH_SIZE, BATCH_SIZE, 1]
    mean = 100 * (BATCH_SIZE + 1) / 1_000
    assert dict(prediction.scores)["b"] == pytest.approx(1 / (1 + math.exp(-mean)))
    assert prediction.seconds == pytest.approx(1.7)


@pytest.mark.parametrize(
    ("threshold", "accepted"),
    [(None, True), (0.0, True), (0.5, True), (0.51, False)],
)
def test_an_answer_below_the_models_threshold_is_not_accepted(threshold, accepted):
    model = Model("a", "b", rejection_threshold=threshold)
    classifier = IntentClassifier(model, "m")
    assert classifier.threshold == threshold
    prediction = classifier.predict(constant(0.5))
    assert (prediction.score, prediction.accepted) == (0.5, accepted)
    assert prediction.reason == (None if accepted else "its score is too low")


def test_a_prediction_carries_what_is_odd_about_the_clip(tmp_path, caplog):
    classifier = IntentClassifier(Model("a", "b"), "m")
    path = tmp_path / "cut.wav"
    soundfile.write(path, np.zeros(RATE), RATE)
    path.write_bytes(path.read_bytes()[: RATE + 44])
    assert classifier.predict(path).warnings == (
        AudioWarning(str(path), "is shorter than its header says; what is there was used"),
        AudioWarning(str(path), "is silent (peak 0.0e+00); its answer means nothing"),
    )
    assert classifier.predict(constant(0.5)).warnings == ()
    assert caplog.records == []


def test_a_prediction_says_what_computed_it():
    model = Model("a", "b")
    model.engine = "onnx"
    model.precision = "int8+bfloat16"
    classifier = IntentClassifier(model, "m")
    prediction = classifier.predict(constant(0.5))
    assert (prediction.engine, prediction.precision) == ("onnx", "int8+bfloat16")
    assert (classifier.engine, classifier.precision) == ("onnx", "int8+bfloat16")


def test_the_bad_clip_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"gone\.wav: does not exist"):
        IntentClassifier(Model("a", "b"), "m").predict(tmp_path / "gone.wav")


@pytest.mark.parametrize("logits", [[math.nan, 0.0], [0.0, math.inf], [-math.inf, 0.0]])
@pytest.mark.parametrize("seconds", [0.5, 40.0])
def test_scores_that_are_not_finite_are_no_answer(logits, seconds):
    classifier = IntentClassifier(Model("a", "b", logits=lambda first: logits), "m")
    with pytest.raises(ModelError) as error:
        classifier.predict(constant(0.5, seconds))
    assert error.value.name == "m"
    reason = "gives scores that are not finite numbers; train, export or download it again"
    assert error.value.reason == reason


def test_weights_that_are_no_numbers_give_no_answer(copy, tone):
    path = copy / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["classifier.bias"][1] = math.nan
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="gives scores that are not finite numbers"):
        IntentClassifier.from_pretrained(copy).predict((tone(213), RATE))


# An answer as a dict

PREDICTION = Prediction(
    label="a",
    score=0.5,
    scores=(("a", 0.5), ("b", 0.375), ("c", 0.125)),
    seconds=1.25,
    engine="onnx",
    precision="int8+bfloat16",
)
SCORES = [
    {"label": "a", "score": 0.5},
    {"label": "b", "score": 0.375},
    {"label": "c", "score": 0.125},
]


def test_an_answer_as_a_dict_has_its_values_in_order():
    answer = PREDICTION.as_dict(file="clip.wav", model="mine")
    assert list(answer.items()) == [
        ("file", "clip.wav"),
        ("label", "a"),
        ("score", 0.5),
        ("scores", SCORES),
        ("seconds", 1.25),
        ("model", "mine"),
        ("engine", "onnx"),
        ("precision", "int8+bfloat16"),
    ]
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize(("top_k", "n"), [(None, 3), (1, 1), (2, 2), (9, 3)])
def test_only_the_best_intents_may_be_wanted(top_k, n):
    answer = PREDICTION.as_dict(file="clip.wav", model="mine", top_k=top_k)
    assert answer["scores"] == SCORES[:n]
    assert answer["label"] == "a"


def test_an_answer_that_is_not_accepted_is_unknown_with_a_guess():
    rejected = dataclasses.replace(PREDICTION, reason="no speech")
    assert PREDICTION.accepted
    assert not rejected.accepted
    answer = rejected.as_dict(file="clip.wav", model="mine", top_k=1)
    assert list(answer)[:5] == ["file", "label", "guess", "reason", "score"]
    assert (answer["label"], answer["guess"], answer["score"]) == ("unknown", "a", 0.5)
    assert answer["reason"] == "no speech"
    assert answer["scores"] == SCORES[:1]


def test_a_prediction_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PREDICTION.label = "other"


# A model that was trained


@pytest.mark.parametrize("intent", TONES)
def test_each_tone_is_told_by_its_name(classifier, tone, intent):
    prediction = classifier.predict((tone(TONES[intent], seed=77), RATE))
    assert prediction.label == intent
    assert {label for label, _ in prediction.scores} == set(TONES) == set(classifier.labels)
    assert sum(score for _, score in prediction.scores) == pytest.approx(1)


def test_path_bytes_array_and_dict_get_the_same_answer(classifier, tone, tmp_path):
    path = tmp_path / "clip.flac"
    soundfile.write(path, tone(213), RATE)
    waveform, rate = soundfile.read(path, dtype="int16")
    expected = classifier.predict(path)
    for source in (
        str(path),
        path.read_bytes(),
        (waveform, rate),
        {"bytes": None, "path": str(path)},
    ):
        assert classifier.predict(source) == expected


def test_transformers_pipeline_gives_the_same_scores(classifier, model_folder, tone):
    pipeline = transformers.pipeline("audio-classification", model=str(model_folder))
    for frequency, seconds in ((787, 0.4), (2_000, 1.3)):
        waveform = tone(frequency, seconds)
        answer = pipeline({"raw": waveform, "sampling_rate": RATE}, top_k=None)
        expected = {entry["label"]: entry["score"] for entry in answer}
        prediction = classifier.predict((waveform, RATE))
        assert dict(prediction.scores) == pytest.approx(expected, abs=1e-4)


def test_any_family_answers(encoder, tmp_path, tone):
    labels = ["a", "b", "c"]
    new = build_model(encoder, labels)
    new.model.save_pretrained(tmp_path)
    new.extractor.save_pretrained(tmp_path)
    loaded = IntentClassifier.from_pretrained(tmp_path)
    assert loaded.labels == labels
    assert loaded.predict((tone(213, 0.3), RATE)).label in labels


def test_the_training_cap_is_the_window_of_prediction(copy):
    config = json.loads((copy / "config.json").read_text())
    assert config["max_seconds"] == 15.0
    (copy / "config.json").write_text(json.dumps(config | {"max_seconds": 4.0}))
    assert IntentClassifier.from_pretrained(copy).max_seconds == 4.0
    del config["max_seconds"]  # a model that somebody else trained
    (copy / "config.json").write_text(json.dumps(config))
    assert IntentClassifier.from_pretrained(copy).max_seconds == 15.0


def test_a_classifier_is_called_what_its_user_calls_it(model_folder):
    classifier = IntentClassifier.from_pretrained(model_folder)
    assert classifier.name == str(model_folder)
    assert (classifier.engine, classifier.precision) == ("torch", "float32")


# Models that cannot be used


def refusal(name) -> str:
    with pytest.raises(ModelError) as error:
        IntentClassifier.from_pretrained(name)
    assert "\n" not in str(error.value)
    assert error.value.name == str(name)
    return error.value.reason


def test_no_such_model_folder(tmp_path):
    assert refusal(tmp_path / "gone") == "there is no such folder; check the path"


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json", "config.json"])
def test_a_model_folder_without_weights_extractor_or_config(copy, name):
    (copy / name).unlink()
    remedy = "save model and feature extractor with save_pretrained"
    assert refusal(copy) == f"has no {name}; {remedy}"


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"damaged" * 100])
def test_a_model_folder_with_a_damaged_file(copy, name, content):
    (copy / name).write_bytes(content)
    with pytest.raises(ModelError) as error:
        IntentClassifier.from_pretrained(copy)
    assert error.value.name == str(copy / name)


def test_an_encoder_without_a_trained_head(encoder):
    assert refusal(encoder).startswith("has no trained classification head (")


# The package


def test_the_package_offers_its_public_names():
    assert set(speech_intent.__all__) == {
        "AudioError",
        "IntentClassifier",
        "ModelError",
        "Prediction",
        "UserError",
    }
    for name in speech_intent.__all__:
        assert getattr(speech_intent, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Classifier'"):
        _ = speech_intent.Classifier
