"""Whisper on the clip's own length: the same alone, in a batch, in ONNX and filled up to 30 s."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny import WHISPER
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    pipeline,
)
from transformers import WhisperForAudioClassification as TheirClassifier

from speech_intent import IntentClassifier, features, onnx_export, whisper
from speech_intent.model import build_model
from speech_intent.model_config import read_config
from speech_intent.onnx_model import OnnxModel
from speech_intent.torch_model import TorchModel

RATE = 16_000  # Hz
LABELS = {0: "a", 1: "b", 2: "c"}
# Samples: 25 ms, around a quarter of a second, around a frame of the mel, the extractor's 30 s.
LENGTHS = [400, 3_999, 4_000, 4_001, 17_600, 47_840, 48_000, 48_120, 48_200, 16_161, 30 * RATE]


def make_network(kind=whisper.WhisperForAudioClassification, **options):
    """Make a tiny model for clips up to 30 s whose logits differ visibly from clip to clip."""
    torch.manual_seed(0)
    sizes = WHISPER | {"max_source_positions": 1_500}
    label2id = {label: i for i, label in LABELS.items()}
    config = WhisperConfig(**sizes, **options, id2label=LABELS, label2id=label2id)
    network = kind(config).eval()
    for name, weight in network.named_parameters():
        if weight.ndim > 1 and "embed_positions" not in name:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    return network


@pytest.fixture(scope="module")
def network():
    return make_network(cut_to_clip=True)


@pytest.fixture(scope="module")
def extractor():
    return WhisperFeatureExtractor(WHISPER["num_mel_bins"])


@pytest.fixture(scope="module")
def folder(network, extractor, tmp_path_factory):
    """The model with its feature extractor, saved and exported."""
    folder = tmp_path_factory.mktemp("whisper") / "model"
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)
    onnx_export.export(folder)
    return folder


@pytest.fixture(scope="module")
def clips():
    """Noise that grows louder up to the very end, where one of the clips has a click: float32."""
    rng = np.random.default_rng(0)
    waves = [rng.standard_normal(n) * np.linspace(0.02, 0.4, n) for n in LENGTHS]
    waves[-2][-2] = 30.0
    return [wave.astype(np.float32) for wave in waves]


@pytest.fixture(scope="module")
def alone(network, extractor, clips):
    """What the model says of each clip by itself: (n_clips, n_labels)."""
    return np.concatenate([logits_of(network, extractor, [clip]) for clip in clips])


def logits_of(network, extractor, clips, rule="cut") -> np.ndarray:
    mels = features.model_inputs(clips, extractor, rule)["input_features"]
    with torch.inference_mode():
        return network(torch.from_numpy(mels)).logits.numpy()


# The end of a clip


def test_mels_are_as_long_as_the_longest_clip_in_quarters_of_a_second(extractor, clips):
    for n, frames in zip(
        LENGTHS, [25, 25, 25, 50, 125, 300, 300, 325, 325, 125, 3_000], strict=True
    ):
        inputs = features.model_inputs([np.ones(n, np.float32)], extractor, "cut")
        assert {name: value.shape for name, value in inputs.items()} == {
            "input_features": (1, 16, frames)
        }
    batch = features.model_inputs(clips[:5], extractor, "cut", multiple=4_000)["input_features"]
    assert (batch.shape, batch.dtype) == ((5, 16, 125), np.float32)
    longer = [np.ones(31 * RATE, np.float32)]
    assert features.model_inputs(longer, extractor, "cut")["input_features"].shape[2] == 3_000


def test_a_mel_is_the_beginning_of_the_one_of_30_s(extractor, clips):
    for clip in clips:
        cut, full = (
            features.model_inputs([clip], extractor, rule)["input_features"]
            for rule in ("cut", "fixed")
        )
        np.testing.assert_allclose(cut, full[..., : cut.shape[2]], atol=1e-6)


@pytest.mark.parametrize(
    ("sounding", "frames"),
    [(0, 25), (1, 25), (25, 25), (27, 25), (28, 50), (52, 50), (53, 75), (300, 300)],
)
def test_a_clip_ends_with_its_last_sound_in_quarters_of_a_second(sounding, frames):
    """Two more frames see the end of a clip than it has."""
    mels = torch.full((2, 16, 300), -0.5)
    mels[0, 3, :sounding] = 1.0
    mels[1, :, 100] = 0.0
    assert whisper.clip_frames(mels).tolist() == [frames, 100]


def test_the_layers_see_the_positions_of_the_longest_clip_alone(network, extractor, clips):
    seen = []
    hook = network.encoder.layers[0].register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].shape[1])
    )
    for batch in ([clips[0]], [clips[6]], [clips[0], clips[6]]):
        logits_of(network, extractor, batch)
        logits_of(network, extractor, batch, "fixed")
    hook.remove()
    assert seen == [13, 13, 150, 150, 150, 150]  # of 1,500


# The same scores


def test_clips_say_the_same_alone_and_in_a_batch(network, folder, clips, alone):
    assert np.ptp(alone, axis=0).min() > 0.05
    model = TorchModel.load(folder, "it")
    assert model.rule == "cut"
    for order in (range(len(clips)), [0, 1], [6, 3, 5], [9, 0, 7], [2, 2, 8]):
        together = model([clips[i] for i in order])
        np.testing.assert_allclose(together, alone[list(order)], atol=1e-5)


def test_clips_say_the_same_filled_up_to_30_s(network, extractor, clips, alone):
    full = logits_of(network, extractor, clips, "fixed")
    np.testing.assert_allclose(full, alone, atol=1e-5)


def test_clips_say_the_same_in_onnx(folder, clips, alone):
    model = OnnxModel(folder)
    assert (model.rule, model.precision) == ("cut", "float32")
    np.testing.assert_allclose(model(clips), alone, atol=1e-4)
    batch = features.model_inputs(clips, model.extractor, model.rule)
    np.testing.assert_allclose(model.run(batch).logits, alone, atol=1e-4)


def test_silence_behind_a_clip_changes_nothing(network, extractor, clips, alone):
    longer = np.concatenate([clips[6], np.zeros(20_000, np.float32)])
    logits = logits_of(network, extractor, [longer])
    np.testing.assert_allclose(logits[0], alone[6], atol=1e-5)


def test_silence_alone_is_answered(folder):
    silence = np.zeros(RATE, np.float32)
    answers = [
        IntentClassifier.from_pretrained(folder, engine).predict((silence, RATE))
        for engine in ("torch", "onnx")
    ]
    assert dict(answers[0].scores) == pytest.approx(dict(answers[1].scores), abs=1e-4)


def test_a_clip_longer_than_the_window_is_answered(folder, clips):
    long = np.concatenate([clips[-1], clips[6]])
    answers = [
        IntentClassifier.from_pretrained(folder, engine).predict((long, RATE))
        for engine in ("torch", "onnx")
    ]
    assert answers[0].seconds == 33
    assert dict(answers[0].scores) == pytest.approx(dict(answers[1].scores), abs=1e-4)


def test_the_loss_of_a_batch_is_the_mean_of_its_clips(network, extractor, clips):
    training = copy.deepcopy(network).train()
    labels = torch.tensor([0, 2, 1])
    some = [clips[i] for i in (0, 4, 6)]
    mels = [
        torch.from_numpy(features.model_inputs(batch, extractor, "cut")["input_features"])
        for batch in (some, *([clip] for clip in some))
    ]
    together = training(mels[0], labels=labels).loss
    losses = [
        training(mel, labels=label[None]).loss for mel, label in zip(mels[1:], labels, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(losses).mean())
    together.backward()
    gradient = training.encoder.layers[0].fc1.weight.grad
    assert 0 < gradient.abs().max() < np.inf


def test_a_batch_gets_logits_and_nothing_that_the_trainer_would_gather(network, extractor, clips):
    mels = features.model_inputs(clips[:1], extractor, "cut")["input_features"]
    outputs = network(torch.from_numpy(mels), labels=torch.tensor([1]))
    assert list(outputs) == ["loss", "logits"]


# What transformers says


@pytest.mark.parametrize("weighted", [False, True])
def test_a_clip_that_fills_the_window_gets_their_scores(extractor, clips, weighted):
    options = {"use_weighted_layer_sum": weighted}
    ours = make_network(**options, cut_to_clip=True)
    theirs = make_network(TheirClassifier, **options)
    if weighted:
        weights = torch.tensor([1.0, -1.0, 2.0])
        ours.layer_weights.data = theirs.layer_weights.data = weights
    found, expected = (
        logits_of(network, extractor, [clips[-1]], "fixed") for network in (ours, theirs)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_checkpoint_of_the_usual_kind_keeps_its_scores(extractor, clips, alone, tmp_path):
    theirs = make_network(TheirClassifier)
    theirs.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    model = TorchModel.load(tmp_path, "it")
    assert type(model.network) is whisper.WhisperForAudioClassification
    assert model.rule == "fixed"
    expected = logits_of(theirs, extractor, clips[:7], "fixed")
    np.testing.assert_array_equal(model(clips[:7]), expected)
    assert np.abs(expected - alone[:7]).max() > 0.05  # the same weights, and other scores
    onnx_export.export(tmp_path)
    exported = OnnxModel(tmp_path)
    assert exported.rule == "fixed"
    np.testing.assert_allclose(exported(clips[:7]), expected, atol=1e-4)


def test_the_pipeline_of_transformers_gives_our_scores(folder, clips):
    classify = pipeline("audio-classification", model=str(folder))
    ours = IntentClassifier.from_pretrained(folder, "torch")
    for clip in clips[:7]:
        scores = classify({"raw": clip, "sampling_rate": RATE}, top_k=None)
        expected = dict(ours.predict((clip, RATE)).scores)
        assert {each["label"]: each["score"] for each in scores} == pytest.approx(
            expected, abs=1e-5
        )


def test_without_this_package_the_pipeline_gives_other_scores(folder, clips, tmp_path):
    """It has no other way: that is said where the pipeline is spoken of."""
    np.save(tmp_path / "clip.npy", clips[6])
    program = f"""
