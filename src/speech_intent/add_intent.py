"""Add an intent to a trained classifier: `python -m speech_intent.add_intent --help`."""

import argparse
import logging
import sys
from pathlib import Path

from .command_line import add_data_options, data_options, exit_status
from .recipes import resolve

logger = logging.getLogger("speech_intent")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speech_intent.add_intent",
        description="Add an intent to a trained classifier, or more clips of one that it knows, "
        "in seconds: its encoder stays as it is. Says what that did to the intents it knew.",
    )
    parser.add_argument("model", metavar="MODEL", help="folder or Hub id that `train` made")
    add_data_options(parser)
    parser.add_argument("--output-dir", required=True, type=Path, help="gets model/ and added.json")
    args = parser.parse_args(argv)
    if args.data is None:
        parser.error("--data must name the new clips")
    return args


def main(argv: list[str] | None = None) -> int:
    """Add what the arguments name; return the exit status."""
    args = arguments(argv)
    return exit_status(lambda: add(args))


def add(args: argparse.Namespace) -> None:
    """Add the intents and say what came of it."""
    from . import addition_report, extended_model

    recipe = resolve(args.recipe, **data_options(args))
    result = extended_model.add_intent(args.model, recipe, args.output_dir)
    for line in addition_report.in_words(result):
        print(line)
    for warning in addition_report.warnings(result):
        logger.warning("warning: %s", warning)
    folder = args.output_dir / "model"
    print(f"Model: {folder}, in {result['seconds']} s")
    if result["had_onnx"]:
        print(f"It has no ONNX form yet: python -m speech_intent.export {folder}")


if __name__ == "__main__":
    sys.exit(main())
