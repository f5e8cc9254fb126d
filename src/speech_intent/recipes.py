"""The numbers of a training run, and the recipes of recipes.toml that differ from them, each by one word."""

import argparse
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

PROTOCOLS = ("given", "random", "speaker", "kfold", "leave-one-speaker-out")


def _number(default, meaning: str):
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Hyperparameters:
    """Numbers of a training run, also options of `train`; None is settled by the size of encoder and data."""

    epochs: float | None = _number(None, "default: what gives `steps`, at least 10 and at most 60")
    steps: int = _number(600, "optimizer steps to aim at where epochs are not given: small data needs steps")
    learning_rate: float | None = _number(
        None, "default: 5e-5 for a large encoder, 3e-4 for a small one, 1e-3 for random weights or a head alone"
    )
    batch_size: int = _number(8, "clips in a batch")
    gradient_accumulation_steps: int = _number(1, "batches in an optimizer step")
    warmup: float = _number(0.1, "share of the steps in which the learning rate rises")
    schedule: Literal["linear", "cosine"] = _number("linear", "how the learning rate falls afterwards")
    weight_decay: float = _number(0.01, "of AdamW")
    max_grad_norm: float = _number(1.0, "longer gradients are cut to this length; 0: never")
    max_seconds: float = _number(15.0, "longer clips: a random part in training, windows in prediction")
    metric: Literal["f1_macro", "f1_micro", "f1_weighted", "accuracy"] = _number(
        "f1_macro", "chooses the checkpoint, on the validation split"
    )
    patience: int = _number(8, "epochs without a better metric after which training stops")
    freeze: Literal["auto", "none", "features", "encoder"] = _number(
        "auto",
        "what is not trained: nothing, the convolutions, or all but the head; auto: features if pretrained",
    )
    augment: bool = _number(True, "change speed, noise and level of training clips")
    spec_augment: bool = _number(True, "mask spans of time in the encoder's features in training")
    class_weights: bool = _number(False, "weigh each intent by the inverse of its share of the clips")
    target_precision: float | None = _number(
        None, "reject answers below a score, fitted on validation, from which on this share is right (default: none)"
    )
    seed: int = _number(0, "of the split, the weights and the order of clips")

    def __post_init__(self):
        """Refuse numbers that cannot be."""
        positive = ("epochs", "steps", "learning_rate", "batch_size", "gradient_accumulation_steps", "max_seconds")
        for name in (*positive, "patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value:g}; it must be above 0")


@dataclass(frozen=True)
class Recipe:
    """What a run starts from. `data` is "bundled", a folder or a Hub dataset; most other fields describe that one."""

    data: str = "bundled"
    encoder: str = "small"
    config: str | None = None  # of the Hub dataset
    file_name: str = "file_name"  # columns; this one in CSV files, `audio` on the Hub
    audio: str = "audio"
    intent: str = "intent"
    speaker: str = "speaker"
    intents: tuple[str, ...] = ()  # names of intents that the data number
    test_share: float = 0.3  # where the data name no test split; system 000: TRAIN-TEST [70:30]
    validation_share: float = 0.15  # of the clips left for training
    by_speaker: bool = True  # hold out whole speakers where they are known
    numbers: dict = field(default_factory=dict)  # of `Hyperparameters`
    note: str = ""  # what to know before quoting its figure


def _read_recipes() -> dict[str, Recipe]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {name: Recipe(**table | {"intents": tuple(table.get("intents", ()))}) for name, table in tables.items()}


RECIPES = _read_recipes()
PLAIN = Recipe()


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which recordings, to a parser of `train` or `evaluate`."""
    parser.add_argument("--recipe", default="bundled", choices=list(RECIPES), help="(default: %(default)s)")
    parser.add_argument("--data", help="folder with metadata.csv, 'bundled' or Hub dataset (default: the recipe's)")
    parser.add_argument("--config", help="configuration of the Hub dataset, such as a language (default: the recipe's)")
    for column in ("audio", "intent", "speaker"):
        parser.add_argument(f"--{column}-column", dest=column, metavar="COLUMN", help="where the data call it so")


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """Take the recipe that `add_data_options` names, with what was given in its place."""
    given = {name: getattr(args, name) for name in ("data", "config", "audio", "intent", "speaker")}
    given["note"] = "" if args.data else None  # it is about the recipe's own data
    return replace(RECIPES[args.recipe], **{name: value for name, value in given.items() if value is not None})


def hyperparameters(recipe: Recipe, **given) -> Hyperparameters:
    """Combine our defaults, a recipe's numbers, and what was given and is not None, in rising order."""
    return Hyperparameters(**recipe.numbers | {name: value for name, value in given.items() if value is not None})
