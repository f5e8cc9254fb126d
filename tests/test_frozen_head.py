import numpy as np
import pytest
import torch

from speech_intent import data, frozen_head, model
from speech_intent.batches import Collator
from speech_intent.recipes import Hyperparameters


@pytest.fixture
def table(recipe):
    return data.load_data(recipe()).tables["validation"]


def test_the_frozen_head_gives_the_logits_of_the_whole_model(encoder, table):
    classifier = model.build_model(encoder, ["a", "b", "c"])
    model.freeze(classifier, "encoder")
    network = classifier.model
    collator = Collator(classifier.extractor, network.config, Hyperparameters(), training=False)
    pooled = frozen_head.pooled_outputs(network, table, collator)
    assert pooled["labels"][:].tolist() == list(table["label"])
    whole = []
    with torch.inference_mode():
        head = frozen_head.FrozenHead(network).eval()(pooled["pooled"][:])["logits"].numpy()
        for row in table:
            inputs = collator([row])
            del inputs["labels"]
            whole.append(network(**inputs).logits.numpy())
    np.testing.assert_allclose(head, np.concatenate(whole), atol=1e-5)


def test_the_head_shares_the_classifiers_weights(encoders):
    network = model.build_model(encoders["wav2vec2_layer"], ["a", "b"]).model
    head = frozen_head.FrozenHead(network)
    assert head.classifier.weight is network.classifier.weight
    assert head.projector.weight is network.projector.weight
