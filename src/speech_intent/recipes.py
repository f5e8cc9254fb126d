"""The numbers of a training run, and the recipes of recipes.toml, each chosen by one word.

`resolve` puts together what a run starts from, once; everything behind it takes that one recipe.
"""

import math
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

from .errors import UserError
from .hub_names import Kind, is_hub_id, repository

Schedule = Literal["linear", "cosine"]
Metric = Literal["f1_macro", "f1_micro", "f1_weighted", "accuracy"]
Freeze = Literal["auto", "none", "features", "encoder"]


def _number(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"help": meaning})


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
                _check(name, getattr(self, name), holds, remedy)
        for name, choices in NUMBER_CHOICES.items():
            _check(name, getattr(self, name), choices.__contains__, f"choose {_listed(choices)}")

    def used(self) -> dict[str, Any]:
        """Give the numbers for a record, None for those without effect on a frozen encoder."""
        numbers = asdict(self)
        if self.freeze == "encoder":
            numbers |= dict.fromkeys(numbers.keys() - HEAD_NUMBERS)
        return numbers


def _check(name: str, value: Any, holds: Callable[[Any], bool], remedy: str) -> None:
    """Raise `UserError` for a value that a rule does not hold for; None is not given."""
    if value is not None and not holds(value):
        raise UserError(name, f"{value!r} cannot be", remedy)


def _listed(choices: tuple[str, ...]) -> str:
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


@dataclass(frozen=True)
class Recipe:
    """What a run starts from: data, encoder and numbers. Most fields describe the data."""

    recipe: str = "bundled"  # its word
    data: str = "bundled"  # or a folder, or a Hub dataset
    encoder: str = "moonshine"  # or "small", a folder, a Hub id, or "random"
    cut_to_clip: bool = True  # Whisper takes the clip's own length; else 30 s, as others have it
    add: tuple[str, ...] = ()  # more data, for train only, such as synthetic clips
    adapt: str | None = None  # folder of unlabelled clips of the place where it will be used
    unknown: str = "bundled"  # clips of no intent: those in dataset/unknown, "none", or a folder
    config: str | None = None  # of the Hub dataset
    file_name: str = "file_name"  # columns; this one in CSV files, `audio` on the Hub
    audio: str = "audio"
    intent: str = "intent"
    speaker: str = "speaker"
    text: str | None = None  # what is said; None: the first of tables.TRANSCRIPTS that there is
    intents: tuple[str, ...] = ()  # names of intents that the data number
    test_share: float = 0.3  # where the data name no test split; as the recipe scooter has it
    validation_share: float = 0.15  # of the clips left for training
    by_speaker: bool = True  # hold out whole speakers where they are known
    drop_copies: bool = False  # leave recordings that are held out under another name out of train
    numbers: Hyperparameters = field(default_factory=Hyperparameters)
    note: str = ""  # what to know before quoting its figure
    task: str = "intent-classification"  # what its labels are, as a tag of the Hub
    license: str | None = None  # of the data, where their publishers name one and copies may not

    def __post_init__(self) -> None:
        """Raise `UserError` for a share of the clips that cannot be."""
        for name in ("test_share", "validation_share"):
            remedy = "give a share of the clips: above 0, below 1"
            _check(name, getattr(self, name), lambda share: 0 < share < 1, remedy)

    def with_seed(self, seed: int) -> "Recipe":
        """Give the same recipe with another seed."""
        return replace(self, numbers=replace(self.numbers, seed=seed))

    def differences(self) -> dict[str, Any]:
        """Say for a record which recipe this is, and what of it differs; numbers left out."""
        usual = asdict(RECIPES[self.recipe])
        others = usual.keys() - {"recipe", "numbers", "note", "task", "license"}
        changed = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name in others and value != usual[name]
        }
        return {"recipe": self.recipe, **changed}


def _read_recipes() -> dict[str, Recipe]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {name: _read_recipe(name, table) for name, table in tomllib.loads(text).items()}


def _read_recipe(name: str, table: dict[str, Any]) -> Recipe:
    numbers = Hyperparameters(**table.pop("numbers", {}))
    intents = tuple(table.pop("intents", ()))
    return Recipe(**table, recipe=name, intents=intents, numbers=numbers)


RECIPES = _read_recipes()
PLAIN = Recipe()


def resolve(name: str = "bundled", **given: Any) -> Recipe:
    """Take a recipe, with what is given and not None in the place of its own.

    `given` may hold fields of `Recipe` and of `Hyperparameters`; folders may be paths, and what is
    on the Hub an address. Raises `UserError` for a recipe that there is not, and for a number or an
    address that cannot be.
    """
    if name not in RECIPES:
        raise UserError(name, "there is no such recipe", f"choose {_listed(tuple(RECIPES))}")
    recipe = RECIPES[name]
    given = {key: value for key, value in given.items() if value is not None}
    number_names = {number.name for number in fields(Hyperparameters)}
    numbers = {key: value for key, value in given.items() if key in number_names}
    others = {key: value for key, value in given.items() if key not in number_names}
    if "add" in others:
        others["add"] = tuple(repository(str(name), "dataset") for name in others["add"])
    for key in ("adapt", "unknown"):
        if key in others:
            others[key] = str(others[key])
    kinds: dict[str, Kind] = {"data": "dataset", "encoder": "model"}
    for key, kind in kinds.items():
        if key in others:
            others[key] = repository(str(others[key]), kind)
    if "data" in others:
        others.setdefault("note", "")  # the recipe's is about its own data
        if is_hub_id(others["data"]) and others["data"] != recipe.data:
            others.setdefault("license", None)  # a folder may be a copy of them
    return replace(recipe, **others, numbers=replace(recipe.numbers, **numbers))
