"""The same experiment on several splits and seeds: a figure with its spread.

It stands beside those of a baseline, MFCC + SVM, and of the majority class.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import (
    additions,
    baseline,
    data,
    evaluation,
    experiment,
    metrics,
    provenance,
    remarks,
    run_folder,
    settings,
    unlabelled,
)
from .data import Recordings, Splits
from .errors import UserError
from .folds import Fold, folds
from .recipes import Recipe
from .splits import SplitTable
from .tables import CORRECTED, is_corrected

CLASSIFIERS = ("encoder", "MFCC + SVM", "majority class")
FIGURES = ("n", "correct", "accuracy", "accuracy_interval", "f1_macro", "f1_macro_interval")
POOLED = (*FIGURES, "bootstrap")  # over the folds of the first seed
SHOWN = (*FIGURES, "mean", "sd")


@dataclass(frozen=True)
class Protocol:
    """Which splits are trained and scored, and with which seeds."""

    name: str  # "given", "random", "speaker", "kfold" or "leave-one-speaker-out"
    n_folds: int = 5  # of kfold
    seeds: Sequence[int] = (0,)
    keep_weights: bool = False  # the model of every fold

    def __post_init__(self) -> None:
        """Raise `UserError` for numbers that cannot be."""
        if self.n_folds < 2:
            raise UserError("folds", f"{self.n_folds} cannot be", "give 2 or more")
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            listed = ",".join(map(str, self.seeds))
            raise UserError("seeds", f"'{listed}' cannot be", "give one or more, each once")


def run_protocol(protocol: Protocol, recipe: Recipe, output_dir: Path) -> dict[str, Any]:
    """Train and score every fold and seed, in folders of `output_dir` that are numbered.

    Finished folds are kept, so a run can be repeated, with more seeds too. Writes `settings.toml`
    and `results.json`, and returns the latter: for the encoder, MFCC + SVM and the majority class,
    `accuracy` pooled over the folds of the first seed with its interval, `mean` and `sd` over all
    folds and seeds, and `runs`.
    Raises `OutputError` if what is in `output_dir` was made of something else.
    """
    run_folder.check_output(output_dir, resume=False)  # another kind of run would lose its list
    recordings = data.read_recordings(recipe)
    with run_folder.held(output_dir):
        return _run_folds(protocol, recipe, recordings, output_dir)


def _run_folds(
    protocol: Protocol, recipe: Recipe, recordings: Recordings, output_dir: Path
) -> dict[str, Any]:
    """Do what `run_protocol` does, from recordings on."""
    table = recordings.table
    begun = any(output_dir.glob("fold-*"))
    provenance.claim(output_dir, made_of(protocol, recipe, table), begun=begun)
    run_folder.write_text(output_dir / settings.FILE, settings.text(asdict(recipe)))
    statistics = baseline.table_statistics(recordings.clips)
    answers: dict[str, list[pd.DataFrame]] = {name: [] for name in CLASSIFIERS}
    train_seconds = 0.0
    note = ""
    voices: dict[str, Any] = {}
    for seed in protocol.seeds:
        seeded = recipe.with_seed(seed)
        drawn = folds(table, protocol.name, protocol.n_folds, seeded)
        for number, fold in enumerate(drawn, start=1):
            folder = output_dir / f"fold-{number:02d}-seed-{seed}"
            note = f"{protocol.name}, {fold.name}; {fold.note}"
            splits = data.make_splits(recordings, SplitTable(fold.table, note))
            voices = {"synthetic": remarks.learned(splits.tables)}
            voices = remarks.with_scored(voices, splits.tables["test"])
            train_seconds += _train(seeded, splits, folder, protocol.keep_weights)
            for name, part in _answers(fold, statistics, folder).items():
                answers[name].append(part.assign(fold=fold.name, seed=seed))
    scores = {name: summary(pd.concat(parts), protocol.seeds[0]) for name, parts in answers.items()}
    results = {
        "protocol": protocol.name,
        "seeds": list(protocol.seeds),
        **_facts(recipe, table),
        "last_split": note,  # with a warning of speakers or phrasings on both sides
        **voices,  # of the last split
        "hyperparameters": recipe.numbers.used(),
        "train_seconds": round(train_seconds, 1),
        **scores,
    }
    run_folder.write_json(output_dir / "results.json", results)
    return results


def _facts(recipe: Recipe, table: pd.DataFrame) -> dict[str, Any]:
    """Say for a record which clips there are: the data's own, and how many were added."""
    own = additions.apart(table).own
    adapted = {}
    if recipe.adapt is not None:
        recordings = unlabelled.read(recipe.adapt)
        n_among = int(own["digest"].isin(recordings.clips["digest"]).sum())
        adapted = {"adapted": {**recordings.facts(), "test_clips": n_among}}
    return {
        "data": Path(recipe.data).name,
        "data_hash": _hash(table, ["file_name", "intent"]),
        "n": len(own),
        "n_added": len(table) - len(own),
        "speakers": len(set(own["speaker"]) - {""}),
        **adapted,
    }


