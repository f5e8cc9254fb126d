"""A head on a frozen encoder: a logistic regression on pooled outputs, written into the model.

Its optimum is unique: no epochs, no learning rate, no random weights, and one pass of the encoder.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm
from transformers import EvalPrediction

from . import metrics
from .batches import Collator
from .head_folds import Folds, folds_of
from .model import NewClassifier, Trained
from .recipes import Hyperparameters

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel

GRID = np.logspace(-4, 2, 7)  # of scikit-learn's C, the inverse of the regularisation
UNTRIED = 1.0  # C where clips are too few for cross-validation
MAX_ITERATIONS = 5_000  # of L-BFGS; some hundred are usual for the largest C


@dataclass(frozen=True)
class Head:
    """A linear classifier of pooled outputs, and how its regularisation was chosen."""

    weight: np.ndarray  # float32, (n_labels, size)
    bias: np.ndarray  # (n_labels,)
    inverse_regularisation: float  # C
    log: pd.DataFrame  # `inverse_regularisation` and cross-validated `log_loss` of each C tried

    def logits(self, pooled: np.ndarray) -> np.ndarray:
        """Classify pooled outputs (n_clips, size): logits (n_clips, n_labels)."""
        return pooled @ self.weight.T + self.bias


def train(classifier: NewClassifier, tables: "DatasetDict", numbers: Hyperparameters) -> Trained:
    """Give a classifier a head that is fitted to the training clips (`tables["train"]`) alone.

    The validation clips are scored, and choose nothing here.
    """
    collator = Collator(classifier.extractor, classifier.model.config, numbers, training=False)
    pooled = {
        split: pooled_outputs(classifier.model, tables[split], collator)
        for split in ("train", "validation")
    }
    head = fit_head(pooled["train"], tables["train"], numbers)
    write_head(classifier.model, head)
    logits = head.logits(pooled["validation"])
    label_ids = np.array(tables["validation"]["label"])
    scores = metrics.validation_scores(numbers.metric)(EvalPrediction(logits, label_ids))
    record = {
        "epochs": None,
        "steps": None,
        "inverse_regularisation": head.inverse_regularisation,
        "best_validation": {numbers.metric: scores[numbers.metric]},
        "hyperparameters": numbers.used(),
    }
    # No process writes before each has found the folder free.
    process_state().wait_for_everyone()
    return Trained(logits, label_ids, head.log, record, pooled)


def process_state() -> PartialState:
    """Say which process of torchrun this is and which device is its own."""
    return PartialState(cpu=not torch.accelerator.is_available())


def pooled_outputs(network: "PreTrainedModel", table: "Dataset", collator: Collator) -> np.ndarray:
    """Run a frozen encoder once over a table: what its head gets, (n_clips, size).

    That is the mean over time of the inputs of its projector, with which the mean commutes; without
    a projector, the inputs of its classifier. Clips go one by one: none is padded.
    """
    pooled: list[np.ndarray] = []

    def keep(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        (outputs,) = inputs[0]  # (n_frames, size), or pooled already, (size,)
        frames = outputs.reshape(-1, outputs.shape[-1]).cpu().double()
        pooled.append(frames.mean(dim=0).numpy())

    hook = first_layer(network).register_forward_pre_hook(keep)
    state = process_state()
    hidden = None if state.is_main_process else True  # None: where no terminal is
    network.eval().to(state.device)
    with torch.inference_mode():
        for row in tqdm(table, desc="Encoding clips", unit="clip", disable=hidden):
            inputs = collator([row])
            del inputs["labels"]
            network(**{name: value.to(state.device) for name, value in inputs.items()})
    hook.remove()
    return np.stack(pooled)


def first_layer(network: "PreTrainedModel") -> torch.nn.Linear:
    """Give the first layer above the encoder: a projector where there is one."""
    return getattr(network, "projector", network.classifier)


def fit_head(pooled: np.ndarray, table: "Dataset", numbers: Hyperparameters) -> Head:
    """Fit a head to the pooled outputs (n_clips, size) of a table of training clips.

    The regularisation is the one of the smallest log loss in cross-validation within the table.
    """
    labels = np.array(table["label"])
    folds = folds_of(table, numbers.seed)
    log = _log_losses(pooled, labels, folds, numbers.class_weights)
    ranked = log.sort_values("log_loss", kind="stable")
    best = float(ranked["inverse_regularisation"].iloc[0])
    fitted = estimator(best, numbers.class_weights).fit(pooled, labels)
    weight, bias = _folded(fitted)
    return Head(weight, bias, best, log)


def estimator(inverse_regularisation: float, class_weights: bool = False) -> Pipeline:
    """Make the logistic regression of standardised pooled outputs (n_clips, size), not fitted."""
    regression = LogisticRegression(
        C=inverse_regularisation,
        class_weight="balanced" if class_weights else None,
        max_iter=MAX_ITERATIONS,
    )
    return make_pipeline(StandardScaler(), regression)


def _log_losses(
    pooled: np.ndarray, labels: np.ndarray, folds: Folds, class_weights: bool
) -> pd.DataFrame:
    """Try each regularisation on the folds; without folds one, whose log loss is not known."""
    if not folds:
        return pd.DataFrame({"inverse_regularisation": [UNTRIED], "log_loss": [np.nan]})
    search = GridSearchCV(
        estimator(UNTRIED, class_weights),
        {"logisticregression__C": GRID},
        scoring="neg_log_loss",
        cv=folds,
        refit=False,
    )
    search.fit(pooled, labels)
    losses = -search.cv_results_["mean_test_score"]
    return pd.DataFrame({"inverse_regularisation": GRID, "log_loss": losses})


def _folded(fitted: Pipeline) -> tuple[np.ndarray, np.ndarray]:
    """Give weight (n_labels, size) and bias (n_labels,) with standardisation folded in.

    The weight is rounded as the model will store it, before the bias is made to fit: where outputs
    hardly vary, the two nearly cancel each other.
    """
    scaler, regression = fitted
    coefficients = regression.coef_
    intercepts = regression.intercept_
    if len(coefficients) == 1:  # of two intents: the logit of the second
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weight = (coefficients / scaler.scale_).astype(np.float32)
    return weight, intercepts - weight @ scaler.mean_


def write_head(network: "PreTrainedModel", head: Head) -> None:
    """Make a model's own layers compute the logits of a head.

    A projector takes the head, is widened where there are more labels than rows, and the classifier
    hands its first rows on; without a projector, the classifier is the head.
    """
    weight, bias = head.weight, head.bias
    if hasattr(network, "projector"):
        n_labels = len(bias)
        width = max(n_labels, network.config.classifier_proj_size)
        spare = (0, width - n_labels)
        network.projector = _linear(np.pad(weight, (spare, (0, 0))), np.pad(bias, spare))
        network.config.classifier_proj_size = width
        weight, bias = np.eye(n_labels, width), np.zeros(n_labels)
    network.classifier = _linear(weight, bias)
    network.to(network.device)


def read_head(network: "PreTrainedModel") -> tuple[np.ndarray, np.ndarray]:
    """Give the linear head that a model's own layers add up to.

    Weight (n_labels, size) and bias (n_labels,), float64, of what `pooled_outputs` gives.
    """
    weight, bias = _numbers(network.classifier)
    if hasattr(network, "projector"):
        inner_weight, inner_bias = _numbers(network.projector)
        return weight @ inner_weight, weight @ inner_bias + bias
    return weight, bias


def _numbers(layer: torch.nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = layer.weight.detach(), layer.bias.detach()
    return weight.cpu().double().numpy(), bias.cpu().double().numpy()


def _linear(weight: np.ndarray, bias: np.ndarray) -> torch.nn.Linear:
    """Make a layer of weights (n_out, n_in) and biases (n_out,), in float32."""
    n_out, n_in = weight.shape
    layer = torch.nn.Linear(n_in, n_out)
    layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
    return layer
