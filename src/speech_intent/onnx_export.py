"""Write a trained classifier as ONNX for the fast engine, in a precision that costs little."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from . import evaluation, features, held_out, hub_models
from .digests import sha256
from .errors import ModelError
from .export_files import install, make_record
from .model_config import CONFIG, EXTRACTOR, PROCESSOR, RECORD
from .model_files import INT8, ONNX, TRANSFORMERS_JS, weights_files
from .onnx_graph import quantise, store_halves, write_onnx
from .onnx_model import OnnxModel, reduced_precisions
from .predict import IntentClassifier
from .recipes import resolve
from .run_folder import write_json
from .torch_model import TorchModel

if TYPE_CHECKING:
    from datasets import Dataset

REDUCIBLE = 5_000_000  # parameters; a smaller model gains too little by a reduced precision
# By 8 bits too: Moonshine Tiny, of 7.7 million, is no faster than in bfloat16.
QUANTISABLE = 20_000_000
PLAIN = "plain.onnx"  # as torch wrote it, in float32
JS_PRECISION = "int8+float32"  # closest to what Transformers.js makes of the file in 8 bits
FLOAT32_TOLERANCE = 1e-4  # of scores
REDUCED_TOLERANCE = 5e-3  # of scores on fixed signals, where no data say what it costs
ACCURACY_LOST = 0.005  # at most, on validation clips
CHECK_SECONDS = (0.025, 0.4, 1.0, 1.7, 3.0, 6.0)


@dataclass(frozen=True)
class Probe:
    """Fixed signals, and what torch says of them."""

    signals: list[np.ndarray]  # float32, (n_samples,) each, at the model's sampling rate
    scores: np.ndarray  # (n_signals, n_labels)


@dataclass(frozen=True)
class Trial:
    """Validation clips, and what the model in float32 says of them."""

    data: str  # what its user calls them
    table: "Dataset"
    answers: pd.DataFrame  # see `evaluation.predict_table`


@dataclass(frozen=True)
class Form:
    """An ONNX form of a model."""

    model: OnnxModel
    difference: float  # by how much a score of fixed signals moves from torch's, at most


@dataclass(frozen=True)
class Choice:
    """The precision to answer in, and what was measured to choose it."""

    precision: str
    costs: list[dict[str, Any]]  # of each reduced precision tried, for the record


def export(folder: Path, data: str | Path | None = None) -> dict[str, Any]:
    """Write onnx/model.onnx and onnx.json into a model folder; return the latter's content.

    And onnx/model_quantized.onnx, where it answers or Transformers.js would ask for it. In float32,
    scores are within 1e-4 of torch's for clips alone and filled up in one batch, else `ModelError`.
    All but a small model then answer in the fastest reduced precision that costs little: no score
    of fixed signals moves by more than 5e-3, or with `data` (a recipe's: see `data.load_data`) no
    more than 0.5 points of accuracy on validation clips are lost. Raises `DataError` for such data.
    """
    if not folder.is_dir():
        problem = "there is no such folder"
        raise ModelError(folder, problem, "name one that holds the model")
    hub_models.model_folder(folder)  # says which files it lacks
    weights = {file.name: sha256(file) for file in weights_files(folder)}
    reference = TorchModel.load(folder, str(folder))
    probe = make_probe(reference)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch_name:
        scratch = Path(scratch_name)
        (scratch / ONNX).parent.mkdir()
        for name in (CONFIG, EXTRACTOR, PROCESSOR):
            if (folder / name).is_file():
                shutil.copy(folder / name, scratch)
        exact = check_float32(reference, folder, scratch, probe)
        trial = None
        if data is not None:
            trial = make_trial(exact.model, folder, str(data))
        n_parameters = reference.network.num_parameters()
        choice = choose_precision(scratch, probe, trial, n_parameters)
        is_for_js = reference.config.model_type in TRANSFORMERS_JS
        costs = with_cost_for_js(choice.costs, scratch, probe) if is_for_js else choice.costs
        record = make_record(scratch, choice.precision, is_for_js) | {
            "weights": weights,
            "reduced": costs,
            "difference": exact.difference,
        }
        install(scratch, folder, record)
    return record


def make_probe(reference: TorchModel) -> Probe:
    """Make signals of several lengths, the same each time, and answer them."""
    rate = reference.extractor.sampling_rate
    max_seconds = IntentClassifier(reference, "the model").max_seconds
    rng = np.random.default_rng(0)
    signals = []
    for seconds in CHECK_SECONDS:
        n_samples = int(min(seconds, max_seconds) * rate)
        signals.append(_rising_tone(rng, n_samples, rate))
    return Probe(signals, softmax(reference(signals), axis=1))


def _rising_tone(rng: np.random.Generator, n_samples: int, rate: int) -> np.ndarray:
    """Make a rising tone in noise: float32, (n_samples,)."""
    t = np.arange(n_samples) / rate  # seconds
    frequency = rng.uniform(100, 300) * (1 + 0.3 * t)  # Hz
    tone = np.sin(2 * np.pi * frequency * t) ** 3
    noise = rng.standard_normal(n_samples)
    return (0.3 * tone + 0.1 * noise).astype(np.float32)


def check_float32(
    reference: TorchModel,
    folder: Path,
    scratch: Path,
    probe: Probe,
) -> Form:
    """Write a model as ONNX into a scratch folder; raise `ModelError` if it says something else."""
    try:
        write_onnx(reference.network, scratch / PLAIN)
    except Exception as error:  # torch raises many kinds
        problem = f"torch cannot write it as ONNX ({type(error).__name__})"
        raise ModelError(folder, problem, "use the engine torch") from error
    store_halves(scratch / PLAIN, scratch / ONNX)
    exact = load_form(scratch, "float32", probe)
    if not exact.difference <= FLOAT32_TOLERANCE:  # not a number is no small difference
        problem = f"scores of its ONNX form differ from torch's by {exact.difference:.1e}"
        raise ModelError(folder, problem, "this kind of model needs the engine torch")
    return exact


def load_form(scratch: Path, precision: str, probe: Probe) -> Form:
    """Load a scratch folder's ONNX file to answer in one precision, and compare it with torch."""
    write_json(scratch / RECORD, make_record(scratch, precision))
    model = OnnxModel(scratch, cache=False)  # gone soon: not worth a place there
    return Form(model, difference(model, probe))


def difference(model: OnnxModel, probe: Probe) -> float:
    """Find by how much a score moves from torch's, with signals one by one and in one batch."""
    batch = features.model_inputs(probe.signals, model.extractor, model.rule)
    moves = []
    for logits in (model(probe.signals), model.run(batch).logits):
        scores = softmax(logits, axis=1)
        moves.append(np.abs(scores - probe.scores).max())
    return float(np.max(moves))


def make_trial(exact: OnnxModel, folder: Path, data: str) -> Trial:
    """Answer the validation clips of recordings that the model has not learned from.

    Raises `DataError`, or `ModelError` for intents that the model does not know.
    """
    classifier = IntentClassifier(exact, str(folder))
    splits = held_out.load_splits(folder, resolve(data=data), "validation")
    table = splits.tables["validation"]
    unknown = sorted(set(table.features["label"].names) - set(classifier.labels))
    if unknown:
        problem = f"has intents that the model does not know ({', '.join(unknown)})"
        raise ModelError(data, problem, f"it knows {', '.join(classifier.labels)}")
    return Trial(data, table, evaluation.predict_table(classifier, table))


def choose_precision(
    scratch: Path,
    probe: Probe,
    trial: Trial | None,
    n_parameters: int,
) -> Choice:
    """Measure what reduced precisions cost, the fastest first, up to the first that is cheap.

    Of a small model the cost is measured, and float32 is the answer.
    """
    quantise(scratch / PLAIN, scratch / INT8)
    store_halves(scratch / INT8, scratch / INT8)
    costs = []
    for precision in reduced_precisions():
        form = load_form(scratch, precision, probe)
        cost: dict[str, Any] = {"precision": precision, "difference": form.difference}
        if trial is not None:
            cost.update(accuracy_cost(form.model, trial))
        costs.append(cost)
        least = QUANTISABLE if "int8" in precision else REDUCIBLE
        if n_parameters >= least and is_cheap(cost):
            return Choice(precision, costs)
    return Choice("float32", costs)


def with_cost_for_js(
    costs: list[dict[str, Any]],
    scratch: Path,
    probe: Probe,
) -> list[dict[str, Any]]:
    """Add what 8 bits cost beside float32, as Transformers.js computes, where nobody tried that."""
    if any(cost["precision"] == JS_PRECISION for cost in costs):
        return costs
    form = load_form(scratch, JS_PRECISION, probe)
    return [*costs, {"precision": JS_PRECISION, "difference": form.difference}]


def is_cheap(cost: dict[str, Any]) -> bool:
    """Whether a reduced precision may answer: by its accuracy where that was measured."""
    if "accuracy_lost" in cost:
        return cost["accuracy_lost"] <= ACCURACY_LOST
    return cost["difference"] <= REDUCED_TOLERANCE


def accuracy_cost(reduced: OnnxModel, trial: Trial) -> dict[str, Any]:
    """Measure how often two forms of a model agree, and the accuracy that the second one loses."""
    exact = trial.answers
    other = evaluation.predict_table(IntentClassifier(reduced, trial.data), trial.table)
    agreement = (exact["predicted"] == other["predicted"]).mean()
    accuracy_lost = _accuracy(exact) - _accuracy(other)
    return {
        "data": trial.data,
        "n": len(exact),
        "agreement": float(agreement),
        "accuracy_lost": float(accuracy_lost),
    }


def _accuracy(answers: pd.DataFrame) -> float:
    return (answers["predicted"] == answers["intent"]).mean()
