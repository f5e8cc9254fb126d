"""Waveforms to model inputs, with the padding that each encoder family stands.

Encoders with group norm in their first convolution (wav2vec2-base, hubert-base, wavlm-base) average
over time, so that padding changes every frame: they take clips of equal length and no mask.
Encoders with layer norm take padding and a mask, and so does our Moonshine. Whisper's extractor
always fills its 30 s window; a Whisper of ours finds the end of each clip by itself, and takes no
more than the longest clip of a batch.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin

# Lengths must match; padding with a mask; padding without one; one length for all.
PaddingRule = Literal["equal", "mask", "cut", "fixed"]

CLIP_FRAMES = 25  # of a mel, 0.25 s: the length of a clip is rounded up to a multiple
FRAMES_BEHIND = 3  # see beyond the end of what is kept


def padding_rule(config: Any) -> PaddingRule:
    """Say how an encoder with this transformers config pads."""
    if hasattr(config, "num_mel_bins"):
        return "cut" if getattr(config, "cut_to_clip", False) else "fixed"
    return "equal" if getattr(config, "feat_extract_norm", None) == "group" else "mask"


def window_seconds(extractor: "FeatureExtractionMixin", max_seconds: float) -> float:
    """Bound the seconds of a window by what the extractor takes.

    Whisper's drops what comes after 30 s.
    """
    return min(max_seconds, float(getattr(extractor, "chunk_length", max_seconds)))


def model_inputs(
    waveforms: Sequence[np.ndarray],
    extractor: "FeatureExtractionMixin",
    rule: PaddingRule,
    multiple: int = 1,
) -> dict[str, np.ndarray]:
    """Turn waveforms, float32, (n_samples,) each, at the extractor's rate, into one batch.

    Gives `input_values` (batch, n_samples), with `attention_mask` of the same shape under the rule
    "mask"; or Whisper's `input_features` (batch, n_mels, n_frames). Each clip is normalised by
    itself, then filled with zeros up to the longest one, or to the next `multiple` of samples.
    Under "equal", training does so with clips of similar length, prediction never. Mels are as
    long as the extractor's window, or under "cut" as the longest clip, in quarters of a second.
    """
    if rule == "fixed":
        rate = extractor.sampling_rate
        return dict(extractor(list(waveforms), sampling_rate=rate, return_tensors="np"))
    if rule == "cut":
        return {"input_features": _cut_mels(waveforms, extractor)}
    n_samples = _round_up(max(map(len, waveforms)), multiple)
    values = np.zeros((len(waveforms), n_samples), np.float32)
    mask = np.zeros(values.shape, np.int64)
    for i, waveform in enumerate(waveforms):
        # What transformers' extractor does, so that an engine can do without transformers.
        if extractor.do_normalize:
            waveform = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
        values[i, : len(waveform)] = waveform
        mask[i, : len(waveform)] = 1
    inputs: dict[str, np.ndarray] = {"input_values": values}
    if rule == "mask":
        inputs["attention_mask"] = mask
    return inputs


def _cut_mels(waveforms: Sequence[np.ndarray], extractor: "FeatureExtractionMixin") -> np.ndarray:
    """Compute log-mel spectrograms up to the longest clip's end: (batch, n_mels, n_frames)."""
    hop = extractor.hop_length
    n_frames = _round_up(-(-max(map(len, waveforms)) // hop), CLIP_FRAMES)
    # Silence behind the end, or the extractor would mirror the clip there.
    n_samples = min((n_frames + FRAMES_BEHIND) * hop, extractor.n_samples)
    inputs = extractor(
        list(waveforms),
        sampling_rate=extractor.sampling_rate,
        max_length=n_samples,
        return_tensors="np",
    )
    return inputs["input_features"][..., :n_frames]


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
