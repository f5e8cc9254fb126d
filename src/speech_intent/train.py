"""Fine-tune a speech encoder on labelled recordings: `python -m speech_intent.train --help`."""

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .command_line import add_data_options, data_options, exit_status
from .errors import UserError
from .extras import PUSH_TO, REPORT_TO, SEARCH, Extras, check
from .hub_names import repository
from .recipes import Hyperparameters, Recipe, resolve

if TYPE_CHECKING:
    from transformers import HfArgumentParser

PROTOCOLS = ("given", "random", "speaker", "kfold", "leave-one-speaker-out")


@dataclass(frozen=True)
class Command:
    """What the command line asks for."""

    recipes: list[Recipe]  # one an encoder
    args: argparse.Namespace  # what is no part of a recipe


def seeds(text: str) -> list[int]:
    """Read whole numbers with commas between them."""
    return [int(seed) for seed in text.split(",")]


def make_parser() -> "HfArgumentParser":
    """Describe the command line: the numbers, and what else a run wants to know."""
    from transformers import HfArgumentParser

    parser = HfArgumentParser(
        Hyperparameters, prog="python -m speech_intent.train", description=__doc__
    )
    add_data_options(parser)
    _add_clips(parser)
    parser.add_argument(
        "--encoder",
        nargs="+",
        help="folder or Hub id; 'moonshine' (the recipe's default) or 'small' (a Wav2Vec2), both "
        "in models/ and English: for other languages take a multilingual one, such as "
        "facebook/wav2vec2-xls-r-300m; 'random' (not pretrained); several are compared",
    )
    parser.add_argument(
        "--output-dir",
        required=True,
        type=Path,
        help="gets model/, metrics.json, predictions.csv",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR"
    )
    _add_protocol(parser)
    _add_extras(parser)
    return parser


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which splits are trained and scored."""
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="train and score several splits, and print their spread",
    )
    parser.add_argument(
        "--folds", type=int, default=5, help="of the protocol kfold (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds",
        type=seeds,
        default="0",
        help="of the protocol, such as 0,1,2 (default: %(default)s)",
    )
    parser.add_argument("--keep-weights", action="store_true", help="keep the model of every fold")


def _add_clips(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which clips there are beside the data."""
    parser.add_argument(
        "--add",
        nargs="+",
        action="extend",
        metavar="FOLDER",
        help="more data, such as synthetic clips, for training only: validation and test are clips "
        "of --data as long as it has enough",
    )
    parser.add_argument(
        "--adapt",
        metavar="FOLDER",
        help="audio files of the room or the people to come, or a zip of them; no labels are "
        "needed or used: the head is adapted to what such clips are like on average",
    )
    parser.add_argument(
        "--unknown",
        metavar="FOLDER",
        help="audio files of what is no request, or a zip of them: the model learns to say "
        "'unknown'; 'bundled' (the default): those in dataset/unknown; 'none': rows of the data "
        "whose intent is unknown, if there are any, else it always answers",
    )


def _add_extras(parser: argparse.ArgumentParser) -> None:
    """Add the options that ask for something beside the training."""
    parser.add_argument(
        SEARCH,
        type=int,
        metavar="N",
        help="first choose learning rate, batch size and warm-up by N trials, each a training, on "
        "the validation split (needs the extra `search`)",
    )
    parser.add_argument(
        REPORT_TO,
        nargs="+",
        default=[],
        metavar="NAME",
        help="trackers that transformers knows, such as tensorboard, whose files go to OUTPUT_DIR",
    )
    parser.add_argument(
        PUSH_TO,
        metavar="USER/NAME",
        help="put each better checkpoint on the Hub while training goes on, and the model with "
        "its card in the end",
    )
    parser.add_argument("--private", action="store_true", help="on the Hub for its owner only")


def main(argv: list[str] | None = None) -> int:
    """Train as the arguments say; return the exit status."""
    return exit_status(lambda: run(read_command(argv)))


def run(command: Command) -> None:
    """Do what the command line asks for."""
    extras = extras_of(command)
    if command.args.protocol:
        train_folds(command)
    elif len(command.recipes) > 1:
        compare(command, extras)
    else:
        train(command, extras)


def read_command(argv: list[str] | None) -> Command:
    """Read the command line; the defaults of the numbers are the recipe's."""
    parser = make_parser()
    named, _ = parser.parse_known_args(argv)
    given = {**data_options(named), "add": named.add, "adapt": named.adapt}
    given["unknown"] = named.unknown
    recipe = resolve(named.recipe, **given)
    parser.set_defaults(**asdict(recipe.numbers))
    try:
        numbers, args, unknown = parser.parse_args_into_dataclasses(
            argv, return_remaining_strings=True
        )
    except UserError as error:
        parser.error(str(error))
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    encoders = [repository(name, "model") for name in args.encoder or [recipe.encoder]]
    recipes = [replace(recipe, encoder=encoder, numbers=numbers) for encoder in encoders]
    return Command(recipes, args)


def extras_of(command: Command) -> Extras:
    """Give what is asked for beside the training, if it can be had. Raises `UserError`."""
    args = command.args
    found = Extras(args.search, tuple(args.report_to), args.push_to)
    check(found, command.recipes, args.protocol)
    if found.report_to:
        from . import tracking

        tracking.check(found.report_to)
    if found.n_trials is not None:
        from . import search

        search.check(found.n_trials)
    if found.push_to is None:
        return found
    from .pushing import Pusher

    return replace(found, pusher=Pusher(found.push_to, args.private))


def train(command: Command, extras: Extras) -> None:
    """Train one model and print what it is worth."""
    from . import evaluation, experiment

    args = command.args
    result = experiment.run(command.recipes[0], args.output_dir, args.resume, extras)
    if not result:
        return
    print(f"Test: {evaluation.headline(result)}", f"Results: {args.output_dir}", sep="\n")
    if extras.pusher is not None:
        print(extras.pusher.finish(args.output_dir / "model"))


def compare(command: Command, extras: Extras) -> None:
    """Train one encoder after the other and print one table."""
    from . import experiment

    args = command.args
    table = experiment.compare_encoders(command.recipes, args.output_dir, args.resume, extras)
    if table is not None:
        print(table.to_string())


def train_folds(command: Command) -> None:
    """Run each encoder through a protocol, and print its table."""
    from . import experiment, protocols

    args = command.args
    protocol = protocols.Protocol(args.protocol, args.folds, args.seeds, args.keep_weights)
    folders = experiment.encoder_folders([recipe.encoder for recipe in command.recipes])
    for recipe in command.recipes:
        output_dir = args.output_dir
        if len(folders) > 1:
            output_dir = args.output_dir / folders[recipe.encoder]
        results = protocols.run_protocol(protocol, recipe, output_dir)
        print(protocols.table_of(results))


if __name__ == "__main__":
    sys.exit(main())
