"""What a person sees of a training run while it runs."""

import math
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Progress(TrainerCallback):
    """A bar over the steps where there is a terminal, and a line an epoch everywhere."""

    def __init__(self, metric: str):
        self.metric = metric

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Open the bar."""
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="Training",
            unit="step",
            disable=None if state.is_world_process_zero else True,  # None: where no terminal is
        )

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Move the bar."""
        self.bar.update()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Print the epoch's figures."""
        if not state.is_world_process_zero:
            return
        figures = {
            "training loss": _last(state.log_history, "loss"),
            "training accuracy": _last(state.log_history, "accuracy"),
            "validation loss": metrics["eval_loss"],
            self.metric: metrics[f"eval_{self.metric}"],
        }
        text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        tqdm.write(f"epoch {state.epoch:g} of {args.num_train_epochs:g}: {text}")

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Close the bar."""
        self.bar.close()


def _last(history: list[dict], name: str) -> float:
    values = [entry[name] for entry in history if name in entry]
    return values[-1] if values else math.nan
