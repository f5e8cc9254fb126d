"""A classifier run by torch, the reference that every other engine is measured against."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from . import checkpoints, features
from .errors import ModelError
from .head_inputs import HeadInputs
from .model_config import AFTER, BEFORE, ModelConfig, read_config
from .outputs import Outputs

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PretrainedConfig, PreTrainedModel


class TorchModel:
    """A transformers classifier with its feature extractor, ready to run."""

    engine: ClassVar = "torch"
    precision: ClassVar = "float32"
    gives_pooled: ClassVar = True

    def __init__(self, network: "PreTrainedModel", extractor: "FeatureExtractionMixin"):
        self.network = network.eval()
        self.extractor = extractor
        self.config = ModelConfig(
            model_type=network.config.model_type,
            id2label=network.config.id2label,
            max_seconds=getattr(network.config, "max_seconds", None),
            rejection_threshold=getattr(network.config, "rejection_threshold", None),
            rejection_digest=getattr(network.config, "rejection_digest", None),
            takes_mels=hasattr(network.config, "num_mel_bins"),
            cut_to_clip=getattr(network.config, "cut_to_clip", False),
            margins=_margins(network.config),
        )
        self.rule = features.padding_rule(network.config)
        self._head_inputs = HeadInputs(network)

    @classmethod
    def load(cls, folder: Path, name: str) -> "TorchModel":
        """Load a folder with config.json, a feature extractor's file and weights.

        `name` is what its user calls it. Raises `ModelError` for a broken folder and for a model
        without a trained head.
        """
        read_config(folder)  # which transformers would take as it is
        checkpoint = checkpoints.load(folder, name)
        if checkpoint.missing_head:
            missing = ", ".join(checkpoint.missing_head)
            saved_as = ", ".join(checkpoint.network.config.architectures or ["?"])
            problem = f"has no trained classification head ({missing}); it was saved as {saved_as}"
            raise ModelError(name, problem, "fine-tune it first")
        for key, sizes in checkpoint.other_head.items():
            raise ModelError(name, checkpoints.sizes_problem(key, sizes), checkpoints.AGAIN)
        model = cls(checkpoint.network, checkpoint.extractor)
        model._try(name)
        return model

    def _try(self, name: str) -> None:
        """Raise `ModelError` if half a second of silence gets no logit for each intent."""
        silence = np.zeros(self.extractor.sampling_rate // 2, np.float32)
        try:
            shape = self._run([silence]).logits.shape
        except Exception as error:  # files that are whole, and do not belong together
            problem = f"cannot answer ({checkpoints.in_words(error)})"
            raise ModelError(name, problem, checkpoints.AGAIN) from error
        if shape != (1, self.config.num_labels):
            n_labels = self.config.num_labels
            problem = f"has {shape[-1]} outputs, and config.json names {n_labels} intents"
            raise ModelError(name, problem, checkpoints.AGAIN)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Run the model on waveforms, float32, (n_samples,) each: logits, float32, (n, n_labels).

        Padding changes no answer: where the encoder stands none, each length is a batch.
        """
        return self.outputs(waveforms).logits

    def outputs(self, waveforms: Sequence[np.ndarray]) -> Outputs:
        """Do the same, and give what the head got of each waveform too."""
        lengths = [len(waveform) if self.rule == "equal" else 0 for waveform in waveforms]
        parts: list[Outputs] = []
        order: list[int] = []
        for length in set(lengths):
            rows = [i for i, other in enumerate(lengths) if other == length]
            parts.append(self._run([waveforms[i] for i in rows]))
            order += rows
        back = np.argsort(order)
        logits = np.concatenate([part.logits for part in parts])
        return Outputs(logits[back], np.concatenate([part.pooled for part in parts])[back])

    def _run(self, waveforms: Sequence[np.ndarray]) -> Outputs:
        inputs = features.model_inputs(waveforms, self.extractor, self.rule)
        tensors = {
            name: torch.from_numpy(value).to(self.network.device) for name, value in inputs.items()
        }
        with torch.inference_mode():
            logits = self.network(**tensors).logits.cpu().numpy()
            return Outputs(logits, self._head_inputs.last.cpu().numpy())


def _margins(config: "PretrainedConfig") -> tuple[float, float] | None:
    before, after = (getattr(config, name, None) for name in (BEFORE, AFTER))
    return None if before is None or after is None else (before, after)
