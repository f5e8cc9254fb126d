"""The trials of a search: trainings that begin alike and differ in the numbers searched."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from . import training
from .hyperparameters import Hyperparameters
from .progress import Progress
from .recipes import Recipe
from .trainer import SpeechTrainer, StopDiverged, build_trainer, training_arguments

if TYPE_CHECKING:
    from datasets import DatasetDict
    from optuna import Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

STUDY = "search"  # its name in Optuna's storage
# A learning rate off by some factor is what costs most; batches decide how noisy a step is, and
# how often each clip is seen in as many steps; a random head wants some warm-up. Weight decay is
# left alone: over some hundred steps AdamW's changes next to nothing.
SEARCHED = ("learning_rate", "batch_size", "warmup")
RATE_FACTOR = 5.0  # from the recipe's learning rate, down and up
MOST_WARMUP = 0.3
OF_TRAINER = (  # arguments of the Trainer that follow from the numbers searched
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "warmup_steps",
)
DIVERGED = -1.0  # in place of a score, and below all


class Trials:
    """Trainings of one recipe on tables with train and validation, one after the other."""

    def __init__(self, recipe: Recipe, tables: "DatasetDict", folder: Path):
        self.tables = tables
        self.folder = folder
        self.classifier, numbers = training.begin(recipe, tables)
        self.numbers = replace(numbers, warmup=float(numbers.warmup))
        training.start_head(self.classifier, tables, self.numbers)
        self.settled = self._settle(self.numbers)

    def _settle(self, numbers: Hyperparameters) -> Hyperparameters:
        return training.settle(numbers, self.classifier, len(self.tables["train"]))

    def usual(self) -> dict[str, Any]:
        """Give the numbers that would be taken without a search."""
        usual = {name: getattr(self.settled, name) for name in SEARCHED}
        return usual | {"warmup": min(self.settled.warmup, MOST_WARMUP)}

    def add(self, storage: "BaseStorage", number: int) -> None:
        """Draw numbers, train and score once; the storage keeps what came of it."""
        from optuna.pruners import NopPruner
        from optuna.samplers import TPESampler

        network = self.classifier.model
        trainer = build_trainer(
            self.classifier,
            self.tables,
            self.settled,
            self.folder,
            model_init=lambda: copy.deepcopy(network),
        )
        trainer.args.save_strategy = SaveStrategy.NO
        for kind in (StopDiverged, Progress):
            trainer.remove_callback(kind)
        trial = _Trial(self, trainer)
        trainer.add_callback(trial)
        trainer.hyperparameter_search(
            trial.draw,
            trial.score,
            n_trials=1,
            direction="maximize",
            backend="optuna",
            study_name=STUDY,
            storage=storage,
            load_if_exists=True,
            sampler=TPESampler(seed=self.numbers.seed + number),
            pruner=NopPruner(),  # which numbers are best early says little where warm-up differs
        )

    def drawn(self, trial: "Trial") -> Hyperparameters:
        """Draw numbers, near the usual ones; no batch is larger, and takes more memory."""
        rate, batch = self.settled.learning_rate or 0.0, self.settled.batch_size
        low, high = rate / RATE_FACTOR, rate * RATE_FACTOR
        trial.suggest_float("learning_rate", low, high, log=True)
        trial.suggest_categorical("batch_size", sorted({max(1, batch // 2), batch}))
        trial.suggest_float("warmup", 0.0, MOST_WARMUP)
        return self._settle(with_drawn(self.numbers, trial.params))


class _Trial(TrainerCallback):
    """One training of a search, which ends early where its numbers have become none."""

    def __init__(self, trials: Trials, trainer: SpeechTrainer):
        self.trials = trials
        self.rule = trainer.data_collator.rule
        self.best = -math.inf
        self.diverged = False

    def draw(self, trial: "Trial") -> dict[str, Any]:
        """Give the Trainer its arguments."""
        self.trial = trial
        numbers = self.trials.drawn(trial)
        arguments = training_arguments(numbers, self.trials.folder, self.rule)
        return {name: getattr(arguments, name) for name in OF_TRAINER}

    def score(self, metrics: dict[str, float]) -> float:
        """Give the score of the best epoch so far, by which a training chooses its checkpoint."""
        self.diverged |= not math.isfinite(metrics["eval_loss"])
        if self.diverged:
            return DIVERGED
        if metrics["eval_choice"] > self.best:
            self.best = metrics["eval_choice"]
            metric = self.trials.numbers.metric
            self.trial.set_user_attr(metric, metrics[f"eval_{metric}"])
        return self.best

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Stop a training that has diverged."""
        if not math.isfinite(kwargs["metrics"]["eval_loss"]):
            control.should_training_stop = True


def with_drawn(numbers: Hyperparameters, drawn: dict[str, Any]) -> Hyperparameters:
    """Put drawn numbers in place, with as many digits as matter and can be read."""
    return replace(
        numbers,
        learning_rate=float(f"{drawn['learning_rate']:.2g}"),
        batch_size=drawn["batch_size"],
        warmup=float(f"{drawn['warmup']:.2g}"),
    )


def row_of(trial: "FrozenTrial", numbers: Hyperparameters) -> dict[str, Any]:
    """Give a trial as a row of a table: what it was trained with, its validation score, its time.

    `numbers` are the recipe's. The score is not a number where the trial diverged.
    """
    numbers = with_drawn(numbers, trial.params)
    score = math.nan if has_diverged(trial) else trial.user_attrs[numbers.metric]
    named = {name: getattr(numbers, name) for name in SEARCHED}
    return {**named, numbers.metric: score, "seconds": round(seconds(trial), 1)}


def has_diverged(trial: "FrozenTrial") -> bool:
    """Whether the numbers of a trial have become none."""
    return trial.value == DIVERGED


def seconds(trial: "FrozenTrial") -> float:
    """Say how long a trial took."""
    duration = trial.duration
    return 0.0 if duration is None else duration.total_seconds()
