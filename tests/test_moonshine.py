"""Our Moonshine: the same answer alone and in a batch, and what transformers' own encoder says."""

import copy

import numpy as np
import pytest
import torch
from tiny import MOONSHINE
from transformers import AutoModelForAudioClassification, MoonshineConfig, pipeline
from transformers.models.moonshine.modeling_moonshine import (
    MoonshineEncoder,
    apply_rotary_pos_emb,
)

from speech_intent import IntentClassifier, features, moonshine, onnx_export
from speech_intent.model import build_model
from speech_intent.onnx_model import OnnxModel
from speech_intent.torch_model import TorchModel

RATE = 16_000  # Hz
LENGTHS = [1, 126, 894, 895, 896, 1_278, 1_279, 6_400, 16_001, 40_000, 15 * RATE]  # samples
LABELS = {0: "a", 1: "b", 2: "c"}


@pytest.fixture(scope="module", params=[0, moonshine.EDGE_SAMPLES])
def network(request):
    """A tiny model whose logits differ visibly from clip to clip; with silence at both ends too."""
    torch.manual_seed(0)
    config = MoonshineConfig(
        **MOONSHINE, id2label=LABELS, label2id={v: k for k, v in LABELS.items()}
    )
    config.edge_samples = request.param
    model = moonshine.MoonshineForAudioClassification(config).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    for norm in (model.model.encoder.groupnorm, model.model.encoder.layer_norm):
        torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    torch.nn.init.normal_(model.model.encoder.groupnorm.bias)
    return model


@pytest.fixture(scope="module")
def plain(network):
    """The same weights, without silence at both ends."""
    plain = copy.deepcopy(network)
    plain.config.edge_samples = 0
    return plain


@pytest.fixture(scope="module")
def folder(network, encoders, tmp_path_factory):
    """The same model with its feature extractor, saved and exported."""
    folder = tmp_path_factory.mktemp("moonshine") / "model"
    network.save_pretrained(folder)
    build_model(encoders["moonshine"], ["a", "b"]).extractor.save_pretrained(folder)
    onnx_export.export(folder)
    return folder


@pytest.fixture(scope="module")
def clips():
    """Noise that grows louder, in clips from a single sample to 15 s: float32."""
    rng = np.random.default_rng(0)
    waves = [rng.standard_normal(n) * np.linspace(0.02, 0.4, n) for n in LENGTHS]
    return [wave.astype(np.float32) for wave in waves]


@pytest.fixture(scope="module")
def alone(network, clips):
    """What the model says of each clip by itself, without a mask: (n_clips, n_labels)."""
    with torch.inference_mode():
        return torch.cat([network(torch.from_numpy(clip)[None]).logits for clip in clips]).numpy()


# Padding


def test_clips_say_the_same_alone_and_in_a_batch(network, folder, clips, alone):
    assert np.ptp(alone[3:], axis=0).max() > 0.05
    together = TorchModel.load(folder, "it")(clips)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    order = [7, 2, 4, 0]
    some = TorchModel.load(folder, "it")([clips[i] for i in order])
    np.testing.assert_allclose(some, alone[order], atol=1e-5)


def test_clips_say_the_same_in_onnx(folder, clips, alone):
    model = OnnxModel(folder)
    assert (model.rule, model.precision) == ("mask", "float32")
    np.testing.assert_allclose(model(clips), alone, atol=1e-5)
    batch = features.model_inputs(clips, model.extractor, model.rule)
    np.testing.assert_allclose(model.run(batch).logits, alone, atol=1e-5)


def test_what_lies_in_the_padding_does_not_matter(network, clips, alone):
    clip = clips[8]
    values = torch.full((1, 30_000), 0.7)
    values[0, : len(clip)] = torch.from_numpy(clip)
    mask = (torch.arange(30_000) < len(clip))[None].long()
    with torch.inference_mode():
        np.testing.assert_allclose(network(values, mask).logits[0], alone[8], atol=1e-5)


