"""A trained classifier: audio in, ranked intents out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from . import audio, features, hub
from .engine import STEP, OnnxModel
from .hub import ModelError

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PreTrainedModel

MAX_SECONDS = 15.0  # of one window, where the model's config does not say; seed 001's 1 s cuts words off
BATCH_SIZE = 8

__all__ = ["IntentClassifier", "ModelError", "Prediction"]


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one clip."""

    label: str  # the best intent
    score: float  # its probability by the model, 0..1
    scores: tuple[tuple[str, float], ...]  # (intent, score) of every intent, best first
    seconds: float  # duration of the clip
    engine: str = "torch"  # what computed it, or "onnx"
    precision: str = "float32"  # of that, or "bfloat16", "int8+bfloat16" and the like
    accepted: bool = True  # whether the score reaches the model's threshold, if it has one


class IntentClassifier:
    """A trained model with its feature extractor; make one with `from_pretrained`."""

    def __init__(self, model: "PreTrainedModel | OnnxModel", extractor: "FeatureExtractionMixin", name: str):
        self.model, self.extractor, self.name = model, extractor, name
        if isinstance(model, OnnxModel):
            self.engine, self.precision, self._rule = "onnx", model.precision, model.rule
        else:
            self.engine, self.precision, self._rule = "torch", "float32", features.padding_rule(model.config)
            model.eval()
        self.labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
        cap = float(getattr(model.config, "max_seconds", None) or MAX_SECONDS)
        self.max_seconds = features.longest(extractor, cap)
        self.threshold = getattr(model.config, "rejection_threshold", None)  # below it, an answer is not accepted

    @classmethod
    def from_pretrained(
        cls, model: str | Path, engine: Literal["auto", "onnx", "torch"] = "auto", parallel: bool = False
    ) -> "IntentClassifier":
        """Load a local folder (config.json, preprocessor_config.json, weights) or a Hub id, or raise `ModelError`.

        The engine "auto" is "onnx" where `export` wrote its file, else "torch"; one that was named is never replaced.
        With `parallel`, an ONNX model answers several threads beside each other instead of one with all cores.
        """
        folder = hub.model_folder(model, engine)
        if engine != "torch" and hub.onnx_file(folder):
            onnx = OnnxModel(folder, parallel)
            return cls(onnx, onnx.extractor, str(model))
        hub.quiet_transformers()
        from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

        try:
            extractor = AutoFeatureExtractor.from_pretrained(folder)
            loaded, report = AutoModelForAudioClassification.from_pretrained(
                folder, dtype="float32", output_loading_info=True
            )
        except Exception as error:  # transformers raises many kinds for a broken folder
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{model}: cannot be loaded ({reason}); train or download it again") from error
        if missing := [name for name in report["missing_keys"] if name.startswith(("classifier", "projector"))]:
            raise ModelError(f"{model}: has no trained classification head ({', '.join(missing)}); fine-tune it first")
        return cls(loaded, extractor, str(model))

    def predict(self, source: audio.Source) -> Prediction:
        """Classify one clip: path, encoded bytes, or (waveform, sampling_rate), of any rate, channel count and length.

        Logits of a clip longer than the model's `max_seconds` are averaged over windows. Raises `AudioError` if the
        clip cannot be used.
        """
        return self.predict_many([source])[0]

    def predict_many(self, sources: Sequence[audio.Source]) -> list[Prediction]:
        """Classify clips; answers in their order, each the same as alone. Raises `AudioError` at the first bad one."""
        sums: list[np.ndarray | float] = [0.0] * len(sources)  # of logits over windows
        counts, seconds, waiting = [0] * len(sources), [0.0] * len(sources), []

        def classify(batch: list[tuple[int, np.ndarray]]) -> None:
            for (i, _), logits in zip(batch, self._logits([window for _, window in batch]), strict=True):
                sums[i] = sums[i] + logits

        for i, source in enumerate(sources):
            for window, seconds[i] in audio.windows(source, self.extractor.sampling_rate, self.max_seconds):
                counts[i] += 1
                waiting.append((i, window))
                if len(waiting) >= BATCH_SIZE:
                    classify(waiting)
                    waiting = []
        if waiting:
            classify(waiting)
        return [self._prediction(*row) for row in zip(sums, counts, seconds, strict=True)]

    def _logits(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """Run the model on waveforms; return logits (n_waveforms, n_labels). Padding changes no answer."""
        if self.engine == "onnx":  # one by one: a batch is a new shape to compile for, and hardly faster
            inputs = (features.model_inputs([waveform], self.extractor, self._rule, STEP) for waveform in waveforms)
            return np.concatenate([self.model(each) for each in inputs])
        import torch

        logits = np.empty((len(waveforms), len(self.labels)), np.float32)
        lengths = [len(waveform) if self._rule == "equal" else 0 for waveform in waveforms]
        for length in set(lengths):
            rows = [i for i, other in enumerate(lengths) if other == length]
            inputs = features.model_inputs([waveforms[i] for i in rows], self.extractor, self._rule)
            inputs = {name: torch.from_numpy(value).to(self.model.device) for name, value in inputs.items()}
            with torch.inference_mode():
                logits[rows] = self.model(**inputs).logits.cpu().numpy()
        return logits

    def _prediction(self, logits_sum: np.ndarray, n_windows: int, seconds: float) -> Prediction:
        logits = logits_sum.astype(np.float64) / n_windows
        exp = np.exp(logits - logits.max())
        scores = exp / exp.sum()
        ranked = tuple((self.labels[i], float(scores[i])) for i in np.argsort(-scores, kind="stable"))
        accepted = self.threshold is None or ranked[0][1] >= self.threshold
        return Prediction(*ranked[0], ranked, seconds, self.engine, self.precision, accepted)
