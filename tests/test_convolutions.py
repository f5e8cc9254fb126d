import copy

import pytest
import torch

from speech_intent import convolutions, features, model

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


@pytest.mark.parametrize("channels", [8, 12, 16, 48])  # of a group; "small" has 12
def test_grouped_convolutions_are_right_in_bfloat16(channels):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv1d(4 * channels, 4 * channels, 8, groups=4))
    values = torch.randn(2, 4 * channels, 50)
    with torch.no_grad():
        expected = network(values)
        convolutions.keep_exact(network)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(values)
    assert found.dtype == (torch.bfloat16 if channels % 16 == 0 else torch.float32)
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("family", [*KINDS, "whisper", "moonshine"])
def test_every_family_says_in_bfloat16_what_it_says(encoders, waveforms, family):
    built = model.build_model(encoders[family], ["a", "b"])
    network = built.model.eval()
    torch.nn.init.normal_(network.classifier.weight)
    inputs = {name: torch.from_numpy(value) for name, value in inputs_of(built, waveforms).items()}
    with torch.no_grad():
        expected = network(**inputs).logits
        convolutions.keep_exact(network)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(**inputs).logits
    assert expected.std() > 0.02
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)


def inputs_of(built: model.NewClassifier, waveforms: torch.Tensor) -> dict:
    rule = features.padding_rule(built.model.config)
    return features.model_inputs(list(waveforms.numpy()), built.extractor, rule)
