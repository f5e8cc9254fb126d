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

import numpy as np
import pandas as pd
import torch
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from . import frozen_head, metrics, model, run_folder
from .batches import Collator
from .model import NewClassifier, Trained
from .progress import Progress
from .recipes import Hyperparameters, Recipe

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from torch.utils.data import DataLoader

MIN_EPOCHS = 10
MAX_EPOCHS = 60
LOGGED = ("epoch", "step", "loss", "learning_rate", "eval_loss", "eval_acc", "eval_f1")


class SpeechTrainer(Trainer):
    """A Trainer whose validation batches are neither cropped at random nor augmented."""

    data_collator: Any
    eval_collator: Collator | None = None

    def get_eval_dataloader(self, eval_dataset: "Dataset | None" = None) -> "DataLoader":
        """Load validation batches through `eval_collator`."""
        training_collator = self.data_collator
        self.data_collator = self.eval_collator or training_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training_collator

    def get_test_dataloader(self, test_dataset: "Dataset") -> "DataLoader":
        """Load clips to be predicted in the same way."""
        return self.get_eval_dataloader(test_dataset)


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


def training_arguments(
    numbers: Hyperparameters, output_dir: Path, by_length: bool
) -> TrainingArguments:
    """Turn settled numbers into transformers' own.

    `by_length`: clips of similar length go into a batch, and validation sees no padding.
    """
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=numbers.epochs,
        learning_rate=numbers.learning_rate,
        per_device_train_batch_size=numbers.batch_size,
        per_device_eval_batch_size=1 if by_length else numbers.batch_size,
        gradient_accumulation_steps=numbers.gradient_accumulation_steps,
        warmup_steps=numbers.warmup,  # below 1: a share of all steps
        lr_scheduler_type=numbers.schedule,
        weight_decay=numbers.weight_decay,
        max_grad_norm=numbers.max_grad_norm,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,  # the best and the last
        logging_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="choice",  # of `metrics.validation_scores`
        restore_callback_states_from_checkpoint=True,
        # Else processes of torchrun on a CPU would not know each other.
        use_cpu=not torch.accelerator.is_available(),
        train_sampling_strategy="group_by_length" if by_length else "random",
        length_column_name="seconds",
        remove_unused_columns=False,  # the collator wants them all
        dataloader_num_workers=4 if on_gpu else 0,
        dataloader_pin_memory=on_gpu,
        disable_tqdm=True,  # Progress shows it
        # The embedding of masked frames goes unused without SpecAugment.
        ddp_find_unused_parameters=True,
        report_to="none",
        seed=numbers.seed,
    )


def build_trainer(
    classifier: NewClassifier,
    tables: "DatasetDict",
    numbers: Hyperparameters,
    output_dir: Path,
) -> SpeechTrainer:
    """Put model, tables (train and validation of `data.load_data`) and numbers into a Trainer.

    The numbers are settled (`settle`), and what is to stay as it is is frozen (`model.freeze`).
    `output_dir` is for checkpoints.
    """
    collator = _collator(classifier, numbers, training=True)
    by_length = collator.rule == "equal"
    trainer = SpeechTrainer(
        model=classifier.model,
        args=training_arguments(numbers, output_dir, by_length),
        data_collator=collator,
        train_dataset=tables["train"],
        eval_dataset=tables["validation"],
        processing_class=classifier.extractor,
        compute_metrics=metrics.validation_scores(numbers.metric),
        compute_loss_func=model.intent_loss(tables["train"], numbers.class_weights),
        callbacks=[EarlyStoppingCallback(numbers.patience), Progress(numbers.metric)],
    )
    trainer.eval_collator = _collator(classifier, numbers, training=False)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _collator(classifier: NewClassifier, numbers: Hyperparameters, training: bool) -> Collator:
    return Collator(classifier.extractor, classifier.model.config, numbers, training)


