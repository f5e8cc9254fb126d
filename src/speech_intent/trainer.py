"""transformers' Trainer, set up for clips of speech."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from safetensors.torch import load_model
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from . import convolutions, metrics, model
from .batches import Collator
from .errors import UserError
from .features import PaddingRule
from .frames import FrameCollator
from .model import NewClassifier
from .progress import Progress
from .recipes import Hyperparameters

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from torch.utils.data import DataLoader
    from transformers import PreTrainedModel

STATE = "trainer_state.json"  # of a checkpoint
WEIGHTS = "model.safetensors"
IN_TRAINING = ("epoch", "step", "loss", "accuracy", "learning_rate")
LOGGED = (*IN_TRAINING, "eval_loss", "eval_acc", "eval_f1")


class SpeechTrainer(Trainer):
    """A Trainer whose validation batches are neither cropped at random nor augmented.

    It logs the accuracy of training beside its loss: of the augmented clips as they pass, while the
    weights still change, and under torchrun of the main process' own clips.
    """

    data_collator: Any
    eval_collator: Collator | None = None
    n_seen = 0  # clips in training since the last log
    n_right = 0

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Compute the loss of a batch, and count what is right in training."""
        labels = inputs["labels"]
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if model.training:
            self.n_seen += len(labels)
            self.n_right += int((outputs["logits"].argmax(dim=-1) == labels).sum())
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log figures; with the loss of training its accuracy."""
        if "loss" in logs and self.n_seen:
            logs["accuracy"] = self.n_right / self.n_seen
            self.n_seen = self.n_right = 0
        super().log(logs, start_time)

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


class StopDiverged(TrainerCallback):
    """End a training whose numbers have become none, before its weights replace good ones."""

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Raise `UserError` if the validation loss is not finite."""
        if not math.isfinite(kwargs["metrics"]["eval_loss"]):
            problem = f"diverged in epoch {math.ceil(state.epoch or 0)}"
            raise UserError("training", problem, "lower --learning-rate, in another --output-dir")


def training_arguments(
    numbers: Hyperparameters,
    output_dir: Path,
    rule: PaddingRule,
) -> TrainingArguments:
    """Turn settled numbers into transformers' own.

    Clips of similar length go into a batch unless all have one length; under the rule "equal",
    validation sees no padding. A processor that multiplies in bfloat16 does.
    """
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=numbers.epochs,
        learning_rate=numbers.learning_rate,
        per_device_train_batch_size=numbers.batch_size,
        per_device_eval_batch_size=1 if rule == "equal" else numbers.batch_size,
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
        bf16=multiplies_in_bfloat16(),
        train_sampling_strategy="random" if rule == "fixed" else "group_by_length",
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


def multiplies_in_bfloat16() -> bool:
    """Whether this is a CPU with instructions for products in bfloat16, and no GPU is there."""
    if torch.accelerator.is_available():
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def _attend_plainly(network: "PreTrainedModel") -> None:
    """Take the plain attention where it drops out.

    No fast one of torch does that on a CPU, and the one in its place checks every weight.
    """
    config = network.config
    if getattr(config, "attention_dropout", 0) and config._attn_implementation == "sdpa":
        network.set_attn_implementation("eager")


def build_trainer(
    classifier: NewClassifier,
    tables: "DatasetDict",
    numbers: Hyperparameters,
    output_dir: Path,
    watchers: Iterable[TrainerCallback] = (),
    model_init: "Callable[[], PreTrainedModel] | None" = None,
) -> SpeechTrainer:
    """Put model, tables (train and validation of `data.load_data`) and numbers into a Trainer.

    The numbers are settled (`settle`), and what is to stay as it is is frozen (`model.freeze`).
    `output_dir` is for checkpoints. With `model_init`, each training is of what it gives.
    """
    collator = _collator(classifier, numbers, training=True)
    if multiplies_in_bfloat16():
        _attend_plainly(classifier.model)
        convolutions.keep_exact(classifier.model)
    trainer = SpeechTrainer(
        model=None if model_init else classifier.model,
        model_init=model_init,
        args=training_arguments(numbers, output_dir, collator.rule),
        data_collator=collator,
        train_dataset=tables["train"],
        eval_dataset=tables["validation"],
        processing_class=classifier.extractor,
        compute_metrics=metrics.validation_scores(numbers.metric),
        compute_loss_func=model.intent_loss(tables["train"], numbers.class_weights),
        callbacks=[
            StopDiverged(),
            EarlyStoppingCallback(numbers.patience),
            Progress(numbers.metric),
            *watchers,
        ],
    )
    trainer.eval_collator = _collator(classifier, numbers, training=False)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _collator(classifier: NewClassifier, numbers: Hyperparameters, training: bool) -> Collator:
    """Choose how rows become batches: of frames where convolutions are frozen, on a CPU.

    Moonshine's take longer clip by clip than in a batch, and are worth it only if they are kept.
    """
    network = classifier.model
    has_frames = convolutions.find(network) is not None
    if classifier.is_moonshine:
        has_frames = not (training and numbers.augment)
    if has_frames and numbers.freeze == "features" and not torch.accelerator.is_available():
        bfloat16 = multiplies_in_bfloat16()
        return FrameCollator(classifier.extractor, network, numbers, training, bfloat16)
    return Collator(classifier.extractor, network.config, numbers, training)


def was_last(checkpoint: Path) -> bool:
    """Whether training had ended, early or not, when a checkpoint was written."""
    state = TrainerState.load_from_json(str(checkpoint / STATE))
    control = state.stateful_callbacks["TrainerControl"]["args"]
    return control["should_training_stop"] or state.global_step >= state.max_steps


def load_best(trainer: Trainer, last: Path) -> None:
    """Give a trainer the state of its last checkpoint and the weights of its best."""
    trainer.state = TrainerState.load_from_json(str(last / STATE))
    best = last.with_name(f"checkpoint-{trainer.state.best_global_step}")
    load_model(trainer.model, best / WEIGHTS, device=str(trainer.args.device))


def training_log(history: list[dict[str, Any]]) -> pd.DataFrame:
    """Turn the Trainer's log into one row an epoch: training loss, validation loss and metrics."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in history:
        row = rows.setdefault(entry["step"], {})
        row.update({key: value for key, value in sorted(entry.items()) if key.startswith(LOGGED)})
    complete = [row for row in rows.values() if "eval_loss" in row or "loss" in row]
    return pd.DataFrame(complete)
