import copy

import pytest
import torch
from transformers import MoonshineConfig, Wav2Vec2Config, Wav2Vec2ForSequenceClassification

from speech_intent.moonshine import MoonshineForAudioClassification, RotaryAttention
from speech_intent.onnx_attention import JoinedAttention, join_attention


@pytest.fixture(params=[0.9, 0.5, 1.0])
def network(request):
    """A small Moonshine whose heads have 16 features, of which a share is rotated."""
    torch.manual_seed(0)
    config = MoonshineConfig(
        hidden_size=32,
        intermediate_size=48,
        encoder_num_hidden_layers=2,
        encoder_num_attention_heads=2,
        encoder_num_key_value_heads=2,
        num_labels=3,
    )
    config.rope_parameters = {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "partial_rotary_factor": request.param,
    }
    return MoonshineForAudioClassification(config).eval()


def test_scores_are_the_same_alone_and_filled_up(network):
    joined = copy.deepcopy(network)
    join_attention(joined)
    values = torch.randn(2, 16_000)
    mask = torch.ones(2, 16_000, dtype=torch.long)
    mask[1, 9_000:] = 0
    with torch.no_grad():
        for given in ((values, mask), (values[:, :5_000], None)):
            ours = joined(*given).logits
            assert torch.allclose(ours, network(*given).logits, atol=1e-5)
    assert ours.std() > 1e-3


def test_what_is_masked_is_not_seen(network):
    join_attention(network)
    mask = torch.ones(1, 16_000, dtype=torch.long)
    mask[:, 9_000:] = 0
    values = torch.randn(1, 16_000)
    louder = values * (1 + 99 * (1 - mask))
    with torch.no_grad():
        ours, other = network(values, mask).logits, network(louder, mask).logits
        seen = network(louder).logits
    assert torch.allclose(ours, other, atol=1e-5)
    assert not torch.allclose(ours, seen, atol=1e-3)


def test_every_layer_has_one_multiplication_in_place_of_three(network):
    join_attention(network)
    layers = network.model.encoder.layers
    assert all(isinstance(layer.self_attn, JoinedAttention) for layer in layers)
    assert layers[0].self_attn.weight.shape == (3 * 32, 32)
    assert not any(isinstance(part, RotaryAttention) for part in network.modules())


def test_other_models_stay_as_they_are():
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    network = Wav2Vec2ForSequenceClassification(config)
    before = [type(part) for part in network.modules()]
    join_attention(network)
    assert [type(part) for part in network.modules()] == before