import numpy as np, transformers
classify = transformers.pipeline("audio-classification", model={str(folder)!r})
clip = np.load({str(tmp_path / "clip.npy")!r})
answers = classify({{"raw": clip, "sampling_rate": {RATE}}}, top_k=None)
print("scores", *(each["score"] for each in sorted(answers, key=lambda each: each["label"])))
"""
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    scores = [float(score) for score in process.stdout.split("scores ")[1].split()]
    ours = IntentClassifier.from_pretrained(folder, "torch").predict((clips[6], RATE))
    expected = dict(ours.scores)
    assert max(abs(expected[label] - scores[i]) for i, label in LABELS.items()) > 1e-2


# What a checkpoint says of itself


@pytest.mark.parametrize("cut", [True, False])
def test_a_new_classifier_says_which_length_it_takes(encoders, tmp_path, cut):
    names = list(LABELS.values())
    new = build_model(encoders["whisper"], names, cut_to_clip=cut)
    new.model.save_pretrained(tmp_path)
    assert read_config(tmp_path).cut_to_clip is cut
    config = AutoConfig.from_pretrained(tmp_path)
    assert features.padding_rule(config) == ("cut" if cut else "fixed")
    # Whoever trains it further decides anew.
    new.extractor.save_pretrained(tmp_path)
    assert build_model(tmp_path, names).model.config.cut_to_clip is True


def test_other_families_say_nothing(encoders):
    for family in ("moonshine", "wav2vec2_layer"):
        assert not hasattr(build_model(encoders[family], ["a", "b"]).model.config, "cut_to_clip")


def test_a_saved_model_says_the_same(network, folder, extractor, clips, alone):
    loaded, report = AutoModelForAudioClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert type(loaded) is whisper.WhisperForAudioClassification
    assert loaded.config.architectures == ["WhisperForAudioClassification"]
    assert not any(report.values())
    logits = logits_of(loaded, extractor, [clips[6]])
    np.testing.assert_allclose(logits[0], alone[6], atol=1e-6)