def fine_tune(
    recipe: Recipe, tables: "DatasetDict", output_dir: Path, resume: bool = False
) -> dict[str, Any]:
    """Fine-tune a recipe's encoder and save the checkpoint that was best on validation.

    A frozen encoder gets a head that is fitted to the training clips alone, in a minute or less.

    `output_dir` gets `model/` (model, feature extractor, label maps), `training_log.csv` and, until
    it is done, `checkpoints/`; with `resume`, training goes on from the last complete one, if there
    is one. Gives, for the record and also in `model/training.json`: `encoder`, `seed`,
    `train_seconds` (of this process), `epochs`, `steps`, `parameters`, `best_validation` and
    `hyperparameters`; with a frozen encoder, `epochs` and `steps` are None, and
    `inverse_regularisation` is scikit-learn's C. Raises `OutputError` if `output_dir` holds a
    finished run, or an unfinished one and `resume` is false.
    """
    run_folder.check_output(output_dir, resume)
    finished = output_dir / "model" / "training.json"
    if finished.exists():  # killed after training, before the test split was scored
        return json.loads(finished.read_text(encoding="utf-8"))
    numbers = recipe.numbers
    labels = tables["train"].features["label"].names
    classifier = model.build_model(recipe.encoder, labels, numbers.spec_augment, numbers.seed)
    numbers = replace(numbers, freeze=model.freeze(classifier, numbers.freeze))
    classifier.model.config.max_seconds = numbers.max_seconds
    checkpoints = output_dir / "checkpoints"
    began = time.perf_counter()
    if numbers.freeze == "encoder":
        trained = frozen_head.train(classifier, tables, numbers)
    else:
        trained = _train(classifier, tables, numbers, checkpoints, resume)
    label_ids = np.array(tables["validation"]["label"])
    model.calibrate(classifier.model, trained.logits, label_ids, numbers.target_precision)
    record = {
        "encoder": recipe.encoder,
        "seed": numbers.seed,
        "train_seconds": round(time.perf_counter() - began, 1),
        "parameters": classifier.model.num_parameters(),
        **trained.record,
    }
    if is_main_process():
        output_dir.mkdir(parents=True, exist_ok=True)
        trained.log.to_csv(output_dir / "training_log.csv", index=False)
        run_folder.save_model(classifier.model, classifier.extractor, record, output_dir / "model")
        shutil.rmtree(checkpoints, ignore_errors=True)
    return record


def _train(
    classifier: NewClassifier,
    tables: "DatasetDict",
    numbers: Hyperparameters,
    checkpoints: Path,
    resume: bool,
) -> Trained:
    """Train by the Trainer; the best checkpoint's weights are the model's in the end."""
    numbers = settle(numbers, classifier, len(tables["train"]))
    trainer = build_trainer(classifier, tables, numbers, checkpoints)
    last = run_folder.last_checkpoint(checkpoints) if resume else None
    trainer.train(resume_from_checkpoint=last and str(last))
    logits = trainer.predict(trainer.eval_dataset).predictions
    log = training_log(trainer.state.log_history)
    record = {
        "epochs": round(trainer.state.epoch, 2),
        "steps": trainer.state.global_step,
        "best_validation": {numbers.metric: _best_score(trainer, log, numbers.metric)},
        "hyperparameters": numbers.used(),
    }
    return Trained(logits, log, record)


def _best_score(trainer: Trainer, log: pd.DataFrame, metric: str) -> float:
    best = log.set_index("step").loc[trainer.state.best_global_step]
    return float(best[f"eval_{metric}"])


def is_main_process() -> bool:
    """Whether this process is the one that writes and prints, under torchrun too."""
    return int(os.environ.get("RANK", 0)) == 0


def training_log(history: list[dict[str, Any]]) -> pd.DataFrame:
    """Turn the Trainer's log into one row an epoch: training loss, validation loss and metrics."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in history:
        row = rows.setdefault(entry["step"], {})
        row.update({key: value for key, value in entry.items() if key.startswith(LOGGED)})
    complete = [row for row in rows.values() if "eval_loss" in row or "loss" in row]
    return pd.DataFrame(complete)
