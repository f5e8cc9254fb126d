"""A speech encoder with a fresh classification head, what of it is trained, and by which loss."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from . import hub

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import FeatureExtractionMixin, PreTrainedModel

LARGE = 20_000_000  # parameters; from here on the convolutions of a pretrained encoder are frozen by default

# A Wav2Vec2 small enough to train on a laptop CPU. Narrow first convolutions, where the frame rate is highest, are
# what makes it fast; pre-norm layers are what lets it train from random weights.
SMALL = dict(
    conv_dim=(32, 64, 96, 128, 128, 128, 128),
    hidden_size=192,
    num_hidden_layers=5,
    num_attention_heads=4,
    intermediate_size=768,
    num_conv_pos_embeddings=64,
    num_conv_pos_embedding_groups=16,
    do_stable_layer_norm=True,
    layerdrop=0.0,
    classifier_proj_size=192,
)


def build_model(
    encoder: str | Path, labels: Sequence[str], spec_augment: bool = True, seed: int = 0
) -> "tuple[PreTrainedModel, FeatureExtractionMixin]":
    """Load an encoder, put a head with random weights for these labels on it, and return it with its extractor.

    Parameters
    ----------
    encoder : path or str
        A local folder, a Hub id, or "random" for the small encoder above with random weights.
    labels : sequence of str
        Intents in the order of their integer ids; written into the model's config.
    spec_augment : bool
        Whether training masks spans of time in the encoder's features (Park et al. 2019, arXiv:1904.08779).
    seed : int
        Seed of the random weights.

    Raises
    ------
    ModelError
        If there is no such encoder, it cannot be reached, or it lacks a file.
    """
    from transformers import (
        AutoFeatureExtractor,
        AutoModelForAudioClassification,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        set_seed,
    )

    set_seed(seed)
    names = {"label2id": {label: i for i, label in enumerate(labels)}, "id2label": dict(enumerate(labels))}
    if str(encoder) == "random":
        extractor = Wav2Vec2FeatureExtractor()  # 16 kHz, zero mean and unit variance
        config = Wav2Vec2Config(**SMALL, **names)
        model = AutoModelForAudioClassification.from_config(config)
    else:
        folder = hub.model_folder(encoder)
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        model = AutoModelForAudioClassification.from_pretrained(
            folder, num_labels=len(labels), **names, ignore_mismatched_sizes=True, dtype="float32"
        )
    model.config.apply_spec_augment = spec_augment
    return model, extractor


def freeze(model: "PreTrainedModel", what: str, pretrained: bool = True) -> str:
    """Take a part of the model out of training.

    Parameters
    ----------
    what : str
        "none"; "features", the first convolutions (Whisper's are part of its encoder and stay); "encoder", everything
        but the head; "auto", which means "features" for a large pretrained encoder, else "none".

    Returns
    -------
    str
        What was frozen.
    """
    if what == "auto":
        what = "features" if pretrained and model.num_parameters() >= LARGE else "none"
    if what == "encoder":
        encoder_of(model).requires_grad_(False)
    elif what == "features" and hasattr(model, "freeze_feature_encoder"):
        model.freeze_feature_encoder()
    return what


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
