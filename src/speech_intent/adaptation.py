"""A head adapted to recordings without labels, by the statistics of what it gets: `train --adapt`.

In another room, or of other people, the pooled outputs of an encoder have another mean and spread
than in training. They are mapped back to those of training, dimension by dimension, as features
are normalised by speaker in recognition. The mapping is linear and goes into the head's first
layer: the model stays an ordinary one. Nothing is learned of intents, and the recordings should
hold about the same mix of them as training; of one intent alone they would be pulled apart.
"""

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel

from . import frozen_head
from .batches import Collator
from .model import NewClassifier, Trained
from .recipes import Hyperparameters
from .unlabelled import Unlabelled

if TYPE_CHECKING:
    from datasets import DatasetDict
    from transformers import PreTrainedModel

PRIOR_CLIPS = 10  # as much as so many recordings weighs the assumption that nothing has changed
FEW_CLIPS = 30
LEAST_SPREAD = 1e-3  # of the median dimension's; below it a dimension hardly varies
NOTHING = 1e-9  # where the median dimension does not vary either
LARGEST_SCALE = 4.0  # no dimension is stretched more

logger = logging.getLogger("speech_intent")


@dataclass(frozen=True)
class Mapping:
    """A linear map of pooled outputs, dimension by dimension; float64, (size,) each."""

    origin: np.ndarray  # is mapped to
    target: np.ndarray  # this
    scale: np.ndarray  # above 0

    def __call__(self, pooled: np.ndarray) -> np.ndarray:
        """Map pooled outputs (n_clips, size)."""
        return (pooled - self.origin) * self.scale + self.target

    def inverse(self) -> "Mapping":
        """Give the map that takes back what this one does."""
        return Mapping(self.target, self.origin, 1 / self.scale)


def fit_mapping(trained: np.ndarray, heard: np.ndarray) -> Mapping:
    """Find the map that gives recordings the mean and standard deviation of training.

    Takes pooled outputs of the training clips (n_trained, size) and of the recordings
    (n_heard, size). Of few recordings, mean and deviation are drawn towards those of training: a
    single one says nothing of the deviation. A dimension that hardly varies is only moved.
    """
    if trained.ndim != 2 or heard.ndim != 2 or trained.shape[1] != heard.shape[1]:
        raise ValueError(f"shapes {trained.shape} and {heard.shape} do not fit each other")
    n = len(heard)
    mean, spread = trained.mean(axis=0), trained.std(axis=0)
    there, spread_there = heard.mean(axis=0), heard.std(axis=0)
    least = least_spread(spread)
    ratio = np.maximum(spread, least) / np.maximum(spread_there, least)
    scale = np.minimum(ratio, LARGEST_SCALE) ** weight(n - 1)
    origin = mean + weight(n) * (there - mean)
    return Mapping(origin, mean, scale)


def least_spread(spread: np.ndarray) -> float:
    """Say below which deviation a dimension hardly varies, from those of all (size,)."""
    return max(LEAST_SPREAD * float(np.median(spread)), NOTHING)


def weight(n: int) -> float:
    """Say how far the statistics of n recordings are believed, from 0 to 1."""
    return n / (n + PRIOR_CLIPS)


def fold(network: "PreTrainedModel", mapping: Mapping) -> None:
    """Make a classifier map the inputs of its head, in the weight and bias of the first layer."""
    layer = frozen_head.first_layer(network)
    weight = layer.weight.detach().cpu().double().numpy()
    bias = layer.bias.detach().cpu().double().numpy()
    # Rounded as it will be stored, before the bias is made to fit.
    mapped = (weight * mapping.scale).astype(np.float32)
    bias = bias + weight @ mapping.target - mapped @ mapping.origin
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(mapped))
        layer.bias.copy_(torch.from_numpy(bias))


def head_logits(network: "PreTrainedModel", pooled: np.ndarray) -> np.ndarray:
    """Answer pooled outputs (n_clips, size) by a classifier's head: logits (n_clips, n_labels)."""
    layers = [frozen_head.first_layer(network)]
    if layers[0] is not network.classifier:
        layers.append(network.classifier)
    outputs = pooled
    for layer in layers:
        weight = layer.weight.detach().cpu().double().numpy()
        outputs = outputs @ weight.T + layer.bias.detach().cpu().double().numpy()
    return outputs


def resembles(clips: np.ndarray, heard: np.ndarray, trained: np.ndarray) -> bool:
    """Whether clips are rather like the recordings than like training, by their mean.

    Takes pooled outputs (n, size) of each; distances count in deviations of training.
    """
    spread = trained.std(axis=0)
    spread = np.maximum(spread, least_spread(spread))
    means = [part.mean(axis=0) / spread for part in (clips, heard, trained)]
    to_heard, to_trained = (np.linalg.norm(means[0] - mean) for mean in means[1:])
    return bool(to_heard < to_trained)


@dataclass(frozen=True)
class Adapted:
    """What is to be folded into a head, and how it stands with validation."""

    mapping: Mapping
    trained: Trained  # with the validation clips' logits, as they are to be calibrated
    record: dict[str, Any]  # for training.json


def adapt(
    classifier: NewClassifier,
    tables: "DatasetDict",
    recordings: Unlabelled,
    numbers: Hyperparameters,
    trained: Trained,
) -> Adapted:
    """Find what adapts a classifier, as it was finally loaded, to recordings.

    The temperature is to be right where the model will be used. Validation clips of training's kind
    are, without the mapping, what recordings are with it: their logits stay. Those that are of the
    recordings' kind get the mapped ones.
    """
    # The Trainer leaves a forward that multiplies in bfloat16; the saved model does not.
    extract_model_from_parallel(classifier.model, keep_fp32_wrapper=False)
    collator = Collator(classifier.extractor, classifier.model.config, numbers, training=False)
    parts = {
        "train": tables["train"],
        "validation": tables["validation"],
        "heard": recordings.clips,
    }
    pooled = {
        name: frozen_head.pooled_outputs(classifier.model, table, collator)
        for name, table in parts.items()
    }
    mapping = fit_mapping(pooled["train"], pooled["heard"])
    is_heard = resembles(pooled["validation"], pooled["heard"], pooled["train"])
    if is_heard:
        logits = head_logits(classifier.model, mapping(pooled["validation"]))
        label_ids = np.array(tables["validation"]["label"])
        trained = replace(trained, logits=logits, label_ids=label_ids)
    n = len(recordings.clips)
    if n < FEW_CLIPS:
        text = "warning: %s: few recordings (%d) to adapt to; their statistics count by %.0f %%"
        logger.warning(text, recordings.folder, n, 100 * weight(n))
    among = set(recordings.clips["digest"])
    record = {
        **recordings.facts(),
        "weight": round(weight(n), 3),
        "calibrated_as": "recordings" if is_heard else "training",
        "test_clips": sum(digest in among for digest in tables["test"]["digest"]),
    }
    return Adapted(mapping, trained, record)
