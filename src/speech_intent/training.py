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

from . import adaptation, frozen_head, model, provenance, remarks, run_folder, unlabelled
from .model import NewClassifier, Trained
from .model_files import CLIPS
from .paths import BUNDLED_ENCODERS
from .recipes import Hyperparameters, Recipe
from .trainer import build_trainer, load_best, training_log, was_last

if TYPE_CHECKING:
    from datasets import DatasetDict
    from transformers import Trainer

MIN_EPOCHS = 10
MAX_EPOCHS = 60
LICENSE = "LICENSE"  # beside an encoder whose terms ask that it comes along


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
    recipe: Recipe, tables: "DatasetDict", output_dir: Path, resume: bool = False
) -> dict[str, Any]:
    """Fine-tune a recipe's encoder and save the checkpoint that was best on validation.

    A frozen encoder gets a head that is fitted to the training clips alone, in a minute or less.

    `output_dir` gets `model/` (model, feature extractor, label maps), `training_log.csv`, what the
    run is made of (`provenance`) and, until it is done, `checkpoints/`; with `resume`, training
    goes on from the last complete one, if there is one. Gives, for the record and also in
    `model/training.json`: `encoder`, `seed`, `train_seconds` (of this process), `epochs`, `steps`,
    `parameters`, `best_validation`, `hyperparameters`, `synthetic` (`remarks`) and, with
    `recipe.adapt`, `adapted`; with a frozen encoder, `epochs` and `steps` are None, and
    `inverse_regularisation` is scikit-learn's C. Raises `OutputError` if `output_dir` holds a
    finished run, one of something else, or an unfinished one and `resume` is false; `UserError`
    where training diverges.
    """
    run_folder.check_output(output_dir, resume)
    finished = output_dir / "model" / "training.json"
    checkpoints = output_dir / "checkpoints"
    if is_main_process():
        begun = finished.exists() or run_folder.last_checkpoint(checkpoints) is not None
        clips = provenance.clips_of(tables)
        provenance.claim(output_dir, provenance.ingredients(recipe), clips, begun)
    if finished.exists():  # killed after training, before the test split was scored
        return json.loads(finished.read_text(encoding="utf-8"))
    numbers = recipe.numbers
    labels = tables["train"].features["label"].names
    classifier = model.build_model(recipe.encoder, labels, numbers.spec_augment, numbers.seed)
    numbers = replace(numbers, freeze=model.freeze(classifier, numbers.freeze))
    classifier.model.config.max_seconds = numbers.max_seconds
    began = time.perf_counter()
    if numbers.freeze == "encoder":
        trained = frozen_head.train(classifier, tables, numbers)
    else:
        trained = _train(classifier, tables, numbers, checkpoints, resume)
    found = _finish(recipe, classifier, tables, trained)
    record = {
        "encoder": recipe.encoder,
        "seed": numbers.seed,
        "train_seconds": round(time.perf_counter() - began, 1),
        "parameters": classifier.model.num_parameters(),
        "synthetic": remarks.learned(tables),
        **trained.record,
        **found,
    }
    if is_main_process():
        trained.log.to_csv(output_dir / "training_log.csv", index=False)
        _save(classifier, record, output_dir)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return record


def _finish(
    recipe: Recipe, classifier: NewClassifier, tables: "DatasetDict", trained: Trained
) -> dict[str, Any]:
    """Calibrate a head, and adapt it where that is asked for; give what is to be recorded."""
    network = classifier.model
    precision = recipe.numbers.target_precision
    if recipe.adapt is None:
        model.calibrate(network, trained.logits, trained.label_ids, precision)
        return {}
    recordings = unlabelled.read(recipe.adapt)
    adapted = adaptation.adapt(classifier, tables, recordings, recipe.numbers, trained)
    trained = adapted.trained
    model.calibrate(network, trained.logits, trained.label_ids, precision)
    adaptation.fold(network, adapted.mapping)
    return {"adapted": adapted.record}


def _save(classifier: NewClassifier, record: dict[str, Any], output_dir: Path) -> None:
    """Write `model/`, with the list of its clips and the licence of its encoder."""
    encoder = Path(BUNDLED_ENCODERS.get(record["encoder"], record["encoder"]))
    others = [output_dir / CLIPS]
    if classifier.pretrained and (encoder / LICENSE).is_file():
        others.append(encoder / LICENSE)
    folder = output_dir / "model"
    run_folder.save_model(classifier.model, classifier.extractor, record, folder, others)


def _train(
    classifier: NewClassifier,
    tables: "DatasetDict",
    numbers: Hyperparameters,
    checkpoints: Path,
    resume: bool,
) -> Trained:
    """Train by the Trainer; the best checkpoint's weights are the model's in the end."""
    numbers = settle(numbers, classifier, len(tables["train"]))
    last = run_folder.last_checkpoint(checkpoints) if resume else None
    if classifier.is_moonshine and classifier.pretrained and last is None:
        # Fine-tuning from a random head would first undo what the encoder knows (Kumar et al. 2022,
        # arXiv:2202.10054).
        frozen_head.train(classifier, tables, numbers)
    trainer = build_trainer(classifier, tables, numbers, checkpoints)
    if last is not None and was_last(last):
        load_best(trainer, last)
    else:
        trainer.train(resume_from_checkpoint=last and str(last))
    answers = trainer.predict(trainer.eval_dataset)
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
