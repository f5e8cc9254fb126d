"""Score a trained model on labelled recordings, and write down everything about it."""

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from . import (
    audio,
    data,
    held_out,
    hub_models,
    metrics,
    negatives,
    remarks,
    sources,
    unknown_test,
)
from .conditions import Change, conditions
from .errors import ModelError, OutputError, UserError
from .intervals import mcnemar
from .plots import Example
from .predict import IntentClassifier
from .recipes import Recipe
from .results import PREDICTIONS, write_results
from .run_folder import held

if TYPE_CHECKING:
    from datasets import Dataset

UNKNOWN = "unknown.csv"
NAMES = ("file_name", "intent", "predicted", "speaker")  # text, whatever they look like
N_VOICES = 30  # clips in memory, of which babble is made


def score_model(
    model: str,
    recipe: Recipe,
    split: str,
    output_dir: Path,
    robustness: bool = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Score a model, a folder or Hub id, on a split of the data that a recipe names.

    The clips are those of `held_out.load_splits`; `output_dir` gets what `evaluate_model` writes.
    Returns the contents of metrics.json. Raises `OutputError`, `DataError`, `ModelError`.
    """
    if (output_dir / "metrics.json").exists():
        remedy = "choose another folder, or delete it first"
        raise OutputError(output_dir, "holds results", remedy)
    splits = held_out.load_splits(model, recipe, split, seed)
    classifier = IntentClassifier.from_pretrained(model, engine="torch")
    record = {
        "model": model,
        "data": recipe.data,
        "data_called": sources.source("data", recipe.data).called,
        "config": recipe.config,
        "split": f"{split} ({splits.note})",
        "seed": held_out.split_seed(hub_models.model_folder(model), seed),
        **data.facts(splits.tables),
        **remarks.of_model(hub_models.model_folder(model)),
    }
    name = "test" if split == held_out.ALL else split
    others = negatives.of_split(recipe, splits.tables, splits.unknown, name)
    with held(output_dir):
        return evaluate_model(
            classifier, splits.tables[name], output_dir, record, robustness, others
        )


def evaluate_model(
    classifier: IntentClassifier,
    table: "Dataset",
    output_dir: Path,
    record: dict[str, Any],
    robustness: bool = False,
    others: "Dataset | None" = None,
) -> dict[str, Any]:
    """Score a classifier on one split of `data.load_data` and write the results.

    The model is not changed. `output_dir` gets what `write_results` writes and, with `robustness`,
    `robustness.csv`: accuracy under each of `conditions`. A model that tells what it was never
    taught answers `others` too, clips of no intent (`negatives.of_split`): `unknown.csv`. Returns
    the contents of metrics.json.
    Raises `ModelError` for intents that the model does not know.
    """
    check_intents(classifier, table)
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    predictions = predict_table(classifier, table)
    by_condition = None
    if robustness:
        by_condition = accuracy_by_condition(classifier, table)
        by_condition.to_csv(output_dir / "robustness.csv")
    record = remarks.with_scored(record, table)
    record["threshold"] = classifier.threshold
    record["says_unknown"] = classifier.says_unknown
    record["unknown_test"] = []
    if classifier.says_unknown and others is not None and len(others):
        answers = unknown_test.answer_unknown(classifier, others)
        answers.to_csv(output_dir / UNKNOWN, index=False)
        by_kind = unknown_test.figures(answers, predictions).reset_index()
        record["unknown_test"] = by_kind.to_dict("records")
    return write_results(predictions, classifier.labels, output_dir, record, by_condition)


def check_intents(classifier: IntentClassifier, table: "Dataset") -> None:
    """Raise `ModelError` for a table with intents that the model does not know."""
    names = table.features["label"].names
    spoken = {names[label] for label in table["label"]}
    unknown = sorted(spoken - set(classifier.labels))
    if unknown:
        problem = f"does not know the intents {', '.join(unknown)} of the data"
        remedy = f"it knows {', '.join(classifier.labels)}"
        raise ModelError(classifier.name, problem, remedy)


def predict_table(
    classifier: IntentClassifier, table: "Dataset", change: Change | None = None
) -> pd.DataFrame:
    """Predict every clip of a table, in its order.

    `change` alters the first window of each (see `conditions`). Gives `file_name`, `intent`
    (truth), `predicted` (the best intent, accepted or not), `score`, `accepted`, `knownness`,
    `speaker`, `seconds` and `p_INTENT`, the probability of every intent.
    """
    names = table.features["label"].names
    sampling_rate = classifier.extractor.sampling_rate
    bar = tqdm(table, desc="Predicting", unit="clip", disable=None, leave=False)
    rows = []
    for i, row in enumerate(bar):
        source = row["audio"]
        if change is not None:
            clip = _first_window(classifier, row)
            source = (change(clip, sampling_rate, i), sampling_rate)
        prediction = classifier.predict(source)
        for warning in prediction.warnings:
            audio.log_warning(warning)
        rows.append(
            {
                "file_name": row["file_name"],
                "intent": names[row["label"]],
                "predicted": prediction.label,
                "score": prediction.score,
                "accepted": prediction.accepted,
                "knownness": prediction.knownness,
                "speaker": row["speaker"],
                "seconds": round(prediction.seconds, 3),
                **{f"p_{label}": score for label, score in sorted(prediction.scores)},
            }
        )
    return pd.DataFrame(rows)


def accuracy_by_condition(classifier: IntentClassifier, table: "Dataset") -> pd.DataFrame:
    """Answer every clip of a table under each of `conditions`; see `metrics.accuracy_by`."""
    voices = [_first_window(classifier, row) for row in _spread(table, N_VOICES)]
    changes = conditions(voices)
    answers = {name: predict_table(classifier, table, changes[name]) for name in changes}
    together = pd.concat(answers, names=["condition"]).reset_index("condition")
    return metrics.accuracy_by(together, ["condition"]).loc[list(answers)]


def read_predictions(folder: Path) -> pd.DataFrame:
    """Read the answers that `write_results` left in a folder; an intent called 01 stays so."""
    kinds = dict.fromkeys(NAMES, str)
    return pd.read_csv(folder / PREDICTIONS, dtype=kinds, keep_default_na=False)


def compare_models(folders: Mapping[str, Path]) -> pd.DataFrame:
    """Compare models, by name, on the same clips, from the folders of their results.

    Gives a row a model, best first: `correct`, `n`, `accuracy`, its interval (`low`, `high`), and
    of the exact McNemar test against the best `only_best`, `only_this` (clips that one of the two
    alone answered correctly) and `p`. Raises `UserError` if the clips differ.
    """
    answers = {name: read_predictions(folder) for name, folder in folders.items()}
    _check_same_clips(answers)
    together = pd.concat(answers, names=["model"]).reset_index("model")
    counts = metrics.accuracy_by(together, ["model"])
    counts = counts.sort_values("accuracy", ascending=False, kind="stable")
    is_correct = {name: table["intent"] == table["predicted"] for name, table in answers.items()}
    best, *others = counts.index
    rows = [astuple(mcnemar(is_correct[best], is_correct[name])) for name in others]
    return counts.join(pd.DataFrame(rows, others, ["only_best", "only_this", "p"]))


def _check_same_clips(answers: Mapping[str, pd.DataFrame]) -> None:
    first, *others = answers
    clips = list(answers[first]["file_name"])
    for name in others:
        if list(answers[name]["file_name"]) != clips:
            problem = f"was not scored on the same clips as {first}"
            raise UserError(name, problem, "give the data a split column")


def examples(classifier: IntentClassifier, table: "Dataset", n: int = 8) -> list[Example]:
    """Pick n clips of a table at even distances and answer them."""
    names = table.features["label"].names
    picked = []
    for row in _spread(table, n):
        clip = _first_window(classifier, row)
        prediction = classifier.predict(row["audio"])
        picked.append(Example(clip, names[row["label"]], prediction.label, prediction.score))
    return picked


def _spread(table: "Dataset", n: int) -> "Dataset":
    return table.select(range(0, len(table), max(1, len(table) // n))[:n])


def _first_window(classifier: IntentClassifier, row: dict) -> np.ndarray:
    rate = classifier.extractor.sampling_rate
    seconds = classifier.max_seconds
    return audio.load(row["audio"], rate, max_seconds=seconds, warn=audio.say_nothing)


def headline(result: dict[str, Any]) -> str:
    """Say the headline figures of `metrics.json` in one line."""
    low, high = result["accuracy_interval"]
    accuracy = f"accuracy {result['accuracy']:.4f} = {result['correct']}/{result['n']}"
    interval = f"95 % interval {low:.3f} to {high:.3f}"
    aside = remarks.aside(result)
    return f"{accuracy} ({interval}), macro F1 {result['f1_macro']:.4f}{aside}"
