"""Fine-tuning: an encoder, tables of clips and numbers become a model.

transformers' Trainer trains it; a frozen encoder gets a logistic regression (`frozen_head`).
"""

import json
import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import (
    finishing,
    frozen_head,
    margins,
    model,
    negatives,
    provenance,
    remarks,
    run_folder,
    sources,
    tracking,
)
from .extras import NO_EXTRAS, Extras
from .model import NewClassifier, Trained
from .model_config import AFTER, BEFORE
from .recipes import Hyperparameters, Recipe
from .trainer import build_trainer, load_best, training_log, was_last

if TYPE_CHECKING:
    from datasets import DatasetDict
    from transformers import Trainer, TrainerCallback

MIN_EPOCHS = 10
MAX_EPOCHS = 60


def settle(numbers: Hyperparameters, classifier: NewClassifier, n_train: int) -> Hyperparameters:
    """Settle the numbers that were left to the size of encoder and data."""
    epochs = numbers.epochs
    if epochs is None:
        n_processes = int(os.environ.get("WORLD_SIZE", 1))
        batch = numbers.batch_size * numbers.gradient_accumulation_steps * n_processes
        steps_per_epoch = math.ceil(n_train / batch)
        epochs = math.ceil(numbers.steps / steps_per_epoch)
        epochs = min(MAX_EPOCHS, max(MIN_EPOCHS, epochs))
    learning_rate = numbers.learning_rate
    if learning_rate is None:
        learning_rate = model.usual_learning_rate(classifier)
    return replace(numbers, epochs=epochs, learning_rate=learning_rate)


def fine_tune(
    recipe: Recipe,
    tables: "DatasetDict",
    output_dir: Path,
    resume: bool = False,
    unknown: "DatasetDict | None" = None,
    extras: Extras = NO_EXTRAS,
) -> dict[str, Any]:
    """Fine-tune a recipe's encoder and save the checkpoint that was best on validation.

    A frozen encoder gets a head that is fitted to the training clips alone, in a minute or less.
    `unknown` are the data's own clips of no intent (`data.Splits`); `extras` may have trackers, and
    a place for each better checkpoint.

    `output_dir` gets `model/` (model, feature extractor, label maps, what the head saw of the
    clips: `stored_outputs`, and what decides whether it answers: `rejection`), `training_log.csv`,
    what the run is made of (`provenance`) and, until it is done, `checkpoints/`; with `resume`,
    training goes on from the last complete one, if there is one. Gives, for the record and also in
    `model/training.json`: `encoder`, `seed`, `train_seconds` (of this process), `epochs`, `steps`,
    `parameters`, `best_validation`, `hyperparameters`, `synthetic` (`remarks`), `recipe`
    (`Recipe.differences`), `sources`, `versions`, `unknown` (`fit_rejection.Fitted`) where the
    model can say so, with `recipe.adapt`, `adapted` and, of numbers that were searched, `search`;
    with a frozen encoder, `epochs` and `steps` are None, and `inverse_regularisation` is
    scikit-learn's C.
    Raises `OutputError` if `output_dir` holds a finished run, one of something else, or an
    unfinished one and `resume` is false; `UserError` where training diverges.
    """
    run_folder.check_output(output_dir, resume)
    done = output_dir / "model" / "training.json"
    checkpoints = output_dir / "checkpoints"
    begun = run_folder.has_begun(output_dir)
    if is_main_process():
        clips = provenance.clips_of(tables, unknown)
        provenance.claim(output_dir, provenance.ingredients(recipe), clips, begun)
    if done.exists():  # killed after training, before the test split was scored
        return json.loads(done.read_text(encoding="utf-8"))
    made_of = _made_of(recipe, tables, extras)  # no card that cannot be read comes up after hours
    classifier, numbers = begin(recipe, tables)
    began = time.perf_counter()
    if numbers.freeze == "encoder":
        trained = frozen_head.train(classifier, tables, numbers)
    else:
        watchers = _watchers(extras, output_dir, made_of) if is_main_process() else []
        trained = _train(classifier, tables, numbers, checkpoints, resume, watchers)
    seconds = round(time.perf_counter() - began, 1)
    others = negatives.of_split(recipe, tables, unknown, "train")
    finished = finishing.finish(recipe, classifier, tables, trained, others)
    record = {
        **made_of,
        "train_seconds": seconds,
        "parameters": classifier.model.num_parameters(),
        **trained.record,
        **finished.record,
    }
    if is_main_process():
        trained.log.to_csv(output_dir / "training_log.csv", index=False)
        finishing.save(classifier, record, finished, output_dir)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return record