def test_silence_at_both_ends_is_what_a_longer_clip_would_have(network, plain, clips):
    silence = np.zeros(network.config.edge_samples, np.float32)
    for clip in clips[6:9]:
        longer = np.concatenate([silence, clip, silence])
        with torch.inference_mode():
            logits = network(torch.from_numpy(clip)[None]).logits
            expected = plain(torch.from_numpy(longer)[None]).logits
        torch.testing.assert_close(logits, expected)


def test_a_pretrained_encoder_gets_silence_at_both_ends(encoders):
    pretrained = build_model(encoders["moonshine"], ["a", "b"]).model
    assert pretrained.config.edge_samples == moonshine.EDGE_SAMPLES == RATE // 10
    assert not hasattr(build_model("random", ["a", "b"]).model.config, "edge_samples")


def test_a_clip_too_short_for_a_frame_is_filled_up_with_silence(plain, clips):
    for clip in clips[:3]:
        filled = np.zeros(moonshine.SMALLEST_CLIP, np.float32)
        filled[: len(clip)] = clip
        with torch.inference_mode():
            frames, mask = plain.frames(torch.from_numpy(clip)[None])
            expected, _ = plain.frames(torch.from_numpy(filled)[None])
        assert mask.tolist() == [[True]]
        torch.testing.assert_close(frames, expected)


@pytest.mark.parametrize(("n_samples", "n_frames"), [(895, 1), (1_278, 1), (1_279, 2), (RATE, 40)])
def test_frames_are_counted_as_the_convolutions_make_them(plain, n_samples, n_frames):
    assert moonshine.frame_counts(torch.tensor([n_samples])).item() == n_frames
    frames, mask = plain.frames(torch.randn(1, n_samples))
    assert frames.shape == (1, n_frames, 32)
    assert mask.all()


# The encoder


def test_hidden_states_are_those_of_transformers(plain):
    torch.manual_seed(0)
    theirs = MoonshineEncoder(copy.deepcopy(plain.config)).eval()
    theirs.load_state_dict(plain.model.encoder.state_dict())
    values = 0.2 * torch.randn(1, 2 * RATE)
    with torch.inference_mode():
        expected = theirs(values).last_hidden_state
        frames, mask = plain.frames(values)
        hidden = plain.model.encoder(frames, mask)
    assert hidden.std() > 0.1
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=0)


def test_rotated_queries_and_keys_have_the_products_of_transformers():
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 2, 9, 16)  # a batch of 1, 2 heads, 9 frames, 16 features
    angles = torch.rand(9, 7)  # of 7 pairs; two features stay
    cos, sin = angles.cos(), angles.sin()
    twice = [torch.cat([part, part], dim=-1)[None] for part in (cos, sin)]
    theirs = apply_rotary_pos_emb(query, key, *twice)
    ours = [moonshine.rotate(x, cos, sin) for x in (query, key)]
    scores = [q @ k.transpose(2, 3) for q, k in (theirs, ours)]
    torch.testing.assert_close(scores[1], scores[0])
    assert not torch.allclose(scores[1], query @ key.transpose(2, 3), atol=0.1)
    torch.testing.assert_close(ours[0][..., 14:], query[..., 14:])


