"""Train on a dataset and score the result: what notebook 2 and the command line both do."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from . import (
    data,
    evaluation,
    negatives,
    plots,
    provenance,
    remarks,
    run_folder,
    search,
    settings,
    sources,
    training,
)
from .data import Splits
from .extras import NO_EXTRAS, Extras
from .names import file_stem
from .predict import IntentClassifier
from .recipes import Recipe

COMPARED = (
    "validation",  # the best score there, by the numbers' metric
    "n",
    "correct",
    "accuracy",
    "f1_macro",
    "f1_weighted",
    "parameters",
    "train_seconds",
)


def run(
    recipe: Recipe, output_dir: Path, resume: bool = False, extras: Extras = NO_EXTRAS
) -> dict[str, Any]:
    """Train as a recipe says and score the result on its test split.

    `output_dir` gets `model/`, `metrics.json` (copied into `model/` too, and returned),
    `predictions.csv`, `training_log.csv`, pictures and `settings.toml`, a recipe of the same again.
    Under torchrun the processes beside the main one return an empty dict. Raises `DataError`,
    `ModelError`, `OutputError`, and `UserError` for what the extras ask for and cannot have.
    """
    run_folder.check_output(output_dir, resume)
    splits = data.load_data(recipe)
    if training.is_main_process():
        record = {"synthetic": remarks.learned(splits.tables)}
        notes = remarks.remarks(remarks.with_scored(record, splits.tables["test"]))
        print(data.summary(splits.tables).to_string(), f"Split: {splits.note}", *notes, sep="\n")
        if recipe.note:
            print(f"Note: {recipe.note}")
    if not training.is_main_process():
        return train_and_score(recipe, splits, output_dir, resume)
    with run_folder.held(output_dir):
        if extras.n_trials is not None:
            found = search.run(recipe, splits.tables, output_dir, extras.n_trials, resume)
            recipe, extras = found.recipe, replace(extras, searched=found.record)
        if not run_folder.has_begun(output_dir):
            run_folder.write_text(output_dir / settings.FILE, settings.text(asdict(recipe)))
        if extras.pusher is not None:
            extras.pusher.open(output_dir)
        return _train_and_score(recipe, splits, output_dir, resume, extras)


def train_and_score(
    recipe: Recipe, splits: Splits, output_dir: Path, resume: bool = False
) -> dict[str, Any]:
    """Train on tables and score the result, as one of several."""
    if not training.is_main_process():
        training.fine_tune(recipe, splits.tables, output_dir, resume, splits.unknown)
        return {}
    with run_folder.held(output_dir):
        return _train_and_score(recipe, splits, output_dir, resume, NO_EXTRAS)


def _train_and_score(
    recipe: Recipe, splits: Splits, output_dir: Path, resume: bool, extras: Extras
) -> dict[str, Any]:
    trained = training.fine_tune(recipe, splits.tables, output_dir, resume, splits.unknown, extras)
    return _score(recipe, splits, trained, output_dir)


def _score(
    recipe: Recipe, splits: Splits, trained: dict[str, Any], output_dir: Path
) -> dict[str, Any]:
    """Score what was trained, and draw what it did."""
    tables = splits.tables
    log = pd.read_csv(output_dir / "training_log.csv")
    curves = plots.training_curves(log, recipe.numbers.metric)
    plots.save(curves, output_dir / "training_curves.png")
    classifier = IntentClassifier.from_pretrained(output_dir / "model")
    examples = evaluation.examples(classifier, tables["validation"])
    plots.save(plots.answers(examples), output_dir / "validation.png")
    record = {
        **trained,
        "data": recipe.data,
        "data_called": sources.source("data", recipe.data).called,
        "config": recipe.config,
        "note": recipe.note,
        "split": f"test ({splits.note})",
        **data.facts(tables),
        **({"added": list(recipe.add)} if recipe.add else {}),
    }
    others = negatives.of_split(recipe, tables, splits.unknown, "test")
    result = evaluation.evaluate_model(
        classifier, tables["test"], output_dir, record, others=others
    )
    shutil.copy(output_dir / "metrics.json", output_dir / "model")
    return result


def compare_encoders(
    recipes: list[Recipe], output_dir: Path, resume: bool = False, extras: Extras = NO_EXTRAS
) -> pd.DataFrame | None:
    """Run recipes that differ in their encoder, each into a folder of its own in `output_dir`.

    With `resume`, runs that are finished are kept if they are made of the same.
    Gives a row an encoder, also in `comparison.csv`; None in the processes of torchrun beside the
    main one.
    """
    folders = encoder_folders([recipe.encoder for recipe in recipes])
    results = {}
    for recipe in recipes:
        folder = output_dir / folders[recipe.encoder]
        if resume and (folder / "metrics.json").exists():
            result = _finished(recipe, folder)
        else:
            result = run(recipe, folder, resume, extras)
        validation = result.get("best_validation", {}).get(recipe.numbers.metric)
        results[recipe.encoder] = {"validation": validation, **result}
    if not training.is_main_process():
        return None
    table = pd.DataFrame.from_dict(results, orient="index")[list(COMPARED)]
    table = table.rename_axis("encoder")
    table.to_csv(output_dir / "comparison.csv")
    return table


def _finished(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Read the figures of a finished run. Raises `OutputError` if it is made of something else."""
    splits = data.load_data(recipe)
    clips = provenance.clips_of(splits.tables, splits.unknown)
    provenance.claim(folder, provenance.ingredients(recipe), clips)
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def keep_best(table: pd.DataFrame, output_dir: Path) -> str:
    """Copy the run that validation prefers from its own folder into `output_dir` itself.

    `table` is that of `compare_encoders`. Gives the encoder; of equals it is the first.
    """
    best = str(table["validation"].idxmax())
    folders = encoder_folders(list(table.index))
    shutil.copytree(output_dir / folders[best], output_dir, dirs_exist_ok=True)
    return best


def encoder_folders(encoders: list[str]) -> dict[str, str]:
    """Name a folder for each encoder: the last part of its name where that tells it apart.

    None is called "model", as in a run's folder the model is.
    """
    last = {encoder: file_stem(Path(encoder).name) for encoder in encoders}
    stems = [*last.values(), "model"]
    return {
        encoder: stem if stems.count(stem) == 1 else file_stem(encoder)
        for encoder, stem in last.items()
    }
