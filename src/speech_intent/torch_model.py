"""A classifier run by torch, the reference that every other engine is measured against."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from . import features, hub_models
from .errors import ModelError
from .names import first_line

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PreTrainedModel

HEAD = ("classifier", "projector")  # what the names of a head's weights begin with


class TorchModel:
    """A transformers classifier with its feature extractor, ready to run."""

    engine: ClassVar = "torch"
    precision: ClassVar = "float32"

    def __init__(self, network: "PreTrainedModel", extractor: "FeatureExtractionMixin"):
        self.network = network.eval()
        self.extractor = extractor
        self.config = network.config
        self.rule = features.padding_rule(network.config)

    @classmethod
    def load(cls, folder: Path, name: str) -> "TorchModel":
        """Load a folder with config.json, preprocessor_config.json and weights.

        `name` is what its user calls it. Raises `ModelError` for a broken folder and for a model
        without a trained head.
        """
        hub_models.quiet_transformers()
        try:
            extractor = AutoFeatureExtractor.from_pretrained(folder)
            network, report = AutoModelForAudioClassification.from_pretrained(
                folder, dtype="float32", output_loading_info=True
            )
        except Exception as error:  # transformers raises many kinds for a broken folder
            problem = f"cannot be loaded ({first_line(error)})"
            raise ModelError(name, problem, "train or download it again") from error
        missing = [key for key in report["missing_keys"] if key.startswith(HEAD)]
        if missing:
            problem = f"has no trained classification head ({', '.join(missing)})"
            raise ModelError(name, problem, "fine-tune it first")
        return cls(network, extractor)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Run the model on waveforms, float32, (n_samples,) each: logits, float32, (n, n_labels).

        Padding changes no answer: where the encoder stands none, each length is a batch.
        """
        logits = np.empty((len(waveforms), self.config.num_labels), np.float32)
        lengths = [len(waveform) if self.rule == "equal" else 0 for waveform in waveforms]
        for length in set(lengths):
            rows = [i for i, other in enumerate(lengths) if other == length]
            logits[rows] = self._run([waveforms[i] for i in rows])
        return logits

    def _run(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        inputs = features.model_inputs(waveforms, self.extractor, self.rule)
        tensors = {
            name: torch.from_numpy(value).to(self.network.device) for name, value in inputs.items()
        }
        with torch.inference_mode():
            return self.network(**tensors).logits.cpu().numpy()
