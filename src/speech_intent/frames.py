"""Frames that frozen convolutions make, computed once a clip where nothing changes the waveform."""

import hashlib
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from .batches import Collator
from .moonshine import MoonshineForAudioClassification, is_real
from .recipes import Hyperparameters

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin

MOST_BYTES = 2 * 2**30  # of remembered frames; those of further clips are computed each time


class FrameCollator(Collator):
    """Rows to a batch of frames, for a Moonshine whose convolutions are not trained."""

    def __init__(
        self,
        extractor: "FeatureExtractionMixin",
        network: MoonshineForAudioClassification,
        numbers: Hyperparameters,
        training: bool,
    ):
        super().__init__(extractor, network.config, numbers, training)
        self.network = network
        self._kept: dict[bytes | str, torch.Tensor] = {}
        self._n_bytes = 0

    def _frames(self, row: dict) -> torch.Tensor:
        """Compute a clip's frames (n_frames, hidden_size), or remember them."""
        name = _name(row["audio"])
        if name in self._kept:
            return self._kept[name]
        waveform = torch.from_numpy(self.waveform(row))
        with torch.no_grad():
            frames = self.network.frames(waveform[None])[0][0]
        changes = self.training and row["seconds"] > self.max_seconds  # a part at random
        n_bytes = frames.numel() * frames.element_size()
        if not changes and self._n_bytes + n_bytes <= MOST_BYTES:
            self._kept[name] = frames
            self._n_bytes += n_bytes
        return frames

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Make a batch: `frames`, `frame_mask` (batch, n_frames) and `labels` (batch,)."""
        clips = [self._frames(row) for row in rows]
        frames = pad_sequence(clips, batch_first=True)
        counts = torch.tensor([len(clip) for clip in clips])
        return {
            "frames": frames,
            "frame_mask": is_real(frames.shape[1], counts),
            "labels": torch.tensor([row["label"] for row in rows]),
        }


def _name(clip: dict) -> bytes | str:
    """Tell a clip from others: by its path, or by its content where that is all there is."""
    content = clip["bytes"]
    return clip["path"] if content is None else hashlib.sha256(content).digest()
