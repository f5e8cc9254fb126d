"""Fine-tuning: an encoder, tables of clips and numbers become a trained model folder, through transformers' Trainer."""

import json
import math
import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from . import metrics, model
from .features import Collator
from .recipes import Hyperparameters

if TYPE_CHECKING:
    from datasets import DatasetDict

MIN_EPOCHS, MAX_EPOCHS = 10, 60


class Progress(TrainerCallback):
    """A bar over the steps where there is a terminal, and a line an epoch everywhere."""

    def __init__(self, metric: str):
        self.metric = metric

    def on_train_begin(self, args, state, control, **kwargs):
        """Open the bar."""
        off = None if state.is_world_process_zero else True
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="Training", unit="step", disable=off)

    def on_step_end(self, args, state, control, **kwargs):
        """Move the bar."""
        self.bar.update()

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        """Print the epoch's figures."""
        if state.is_world_process_zero:
            loss = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), math.nan)
            figures = {"training loss": loss, "validation loss": metrics["eval_loss"]}
            figures[self.metric] = metrics[f"eval_{self.metric}"]
            epoch = f"epoch {state.epoch:g} of {args.num_train_epochs:g}: "
            tqdm.write(epoch + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))

    def on_train_end(self, args, state, control, **kwargs):
        """Close the bar."""
        self.bar.close()


class SpeechTrainer(Trainer):
    """A Trainer whose validation batches are neither cropped at random nor augmented."""

    eval_collator: Collator | None = None

    def get_eval_dataloader(self, eval_dataset=None):
        """Load validation batches through `eval_collator`."""
        training_collator, self.data_collator = self.data_collator, self.eval_collator or self.data_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training_collator

    def get_test_dataloader(self, test_dataset):
        """Load clips to be predicted in the same way."""
        return self.get_eval_dataloader(test_dataset)


def training_arguments(numbers: Hyperparameters, output_dir: Path, n_train: int, equal: bool) -> TrainingArguments:
    """Turn our numbers into transformers' own; `equal`: clips of similar length go into a batch."""
    batch = numbers.batch_size * numbers.gradient_accumulation_steps * int(os.environ.get("WORLD_SIZE", 1))
    epochs = numbers.epochs or min(MAX_EPOCHS, max(MIN_EPOCHS, math.ceil(numbers.steps / math.ceil(n_train / batch))))
    return TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=epochs,
        learning_rate=numbers.learning_rate,
        per_device_train_batch_size=numbers.batch_size,
        per_device_eval_batch_size=1 if equal else numbers.batch_size,  # validation sees no padding
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
        use_cpu=not torch.accelerator.is_available(),  # else processes of torchrun on a CPU would not know each other
        train_sampling_strategy="group_by_length" if equal else "random",
        length_column_name="seconds",
        remove_unused_columns=False,  # the collator wants them all
        dataloader_num_workers=4 if torch.cuda.is_available() else 0,
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,  # Progress shows it
        ddp_find_unused_parameters=True,  # the embedding of masked frames goes unused without SpecAugment
        report_to="none",
        seed=numbers.seed,
    )


