"""Fine-tuning: an encoder, tables of clips and numbers become a model.

transformers' Trainer trains it; a frozen encoder gets a logistic regression (`frozen_head`).
"""

import json
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import (
    adaptation,
    fit_rejection,
    frozen_head,
    model,
    negatives,
    provenance,
    rejection,
    remarks,
    run_folder,
    stored_outputs,
    unlabelled,
)
from .digests import sha256
from .model import NewClassifier, Trained
from .model_files import CLIPS, LICENSE, POOLED, REJECTION
from .paths import BUNDLED_ENCODERS
from .recipes import Hyperparameters, Recipe
from .rejection import Rejection
from .stored_outputs import Pooled
from .tables import UNKNOWN
from .trainer import build_trainer, load_best, training_log, was_last

if TYPE_CHECKING:
    from datasets import DatasetDict
    from transformers import Trainer

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


@dataclass(frozen=True)
class Finished:
    """What is left to be saved of a trained classifier, beside its weights."""

    record: dict[str, Any]
    pooled: Pooled
    rejection: Rejection | None


def fine_tune(
    recipe: Recipe,
    tables: "DatasetDict",
    output_dir: Path,
    resume: bool = False,
    unknown: "DatasetDict | None" = None,
) -> dict[str, Any]:
    """Fine-tune a recipe's encoder and save the checkpoint that was best on validation.

    A frozen encoder gets a head that is fitted to the training clips alone, in a minute or less.
    `unknown` are the data's own clips of no intent (`data.Splits`).

    `output_dir` gets `model/` (model, feature extractor, label maps, what the head saw of the
    clips: `stored_outputs`, and what decides whether it answers: `rejection`), `training_log.csv`,
    what the run is made of (`provenance`) and, until it is done, `checkpoints/`; with `resume`,
    training goes on from the last complete one, if there is one. Gives, for the record and also in
    `model/training.json`: `encoder`, `seed`, `train_seconds` (of this process), `epochs`, `steps`,
    `parameters`, `best_validation`, `hyperparameters`, `synthetic` (`remarks`), `unknown`
    (`fit_rejection.Fitted`) where the model can say so and, with `recipe.adapt`, `adapted`; with a
    frozen encoder, `epochs` and `steps` are None, and `inverse_regularisation` is scikit-learn's C.
    Raises `OutputError` if `output_dir` holds a finished run, one of something else, or an
    unfinished one and `resume` is false; `UserError` where training diverges.
    """
    run_folder.check_output(output_dir, resume)
    done = output_dir / "model" / "training.json"
    checkpoints = output_dir / "checkpoints"
    if is_main_process():
        begun = done.exists() or run_folder.last_checkpoint(checkpoints) is not None
        clips = provenance.clips_of(tables, unknown)
        provenance.claim(output_dir, provenance.ingredients(recipe), clips, begun)
    if done.exists():  # killed after training, before the test split was scored
        return json.loads(done.read_text(encoding="utf-8"))
    numbers = recipe.numbers
    labels = list(tables["train"].features["label"].names)
    others = negatives.collect(recipe, tables, unknown)
    learns_unknown = len(others["train"]) > 0
    taught = negatives.with_negatives(tables, others) if learns_unknown else tables
    outputs = [*labels, UNKNOWN] if learns_unknown else labels
    classifier = model.build_model(recipe.encoder, outputs, numbers.spec_augment, numbers.seed)
    numbers = replace(numbers, freeze=model.freeze(classifier, numbers.freeze))
    classifier.model.config.max_seconds = numbers.max_seconds
    began = time.perf_counter()
    if numbers.freeze == "encoder":
        trained = frozen_head.train(classifier, taught, numbers)
    else:
        numbers = settle(numbers, classifier, len(tables["train"]))
        trained = _train(classifier, taught, numbers, checkpoints, resume)
    seconds = round(time.perf_counter() - began, 1)
    row = fit_rejection.NO_ROW
    if learns_unknown:
        row = frozen_head.take_last_row(classifier.model)
        trained = _without_unknown(trained, tables)
    finished = _finish(recipe, classifier, tables, trained, row)
    record = {
        "encoder": recipe.encoder,
        "seed": numbers.seed,
        "train_seconds": seconds,
        "parameters": classifier.model.num_parameters(),
        "synthetic": remarks.learned(tables),
        **trained.record,
        **finished.record,
    }
    if is_main_process():
        trained.log.to_csv(output_dir / "training_log.csv", index=False)
        _save(classifier, record, finished, output_dir)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return record


def _without_unknown(trained: Trained, tables: "DatasetDict") -> Trained:
    """Leave out the last label's logits, and the clips of no intent, which stand last."""
    pooled = trained.pooled
    if pooled is not None:
        pooled = {split: outputs[: len(tables[split])] for split, outputs in pooled.items()}
    return replace(trained, logits=trained.logits[:, :-1], pooled=pooled)


def _finish(
    recipe: Recipe,
    classifier: NewClassifier,
    tables: "DatasetDict",
    trained: Trained,
    row: np.ndarray,
) -> Finished:
    """Calibrate a head, adapt it where that is asked for, and settle what it does not answer.

    `row` is what it has learned of clips of no intent, (size + 1,), or (0,) of nothing.
    """
    network = classifier.model
    mapping = None
    record: dict[str, Any] = {}
    pooled = stored_outputs.collect(classifier, tables, recipe.numbers, trained.pooled)
    if recipe.adapt is not None:
        recordings = unlabelled.read(recipe.adapt)
        adapted = adaptation.adapt(classifier, tables, recordings, recipe.numbers, trained)
        trained, mapping = adapted.trained, adapted.mapping
        record["adapted"] = adapted.record
    model.calibrate(network, trained.logits, trained.label_ids)
    decides = None
    if len(row) or recipe.numbers.target_precision is not None:
        head = frozen_head.read_head(network)
        row = row / network.config.calibration_temperature
        promise = fit_rejection.promise_of(asdict(recipe.numbers))
        fitted = fit_rejection.fit(pooled, head, row, promise)
        decides = fitted.rejection
        record["unknown"] = fitted.record
    if mapping is not None:
        adaptation.fold(network, mapping)
        decides = decides and fit_rejection.adapted(decides, mapping)
    return Finished(record, pooled, decides)


def _save(
    classifier: NewClassifier, record: dict[str, Any], finished: Finished, output_dir: Path
) -> None:
    """Write `model/`, with its clips, what the head saw of them, and the encoder's licence.

    The record gets the digest of what the head saw, the config that of what decides.
    """
    stored_outputs.write(finished.pooled, output_dir / POOLED)
    record[stored_outputs.DIGEST] = sha256(output_dir / POOLED)
    encoder = Path(BUNDLED_ENCODERS.get(record["encoder"], record["encoder"]))
    made = [output_dir / POOLED]
    if finished.rejection is not None:
        made.append(output_dir / REJECTION)
        rejection.write(finished.rejection, made[-1])
        classifier.model.config.rejection_digest = sha256(made[-1])
    others = [output_dir / CLIPS, *made]
    if classifier.pretrained and (encoder / LICENSE).is_file():
        others.append(encoder / LICENSE)
    folder = output_dir / "model"
    run_folder.save_model(classifier.model, classifier.extractor, record, folder, others)
    for file in made:
        file.unlink()


def _train(
    classifier: NewClassifier,
    tables: "DatasetDict",
    numbers: Hyperparameters,
    checkpoints: Path,
    resume: bool,
) -> Trained:
    """Train by the Trainer; the best checkpoint's weights are the model's in the end.

    The numbers are settled.
    """
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
