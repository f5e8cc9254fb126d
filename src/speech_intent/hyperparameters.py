"""The numbers of a training run: what they mean, their defaults, and what they cannot be."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from numbers import Integral
from typing import Any, Literal, get_args

from .errors import UserError

Schedule = Literal["linear", "cosine"]
Metric = Literal["f1_macro", "f1_micro", "f1_weighted", "accuracy"]
Freeze = Literal["auto", "none", "features", "encoder"]


def _number(default: Any, meaning: str) -> Any:
    # argparse reads what follows a % as a format.
    return field(default=default, metadata={"help": meaning.replace("%", "%%")})


@dataclass(frozen=True)
class Hyperparameters:
    """Numbers of a training run, also options of `train`.

    None is settled by the size of encoder and data.
    """

    epochs: float | None = _number(None, "default: what gives `steps`, at least 10 and at most 60")
    steps: int = _number(
        800, "optimizer steps to aim at where epochs are not given: small data needs steps"
    )
    learning_rate: float | None = _number(
        None,
        "default: 5e-5 for a large encoder, 3e-4 for a small one, 1e-3 for random weights",
    )
    batch_size: int = _number(8, "clips in a batch")
    gradient_accumulation_steps: int = _number(1, "batches in an optimizer step")
    warmup: float = _number(0.1, "share of the steps in which the learning rate rises")
    schedule: Schedule = _number("linear", "how the learning rate falls afterwards")
    weight_decay: float = _number(0.01, "of AdamW")
    max_grad_norm: float = _number(1.0, "longer gradients are cut to this length; 0: never")
    max_seconds: float = _number(
        15.0, "longer clips: a random part in training, windows in prediction"
    )
    metric: Metric = _number("f1_macro", "chooses the checkpoint, on the validation split")
    patience: int = _number(30, "epochs without a better metric after which training stops")
    freeze: Freeze = _number(
        "auto",
        "what is not trained: nothing, the convolutions, or all but the head, which then is a "
        "logistic regression, without epochs; auto: features if pretrained",
    )
    augment: bool = _number(True, "change voice, room, noise and line of training clips")
    spec_augment: bool = _number(True, "mask spans of time in the encoder's features in training")
    class_weights: bool = _number(
        False, "weigh each intent by the inverse of its share of the clips"
    )
    accept: float = _number(
        0.95,
        "of taught requests at least this share is answered, all others may be called unknown; "
        "held on validation clips with 90 % confidence",
    )
    target_precision: float | None = _number(
        None,
        "in place of `accept`: of the answers that are given at least this share is right, "
        "with 90 % confidence (default: none)",
    )
    seed: int = _number(0, "of the split, the weights and the order of clips")

    def __post_init__(self) -> None:
        """Raise `UserError` for a number that cannot be."""
        for names, holds, remedy in NUMBER_RULES:
            for name in names:
                check(name, getattr(self, name), holds, remedy)
        for name, choices in NUMBER_CHOICES.items():
            check(name, getattr(self, name), choices.__contains__, f"choose {listed(choices)}")

    def used(self) -> dict[str, Any]:
        """Give the numbers for a record, None for those without effect on a frozen encoder."""
        numbers = asdict(self)
        if self.freeze == "encoder":
            numbers |= dict.fromkeys(numbers.keys() - HEAD_NUMBERS)
        return numbers


def check(name: str, value: Any, holds: Callable[[Any], bool], remedy: str) -> None:
    """Raise `UserError` for a value that a rule does not hold for; None is not given."""
    if value is not None and not holds(value):
        raise UserError(name, f"{value!r} cannot be", remedy)


def listed(choices: tuple[str, ...]) -> str:
    """List choices in words."""
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) > 0


def _is_seed(value: Any) -> bool:
    return isinstance(value, Integral) and 0 <= int(value) < 2**32


def _is_positive(value: float) -> bool:
    return 0 < value < math.inf


def _is_not_negative(value: float) -> bool:
    return 0 <= value < math.inf


def _is_share(value: float) -> bool:
    return 0 <= value < 1


def _is_precision(value: float) -> bool:
    return 0 < value < 1


# All that a logistic regression on a frozen encoder goes by.
HEAD_NUMBERS = {
    "max_seconds",
    "metric",
    "freeze",
    "class_weights",
    "accept",
    "target_precision",
    "seed",
}
COUNTS = ("steps", "batch_size", "gradient_accumulation_steps", "patience")
NUMBER_RULES = (
    (COUNTS, _is_count, "give a whole number above 0"),
    (("epochs", "learning_rate", "max_seconds"), _is_positive, "give a number above 0"),
    (("weight_decay", "max_grad_norm"), _is_not_negative, "give 0 or a number above it"),
    (("warmup",), _is_share, "give a share of the steps: at least 0, below 1"),
    (("target_precision",), _is_precision, "give a share of the answers: above 0, below 1"),
    (("accept",), _is_precision, "give a share of the taught requests: above 0, below 1"),
    (("seed",), _is_seed, "give a whole number from 0 on"),
)
NUMBER_CHOICES = {
    "schedule": get_args(Schedule),
    "metric": get_args(Metric),
    "freeze": get_args(Freeze),
}
