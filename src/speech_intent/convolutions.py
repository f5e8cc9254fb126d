"""The convolutions of wav2vec2 and its kin, as a processor wants them and gets them right.

Of the first ones, transformers keeps frames behind one another and copies them for each layer; with
the channels last nothing is copied, which takes half the time in bfloat16.
"""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

BLOCK = 16  # channels that bfloat16 is multiplied in at once


def find(network: nn.Module) -> nn.Module | None:
    """Find the convolutions that turn waveforms into frames; None where there are no such."""
    encoder: Any = getattr(network, "base_model", network)
    found = getattr(encoder, "feature_extractor", None)
    return found if hasattr(found, "conv_layers") else None


def convolve(convolutions: Any, values: torch.Tensor) -> torch.Tensor:
    """Turn waveforms (batch, n_samples) into frames (batch, n_frames, n_channels)."""
    first, *others = convolutions.conv_layers
    kernel, stride = first.conv.kernel_size[0], first.conv.stride[0]
    parts = values.unfold(-1, kernel, stride)  # (batch, n_frames, kernel)
    hidden = F.linear(parts, first.conv.weight[:, 0], first.conv.bias)
    hidden = _finish(first, hidden.transpose(1, 2)[:, :, None])
    for layer in others:
        weight = layer.conv.weight[:, :, None].contiguous(memory_format=torch.channels_last)
        hidden = F.conv2d(hidden, weight, layer.conv.bias, stride=(1, layer.conv.stride[0]))
        hidden = _finish(layer, hidden)
    return hidden[:, :, 0].transpose(1, 2)


def _finish(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Normalise and activate what a layer has convolved, (batch, n_channels, 1, n_frames)."""
    norm = getattr(layer, "layer_norm", None)
    if isinstance(norm, nn.LayerNorm):
        hidden = norm(hidden.movedim(1, -1)).movedim(-1, 1)
    elif norm is not None:
        hidden = norm(hidden)
    return layer.activation(hidden)


def let_frames_pass(convolutions: nn.Module) -> None:
    """Make convolutions hand on what is frames already, (batch, n_channels, n_frames).

    Waveforms (batch, n_samples) are still convolved.
    """
    convolutions.forward = partial(_unless_frames, convolutions.forward)


def _unless_frames(convolve: Any, values: torch.Tensor) -> torch.Tensor:
    return values if values.dim() == 3 else convolve(values)


def keep_exact(network: nn.Module) -> None:
    """Let convolutions compute in float32 that torch 2.11 gets wrong in bfloat16 on a CPU.

    Those are grouped, with groups that do not fill blocks of 16 channels: what comes out has
    nothing to do with what it should be.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv1d) or module.groups == 1:
            continue
        if module.in_channels // module.groups % BLOCK:
            module.forward = partial(_in_float32, module.forward)


def _in_float32(convolve: Any, values: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", enabled=False):
        return convolve(values.float())
