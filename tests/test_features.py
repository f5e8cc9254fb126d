import numpy as np
import pytest
import torch
from conftest import head_layers
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from speech_intent import features
from speech_intent.torch_model import TorchModel

RATE = 16_000


@pytest.fixture(scope="module")
def clips(tone):
    """Clips of unequal length, two of equal length, and one quiet one."""
    seconds = [0.3, 1.1, 0.51, 0.51, 0.8, 0.026, 1.9]
    return [tone(200 * (i + 1), s, seed=i) * (0.05 if i == 4 else 1) for i, s in enumerate(seconds)]


@pytest.fixture
def classifier(encoder):
    """A classifier with a random head on each encoder family."""
    torch.manual_seed(0)
    model = AutoModelForAudioClassification.from_pretrained(encoder, num_labels=5)
    for layer in head_layers(model):  # so that logits differ visibly from clip to clip
        torch.nn.init.normal_(layer.weight, std=0.5)
    return TorchModel(model, AutoFeatureExtractor.from_pretrained(encoder))


@pytest.mark.parametrize(
    ("family", "rule"),
    [
        ("wav2vec2_group", "equal"),
        ("wav2vec2_layer", "mask"),
        ("wavlm", "mask"),
        ("hubert", "mask"),
        ("whisper", "fixed"),
        ("moonshine", "mask"),
    ],
)
def test_the_padding_rule_follows_the_family(encoders, family, rule):
    assert features.padding_rule(AutoConfig.from_pretrained(encoders[family])) == rule


@pytest.mark.parametrize("kind", ["wavlm", "hubert"])
def test_the_base_models_of_other_families_have_group_norm(kind):
    assert features.padding_rule(AutoConfig.for_model(kind)) == "equal"


def test_a_clips_logits_are_the_same_alone_and_in_any_batch(classifier, clips):
    alone = np.stack([classifier([clip])[0] for clip in clips])
    assert np.ptp(alone, axis=0).max() > 1e-2  # the clips do differ
    for order in (range(7), [6, 0], [2, 3], [5, 6, 4, 3, 2, 1, 0], [0, 0, 1]):
        together = classifier([clips[i] for i in order])
        np.testing.assert_allclose(together, alone[list(order)], atol=1e-4)


def test_padding_would_change_the_answer_of_a_group_norm_encoder(encoders, clips):
    model = AutoModelForAudioClassification.from_pretrained(
        encoders["wav2vec2_group"], num_labels=5
    ).eval()
    extractor = AutoFeatureExtractor.from_pretrained(encoders["wav2vec2_group"])
    alone, padded = (
        features.model_inputs(batch, extractor, "equal")
        for batch in ([clips[0]], [clips[0], clips[6]])
    )
    with torch.inference_mode():
        one, other = (
            model(torch.from_numpy(inputs["input_values"])).logits[0] for inputs in (alone, padded)
        )
        difference = one - other
    assert difference.abs().max() > 1e-4  # what the rule is there for


def test_inputs_have_the_shapes_of_their_rule(encoders, clips):
    longest = max(map(len, clips))
    for family, rule in (
        ("wav2vec2_group", "equal"),
        ("wav2vec2_layer", "mask"),
        ("whisper", "fixed"),
    ):
        inputs = features.model_inputs(
            clips, AutoFeatureExtractor.from_pretrained(encoders[family]), rule
        )
        shapes = {name: tuple(value.shape) for name, value in inputs.items()}
        assert (
            shapes
            == {
                "equal": {"input_values": (7, longest)},
                "mask": {"input_values": (7, longest), "attention_mask": (7, longest)},
                "fixed": {"input_features": (7, 16, 200)},
            }[rule]
        )
        if rule == "mask":
            assert inputs["attention_mask"].sum(axis=1).tolist() == [len(clip) for clip in clips]


def test_what_an_extractor_of_one_length_gives_is_taken_as_it_is(clips):
    """Another family's inputs have another name, or come with a mask."""

    class Extractor:
        sampling_rate = RATE

        def __call__(self, waveforms, sampling_rate, return_tensors):
            return {"input_values": waveforms, "attention_mask": (sampling_rate, return_tensors)}

    inputs = features.model_inputs(clips, Extractor(), "fixed")
    assert inputs == {"input_values": clips, "attention_mask": (RATE, "np")}


def test_each_clip_is_normalised_by_itself(encoders, clips):
    extractor = AutoFeatureExtractor.from_pretrained(encoders["wav2vec2_group"])
    rows = features.model_inputs(clips, extractor, "equal")["input_values"]
    for row, clip in zip(rows, clips, strict=True):
        assert row[: len(clip)].mean() == pytest.approx(0, abs=1e-4)
        assert row[: len(clip)].std() == pytest.approx(1, abs=1e-2)


def test_a_length_is_filled_up_to_the_next_multiple(encoders):
    extractor = AutoFeatureExtractor.from_pretrained(encoders["wav2vec2_layer"])
    clips = [np.ones(400, np.float32), np.ones(801, np.float32)]
    for multiple, length in ((1, 801), (400, 1200), (801, 801)):
        inputs = features.model_inputs(clips, extractor, "mask", multiple)
        assert inputs["input_values"].shape == (2, length)
        assert inputs["attention_mask"].sum(axis=1).tolist() == [400, 801]


def test_a_window_is_no_longer_than_the_extractor_takes(encoders):
    whisper = AutoFeatureExtractor.from_pretrained(encoders["whisper"])  # chunk_length 2 s
    wav2vec2 = AutoFeatureExtractor.from_pretrained(encoders["wav2vec2_layer"])
    assert features.window_seconds(whisper, 15.0) == 2.0
    assert features.window_seconds(whisper, 1.5) == 1.5
    assert features.window_seconds(wav2vec2, 15.0) == 15.0
