"""Waveforms to model inputs, with the padding that each encoder family stands.

Encoders with group norm in their first convolution (wav2vec2-base, hubert-base, wavlm-base) average over time, so that
padding changes every frame: they take clips of equal length and no mask. Encoders with layer norm take padding and a
mask. Whisper's extractor always fills its 30 s window.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import audio

if TYPE_CHECKING:
    import torch
    from transformers import FeatureExtractionMixin, PretrainedConfig

    from .recipes import Hyperparameters


def padding_rule(config: "PretrainedConfig") -> str:
    """Say how an encoder pads: "equal" (lengths must match), "mask", or "fixed" (one length for all)."""
    norm = getattr(config, "feat_extract_norm", None)
    return "fixed" if norm is None else "equal" if norm == "group" else "mask"


def longest(extractor: "FeatureExtractionMixin", max_seconds: float) -> float:
    """Bound the seconds of a window by what the extractor takes: Whisper's drops what comes after 30 s."""
    return min(max_seconds, float(getattr(extractor, "chunk_length", max_seconds)))


def model_inputs(
    waveforms: Sequence[np.ndarray], extractor: "FeatureExtractionMixin", rule: str
) -> "dict[str, torch.Tensor]":
    """Turn waveforms, float32, (n_samples,) each, at `extractor.sampling_rate`, into one batch of model inputs.

    Gives `input_values` (batch, n_samples), with `attention_mask` of the same shape under the rule "mask"; or Whisper's
    `input_features` (batch, n_mels, n_frames). Under "equal", clips of unequal length are normalised one by one, then
    filled with zeros; training does so with clips of similar length, prediction never.
    """
    rate = extractor.sampling_rate
    if rule != "equal":
        options = {"padding": True, "return_attention_mask": True} if rule == "mask" else {}
        return dict(extractor(list(waveforms), sampling_rate=rate, return_tensors="pt", **options))
    import torch

    rows = [extractor(waveform, sampling_rate=rate)["input_values"][0] for waveform in waveforms]
    rows = [torch.as_tensor(row, dtype=torch.float32) for row in rows]
    return {"input_values": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)}  # (batch, n_samples)


class Collator:
    """Rows of a table to a batch: decode, crop, augment, extract features. Decoding late keeps waveforms off disk."""

    def __init__(self, extractor, config, numbers: "Hyperparameters", training: bool):
        self.extractor, self.training = extractor, training
        self.max_seconds = longest(extractor, numbers.max_seconds)
        self.augment = training and numbers.augment
        self.rule = padding_rule(config)
        # A masked span of time must be shorter than the clip; a frame is 20 ms.
        self.min_samples = int(0.02 * (getattr(config, "mask_time_length", 10) + 2) * extractor.sampling_rate)

    def waveform(self, row: dict) -> np.ndarray:
        """Read a clip, or `max_seconds` of a longer one: a random part in training, else its beginning."""
        import torch

        spare = max(0.0, row["seconds"] - self.max_seconds)
        start = float(torch.rand(())) * spare if self.training else 0.0
        waveform = audio.load(row["audio"], self.extractor.sampling_rate, start, self.max_seconds)
        if self.augment:
            from . import augment

            waveform = augment.augment(torch.from_numpy(waveform), self.extractor.sampling_rate).numpy()
        return np.pad(waveform, (0, max(0, self.min_samples - len(waveform)))) if self.training else waveform

    def __call__(self, rows: list[dict]) -> "dict[str, torch.Tensor]":
        """Make a batch of model inputs with `labels` (batch,)."""
        import torch

        batch = model_inputs([self.waveform(row) for row in rows], self.extractor, self.rule)
        return {**batch, "labels": torch.tensor([row["label"] for row in rows])}
