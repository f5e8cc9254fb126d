"""Publish a trained model, or recordings, on the Hub: `python -m speech_intent.publish --help`."""

import argparse
import sys
from pathlib import Path

from . import hub_names
from .command_line import exit_status
from .names import printable


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m speech_intent.publish", description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        help="model folder, such as OUT/model, or with --dataset a data folder or a zip of one",
    )
    parser.add_argument("name", metavar="USER/NAME")
    parser.add_argument("--private", action="store_true", help="for its owner only")
    parser.add_argument(
        "--without-results",
        action="store_true",
        help="publish a model that has no metrics.json",
    )
    parser.add_argument("--dataset", action="store_true", help="the folder holds recordings")
    parser.add_argument(
        "--license", metavar="ID", help="what the card names, such as apache-2.0 (default: none)"
    )
    parser.add_argument(
        "--language",
        metavar="ID",
        help="what the card names, such as en (default: that of the data's configuration on the "
        "Hub, such as en-US, or none)",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Publish as the arguments say; return the exit status."""
    args = arguments(argv)
    work = publish_dataset if args.dataset else publish_model
    return exit_status(lambda: work(args))


def publish_model(args: argparse.Namespace) -> None:
    """Publish a model folder and print its address."""
    from . import cards, hub_upload

    name = hub_names.new_name(args.name, "model")
    files = hub_upload.model_files(
        args.folder, name, args.without_results, args.license, args.language
    )
    _print_note(cards.model_terms(args.folder, args.license, args.language).note())
    others = hub_upload.left_out(args.folder, files)
    if others:
        _print_note(f"left out: {', '.join(map(printable, others))}")
    print(hub_upload.upload(name, files, "model", args.private))


def publish_dataset(args: argparse.Namespace) -> None:
    """Publish a folder or zip of recordings and print its address."""
    from . import cards, folders, hub_upload

    name = hub_names.new_name(args.name, "dataset")
    folder = folders.find_folder(args.folder)
    files = hub_upload.dataset_files(folder, args.license, args.language)
    if not hub_upload.has_card(folder):
        _print_note(cards.Terms(args.license, args.language).note())
    print(hub_upload.upload(name, files, "dataset", args.private))


def _print_note(note: str) -> None:
    if note:
        print(f"note: {note}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
