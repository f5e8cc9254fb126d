"""What a head gets of a clip, watched: the same for every family, in batches and in ONNX."""

import copy
import threading

import numpy as np
import pytest
import torch
from conftest import RATE

from speech_intent import frozen_head, onnx_export
from speech_intent.batches import Collator
from speech_intent.head_inputs import HeadInputs
from speech_intent.model import build_model
from speech_intent.onnx_model import OnnxModel
from speech_intent.recipes import Hyperparameters
from speech_intent.torch_model import TorchModel

SECONDS = (0.3, 0.51, 0.3, 1.1)


@pytest.fixture(scope="module")
def clips(tone):
    return [tone(300 * (i + 1), seconds, i) for i, seconds in enumerate(SECONDS)]


@pytest.fixture
def folder(encoder, tmp_path):
    new = build_model(encoder, ["a", "b", "c"])
    new.model.save_pretrained(tmp_path)
    new.extractor.save_pretrained(tmp_path)
    return tmp_path


def test_it_is_what_a_head_is_fitted_to_in_a_padded_batch_and_in_onnx(folder, clips):
    model = TorchModel.load(folder, "it")
    found = model.outputs(clips)
    collator = Collator(model.extractor, model.network.config, Hyperparameters(), training=False)
    rows = [{"audio": (c, RATE), "label": 0, "seconds": len(c) / RATE} for c in clips]
    alone = frozen_head.pooled_outputs(model.network, rows, collator)
    np.testing.assert_allclose(found.pooled, alone, atol=1e-4)
    assert np.ptp(alone, axis=0).max() > 1e-3
    weight, bias = frozen_head.read_head(model.network)
    np.testing.assert_allclose(found.pooled @ weight.T + bias, found.logits, atol=1e-4)

    onnx_export.export(folder)
    exported = OnnxModel(folder)
    assert exported.gives_pooled
    ours = exported.outputs(clips)
    np.testing.assert_allclose(ours.pooled, found.pooled, atol=1e-3)
    np.testing.assert_allclose(ours.logits, found.logits, atol=1e-3)


@pytest.fixture
def watched(encoders):
    network = build_model(encoders["wav2vec2_layer"], ["a", "b", "c"]).model.eval()
    return network, HeadInputs(network)


def run(network, seed: int) -> torch.Tensor:
    values = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        return network(values).logits


def test_logits_are_those_of_a_network_that_nobody_watches(encoders, watched):
    network, _ = watched
    plain = build_model(encoders["wav2vec2_layer"], ["a", "b", "c"]).model.eval()
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(run(network, 0), run(plain, 0))


def test_a_copy_is_watched_by_nobody_else(watched):
    network, watch = watched
    run(network, 0)
    before = watch.last
    other = copy.deepcopy(network)
    second = HeadInputs(other)
    logits = run(other, 1)
    assert watch.last is before
    assert not torch.equal(second.last, before)
    torch.testing.assert_close(logits, run(network, 1))
    torch.testing.assert_close(watch.last, second.last)


def test_each_thread_has_its_own(watched):
    network, watch = watched
    run(network, 0)
    before = watch.last
    heard = []

    def other():
        run(network, 1)
        heard.append(watch.last)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert watch.last is before
    assert not torch.equal(heard[0], before)
