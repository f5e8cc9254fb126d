"""Moonshine's encoder with a classification head: a model that transformers treats as any other.

Moonshine (Jeffries et al. 2024, arXiv:2410.15608) recognises speech. transformers has its encoder,
but no classifier: `registration` adds this one to the Auto classes. Unlike there, padding changes
no frame, so that a clip has the same scores alone and in a batch, and the older ONNX exporter can
write every operation.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import MoonshineConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.moonshine.modeling_moonshine import (
    MoonshineAttention,
    MoonshineEncoder,
    MoonshinePreTrainedModel,
)

CONVOLUTIONS = ((127, 64), (7, 3), (3, 2))  # kernel and stride of each
SMALLEST_CLIP = 895  # samples of one frame: shorter clips are filled up with silence
EDGE_SAMPLES = 1_600  # 0.1 s of silence at either end: without it a short word has few whole frames
MASK_SHARE = 0.2  # of the frames, covered in training
MASK_LENGTH = 10  # frames of 24 ms, covered together
SHORTEST_PART = 4  # of a short clip at most a quarter is covered together
SMALLEST_VARIANCE = 1e-5  # of a pooled output: the square root has no slope at 0


class RotaryAttention(MoonshineAttention):
    """Self-attention with rotary positions, in operations that ONNX has."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend from every frame (batch, n_frames, hidden_size) to those that the mask keeps."""
        query, key, value = (
            projection(hidden_states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        query = rotate(query, *position_embeddings)
        key = rotate(key, *position_embeddings)
        # In bfloat16 on a CPU this alone would take a third of a training step.
        with torch.autocast(value.device.type, enabled=False):
            attended = F.scaled_dot_product_attention(
                query.float(), key.float(), value.float(), attn_mask=attention_mask
            )
        return self.o_proj(attended.transpose(1, 2).flatten(2)), None


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn pairs of features by an angle that grows with the frame (Su et al., arXiv:2104.09864).

    `x` (batch, n_heads, n_frames, head_dim); `cos` and `sin` (n_frames, n_pairs). The features come
    back in another order, the same for queries and keys: their products do not mind.
    """
    n_rotated = 2 * cos.shape[-1]
    even = x[..., 0:n_rotated:2]
    odd = x[..., 1:n_rotated:2]
    turned = [even * cos - odd * sin, odd * cos + even * sin, x[..., n_rotated:]]
    return torch.cat(turned, dim=-1)


class PaddedEncoder(MoonshineEncoder):
    """Moonshine's encoder for clips of any length in one batch, in two steps.

    `convolve` gives frames, `forward` hidden states: where nothing changes a waveform, its frames
    can be kept.
    """

    def __init__(self, config: MoonshineConfig):
        super().__init__(config)
        for index, layer in enumerate(self.layers):
            n_heads = config.encoder_num_attention_heads
            layer.self_attn = RotaryAttention(config, index, False, n_heads, n_heads)
        self.post_init()

    def convolve(self, values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Turn waveforms (batch, n_samples), `lengths` of them real, into frames.

        Gives (batch, n_frames, hidden_size). Only real frames count for the group norm, which
        averages over time.
        """
        x = torch.tanh(self.conv1(values[:, None]))  # (batch, hidden_size, n_frames)
        kernel, stride = CONVOLUTIONS[0]
        counts = (lengths - kernel).div(stride, rounding_mode="floor") + 1
        x = self._normalise(x, is_real(x.shape[-1], counts)[:, None])
        x = F.gelu(self.conv2(x))
        x = F.gelu(self.conv3(x))
        return x.transpose(1, 2)

    def _normalise(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Bring a clip's real frames, all channels together, to mean 0 and variance 1."""
        n = mask.sum((1, 2), keepdim=True) * x.shape[1]
        mean = (x * mask).sum((1, 2), keepdim=True) / n
        centred = x - mean
        variance = (centred**2 * mask).sum((1, 2), keepdim=True) / n
        scaled = centred * torch.rsqrt(variance + self.groupnorm.eps)
        return scaled * self.groupnorm.weight[:, None] + self.groupnorm.bias[:, None]

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Turn frames (batch, n_frames, hidden_size) into hidden states of the same shape.

        `mask` (batch, n_frames) keeps the real ones.
        """
        positions = torch.arange(frames.shape[1], device=frames.device)[None]
        angles = self.rotary_emb(frames, positions)  # cos and sin, (1, n_frames, 2 * n_pairs)
        cos, sin = (part[0, :, : part.shape[-1] // 2] for part in angles)
        hidden = frames
        for layer in self.layers:
            hidden = layer(
                hidden, attention_mask=mask[:, None, None], position_embeddings=(cos, sin)
            )
        return self.layer_norm(hidden)


def frame_counts(lengths: torch.Tensor) -> torch.Tensor:
    """Count the frames of 24 ms in clips of `lengths` samples (batch,)."""
    for kernel, stride in CONVOLUTIONS:
        lengths = (lengths - kernel).div(stride, rounding_mode="floor") + 1
    return lengths


def is_real(n_frames: int, counts: torch.Tensor) -> torch.Tensor:
    """Mark the first `counts` (batch,) of `n_frames`: (batch, n_frames)."""
    return torch.arange(n_frames, device=counts.device) < counts[:, None]


def statistics(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Pool hidden states (batch, n_frames, hidden_size) over the frames that the mask keeps.

    Gives mean and standard deviation, (batch, 2 * hidden_size): statistics pooling (Snyder et al.
    2018, "X-vectors"). The mean alone loses what one word of a long sentence says.
    """
    weights = mask[..., None] / mask.sum(1)[:, None, None]
    mean = (hidden * weights).sum(1)
    variance = ((hidden - mean[:, None]) ** 2 * weights).sum(1)
    return torch.cat([mean, torch.sqrt(variance + SMALLEST_VARIANCE)], dim=-1)


def cover_spans(frames: torch.Tensor, share: float, length: int) -> torch.Tensor:
    """Silence spans of `length` frames, about `share` of all (SpecAugment, Park et al. 2019)."""
    length = max(1, min(length, frames.shape[1] // SHORTEST_PART))
    starts = torch.rand(frames.shape[:2], device=frames.device) < share / length
    padded = F.pad(starts[:, None].float(), (length - 1, 0))
    covered = F.max_pool1d(padded, length, stride=1)[:, 0]  # (batch, n_frames)
    return frames * (1 - covered[..., None])


class _Encoders(nn.Module):
    """Holds the encoder where the checkpoints of the Hub have it: `model.encoder`."""

    def __init__(self, config: MoonshineConfig):
        super().__init__()
        self.encoder = PaddedEncoder(config)


class MoonshineForAudioClassification(MoonshinePreTrainedModel):
    """Moonshine's encoder, statistics pooling and a linear head.

    `spec_augment` of the config, with `mask_time_prob` and `mask_time_length`, covers spans of
    frames in training; `edge_samples` (0 where it is not given) adds silence at both ends.
    """

    _keys_to_ignore_on_load_unexpected = (r"^model\.decoder\.", r"^proj_out\.")

    def __init__(self, config: MoonshineConfig):
        super().__init__(config)
        self.model = _Encoders(config)
        self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels)
        self.post_init()

    def freeze_feature_encoder(self) -> None:
        """Take convolutions and group norm out of training."""
        encoder = self.model.encoder
        for part in (encoder.conv1, encoder.groupnorm, encoder.conv2, encoder.conv3):
            part.requires_grad_(False)

    def frames(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute frames (batch, n_frames, hidden_size) of waveforms (batch, n_samples).

        With them comes the mask (batch, n_frames) of those that are no padding.
        """
        edge = getattr(self.config, "edge_samples", 0)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_values, dtype=torch.long)
        if edge:
            input_values = F.pad(input_values * attention_mask, (edge, edge))
        missing = SMALLEST_CLIP - input_values.shape[1]
        if missing > 0:
            input_values = F.pad(input_values, (0, missing))
        lengths = (attention_mask.sum(1) + 2 * edge).clamp(min=SMALLEST_CLIP)
        frames = self.model.encoder.convolve(input_values, lengths)
        return frames, is_real(frames.shape[1], frame_counts(lengths))

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        frames: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Classify waveforms (batch, n_samples), or what `frames` made of them.

        Gives logits (batch, n_labels), and with labels (batch,) their cross-entropy.
        """
        if frames is None:
            frames, frame_mask = self.frames(input_values, attention_mask)
        if self.training and getattr(self.config, "apply_spec_augment", False):
            share = getattr(self.config, "mask_time_prob", MASK_SHARE)
            length = getattr(self.config, "mask_time_length", MASK_LENGTH)
            frames = cover_spans(frames, share, length)
        hidden = self.model.encoder(frames, frame_mask)
        logits = self.classifier(statistics(hidden, frame_mask))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
