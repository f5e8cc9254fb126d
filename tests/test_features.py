import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from speech_intent import features
from speech_intent.features import Collator
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Hyperparameters

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
    for weights in (model.projector.weight, model.classifier.weight):
        torch.nn.init.normal_(weights, std=0.5)  # so that logits differ visibly from clip to clip
    return IntentClassifier(model, AutoFeatureExtractor.from_pretrained(encoder), "test")


@pytest.mark.parametrize(
    ("family", "rule"),
    [
        ("wav2vec2_group", "equal"),
        ("wav2vec2_layer", "mask"),
        ("wavlm", "mask"),
        ("hubert", "mask"),
        ("whisper", "fixed"),
    ],
)
def test_the_padding_rule_follows_the_family(encoders, family, rule):
    assert features.padding_rule(AutoConfig.from_pretrained(encoders[family])) == rule


@pytest.mark.parametrize("kind", ["wavlm", "hubert"])
def test_the_base_models_of_other_families_have_group_norm(kind):
    assert features.padding_rule(AutoConfig.for_model(kind)) == "equal"


def test_a_clips_logits_are_the_same_alone_and_in_any_batch(classifier, clips):
    alone = np.stack([classifier._logits([clip])[0] for clip in clips])
    assert np.ptp(alone, axis=0).max() > 1e-2  # the clips do differ
    for order in (range(7), [6, 0], [2, 3], [5, 6, 4, 3, 2, 1, 0], [0, 0, 1]):
        together = classifier._logits([clips[i] for i in order])
        np.testing.assert_allclose(together, alone[list(order)], atol=1e-4)


def test_padding_would_change_the_answer_of_a_group_norm_encoder(encoders, clips):
    model = AutoModelForAudioClassification.from_pretrained(encoders["wav2vec2_group"], num_labels=5).eval()
    extractor = AutoFeatureExtractor.from_pretrained(encoders["wav2vec2_group"])
    alone, padded = (features.model_inputs(batch, extractor, "equal") for batch in ([clips[0]], [clips[0], clips[6]]))
    with torch.inference_mode():
        one, other = (model(torch.from_numpy(inputs["input_values"])).logits[0] for inputs in (alone, padded))
        difference = one - other
    assert difference.abs().max() > 1e-4  # what the rule is there for


def test_inputs_have_the_shapes_of_their_rule(encoders, clips):
    longest = max(map(len, clips))
    for family, rule in (("wav2vec2_group", "equal"), ("wav2vec2_layer", "mask"), ("whisper", "fixed")):
        inputs = features.model_inputs(clips, AutoFeatureExtractor.from_pretrained(encoders[family]), rule)
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


def test_each_clip_is_normalised_by_itself(encoders, clips):
    extractor = AutoFeatureExtractor.from_pretrained(encoders["wav2vec2_group"])
    rows = features.model_inputs(clips, extractor, "equal")["input_values"]
    for row, clip in zip(rows, clips, strict=True):
        assert row[: len(clip)].mean() == pytest.approx(0, abs=1e-4)
        assert row[: len(clip)].std() == pytest.approx(1, abs=1e-2)


# From rows of a table


@pytest.fixture
def ramp_row():
    """A 3 s clip in which the value of a sample is its place."""
    ramp = np.linspace(-1, 1, 3 * RATE, dtype=np.float32)
    return {"audio": (ramp, RATE), "seconds": 3.0, "label": 2}


@pytest.fixture
def make_collator(encoders):
    folder = encoders["wav2vec2_group"]
    extractor, config = AutoFeatureExtractor.from_pretrained(folder), AutoConfig.from_pretrained(folder)

    def make(training: bool, **numbers) -> Collator:
        return Collator(extractor, config, Hyperparameters(**{"augment": False, **numbers}), training)

    return make


def test_a_long_clip_is_cropped_at_random_in_training_and_at_its_start_else(make_collator, ramp_row):
    torch.manual_seed(0)
    cropped = [make_collator(True, max_seconds=1.0).waveform(ramp_row) for _ in range(6)]
    assert {len(waveform) for waveform in cropped} == {RATE}
    assert len({round(float(waveform[0]), 3) for waveform in cropped}) > 3
    beginning = make_collator(False, max_seconds=1.0).waveform(ramp_row)
    np.testing.assert_array_equal(beginning, ramp_row["audio"][0][:RATE])


def test_a_short_clip_is_whole_in_training(make_collator, ramp_row):
    assert len(make_collator(True, max_seconds=15.0).waveform(ramp_row)) == 3 * RATE


def test_the_tutorials_one_second_is_not_the_default():
    assert Hyperparameters().max_seconds == 15.0


def test_only_training_clips_are_augmented(make_collator, ramp_row):
    torch.manual_seed(0)
    training = make_collator(True, augment=True)
    assert len({len(training.waveform(ramp_row)) for _ in range(12)}) > 2  # speeds
    validation = make_collator(False, augment=True).waveform(ramp_row)
    np.testing.assert_array_equal(validation, ramp_row["audio"][0])


def test_a_clip_shorter_than_a_masked_span_can_be_trained_on(encoder, tone):
    model = AutoModelForAudioClassification.from_pretrained(encoder, num_labels=5).train()
    extractor = AutoFeatureExtractor.from_pretrained(encoder)
    row = {"audio": (tone(400, 0.026), RATE), "seconds": 0.026, "label": 4}
    batch = Collator(extractor, model.config, Hyperparameters(), True)([row, row])
    assert torch.isfinite(model(**batch).loss)


def test_a_batch_has_inputs_and_labels(make_collator, ramp_row):
    batch = make_collator(True)([ramp_row, {**ramp_row, "label": 0}])
    assert batch["labels"].tolist() == [2, 0]
    assert batch["input_values"].shape == (2, 3 * RATE)
