"""The numbers of a training run, in one readable place."""

from dataclasses import dataclass, field
from typing import Literal


def _number(default, meaning: str):
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Hyperparameters:
    """Numbers of a training run, each also an option of `python -m speech_intent.train`.

    None is settled by the size of the encoder and of the data.
    """

    epochs: float | None = _number(None, "default: what gives 600 optimizer steps, at least 10 and at most 60")
    learning_rate: float | None = _number(
        None, "default: 5e-5 for a large encoder, 1e-3 for a small one or a head alone"
    )
    batch_size: int = _number(8, "clips in a batch")
    gradient_accumulation_steps: int = _number(1, "batches in an optimizer step")
    warmup: float = _number(0.1, "share of the steps in which the learning rate rises")
    weight_decay: float = _number(0.01, "of AdamW")
    max_seconds: float = _number(15.0, "longer clips: a random part in training, windows in prediction")
    metric: Literal["f1_macro", "f1_micro", "f1_weighted", "accuracy"] = _number(
        "f1_macro", "chooses the checkpoint, on the validation split"
    )
    patience: int = _number(8, "epochs without a better metric after which training stops")
    freeze: Literal["auto", "none", "features", "encoder"] = _number(
        "auto",
        "what is not trained: nothing, the convolutions, or all but the head; auto: features for a large encoder",
    )
    augment: bool = _number(True, "change speed, noise and level of training clips")
    spec_augment: bool = _number(True, "mask spans of time in the encoder's features in training")
    class_weights: bool = _number(False, "weigh each intent by the inverse of its share of the clips")
    seed: int = _number(0, "of the split, the weights and the order of clips")

    def __post_init__(self):
        """Refuse numbers that cannot be."""
        for name in ("epochs", "learning_rate", "batch_size", "gradient_accumulation_steps", "max_seconds", "patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value:g}; it must be above 0")
