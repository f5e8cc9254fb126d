"""A speech encoder with a fresh classification head, what of it is trained, and by which loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForAudioClassification, set_seed

from . import calibration, checkpoints, hub_models
from .hyperparameters import Freeze
from .moonshine import EDGE_SAMPLES, MoonshineForAudioClassification
from .paths import BUNDLED_ENCODERS
from .whisper import WhisperForAudioClassification

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import FeatureExtractionMixin, PreTrainedModel

LARGE = 20_000_000  # parameters; from here on an encoder is trained gently
RANDOM_RATE = 1e-3  # learning rates
SMALL_RATE = 3e-4
LARGE_RATE = 5e-5


@dataclass(frozen=True)
class NewClassifier:
    """An encoder with a head that has learned nothing yet."""

    model: "PreTrainedModel"
    extractor: "FeatureExtractionMixin"
    pretrained: bool  # whether the encoder under the head has learned something

    @property
    def is_moonshine(self) -> bool:
        """Whether the model is the one of `moonshine`, which can do more than the others."""
        return isinstance(self.model, MoonshineForAudioClassification)

    @property
    def encoder(self) -> torch.nn.Module:
        """The part under the head; Whisper's classifier calls it otherwise than the rest."""
        if self.model.base_model is self.model:
            return self.model.encoder
        return self.model.base_model


@dataclass(frozen=True)
class Trained:
    """What training leaves beside the weights."""

    logits: np.ndarray  # of the validation clips, (n_clips, n_labels), not calibrated
    label_ids: np.ndarray  # of the same clips, (n_clips,): the Trainer may have reordered them
    log: pd.DataFrame  # for training_log.csv
    record: dict[str, Any]  # epochs, steps, best_validation, hyperparameters as they came to be
    pooled: dict[str, np.ndarray] | None = None  # what the head got of each split, if it is known


def build_model(
    encoder: str | Path,
    labels: Sequence[str],
    spec_augment: bool = True,
    seed: int = 0,
    cut_to_clip: bool = True,
) -> NewClassifier:
    """Load an encoder and put a head with random weights for these labels on it.

    `encoder` is a local folder, a Hub id, "moonshine" or "small" for a pretrained encoder in
    `models/`, or "random" for Moonshine's architecture with random weights. `labels` stand in the
    order of their integer ids and are written into the config. `spec_augment` masks spans of time
    in the encoder's features in training (Park et al. 2019, arXiv:1904.08779). `cut_to_clip` lets
    Whisper take the clip's own length instead of 30 s. Raises `ModelError` for an encoder that is
    not there, cannot be reached, or is broken.
    """
    set_seed(seed)
    pretrained = str(encoder) != "random"
    folder = hub_models.model_folder(BUNDLED_ENCODERS.get(str(encoder), encoder))
    names = {
        "label2id": {label: i for i, label in enumerate(labels)},
        "id2label": dict(enumerate(labels)),
    }
    if pretrained:
        checkpoint = checkpoints.load(folder, str(encoder), num_labels=len(labels), **names)
        model = checkpoint.network
        extractor = checkpoint.extractor
    else:
        config = checkpoints.load_config(folder, str(encoder), **names)
        model = AutoModelForAudioClassification.from_config(config, trust_remote_code=False)
        extractor = checkpoints.load_extractor(folder, str(encoder))
    model.config.apply_spec_augment = spec_augment
    model.config.mask_time_min_masks = 0  # two, as usual, would mask 0.4 s of the shortest clip
    if pretrained and isinstance(model, MoonshineForAudioClassification):
        model.config.edge_samples = EDGE_SAMPLES
    if isinstance(model, WhisperForAudioClassification):
        model.config.cut_to_clip = cut_to_clip
    return NewClassifier(model, extractor, pretrained)


def freeze(classifier: NewClassifier, part: Freeze) -> Freeze:
    """Take a part of the model out of training; return which.

    "none"; "features", the first convolutions (Whisper's are part of its encoder and stay);
    "encoder", everything but the head; "auto", which means "features" for a pretrained encoder,
    else "none".
    """
    if part == "auto":
        part = "features" if classifier.pretrained else "none"
    if part == "encoder":
        classifier.encoder.requires_grad_(False)
    elif part == "features" and hasattr(classifier.model, "freeze_feature_encoder"):
        classifier.model.freeze_feature_encoder()
    return part


def usual_learning_rate(classifier: NewClassifier) -> float:
    """Choose a learning rate: gentle for what knows much, brisk for random weights."""
    if not classifier.pretrained:
        return RANDOM_RATE
    return LARGE_RATE if classifier.model.num_parameters() >= LARGE else SMALL_RATE


def intent_loss(train: "Dataset", class_weights: bool) -> Callable:
    """Make the cross-entropy that the Trainer calls.

    It is right under gradient accumulation for every encoder family. With `class_weights`, a clip
    counts by the inverse of its intent's share, 1 on average.
    """
    n_labels = train.features["label"].num_classes
    counts = np.bincount(train["label"], minlength=n_labels)
    inverse = len(train) / (n_labels * np.maximum(counts, 1))
    weights = torch.tensor(inverse, dtype=torch.float32)

    def loss(
        outputs: dict, labels: torch.Tensor, num_items_in_batch: int | None = None
    ) -> torch.Tensor:
        logits = outputs["logits"]  # (batch, n_labels)
        total = torch.nn.functional.cross_entropy(
            logits,
            labels,
            weight=weights.to(logits) if class_weights else None,
            reduction="sum",
        )
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    return loss


def calibrate(model: "PreTrainedModel", logits: np.ndarray, labels: np.ndarray) -> None:
    """Fit a temperature T on validation logits (n, n_labels) with labels (n,).

    Weight and bias of the head divided by T make the scores of every loader probabilities,
    transformers.pipeline's included.
    """
    temperature = calibration.fit_temperature(logits, labels)
    with torch.no_grad():
        model.classifier.weight /= temperature
        model.classifier.bias /= temperature
    model.config.calibration_temperature = temperature
