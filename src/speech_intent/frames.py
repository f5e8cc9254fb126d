"""Frames that frozen convolutions make, computed once a clip where nothing changes the waveform.

Each clip is convolved alone, so that no padding changes its frames, not even under group norm.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from . import convolutions
from .batches import Collator
from .features import model_inputs
from .moonshine import MoonshineForAudioClassification, is_real
from .recipes import Hyperparameters

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PreTrainedModel

MOST_BYTES = 2 * 2**30  # of remembered frames; those of further clips are computed each time


@dataclass(frozen=True)
class Frames:
    """What convolutions made of a clip."""

    values: torch.Tensor  # (n_frames, n_channels)
    n_samples: int  # of the waveform

    @property
    def n_bytes(self) -> int:
        """How much memory they take."""
        return self.values.numel() * self.values.element_size()


class FrameCollator(Collator):
    """Rows to a batch of frames, for an encoder whose convolutions are not trained.

    The encoder is a Moonshine, or one that `convolutions.find` finds some in; those let frames pass
    from then on. `bfloat16`: convolve so.
    """

    def __init__(
        self,
        extractor: "FeatureExtractionMixin",
        network: "PreTrainedModel",
        numbers: Hyperparameters,
        training: bool,
        bfloat16: bool = False,
    ):
        super().__init__(extractor, network.config, numbers, training)
        self.network: Any = network
        self.bfloat16 = bfloat16
        self.convolutions = convolutions.find(network)
        if self.convolutions is not None:
            convolutions.let_frames_pass(self.convolutions)
        self._kept: dict[bytes | str, Frames] = {}
        self._n_bytes = 0

    def _clips(self, rows: list[dict]) -> list[Frames]:
        """Compute the frames of each clip, or remember them."""
        found = [self._kept.get(_name(row["audio"])) for row in rows]
        missing = [row for row, frames in zip(rows, found, strict=True) if frames is None]
        computed = iter([self._computed(waveform) for waveform in self.waveforms(missing)])
        clips = []
        for row, frames in zip(rows, found, strict=True):
            if frames is None:
                frames = next(computed)
                self._keep(row, frames)
            clips.append(frames)
        return clips

    def _computed(self, waveform: np.ndarray) -> Frames:
        """Convolve one waveform (n_samples,)."""
        inputs = model_inputs([waveform], self.extractor, self.rule)
        values = torch.from_numpy(inputs["input_values"])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            if self.convolutions is None:
                frames = self.network.frames(values)[0]
            else:
                frames = convolutions.convolve(self.convolutions, values)
        return Frames(frames[0], len(waveform))

    def _keep(self, row: dict, frames: Frames) -> None:
        """Remember a clip's frames if it has the same again, and there is room."""
        changes = self.augment or (self.training and row["seconds"] > self.max_seconds)
        if not changes and self._n_bytes + frames.n_bytes <= MOST_BYTES:
            self._kept[_name(row["audio"])] = frames
            self._n_bytes += frames.n_bytes

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Make a batch with `labels` (batch,).

        For Moonshine of `frames` and `frame_mask` (batch, n_frames), for others of `input_values`,
        the frames, (batch, n_channels, n_frames), and `attention_mask` (batch, n_samples).
        """
        clips = self._clips(rows)
        frames = pad_sequence([clip.values for clip in clips], batch_first=True)
        labels = torch.tensor([row["label"] for row in rows])
        if isinstance(self.network, MoonshineForAudioClassification):
            counts = torch.tensor([len(clip.values) for clip in clips])
            mask = is_real(frames.shape[1], counts)
            return {"frames": frames, "frame_mask": mask, "labels": labels}
        lengths = torch.tensor([clip.n_samples for clip in clips])
        mask = is_real(int(lengths.max()), lengths)
        return {
            "input_values": frames.transpose(1, 2),
            "attention_mask": mask.long(),
            "labels": labels,
        }


def _name(clip: dict) -> bytes | str:
    """Tell a clip from others: by its path, or by its content where that is all there is."""
    content = clip["bytes"]
    return clip["path"] if content is None else hashlib.sha256(content).digest()
