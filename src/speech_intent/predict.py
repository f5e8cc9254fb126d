"""A trained classifier: audio in, ranked intents out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import audio, features, hub_models, hub_names, rejection
from .errors import ModelError
from .model_config import ModelConfig
from .model_files import EXPORT_AGAIN, Engine, onnx_file
from .onnx_model import OnnxModel
from .outputs import Outputs
from .rejection import Reason, Rejection, Verdict

if TYPE_CHECKING:
    from .torch_model import TorchModel

MAX_SECONDS = 15.0  # of a window, where the config does not say; 1 s would cut words off
BATCH_SIZE = 8  # windows of a long clip that are answered together

__all__ = ["IntentClassifier", "ModelError", "Prediction"]


class Model(Protocol):
    """What computes the logits; see `TorchModel` and `OnnxModel`."""

    engine: str  # "torch" or "onnx"
    precision: str  # "float32", "bfloat16", "int8+bfloat16" and the like
    config: ModelConfig
    extractor: Any  # `sampling_rate`
    gives_pooled: bool  # whether its outputs are whole

    def __call__(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Waveforms, float32, (n_samples,) each, to logits, float32, (n, n_labels)."""

    def outputs(self, waveforms: Sequence[np.ndarray]) -> Outputs:
        """Do the same, and give what the head made them of."""


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one clip."""

    label: str  # the best intent
    score: float  # its probability by the model, 0..1
    scores: tuple[tuple[str, float], ...]  # (intent, score) of every intent, best first
    seconds: float  # duration of the clip
    engine: str = "torch"  # what computed it, or "onnx"
    precision: str = "float32"  # of that, or "bfloat16", "int8+bfloat16" and the like
    reason: Reason | None = None  # why it is no answer: the clip is none of the taught requests
    knownness: float = 0.0  # how much the clip is like those; the score, where the model says none
    warnings: tuple[audio.AudioWarning, ...] = ()  # what is odd about the clip; str() says it

    @property
    def accepted(self) -> bool:
        """Whether it is an answer."""
        return self.reason is None

    def as_dict(self, file: str, model: str, top_k: int | None = None) -> dict[str, Any]:
        """Say the answer as values for JSON, with the `top_k` best intents (None: all).

        `file` and `model` are what its user calls them. An answer that is not accepted has the
        label "unknown", the best intent as `guess`, and a `reason`.
        """
        answer: dict[str, Any] = {"file": file, "label": self.label}
        if not self.accepted:
            answer |= {"label": "unknown", "guess": self.label, "reason": self.reason}
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

    def __init__(
        self, model: "TorchModel | OnnxModel", name: str, rejection: Rejection | None = None
    ):
        self.model = model
        self.name = name
        self.extractor = model.extractor
        n_labels = model.config.num_labels
        self.labels: list[str] = [model.config.id2label[i] for i in range(n_labels)]
        max_seconds = model.config.max_seconds or MAX_SECONDS
        self.max_seconds = features.window_seconds(self.extractor, float(max_seconds))
        self.rejection = rejection
        # Of the score; where it is given, it alone decides what is answered.
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
            exported = OnnxModel(folder, parallel)
            return cls(exported, str(model), _read_rejection(folder, exported))
        hub_names.check_endpoint()
        from .torch_model import TorchModel  # late, since an exported model needs no torch

        loaded = TorchModel.load(folder, str(model))
        return cls(loaded, str(model), _read_rejection(folder, loaded))

    @property
    def engine(self) -> str:
        """What computes the answers: "torch" or "onnx"."""
        return self.model.engine

    @property
    def margins(self) -> tuple[float, float] | None:
        """Seconds before and after speech in the clips it was trained on, where that is known."""
        return self.model.config.margins

    @property
    def says_unknown(self) -> bool:
        """Whether it leaves clips without an answer."""
        return self.rejection is not None or self.threshold is not None

    @property
    def precision(self) -> str:
        """What it computes in: "float32", "bfloat16", "int8+bfloat16" and the like."""
        return self.model.precision

    def predict(self, source: audio.Source, limit: float = np.inf) -> Prediction:
        """Classify one clip: path, encoded bytes, or (waveform, sampling_rate).

        It may have any sampling rate, channel count and length; logits of a clip longer than
        `max_seconds` are averaged over windows. What is none of the taught requests has a `reason`,
        if the model tells. Raises `AudioError` if the clip cannot be used, its
        kind `TooLong` as soon as more than `limit` seconds were decoded, and `ModelError` if the
        model gives no finite scores.
        """
        warnings: list[audio.AudioWarning] = []
        rate = self.extractor.sampling_rate
        windows = audio.windows(source, rate, self.max_seconds, warnings.append, limit)
        heard: list[Outputs] = []
        first: list[np.ndarray] = []
        for batch in _batches(windows, BATCH_SIZE):
            waveforms = [window.waveform for window in batch]
            heard.append(self.model.outputs(waveforms))
            first = first or waveforms
            seconds = batch[-1].end
        logits = np.concatenate([outputs.logits for outputs in heard]).mean(axis=0)
        if not np.isfinite(logits).all():
            problem = "gives scores that are not finite numbers"
            raise ModelError(self.name, problem, "train, export or download it again")
        scores = _softmax(logits.astype(np.float64))
        best_first = np.argsort(-scores, kind="stable")
        ranked = tuple((self.labels[i], float(scores[i])) for i in best_first)
        label, score = ranked[0]
        verdict = self._judge(score, logits, heard, first)
        return Prediction(
            label=label,
            score=score,
            scores=ranked,
            seconds=seconds,
            engine=self.engine,
            precision=self.precision,
            reason=verdict.reason,
            knownness=verdict.knownness,
            warnings=tuple(warnings),
        )

    def _judge(
        self, score: float, logits: np.ndarray, heard: list[Outputs], first: list[np.ndarray]
    ) -> Verdict:
        """Decide whether a clip is answered; `first` are the waveforms of its first windows."""
        if self.threshold is not None:
            return Verdict(score, None if score >= self.threshold else rejection.LOW)
        if self.rejection is None:
            return Verdict(score, None)
        pooled = np.concatenate([part.pooled for part in heard if part.pooled is not None])
        verdict = self.rejection.judge(logits, pooled.mean(axis=0))
        if verdict.reason is not None and not self._has_speech(first):
            return Verdict(verdict.knownness, rejection.NO_SPEECH)
        return verdict

    def _has_speech(self, waveforms: list[np.ndarray]) -> bool:
        """Whether somebody speaks; only asked of what is not answered anyway."""
        from .voice_activity import has_speech, loudest

        rate = self.extractor.sampling_rate
        return has_speech(loudest(np.concatenate(waveforms), rate), rate)


def _read_rejection(folder: Path, model: "TorchModel | OnnxModel") -> Rejection | None:
    """Read what decides whether a model answers. Raises `ModelError`."""
    found = rejection.read(folder, model.config.rejection_digest, model.config.num_labels)
    if found is not None and not model.gives_pooled:
        problem = "was exported by an earlier version, and cannot say what it was never taught"
        raise ModelError(folder, problem, EXPORT_AGAIN)
    return found


def _batches(windows: Iterator[audio.Window], n: int) -> Iterator[list[audio.Window]]:
    while batch := list(islice(windows, n)):
        yield batch


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (n_labels,) into probabilities that add up to 1."""
    exp = np.exp(logits - logits.max())
    return exp / exp.sum()