def made_of(protocol: Protocol, recipe: Recipe, table: pd.DataFrame) -> dict[str, Any]:
    """Name everything that decides what a fold's results are, but for the seed."""
    table = table.assign(split=table["split"].mask(is_corrected(table), CORRECTED))
    ingredients = provenance.ingredients(recipe)
    del ingredients["seed"]  # a folder may hold several
    return {
        **ingredients,
        "protocol": protocol.name,
        "folds": protocol.n_folds if protocol.name == "kfold" else None,
        "list of clips": _hash(table, ["file_name", "intent", "speaker", "split", "digest"]),
        "test_share": recipe.test_share,
        "validation_share": recipe.validation_share,
        "by_speaker": recipe.by_speaker,
        "drop_copies": recipe.drop_copies,
    }


def _hash(table: pd.DataFrame, columns: list[str]) -> str:
    text = table[columns].to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _train(recipe: Recipe, splits: Splits, folder: Path, keep_weights: bool) -> float:
    """Train and score one fold unless that is done; give the seconds that training took."""
    path = folder / "metrics.json"
    if not path.exists():
        experiment.train_and_score(recipe, splits, folder, resume=folder.exists())
    if not keep_weights:
        shutil.rmtree(folder / "model", ignore_errors=True)
    return json.loads(path.read_text(encoding="utf-8"))["train_seconds"]


def _answers(fold: Fold, statistics: np.ndarray, folder: Path) -> dict[str, pd.DataFrame]:
    """Give the answers of each classifier to the fold's test clips.

    `statistics` (n_clips, 480) are those of all clips; the baselines learn from train alone.
    """
    is_train = (fold.table["split"] == "train").to_numpy()
    is_test = (fold.table["split"] == "test").to_numpy()
    intents = fold.table["intent"][is_train]
    svm = baseline.make_svm().fit(statistics[is_train], intents)
    test = fold.table.loc[is_test, ["intent", "speaker"]]
    return {
        "encoder": evaluation.read_predictions(folder),
        "MFCC + SVM": test.assign(predicted=svm.predict(statistics[is_test])),
        "majority class": test.assign(predicted=intents.mode()[0]),
    }


def summary(answers: pd.DataFrame, first_seed: int) -> dict[str, Any]:
    """Score the answers (`intent`, `predicted`, `speaker`, `fold`, `seed`) to all test clips."""
    is_correct = answers["intent"] == answers["predicted"]
    by_run = is_correct.groupby([answers["seed"], answers["fold"]])
    runs = by_run.agg(accuracy="mean", n="size").reset_index()
    pooled = answers[answers["seed"] == first_seed]
    labels = sorted(set(pooled["intent"]) | set(pooled["predicted"]))
    ids = {label: i for i, label in enumerate(labels)}
    truth = pooled["intent"].map(ids)
    predicted = pooled["predicted"].map(ids)
    scores = metrics.classification_metrics(truth, predicted, labels, pooled["speaker"])
    return {
        **{name: scores[name] for name in POOLED},
        "mean": float(runs["accuracy"].mean()),
        "sd": float(runs["accuracy"].std(ddof=1)) if len(runs) > 1 else None,
        "runs": runs.to_dict("records"),
    }


def table_of(results: dict[str, Any]) -> str:
    """Lay the classifiers side by side for printing, with what qualifies their figures."""
    rows = {name: {column: results[name][column] for column in SHOWN} for name in CLASSIFIERS}
    lines = [
        pd.DataFrame(rows).T.to_string(),
        f"Protocol {results['protocol']}, seeds {results['seeds']}, "
        f"data list {results['data_hash']}",
        f"Last split: {results['last_split']}",
        *remarks.remarks(results),
        "Intervals: accuracy Wilson's, macro F1 bootstrap " + results["encoder"]["bootstrap"],
    ]
    if results["protocol"] in ("random", "kfold") and not results["speakers"]:
        lines.append(
            "Warning: speakers are not named; the same may be on both sides, "
            "and the figures flatter."
        )
    return "\n".join(lines)
