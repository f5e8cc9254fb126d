"""A clip to an answer: a status of HTTP, and what JSON says."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio import TooLong
from ..errors import AudioError, ModelError, UserError
from ..predict import IntentClassifier
from .settings import Settings

LONGER = 1_413  # no status of HTTP: a clip lasts longer than its header says
PROBE_RATE = 16_000  # Hz, and samples: the server starts with an answer to a second of a ramp


@dataclass(frozen=True)
class Clip:
    """Audio as a client sent it."""

    name: str
    data: bytes  # encoded, in any container


@dataclass(frozen=True)
class Answer:
    """What a client gets for a clip."""

    status: int  # of HTTP
    body: dict[str, Any]  # for JSON
    seconds: float = 0.0  # of audio that was classified
    took: float = 0.0  # seconds, where that was measured


def refusal(status: int, error: UserError) -> Answer:
    """Say why a clip gets no intent."""
    return Answer(status, {"file": error.name, "detail": str(error)})


class Responder:
    """A classifier as a server asks it, and the longest clip it takes."""

    def __init__(self, classifier: IntentClassifier, max_seconds: float):
        self.classifier = classifier
        self.max_seconds = max_seconds

    @classmethod
    def load(cls, settings: Settings) -> "Responder":
        """Load the model so that each call has one core, and ask it once. Raises `ModelError`."""
        classifier = IntentClassifier.from_pretrained(settings.model, parallel=True)
        if classifier.engine == "torch":
            import torch  # late, since an exported model needs none

            torch.set_num_threads(1)
        classifier.predict((np.linspace(-1, 1, PROBE_RATE, dtype=np.float32), PROBE_RATE))
        return cls(classifier, settings.max_seconds)

    def about(self) -> dict[str, Any]:
        """Say which model answers, and by which engine."""
        return {
            "status": "ok",
            "model": self.classifier.name,
            "engine": self.classifier.engine,
            "precision": self.classifier.precision,
            "labels": list(self.classifier.labels),
            "margins": self.classifier.margins,
        }

    def answer(self, clip: Clip, limit: float = np.inf) -> Answer:
        """Classify a clip: 200 and what `inference.py --json` says, with `warnings`.

        A clip that lasts too long gets 413 as soon as that many seconds were decoded, one that
        cannot be used 422, one that the model has no finite scores for 500. A clip that lasts
        longer than `limit`, but not too long, gets `LONGER`.
        """
        source = {"bytes": clip.data, "path": clip.name}
        try:
            prediction = self.classifier.predict(source, min(limit, self.max_seconds))
        except TooLong as error:
            return refusal(413 if limit >= self.max_seconds else LONGER, error)
        except AudioError as error:
            return refusal(422, error)
        except ModelError as error:
            return Answer(500, {"file": clip.name, "detail": str(error)})
        body = prediction.as_dict(file=clip.name, model=self.classifier.name)
        body["warnings"] = [str(warning) for warning in prediction.warnings]
        return Answer(200, body, prediction.seconds)
