"""What a model's head saw of its clips, kept beside its weights, so that an intent can be added.

`pooled.safetensors` has what `frozen_head.pooled_outputs` gives of training and validation clips,
with their label ids: no audio. Nothing that answers reads it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from . import frozen_head
from .batches import Collator
from .digests import has_digest
from .errors import ModelError
from .model import NewClassifier
from .model_files import POOLED
from .recipes import Hyperparameters

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

MOST_CLIPS = 200  # of an intent and split
SPLITS = ("train", "validation")
STILL = 1e-5  # of its mean: an output that varies by less does not vary
DIGEST = "pooled_digest"  # in training.json: the file's SHA-256
TRAIN_AGAIN = "train it again with this version of train, which keeps what is needed"
OR_LATER = "if the Hub could not be reached, try again once it can"
DOWNLOAD_AGAIN = "download, copy or train the model again"


@dataclass(frozen=True)
class Pooled:
    """Pooled outputs of clips, standardised, with the label ids of the model that they are of.

    Of an output, `mean` and `scale` (size,) are those of the clips that the model was trained on.
    """

    mean: np.ndarray
    scale: np.ndarray
    outputs: dict[str, np.ndarray]  # by split, (n_clips, size)
    labels: dict[str, np.ndarray]  # by split, (n_clips,)

    def standardised(self, outputs: np.ndarray) -> np.ndarray:
        """Bring outputs (n_clips, size), as the encoder gives them, to this form."""
        return (outputs - self.mean) / self.scale


def collect(
    classifier: NewClassifier,
    tables: "DatasetDict",
    numbers: Hyperparameters,
    known: dict[str, np.ndarray] | None,
) -> Pooled:
    """Collect what the head of a trained classifier gets of its training and validation clips.

    `known` are the pooled outputs of all clips, by split, where they were computed already.
    """
    outputs = {}
    labels = {}
    for split in SPLITS:
        all_labels = np.array(tables[split]["label"])
        rows = choose(all_labels, numbers.seed)
        labels[split] = all_labels[rows]
        if known is not None:
            outputs[split] = known[split][rows]
        else:
            outputs[split] = heard(classifier, tables[split].select(rows), numbers)
    return standardise(outputs, labels)


def heard(classifier: NewClassifier, table: "Dataset", numbers: Hyperparameters) -> np.ndarray:
    """Give what the head of a trained classifier gets of the clips of a table, (n_clips, size)."""
    collator = Collator(classifier.extractor, classifier.model.config, numbers, training=False)
    return frozen_head.pooled_outputs(classifier.model, table, collator)


def choose(labels: np.ndarray, seed: int) -> np.ndarray:
    """Choose rows of label ids (n,), in their order: at most `MOST_CLIPS` of each, by chance."""
    rng = np.random.default_rng(seed)
    rows: list[int] = []
    for label in np.unique(labels):
        rows += rng.permutation(np.flatnonzero(labels == label))[:MOST_CLIPS].tolist()
    return np.array(sorted(rows), dtype=int)


def standardise(outputs: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> Pooled:
    """Standardise outputs by those of the training clips: half precision then does for any."""
    mean = outputs["train"].mean(axis=0)
    scale = outputs["train"].std(axis=0)
    scale = np.where(scale > STILL * np.abs(mean), scale, 1.0)
    same = {split: (values - mean) / scale for split, values in outputs.items()}
    return Pooled(mean, scale, same, labels)


def write(pooled: Pooled, file: Path) -> None:
    """Write a file of some 1.2 kB a clip for Moonshine."""
    tensors = {"mean": pooled.mean.astype(np.float32), "scale": pooled.scale.astype(np.float32)}
    largest = np.finfo(np.float16).max
    for split in SPLITS:
        halved = np.clip(pooled.outputs[split], -largest, largest).astype(np.float16)
        tensors[split] = np.ascontiguousarray(halved)
        tensors[f"{split}_labels"] = pooled.labels[split].astype(np.int32)
    save_file(tensors, file)


def read(folder: Path, name: str, digest: object, n_labels: int, size: int) -> Pooled:
    """Read the file of a model with so many labels, whose head takes outputs of this size.

    `name` is what the model's user calls it, `digest` what its training.json says of the file.
    Raises `ModelError` for a model without one, and for one that does not belong to the model.
    """
    file = folder / POOLED
    if not file.is_file():
        lack = f"has no {POOLED}: what its head saw of its training clips is not known"
        is_local = os.path.isdir(name)
        raise ModelError(name, lack, TRAIN_AGAIN if is_local else f"{TRAIN_AGAIN}; {OR_LATER}")
    try:
        is_same = has_digest(file, str(digest))
        tensors = load_file(file)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(file, "cannot be read", DOWNLOAD_AGAIN) from error
    if not is_same:
        other = "is not the file that belongs to this model, by its training.json"
        raise ModelError(file, other, DOWNLOAD_AGAIN)
    problem = _problem(tensors, n_labels, size)
    if problem is not None:
        raise ModelError(file, problem, DOWNLOAD_AGAIN)
    return Pooled(
        mean=tensors["mean"].astype(float),
        scale=tensors["scale"].astype(float),
        outputs={split: tensors[split].astype(float) for split in SPLITS},
        labels={split: tensors[f"{split}_labels"].astype(int) for split in SPLITS},
    )


def _problem(tensors: dict[str, np.ndarray], n_labels: int, size: int) -> str | None:
    """Say what of a file's content cannot be; None if all of it can."""
    names = ["mean", "scale", *SPLITS, *(f"{split}_labels" for split in SPLITS)]
    missing = [name for name in names if name not in tensors]
    if missing:
        return f"lacks {', '.join(missing)}"
    shapes: dict[str, tuple[int, ...]] = {"mean": (size,), "scale": (size,)}
    for split in SPLITS:
        n = len(tensors[split]) if tensors[split].ndim else 0
        shapes |= {split: (n, size), f"{split}_labels": (n,)}
    for name, shape in shapes.items():
        if tensors[name].shape != shape or not shape[0]:
            return f"has {name} of the shape {tensors[name].shape}; the model's head takes {size}"
        if not np.isfinite(tensors[name]).all():
            return f"has numbers in {name} that are not finite"
    if not (tensors["scale"] > 0).all():
        return "has a scale that is not above 0"
    for split in SPLITS:
        labels = tensors[f"{split}_labels"]
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= n_labels:
            return f"has labels in {split} that are none of the model's {n_labels}"
    if len(np.unique(tensors["train_labels"])) < n_labels:
        return "has no training clips of some of the model's intents"
    return None
