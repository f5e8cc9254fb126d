import json

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features
from transformers import AutoConfig, AutoModelForAudioClassification

from speech_intent import model
from speech_intent.errors import ModelError

LABELS = ["book_now", "About_iQube", "battery"]  # in no alphabetical order


def weights(classifier) -> dict[str, torch.nn.Parameter]:
    return dict(classifier.model.named_parameters())


def trainable(classifier) -> set[str]:
    return {name for name, weight in weights(classifier).items() if weight.requires_grad}


def is_head(name: str) -> bool:
    return name.startswith(("projector.", "classifier."))


def test_label_ids_are_integers_in_the_order_given_and_survive_saving(encoder, tmp_path):
    classifier = model.build_model(encoder, LABELS)
    classifier.model.save_pretrained(tmp_path)
    for config in (classifier.model.config, AutoConfig.from_pretrained(tmp_path)):
        assert config.id2label == {0: "book_now", 1: "About_iQube", 2: "battery"}
        assert config.label2id == {"book_now": 0, "About_iQube": 1, "battery": 2}
        assert config.num_labels == 3
    assert json.loads((tmp_path / "config.json").read_text())["label2id"] == config.label2id


def test_the_encoders_weights_are_kept_and_the_head_is_new(encoder):
    classifier = model.build_model(encoder, LABELS)
    pretrained = AutoModelForAudioClassification.from_pretrained(encoder).state_dict()
    for name, weight in classifier.model.state_dict().items():
        if not is_head(name):
            torch.testing.assert_close(weight, pretrained[name])
    assert classifier.model.classifier.out_features == 3
    assert classifier.extractor.sampling_rate == 16_000


def test_the_head_of_another_task_is_replaced(model_folder):
    classifier = model.build_model(model_folder, LABELS)
    assert classifier.model.classifier.out_features == 3
    assert list(classifier.model.config.id2label.values()) == LABELS


@pytest.mark.parametrize(
    ("name", "kind", "parameters", "pretrained"),
    [
        ("moonshine", "MoonshineForAudioClassification", 7.7e6, True),
        ("small", "Wav2Vec2ForSequenceClassification", 3.0e6, True),
        ("random", "MoonshineForAudioClassification", 7.7e6, False),
    ],
)
def test_an_encoder_that_comes_along_has_a_name(name, kind, parameters, pretrained):
    classifier = model.build_model(name, LABELS)
    assert type(classifier.model).__name__ == kind
    assert classifier.model.num_parameters() == pytest.approx(parameters, rel=0.03)
    assert classifier.pretrained is pretrained
    assert classifier.is_moonshine is kind.startswith("Moonshine")
    assert classifier.extractor.sampling_rate == 16_000


def test_random_weights_are_those_of_no_file():
    weights = [
        model.build_model(name, LABELS).model.model.encoder.layers[0].mlp.fc1.weight
        for name in ("moonshine", "random", "moonshine")
    ]
    assert torch.equal(weights[0], weights[2])
    assert not torch.isclose(weights[0], weights[1]).float().mean() > 0.1


def test_the_seed_decides_the_random_weights(encoders):
    def head(seed):
        return model.build_model(
            encoders["wav2vec2_group"], LABELS, seed=seed
        ).model.classifier.weight

    torch.testing.assert_close(head(1), head(1), atol=0, rtol=0)
    assert not torch.equal(head(1), head(2))


@pytest.mark.parametrize("wanted", [True, False])
def test_spec_augment_is_an_option(encoder, wanted):
    assert (
        model.build_model(encoder, LABELS, spec_augment=wanted).model.config.apply_spec_augment
        is wanted
    )


def test_freezing_nothing_trains_everything(encoder):
    classifier = model.build_model(encoder, LABELS)
    before = trainable(classifier)
    assert model.freeze(classifier, "none") == "none"
    assert trainable(classifier) == before
    assert any(not is_head(name) for name in before)


