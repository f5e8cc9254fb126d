import copy

import pytest
import torch

from speech_intent import convolutions, model

KINDS = ["wav2vec2_group", "wav2vec2_layer", "wavlm", "hubert"]
N_SAMPLES = 4_000


@pytest.fixture(scope="module")
def waveforms():
    torch.manual_seed(0)
    return torch.randn(2, N_SAMPLES)


@pytest.mark.parametrize("family", KINDS)
def test_frames_are_those_of_transformers(encoders, waveforms, family):
    found = convolutions.find(model.build_model(encoders[family], ["a", "b"]).model)
    with torch.no_grad():
        expected = found(waveforms)
        frames = convolutions.convolve(found, waveforms)
    assert frames.shape == (2, 12, 32)
    assert expected.std() > 1e-3
    torch.testing.assert_close(frames.transpose(1, 2), expected, atol=1e-5, rtol=1e-4)


def test_a_bias_is_added_in_each_layer(encoders, waveforms):
    found = convolutions.find(model.build_model(encoders["wav2vec2_layer"], ["a", "b"]).model)
    found = copy.deepcopy(found)
    with torch.no_grad():
        for layer in found.conv_layers:
            layer.conv.bias += torch.arange(32) / 32
        expected = found(waveforms)
        frames = convolutions.convolve(found, waveforms)
    torch.testing.assert_close(frames.transpose(1, 2), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_other_encoders_have_no_such_convolutions(encoders, family):
    assert convolutions.find(model.build_model(encoders[family], ["a", "b"]).model) is None


def test_frames_pass_and_waveforms_do_not(encoders, waveforms):
    network = model.build_model(encoders["wav2vec2_group"], ["a", "b"]).model.eval()
    found = convolutions.find(network)
    with torch.no_grad():
        expected = network(waveforms).logits
        frames = convolutions.convolve(found, waveforms).transpose(1, 2)
        convolutions.let_frames_pass(found)
        torch.testing.assert_close(network(frames).logits, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(network(waveforms).logits, expected)
