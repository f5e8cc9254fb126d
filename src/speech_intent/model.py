"""A speech encoder with a fresh classification head, what of it is trained, and by which loss."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from . import calibration, hub
from .tables import ROOT

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import FeatureExtractionMixin, PreTrainedModel

LARGE = 20_000_000  # parameters; from here on an encoder is trained gently
SMALL = ROOT / "models" / "wav2vec2-small-en"  # made by `pretraining/`


def build_model(
    encoder: str | Path, labels: Sequence[str], spec_augment: bool = True, seed: int = 0
) -> "tuple[PreTrainedModel, FeatureExtractionMixin]":
    """Load an encoder, put a head with random weights for these labels on it, and return it with its extractor.

    `encoder` is a local folder, a Hub id, "small" for the pretrained encoder in `models/`, or "random" for its
    architecture with random weights. `labels` stand in the order of their integer ids and are written into the config.
    `spec_augment` masks spans of time in the encoder's features in training (Park et al. 2019, arXiv:1904.08779).
    Raises `ModelError` if there is no such encoder, it cannot be reached, or it lacks a file.
    """
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification, set_seed

    set_seed(seed)
    hub.quiet_transformers()
    folder = hub.model_folder(SMALL if str(encoder) in ("small", "random") else encoder)
    names = {"label2id": {label: i for i, label in enumerate(labels)}, "id2label": dict(enumerate(labels))}
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    if str(encoder) == "random":
        model = AutoModelForAudioClassification.from_config(AutoConfig.from_pretrained(folder, **names))
    else:
        model = AutoModelForAudioClassification.from_pretrained(
            folder, num_labels=len(labels), **names, ignore_mismatched_sizes=True, dtype="float32"
        )
    model.config.apply_spec_augment = spec_augment
    model.config.mask_time_min_masks = 0  # two, the usual number, would mask 0.4 s of the shortest clip
    model.is_pretrained = str(encoder) != "random"
    return model, extractor


def freeze(model: "PreTrainedModel", what: str) -> str:
    """Take a part of the model out of training; return which.

    "none"; "features", the first convolutions (Whisper's are part of its encoder and stay); "encoder", everything but
    the head; "auto", which means "features" for a pretrained encoder, else "none".
    """
    if what == "auto":
        what = "features" if model.is_pretrained else "none"
    if what == "encoder":
        encoder_of(model).requires_grad_(False)
    elif what == "features" and hasattr(model, "freeze_feature_encoder"):
        model.freeze_feature_encoder()
    return what


def usual_learning_rate(model: "PreTrainedModel") -> float:
    """Choose a learning rate: gentle for what knows much, brisk for a head or random weights."""
    if not model.is_pretrained or not any(p.requires_grad for p in encoder_of(model).parameters()):
        return 1e-3
    return 5e-5 if model.num_parameters() >= LARGE else 3e-4


def encoder_of(model: "PreTrainedModel") -> torch.nn.Module:
    """Find the part under the head; Whisper's classifier calls it otherwise than its `base_model` expects."""
    return model.encoder if model.base_model is model else model.base_model


def intent_loss(train: "Dataset", class_weights: bool):
    """Make the cross-entropy that the Trainer calls, right under gradient accumulation for every encoder family.

    With `class_weights`, a clip counts by the inverse of its intent's share, 1 on average.
    """
    n_labels = train.features["label"].num_classes
    counts = np.bincount(train["label"], minlength=n_labels)
    weights = torch.tensor(len(train) / (n_labels * np.maximum(counts, 1)), dtype=torch.float32)

    def loss(outputs, labels: torch.Tensor, num_items_in_batch=None) -> torch.Tensor:
        weight = weights.to(outputs["logits"]) if class_weights else None
        total = torch.nn.functional.cross_entropy(outputs["logits"], labels, weight=weight, reduction="sum")
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    return loss


def calibrate(model: "PreTrainedModel", logits: np.ndarray, labels: np.ndarray, target_precision: float | None) -> None:
    """Fit temperature and threshold on validation logits (n, n_labels); fold the one into the head, note the other.

    Weight and bias divided by T make the scores of every loader probabilities, transformers.pipeline's included.
    """
    from scipy.special import softmax

    temperature = calibration.fit_temperature(logits, labels)
    with torch.no_grad():
        model.classifier.weight /= temperature
        model.classifier.bias /= temperature
    model.config.calibration_temperature = temperature
    if target_precision is not None:
        scores = softmax(logits / temperature, axis=1)
        right = scores.argmax(axis=1) == labels
        model.config.rejection_threshold = calibration.fit_threshold(scores.max(axis=1), right, target_precision)


class FrozenHead(torch.nn.Module):
    """The head of a classifier, on encoder outputs that were computed once. Shares the classifier's weights."""

    def __init__(self, classifier: "PreTrainedModel"):
        super().__init__()
        self.projector, self.classifier = classifier.projector, classifier.classifier

    def forward(self, pooled: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Classify pooled encoder outputs (batch, hidden_size); the mean over time commutes with the projector."""
        logits = self.classifier(self.projector(pooled))  # (batch, n_labels)
        return {"logits": logits} if labels is None else {"loss": logits.new_zeros(()), "logits": logits}


def pooled_outputs(classifier: "PreTrainedModel", table: "Dataset", collator: Callable) -> "Dataset":
    """Run a frozen encoder once over a table; return `pooled` (hidden_size,), its mean over time, and `labels`."""
    from datasets import Dataset

    pooled: list[torch.Tensor] = []
    hook = classifier.projector.register_forward_pre_hook(lambda _, args: pooled.append(args[0].mean(dim=1)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    classifier.eval().to(device)
    with torch.inference_mode():
        for row in tqdm(table, desc="Encoding clips", unit="clip", disable=None):
            inputs = {name: value.to(device) for name, value in collator([row]).items() if name != "labels"}
            classifier(**inputs)
    hook.remove()
    columns = {"pooled": torch.cat(pooled).cpu().numpy(), "labels": table["label"]}
    return Dataset.from_dict(columns).with_format("torch")
