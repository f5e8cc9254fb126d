import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForAudioClassification

from speech_intent import data, features, model
from speech_intent.hub import ModelError
from speech_intent.recipes import Hyperparameters

LABELS = ["book_now", "About_iQube", "battery"]  # in no alphabetical order


def trainable(classifier) -> set[str]:
    return {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}


def is_head(name: str) -> bool:
    return name.startswith(("projector.", "classifier."))


def test_label_ids_are_integers_in_the_order_given_and_survive_saving(encoder, tmp_path):
    classifier, _ = model.build_model(encoder, LABELS)
    classifier.save_pretrained(tmp_path)
    for config in (classifier.config, AutoConfig.from_pretrained(tmp_path)):
        assert config.id2label == {0: "book_now", 1: "About_iQube", 2: "battery"}
        assert config.label2id == {"book_now": 0, "About_iQube": 1, "battery": 2}
        assert config.num_labels == 3
    assert json.loads((tmp_path / "config.json").read_text())["label2id"] == config.label2id


def test_the_encoders_weights_are_kept_and_the_head_is_new(encoder):
    classifier, extractor = model.build_model(encoder, LABELS)
    pretrained = AutoModelForAudioClassification.from_pretrained(encoder).state_dict()
    for name, weight in classifier.state_dict().items():
        if not is_head(name):
            torch.testing.assert_close(weight, pretrained[name])
    assert classifier.classifier.out_features == 3
    assert extractor.sampling_rate == 16_000


def test_the_head_of_another_task_is_replaced(model_folder):
    classifier, _ = model.build_model(model_folder, LABELS)
    assert classifier.classifier.out_features == 3
    assert list(classifier.config.id2label.values()) == LABELS


def test_the_small_random_encoder_has_at_most_6_million_parameters():
    classifier, extractor = model.build_model("random", [f"intent {i}" for i in range(9)])
    assert 1e6 < classifier.num_parameters() <= 6e6
    assert extractor.sampling_rate == 16_000


def test_the_seed_decides_the_random_weights(encoders):
    def head(seed):
        return model.build_model(encoders["wav2vec2_group"], LABELS, seed=seed)[0].classifier.weight

    torch.testing.assert_close(head(1), head(1), atol=0, rtol=0)
    assert not torch.equal(head(1), head(2))


@pytest.mark.parametrize("wanted", [True, False])
def test_spec_augment_is_an_option(encoder, wanted):
    assert model.build_model(encoder, LABELS, spec_augment=wanted)[0].config.apply_spec_augment is wanted


def test_freezing_nothing_trains_everything(encoder):
    classifier, _ = model.build_model(encoder, LABELS)
    before = trainable(classifier)
    assert model.freeze(classifier, "none") == "none"
    assert trainable(classifier) == before
    assert any(not is_head(name) for name in before)


def test_freezing_the_encoder_leaves_the_head(encoder):
    classifier, _ = model.build_model(encoder, LABELS)
    assert model.freeze(classifier, "encoder") == "encoder"
    assert trainable(classifier) == {name for name, _ in classifier.named_parameters() if is_head(name)} != set()


@pytest.mark.parametrize("family", ["wav2vec2_group", "wav2vec2_layer", "wavlm", "hubert"])
def test_freezing_features_freezes_the_convolutions_alone(encoders, family):
    classifier, _ = model.build_model(encoders[family], LABELS)
    assert model.freeze(classifier, "features") == "features"
    frozen = {name for name, _ in classifier.named_parameters()} - trainable(classifier)
    assert frozen == {name for name, _ in classifier.named_parameters() if ".feature_extractor." in name} != set()


def test_auto_freezes_the_convolutions_of_pretrained_encoders_only(encoders):
    classifier, _ = model.build_model(encoders["wav2vec2_group"], LABELS)
    assert model.freeze(classifier, "auto") == "features"
    assert model.freeze(model.build_model("random", LABELS)[0], "auto") == "none"


def test_what_knows_more_is_trained_more_gently(encoders, monkeypatch):
    classifier, _ = model.build_model(encoders["wav2vec2_group"], LABELS)
    assert model.usual_learning_rate(model.build_model("random", LABELS)[0]) == 1e-3
    assert model.usual_learning_rate(classifier) == 3e-4
    monkeypatch.setattr(model, "LARGE", 1)
    assert model.usual_learning_rate(classifier) == 5e-5
    model.freeze(classifier, "encoder")
    assert model.usual_learning_rate(classifier) == 1e-3


def test_the_frozen_head_gives_the_logits_of_the_whole_model(encoder, tone_folder):
    classifier, extractor = model.build_model(encoder, LABELS)
    model.freeze(classifier, "encoder")
    table = data.load_data(tone_folder)[0]["validation"]
    collator = features.Collator(extractor, classifier.config, Hyperparameters(), training=False)
    pooled = model.pooled_outputs(classifier, table, collator)
    assert pooled["labels"][:].tolist() == list(table["label"])
    with torch.inference_mode():
        head = model.FrozenHead(classifier).eval()(pooled["pooled"][:])["logits"].numpy()
        whole = np.concatenate(
            [classifier(**{k: v for k, v in collator([row]).items() if k != "labels"}).logits.numpy() for row in table]
        )
    np.testing.assert_allclose(head, whole, atol=1e-5)


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="there is no such folder; check the path"):
        model.build_model(tmp_path / "gone", LABELS)