def build_trainer(classifier, extractor, splits: "DatasetDict", numbers: Hyperparameters, output_dir: Path) -> Trainer:
    """Put model, tables (train and validation of `data.load_data`) and numbers into a Trainer.

    What is to stay as it is must be frozen already (`model.freeze`). `output_dir` is for checkpoints.
    """
    train, validation = splits["train"], splits["validation"]
    numbers = replace(numbers, learning_rate=numbers.learning_rate or model.usual_learning_rate(classifier))
    head_only = not any(p.requires_grad for p in model.encoder_of(classifier).parameters())
    collator, eval_collator = (Collator(extractor, classifier.config, numbers, training) for training in (True, False))
    equal = collator.rule == "equal" and not head_only
    if head_only:
        train, validation = (model.pooled_outputs(classifier, table, eval_collator) for table in (train, validation))
        classifier, collator, eval_collator = model.FrozenHead(classifier), None, None
    trainer = SpeechTrainer(
        model=classifier,
        args=training_arguments(numbers, output_dir, len(train), equal),
        data_collator=collator,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=None if head_only else extractor,
        compute_metrics=metrics.validation_scores(numbers.metric),
        compute_loss_func=model.intent_loss(splits["train"], numbers.class_weights),
        callbacks=[EarlyStoppingCallback(numbers.patience), Progress(numbers.metric)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.eval_collator = eval_collator
    return trainer


def fine_tune(
    encoder: str | Path, splits: "DatasetDict", numbers: Hyperparameters, output_dir: Path, resume: bool = False
) -> dict:
    """Fine-tune an encoder (see `model.build_model`) and save the checkpoint that was best on validation.

    `output_dir` gets `model/` (model, feature extractor, label maps), `training_log.csv` and, until it is done,
    `checkpoints/`; with `resume`, training goes on from the last complete one, if there is one.

    Gives, for the record and also in `model/training.json`: `encoder`, `seed`, `train_seconds` (of this process),
    `epochs`, `steps`, `parameters`, `best_validation` and `hyperparameters`. Raises FileExistsError if `output_dir`
    holds a finished run, or an unfinished one and `resume` is false.
    """
    output_dir = Path(output_dir)
    check_output(output_dir, resume)
    done = output_dir / "model" / "training.json"
    if done.exists():  # killed after training, before the test split was scored
        return json.loads(done.read_text())
    labels = splits["train"].features["label"].names
    classifier, extractor = model.build_model(encoder, labels, numbers.spec_augment, numbers.seed)
    frozen = model.freeze(classifier, numbers.freeze)
    classifier.config.max_seconds = numbers.max_seconds
    trainer = build_trainer(classifier, extractor, splits, numbers, output_dir / "checkpoints")
    began = time.perf_counter()
    trainer.train(resume_from_checkpoint=last_checkpoint(output_dir / "checkpoints") if resume else None)
    answers = trainer.predict(trainer.eval_dataset)
    model.calibrate(classifier, answers.predictions, answers.label_ids, numbers.target_precision)
    log = training_log(trainer.state.log_history)
    best = log.set_index("step").loc[trainer.state.best_global_step]
    used = {"learning_rate": trainer.args.learning_rate, "epochs": trainer.args.num_train_epochs, "freeze": frozen}
    record = {
        "encoder": str(encoder),
        "seed": numbers.seed,
        "train_seconds": round(time.perf_counter() - began, 1),
        "epochs": round(trainer.state.epoch, 2),
        "steps": trainer.state.global_step,
        "parameters": classifier.num_parameters(),
        "best_validation": {numbers.metric: float(best[f"eval_{numbers.metric}"])},
        "hyperparameters": asdict(numbers) | used,
    }
    if is_main_process():
        log.to_csv(output_dir / "training_log.csv", index=False)
        save_model(classifier, extractor, record, output_dir / "model")
        shutil.rmtree(output_dir / "checkpoints", ignore_errors=True)
    return record


def is_main_process() -> bool:
    """Whether this process is the one that writes and prints, under torchrun too."""
    return int(os.environ.get("RANK", 0)) == 0


def check_output(output_dir: Path, resume: bool) -> None:
    """Refuse to write over a run."""
    if (output_dir / "metrics.json").exists() or ((output_dir / "model").exists() and not resume):
        raise FileExistsError(f"{output_dir}: holds a finished run; choose another folder, or delete it first")
    if last_checkpoint(output_dir / "checkpoints") and not resume:
        raise FileExistsError(f"{output_dir}: holds an unfinished run; add --resume to go on, or choose another folder")


def last_checkpoint(folder: Path) -> str | None:
    """Find the newest checkpoint that was written whole: the Trainer writes trainer_state.json last."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text())
            return str(path)
        except (OSError, ValueError):
            continue  # the process was killed while it was writing this one
    return None


def save_model(classifier, extractor, record: dict, folder: Path) -> None:
    """Write model, feature extractor and record to a folder that appears only when it is complete."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    classifier.save_pretrained(partial)
    extractor.save_pretrained(partial)
    (partial / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    partial.rename(folder)


def training_log(history: list[dict]) -> pd.DataFrame:
    """Turn the Trainer's log into one row an epoch: training loss, validation loss and metrics."""
    wanted, rows = ("epoch", "step", "loss", "learning_rate", "eval_loss", "eval_acc", "eval_f1"), {}
    for entry in history:
        row = rows.setdefault(entry["step"], {})
        row.update({key: value for key, value in entry.items() if key.startswith(wanted)})
    return pd.DataFrame([row for row in rows.values() if "eval_loss" in row or "loss" in row])
