"""A trained classifier: audio in, ranked intents out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import audio, features, hub_models, hub_names
from .errors import ModelError
from .model_config import ModelConfig
from .model_files import Engine, onnx_file
from .onnx_model import OnnxModel

if TYPE_CHECKING:
    from .torch_model import TorchModel

MAX_SECONDS = 15.0  # of a window, where the config does not say; seed 001's 1 s cuts words off
BATCH_SIZE = 8  # windows of a long clip that are answered together

__all__ = ["IntentClassifier", "ModelError", "Prediction"]


class Model(Protocol):
    """What computes the logits; see `TorchModel` and `OnnxModel`."""

    engine: str  # "torch" or "onnx"
    precision: str  # "float32", "bfloat16", "int8+bfloat16" and the like
    config: ModelConfig
    extractor: Any  # `sampling_rate`

    def __call__(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Waveforms, float32, (n_samples,) each, to logits, float32, (n, n_labels)."""


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
    warnings: tuple[audio.AudioWarning, ...] = ()  # what is odd about the clip; str() says it

    def as_dict(self, file: str, model: str, top_k: int | None = None) -> dict[str, Any]:
        """Say the answer as values for JSON, with the `top_k` best intents (None: all).

        `file` and `model` are what its user calls them. An answer that is not accepted has the
        label "unknown", and the best intent as `guess`.
        """
        answer: dict[str, Any] = {"file": file, "label": self.label}
        if not self.accepted:
            answer |= {"label": "unknown", "guess": self.label}
        return answer | {
            "score": self.score,
            "scores": [{"label": label, "score": score} for label, score in self.scores[:top_k]],
            "seconds": self.seconds,
            "model": model,
            "engine": self.engine,
            "precision": self.precision,
        }


class IntentClassifier:
    """A trained model, made with `from_pretrained`."""

    def __init__(self, model: "TorchModel | OnnxModel", name: str):
        self.model = model
        self.name = name
        self.extractor = model.extractor
        n_labels = model.config.num_labels
        self.labels: list[str] = [model.config.id2label[i] for i in range(n_labels)]
        max_seconds = model.config.max_seconds or MAX_SECONDS
        self.max_seconds = features.window_seconds(self.extractor, float(max_seconds))
        # Below it, an answer is not accepted.
        self.threshold = model.config.rejection_threshold

    @classmethod
    def from_pretrained(
        cls, model: str | Path, engine: Engine = "auto", parallel: bool = False
    ) -> "IntentClassifier":
        """Load a local folder or a Hub id, or raise `ModelError`.

        It holds config.json, a feature extractor's file and weights. The engine "auto" is "onnx"
        where `export` wrote its file, else "torch"; one that was named is never replaced. With
        `parallel`, an ONNX model answers several threads beside each other instead of one with all
        cores.
        """
        folder = hub_models.model_folder(model, engine)
        if engine != "torch" and onnx_file(folder) is not None:
            return cls(OnnxModel(folder, parallel), str(model))
        hub_names.check_endpoint()
        from .torch_model import TorchModel  # late, since an exported model needs no torch

        return cls(TorchModel.load(folder, str(model)), str(model))

    @property
    def engine(self) -> str:
        """What computes the answers: "torch" or "onnx"."""
        return self.model.engine

    @property
    def precision(self) -> str:
        """What it computes in: "float32", "bfloat16", "int8+bfloat16" and the like."""
        return self.model.precision

    def predict(self, source: audio.Source, limit: float = np.inf) -> Prediction:
        """Classify one clip: path, encoded bytes, or (waveform, sampling_rate).

        It may have any sampling rate, channel count and length; logits of a clip longer than
        `max_seconds` are averaged over windows. Raises `AudioError` if the clip cannot be used, its
        kind `TooLong` as soon as more than `limit` seconds were decoded, and `ModelError` if the
        model gives no finite scores.
        """
        warnings: list[audio.AudioWarning] = []
        rate = self.extractor.sampling_rate
        windows = audio.windows(source, rate, self.max_seconds, warnings.append, limit)
        logits_sum = np.zeros(len(self.labels), np.float32)
        n_windows = 0
        for batch in _batches(windows, BATCH_SIZE):
            for logits in self.model([window.waveform for window in batch]):
                logits_sum = logits_sum + logits
            n_windows += len(batch)
            seconds = batch[-1].end
        if not np.isfinite(logits_sum).all():
            problem = "gives scores that are not finite numbers"
            raise ModelError(self.name, problem, "train, export or download it again")
        scores = _softmax(logits_sum.astype(np.float64) / n_windows)
        best_first = np.argsort(-scores, kind="stable")
        ranked = tuple((self.labels[i], float(scores[i])) for i in best_first)
        label, score = ranked[0]
        return Prediction(
            label=label,
            score=score,
            scores=ranked,
            seconds=seconds,
            engine=self.engine,
            precision=self.precision,
            accepted=self.threshold is None or score >= self.threshold,
            warnings=tuple(warnings),
        )


def _batches(windows: Iterator[audio.Window], n: int) -> Iterator[list[audio.Window]]:
    while batch := list(islice(windows, n)):
        yield batch


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (n_labels,) into probabilities that add up to 1."""
    exp = np.exp(logits - logits.max())
    return exp / exp.sum()
