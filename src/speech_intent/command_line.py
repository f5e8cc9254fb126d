"""What the command lines share: options that say which recordings, and what becomes of errors."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from .errors import UserError
from .hub_names import check_endpoint
from .recipes import RECIPES

# Fields of a Recipe.
DATA_OPTIONS = ("data", "config", "audio", "intent", "speaker", "text", "drop_copies")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which recordings, to a parser of `train` or `evaluate`."""
    parser.add_argument(
        "--recipe",
        default="bundled",
        metavar="NAME|FILE.toml",
        help=f"one of {', '.join(RECIPES)}, or a file such as a run's settings.toml "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        help="folder or zip of clips, 'bundled', or Hub dataset (default: the recipe's)",
    )
    parser.add_argument(
        "--config",
        type=configuration,
        help="configuration of the Hub dataset, such as a language (default: the recipe's)",
    )
    for column in ("audio", "intent", "speaker", "text"):
        parser.add_argument(
            f"--{column}-column",
            dest=column,
            metavar="COLUMN",
            help="where the data call it so",
        )
    parser.add_argument(
        "--drop-copies",
        action="store_const",
        const=True,
        help="leave out of training what is held out under another name",
    )


def configuration(name: str) -> str:
    """Read the name of a Hub dataset's configuration; other programs take settings so."""
    if name.endswith(".toml"):
        problem = f"{name!r} is a file, and this names a configuration of a Hub dataset"
        raise argparse.ArgumentTypeError(f"{problem}; settings are read by --recipe {name}")
    return name


def data_options(args: argparse.Namespace) -> dict[str, Any]:
    """Take from parsed arguments what `recipes.resolve` wants to know of the recordings."""
    return {name: getattr(args, name) for name in DATA_OPTIONS}


def exit_status(work: Callable[[], None]) -> int:
    """Do a command's work; return 0, or 1 after a line about what its user can put right."""
    try:
        check_endpoint()
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