def test_statistics_are_mean_and_deviation_of_the_frames_that_are_real():
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((3, 8, 5)).astype(np.float32)
    lengths = [8, 3, 1]
    mask = moonshine.is_real(8, torch.tensor(lengths))
    pooled = moonshine.statistics(torch.from_numpy(hidden), mask)
    assert pooled.shape == (3, 10)
    for row, frames, n in zip(pooled.numpy(), hidden, lengths, strict=True):
        np.testing.assert_allclose(row[:5], frames[:n].mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(row[5:], frames[:n].std(axis=0), atol=5e-3)


def test_statistics_of_a_single_frame_have_a_slope():
    hidden = torch.ones(1, 1, 4, requires_grad=True)
    moonshine.statistics(hidden, torch.tensor([[True]])).sum().backward()
    assert hidden.grad.isfinite().all()


# Training


def test_spans_cover_about_the_share_that_was_asked_for():
    torch.manual_seed(0)
    covered = moonshine.cover_spans(torch.ones(64, 400, 2), share=0.2, length=10) == 0
    assert (covered[..., 0] == covered[..., 1]).all()
    assert 0.15 < covered.float().mean() < 0.2  # spans overlap
    begins = covered[:, 1:-9, 0] & ~covered[:, :-10, 0]
    after = covered[..., 0].unfold(1, 10, 1)[:, 1:]  # the ten frames from each on
    assert begins.sum() > 200
    assert after[begins].all()


@pytest.mark.parametrize(("n_frames", "most"), [(1, 1), (4, 1), (8, 2), (39, 9), (60, 10)])
def test_a_span_takes_at_most_a_quarter_of_a_short_clip(n_frames, most):
    torch.manual_seed(0)
    covered = moonshine.cover_spans(torch.ones(2_000, n_frames, 1), 0.01, length=10)[..., 0] == 0
    n_covered = covered.sum(1)  # by one span, in nearly all clips that have any
    assert n_covered[n_covered > 0].mode().values == most


@pytest.mark.parametrize(("apply", "training", "changes"), [(1, 1, 1), (0, 1, 0), (1, 0, 0)])
def test_spans_are_covered_in_training_if_wanted(network, clips, apply, training, changes):
    model = copy.deepcopy(network).train(bool(training))
    model.config.apply_spec_augment = bool(apply)
    model.config.mask_time_prob = 0.5
    values = torch.from_numpy(clips[8])[None]
    with torch.no_grad():
        first, second = (model(values).logits for _ in range(2))
    assert torch.equal(first, second) is not bool(changes)


def test_labels_give_the_cross_entropy_and_gradients_reach_the_first_convolution(network, clips):
    model = copy.deepcopy(network)
    values = torch.from_numpy(np.stack([clips[8][:6_400], clips[7]]))
    labels = torch.tensor([2, 0])
    output = model(values, labels=labels)
    expected = -torch.log_softmax(output.logits, dim=1)[[0, 1], labels].mean()
    torch.testing.assert_close(output.loss, expected)
    assert network(values).loss is None
    output.loss.backward()
    assert model.model.encoder.conv1.weight.grad.abs().sum() > 0


def test_freezing_the_feature_encoder_leaves_the_layers(network):
    model = copy.deepcopy(network)
    model.freeze_feature_encoder()
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    parts = ("conv1", "conv2", "conv3", "groupnorm")
    wanted = {name for name in model.state_dict() if any(part in name for part in parts)}
    assert frozen == wanted != set()


def test_bfloat16_is_close(network, clips, alone):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.from_numpy(clips[9])[None]).logits
    np.testing.assert_allclose(logits[0].float(), alone[9], atol=0.05)


# As transformers sees it


def test_a_saved_model_says_the_same(network, folder, clips, alone):
    loaded, report = AutoModelForAudioClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert type(loaded) is moonshine.MoonshineForAudioClassification
    assert not any(report.values())
    assert loaded.config.id2label == LABELS
    with torch.inference_mode():
        logits = loaded(torch.from_numpy(clips[8])[None]).logits
    np.testing.assert_allclose(logits[0], alone[8], atol=1e-6)


def test_the_pipeline_of_transformers_gives_our_scores(folder, clips):
    classify = pipeline("audio-classification", model=str(folder))
    ours = IntentClassifier.from_pretrained(folder, "torch")
    for clip in clips[4:9]:
        scores = classify({"raw": clip, "sampling_rate": RATE}, top_k=None)
        expected = dict(ours.predict((clip, RATE)).scores)
        assert {each["label"]: each["score"] for each in scores} == pytest.approx(
            expected, abs=1e-5
        )