def _watchers(extras: Extras, output_dir: Path, made_of: dict[str, Any]) -> list["TrainerCallback"]:
    """Make the callbacks of trackers, and of what takes better checkpoints to the Hub."""
    watchers = tracking.callbacks(extras.report_to, output_dir)
    if extras.pusher is not None:
        watchers.append(extras.pusher.watcher(made_of))
    return watchers


def _made_of(recipe: Recipe, tables: "DatasetDict", extras: Extras) -> dict[str, Any]:
    """Say for the record what a model is about to be made of, and how it is made again."""
    return {
        "encoder": recipe.encoder,
        "seed": recipe.numbers.seed,
        "synthetic": remarks.learned(tables),
        "recipe": recipe.differences(),
        "sources": sources.of_recipe(recipe),
        "versions": provenance.versions(),
        **({"search": extras.searched} if extras.searched else {}),
    }


def begin(recipe: Recipe, tables: "DatasetDict") -> tuple[NewClassifier, Hyperparameters]:
    """Put a head for the labels of training clips on a recipe's encoder, and freeze what it says.

    Gives the numbers too; `freeze` is no longer "auto".
    """
    numbers = recipe.numbers
    labels = tables["train"].features["label"].names
    built = model.build_model(
        recipe.encoder, labels, numbers.spec_augment, numbers.seed, recipe.cut_to_clip
    )
    config = built.model.config
    config.max_seconds = numbers.max_seconds
    found = margins.measure(tables["train"], numbers.seed)
    if found is not None:
        before, after = found
        config.update({BEFORE: before, AFTER: after})
    return built, replace(numbers, freeze=model.freeze(built, numbers.freeze))


def start_head(classifier: NewClassifier, tables: "DatasetDict", numbers: Hyperparameters) -> None:
    """Fit the head of a pretrained Moonshine before anything else learns.

    Fine-tuning from a random head would first undo what the encoder knows (Kumar et al. 2022,
    arXiv:2202.10054).
    """
    if classifier.is_moonshine and classifier.pretrained:
        frozen_head.train(classifier, tables, numbers)


def _train(
    classifier: NewClassifier,
    tables: "DatasetDict",
    numbers: Hyperparameters,
    checkpoints: Path,
    resume: bool,
    watchers: list["TrainerCallback"],
) -> Trained:
    """Train by the Trainer; the best checkpoint's weights are the model's in the end."""
    numbers = settle(numbers, classifier, len(tables["train"]))
    last = run_folder.last_checkpoint(checkpoints) if resume else None
    if last is None:
        start_head(classifier, tables, numbers)
    trainer = build_trainer(classifier, tables, numbers, checkpoints, watchers)
    if last is not None and was_last(last):
        load_best(trainer, last)
    else:
        trainer.train(resume_from_checkpoint=last and str(last))
    answers = trainer.predict(trainer.eval_dataset)
    # From here on it computes in float32 again, as whoever loads it will.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    log = training_log(trainer.state.log_history)
    record = {
        "epochs": round(trainer.state.epoch, 2),
        "steps": trainer.state.global_step,
        "best_validation": {numbers.metric: _best_score(trainer, log, numbers.metric)},
        "hyperparameters": numbers.used(),
    }
    return Trained(answers.predictions, answers.label_ids, log, record)


def _best_score(trainer: "Trainer", log: pd.DataFrame, metric: str) -> float:
    best = log.set_index("step").loc[trainer.state.best_global_step]
    return float(best[f"eval_{metric}"])


def is_main_process() -> bool:
    """Whether this process is the one that writes and prints, under torchrun too."""
    return int(os.environ.get("RANK", 0)) == 0