def test_freezing_the_encoder_leaves_the_head(encoder):
    classifier = model.build_model(encoder, LABELS)
    assert model.freeze(classifier, "encoder") == "encoder"
    assert trainable(classifier) == set(filter(is_head, weights(classifier))) != set()


@pytest.mark.parametrize(
    "family", ["wav2vec2_group", "wav2vec2_layer", "wavlm", "hubert", "moonshine"]
)
def test_freezing_features_freezes_the_convolutions_alone(encoders, family):
    classifier = model.build_model(encoders[family], LABELS)
    assert model.freeze(classifier, "features") == "features"
    frozen = set(weights(classifier)) - trainable(classifier)
    parts = (".feature_extractor.", ".encoder.conv", ".encoder.groupnorm.")
    if family != "moonshine":
        parts = parts[:1]  # WavLM's encoder has other convolutions
    assert frozen == {name for name in weights(classifier) if any(map(name.count, parts))} != set()


def test_auto_freezes_the_convolutions_of_pretrained_encoders_only(encoders):
    classifier = model.build_model(encoders["wav2vec2_group"], LABELS)
    assert model.freeze(classifier, "auto") == "features"
    assert model.freeze(model.build_model("random", LABELS), "auto") == "none"


def test_what_knows_more_is_trained_more_gently(encoders, monkeypatch):
    classifier = model.build_model(encoders["wav2vec2_group"], LABELS)
    assert model.usual_learning_rate(model.build_model("random", LABELS)) == 1e-3
    assert model.usual_learning_rate(classifier) == 3e-4
    monkeypatch.setattr(model, "LARGE", 1)
    assert model.usual_learning_rate(classifier) == 5e-5


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="there is no such folder; check the path"):
        model.build_model(tmp_path / "gone", LABELS)


def test_any_classifier_of_transformers_can_be_frozen(encoders):
    """Nothing is hidden on the model: one that was not made here does as well."""
    loaded = AutoModelForAudioClassification.from_pretrained(encoders["wav2vec2_group"])
    classifier = model.NewClassifier(loaded, extractor=None, pretrained=True)
    assert model.freeze(classifier, "auto") == "features"
    assert model.usual_learning_rate(classifier) == 3e-4


# The loss


def test_the_loss_is_the_cross_entropy_and_class_weights_follow_the_counts():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 2, 3])
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    label = ClassLabel(names=["a", "b", "c", "d"])
    columns = {"label": [0, 0, 0, 0, 1, 2, 3]}
    table = Dataset.from_dict(columns, features=Features({"label": label}))
    plain = model.intent_loss(table, class_weights=False)
    weighted = model.intent_loss(table, class_weights=True)
    torch.testing.assert_close(plain({"logits": logits}, labels), each.mean())
    shares = torch.tensor([7 / 16, 7 / 16, 7 / 4, 7 / 4, 7 / 4])
    torch.testing.assert_close(weighted({"logits": logits}, labels), (shares * each).mean())
    torch.testing.assert_close(plain({"logits": logits}, labels, 10), each.sum() / 10)


# Calibration


def test_dividing_the_head_by_the_temperature_scales_every_logit(encoders):
    classifier = model.build_model(encoders["wav2vec2_layer"], LABELS).model
    before = classifier.classifier.weight.detach().clone()
    bias = torch.arange(3.0)
    with torch.no_grad():
        classifier.classifier.bias.copy_(bias)
    logits = np.array([[9.0, 0, 0], [9.0, 0, 0], [0, 9.0, 0]])
    model.calibrate(classifier, logits, np.array([0, 1, 1]))
    temperature = classifier.config.calibration_temperature
    assert temperature > 1.5  # one in three sure answers is wrong
    torch.testing.assert_close(classifier.classifier.weight * temperature, before)
    torch.testing.assert_close(classifier.classifier.bias * temperature, bias)
    assert not hasattr(classifier.config, "rejection_threshold")
