"""Is a clip one of the taught requests at all? What a model folder knows of that, and its answer.

Four signals are added up: how sure the head is, how large its largest logit is, how far the pooled
output lies from the clips that were learned from, in Mahalanobis' distance (Lee et al. 2018,
arXiv:1807.03888), and how much it is like clips that are no request. Neither torch nor scikit-learn
is imported.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from .digests import has_digest
from .errors import ModelError
from .model_files import REJECTION

Reason = Literal[
    "far from everything taught", "between two intents", "no speech", "its score is too low"
]
FAR: Reason = "far from everything taught"
BETWEEN: Reason = "between two intents"
NO_SPEECH: Reason = "no speech"
LOW: Reason = "its score is too low"
RIVAL = 0.25  # share of the second intent from which on an answer lies between two
N_SIGNALS = 4
DISTANCE = 2  # the place of this signal
DOWNLOAD_AGAIN = "download, copy or train the model again"


@dataclass(frozen=True)
class Verdict:
    """Whether a clip is answered."""

    knownness: float  # how much it is like what was taught; usual is 0
    reason: Reason | None  # why it is not answered


@dataclass(frozen=True)
class Rejection:
    """What decides whether a clip is answered; float32 throughout.

    Pooled outputs are what a model's head gets of a clip, (size,).
    """

    mean: np.ndarray  # of pooled outputs in training, (size,)
    scale: np.ndarray  # their standard deviations
    whitening: np.ndarray  # (size, size): standardised outputs to some of covariance 1
    centres: np.ndarray  # of the intents' clips, whitened, (n_labels, size)
    unknown: np.ndarray  # log odds of no request, for standardised outputs, bias last; or (0,)
    usual: np.ndarray  # mean and standard deviation of each signal on validation, (2, 4)
    threshold: np.ndarray  # of `knownness`, (1,): below it, a clip is not answered

    def signals(self, logits: np.ndarray, pooled: np.ndarray) -> np.ndarray:
        """Compute the signals of clips, (n, 4): higher is more like what was taught.

        Takes logits (n, n_labels) and pooled outputs (n, size).
        """
        standard = (pooled - self.mean) / self.scale
        odds = np.zeros(len(logits))
        if len(self.unknown):
            odds = standard @ self.unknown[:-1] + self.unknown[-1]
        best = logits.max(axis=1)
        # Log odds of the best intent: of what is not it, the logits add up.
        is_best = np.arange(logits.shape[1]) == logits.argmax(axis=1)[:, None]
        others = _log_sum(np.where(is_best, -np.inf, logits))
        white = _product(standard, self.whitening)
        squares = (white**2).sum(axis=1)[:, None] - 2 * _product(white, self.centres)
        squares = squares + (self.centres**2).sum(axis=1)
        distance = np.sqrt(np.maximum(squares.min(axis=1), 0))
        return np.column_stack([best - others, best, -distance, -odds])

    def standardised(self, logits: np.ndarray, pooled: np.ndarray) -> np.ndarray:
        """Count the signals (n, 4) in standard deviations from what is usual."""
        return (self.signals(logits, pooled) - self.usual[0]) / self.usual[1]

    def knownness(self, logits: np.ndarray, pooled: np.ndarray) -> np.ndarray:
        """Say how much clips are like what was taught, (n,)."""
        return self.standardised(logits, pooled).sum(axis=1)

    def judge(self, logits: np.ndarray, pooled: np.ndarray) -> Verdict:
        """Decide on a clip with logits (n_labels,) and a pooled output (size,)."""
        signals = self.standardised(logits[None], pooled[None])[0]
        knownness = float(signals.sum())
        if knownness >= self.threshold[0]:
            return Verdict(knownness, None)
        shares = np.sort(np.exp(logits - logits.max()))
        is_rivalled = len(shares) > 1 and shares[-2] / shares.sum() >= RIVAL
        is_far = signals[DISTANCE] < self.threshold[0] / N_SIGNALS
        return Verdict(knownness, BETWEEN if is_rivalled and not is_far else FAR)


def _product(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Multiply rows (n, size) with others (m, size), in this thread: (n, m).

    For so little `@` would wake threads on all cores, which wait there for more at full speed:
    beside other answers it takes twenty times as long.
    """
    return np.einsum("is,js->ij", rows, others)


def _log_sum(values: np.ndarray) -> np.ndarray:
    """Add up the exponentials of values (n, m), as a logarithm (n,)."""
    largest = values.max(axis=1)
    return largest + np.log(np.exp(values - largest[:, None]).sum(axis=1))


def write(rejection: Rejection, file: Path) -> None:
    """Write a file, of some 1.3 MB for Moonshine."""
    tensors = {each.name: getattr(rejection, each.name) for each in fields(Rejection)}
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, file)


def read(folder: Path, digest: str | None, n_labels: int) -> Rejection | None:
    """Read the file of a model with so many labels; None for a model that always answers.

    `digest` is what its config.json says of the file. Raises `ModelError` for one that is missing,
    or is not the model's.
    """
    if digest is None:
        return None
    file = folder / REJECTION
    if not file.is_file():
        raise ModelError(folder, f"has no {REJECTION}, which its config.json names", DOWNLOAD_AGAIN)
    try:
        is_same = has_digest(file, digest)
        tensors = load_file(file)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(file, "cannot be read", DOWNLOAD_AGAIN) from error
    if not is_same:
        raise ModelError(file, "is not the file that its config.json names", DOWNLOAD_AGAIN)
    problem = _problem(tensors, n_labels)
    if problem is not None:
        raise ModelError(file, problem, DOWNLOAD_AGAIN)
    return Rejection(**{each.name: tensors[each.name] for each in fields(Rejection)})


def _problem(tensors: dict[str, np.ndarray], n_labels: int) -> str | None:
    """Say what of a file's content cannot be; None if all of it can."""
    missing = [each.name for each in fields(Rejection) if each.name not in tensors]
    if missing:
        return f"lacks {', '.join(missing)}"
    size = len(np.atleast_1d(tensors["mean"]))
    n_row = 0 if tensors["unknown"].size == 0 else size + 1
    shapes: dict[str, tuple[int, ...]] = {
        "mean": (size,),
        "scale": (size,),
        "whitening": (size, size),
        "centres": (n_labels, size),
        "unknown": (n_row,),
        "usual": (2, N_SIGNALS),
        "threshold": (1,),
    }
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            return f"has {name} of the shape {tensors[name].shape}, not {shape}"
        if not np.isfinite(tensors[name]).all():
            return f"has numbers in {name} that are not finite"
    if not ((tensors["scale"] > 0).all() and (tensors["usual"][1] > 0).all()):
        return "has a scale that is not above 0"
    return None
