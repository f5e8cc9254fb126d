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
    waveforms: Sequence[np.ndarray], extractor: "FeatureExtractionMixin", rule: str, multiple: int = 1
) -> dict[str, np.ndarray]:
    """Turn waveforms, float32, (n_samples,) each, at `extractor.sampling_rate`, into one batch of model inputs.

    Gives `input_values` (batch, n_samples), with `attention_mask` of the same shape under the rule "mask"; or Whisper's
    `input_features` (batch, n_mels, n_frames). Each clip is normalised by itself, then filled with zeros up to the
    longest one, or to the next `multiple` of samples. Under "equal", training does so with clips of similar length,
    prediction never.
    """
    if rule == "fixed":
        return dict(extractor(list(waveforms), sampling_rate=extractor.sampling_rate, return_tensors="np"))
    longest = -(-max(map(len, waveforms)) // multiple) * multiple
    values = np.zeros((len(waveforms), longest), np.float32)
    mask = np.zeros(values.shape, np.int64)
    for i, waveform in enumerate(waveforms):
        if extractor.do_normalize:  # what transformers' extractor does, so that an engine can do without transformers
            waveform = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
        values[i, : len(waveform)], mask[i, : len(waveform)] = waveform, 1
    return {"input_values": values, "attention_mask": mask} if rule == "mask" else {"input_values": values}


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
        batch |= {"labels": np.array([row["label"] for row in rows])}
        return {name: torch.from_numpy(value) for name, value in batch.items()}
