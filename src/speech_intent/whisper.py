"""Whisper's encoder with a classification head, on the clip's own length instead of 30 s.

transformers' classifier wants every clip filled up to 30 s (transformers#25744, #26241).
`registration` puts this one in its place, which does the same unless the config says `cut_to_clip`.
"""

from typing import Any

import torch
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput
from transformers.models.whisper import modeling_whisper

from .features import CLIP_FRAMES
from .moonshine import is_real

OVERHANG = 2  # frames of 10 ms whose middle lies behind the clip, and which still see its end


class WhisperForAudioClassification(modeling_whisper.WhisperForAudioClassification):
    """transformers' classifier; `cut_to_clip` of the config cuts mel and positions to the clip.

    The model itself finds where a clip ends. It says the same however far the mel is filled up:
    alone, in a batch, or to the 30 s of `transformers.pipeline`.
    """

    def forward(
        self,
        input_features: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Classify log-mel spectrograms (batch, n_mels, n_frames).

        Gives logits (batch, n_labels), and with labels (batch,) their cross-entropy.
        """
        if input_features is None or not getattr(self.config, "cut_to_clip", False):
            return super().forward(input_features, encoder_outputs, labels, **kwargs)
        found = super().forward(None, self._pooled(input_features), labels)
        # Without hidden states, which the Trainer would gather beside the logits.
        return SequenceClassifierOutput(loss=found.loss, logits=found.logits)

    def _pooled(self, mels: torch.Tensor) -> BaseModelOutput:
        """Encode mels (batch, n_mels, n_frames), and pool each clip's positions into one.

        The mean commutes with the head's projector, which theirs has in front of its own mean.
        """
        counts = clip_frames(mels)
        if not torch.jit.is_tracing():  # `features` has cut them, and a graph's length stays open
            mels = mels[..., : int(counts.max())]
        states = hidden_states(self.encoder, mels, counts)
        mask = is_real(states[0].shape[1], positions(counts))
        weights = mask[..., None] / mask.sum(1)[:, None, None]  # (batch, n_positions, 1)
        pooled = tuple((state * weights).sum(1, keepdim=True) for state in states)
        return BaseModelOutput(last_hidden_state=pooled[-1], hidden_states=pooled)


def clip_frames(mels: torch.Tensor) -> torch.Tensor:
    """Count the frames of each clip in mels (batch, n_mels, n_frames): (batch,).

    A clip ends with its last frame above the floor of the mel, 80 dB below its loudest part;
    zeros that fill it up lie on the floor. The count is a multiple of a quarter of a second.
    """
    floor = mels.amin((1, 2), keepdim=True)
    sounds = (mels > floor).any(1)  # (batch, n_frames)
    numbers = torch.arange(1, mels.shape[-1] + 1, device=mels.device)
    last = (sounds * numbers).amax(1)
    n_steps = (last - OVERHANG + CLIP_FRAMES - 1).div(CLIP_FRAMES, rounding_mode="floor")
    return n_steps.clamp(min=1) * CLIP_FRAMES


def positions(counts: torch.Tensor) -> torch.Tensor:
    """Count the positions of 20 ms that frames of 10 ms become, two by two; an odd one counts."""
    return (counts + 1).div(2, rounding_mode="floor")


def hidden_states(
    encoder: modeling_whisper.WhisperEncoder, mels: torch.Tensor, counts: torch.Tensor
) -> list[torch.Tensor]:
    """Run Whisper's encoder on mels (batch, n_mels, n_frames), `counts` (batch,) of them real.

    Gives what goes into each layer and what comes out of the last, normalised: (batch,
    n_positions, d_model) each. What lies behind a clip changes none of its positions.
    """
    real = is_real(mels.shape[-1], counts)[:, None]
    x = F.gelu(encoder.conv1(mels * real)) * real
    x = F.gelu(encoder.conv2(x)).transpose(1, 2)  # (batch, n_positions, d_model)
    x = x + encoder.embed_positions.weight[: x.shape[1]]
    x = F.dropout(x, encoder.dropout, encoder.training)
    behind = ~is_real(x.shape[1], positions(counts))
    mask = behind[:, None, None] * torch.finfo(x.dtype).min  # added to the scores of attention
    states = []
    for layer in encoder.layers:
        states.append(x)
        x = layer(x, mask)
    return [*states, encoder.layer_norm(x)]
