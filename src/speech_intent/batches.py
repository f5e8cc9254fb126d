"""Rows of a table become batches. Clips are decoded late, which keeps waveforms off the disk."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from . import audio
from .augment import augment
from .features import model_inputs, padding_rule, window_seconds
from .recipes import Hyperparameters

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PretrainedConfig

FRAME_SECONDS = 0.02  # of every encoder that masks spans of time


class Collator:
    """Rows to a batch: decode, crop, augment, extract features."""

    def __init__(
        self,
        extractor: "FeatureExtractionMixin",
        config: "PretrainedConfig",
        numbers: Hyperparameters,
        training: bool,
    ):
        self.extractor = extractor
        self.training = training
        self.max_seconds = window_seconds(extractor, numbers.max_seconds)
        self.augment = training and numbers.augment
        self.rule = padding_rule(config)
        # A masked span of time must be shorter than the clip; Moonshine's shortens itself.
        length = getattr(config, "mask_time_length", None)
        n_frames = 0 if length is None else length + 2
        self.min_samples = int(FRAME_SECONDS * n_frames * extractor.sampling_rate)

    def waveform(self, row: dict) -> np.ndarray:
        """Read a clip of a table, or `max_seconds` of a longer one: float32, (n_samples,).

        In training that is a random part, else the beginning.
        """
        spare = max(0.0, row["seconds"] - self.max_seconds)
        # No chance where there is no choice: a resumed run reads clips that others remember.
        start = float(torch.rand(())) * spare if self.training and spare else 0.0
        rate = self.extractor.sampling_rate
        return audio.load(row["audio"], rate, start, self.max_seconds, audio.say_nothing)

    def waveforms(self, rows: list[dict]) -> list[np.ndarray]:
        """Read the clips of a batch: float32, (n_samples,) each.

        In training they are augmented and long enough to be masked. The voices of each other, as
        they were read, are the babble.
        """
        waveforms = [self.waveform(row) for row in rows]
        if self.augment:
            rate = self.extractor.sampling_rate
            waveforms = [
                augment(waveform, rate, waveforms[:i] + waveforms[i + 1 :])
                for i, waveform in enumerate(waveforms)
            ]
        if not self.training:
            return waveforms
        missing = [max(0, self.min_samples - len(waveform)) for waveform in waveforms]
        return [np.pad(waveform, (0, n)) for waveform, n in zip(waveforms, missing, strict=True)]

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Make a batch of model inputs with `labels` (batch,)."""
        inputs = model_inputs(self.waveforms(rows), self.extractor, self.rule)
        batch = {name: torch.from_numpy(value) for name, value in inputs.items()}
        batch["labels"] = torch.tensor([row["label"] for row in rows])
        return batch
