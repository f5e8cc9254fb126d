"""Publish a trained model, a page that asks it, or recordings on the Hub.

`python -m speech_intent.publish --help`.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from . import hub_names
from .command_line import exit_status
from .hub_names import Kind


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
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--dataset", action="store_true", help="the folder holds recordings")
    kinds.add_argument(
        "--space",
        action="store_true",
        help="publish a page that asks the exported model in its visitor's browser",
    )
    parser.add_argument(
        "--dry-run",
        type=Path,
        metavar="FOLDER",
        help="write what would be uploaded, the card too, into this folder, and upload nothing",
    )
    _add_terms(parser)
    return parser.parse_args(argv)


def _add_terms(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the card names."""
    parser.add_argument(
        "--license",
        metavar="ID",
        help="such as apache-2.0 (default: what dataset.toml or the card beside the recordings "
        "says; of a model the strictest of its encoder's and its data's; or none)",
    )
    parser.add_argument(
        "--language",
        metavar="ID",
        help="such as en (default: likewise; of a model that of the data's configuration on the "
        "Hub, such as en-US, of their card, or of the encoder's)",
    )
    parser.add_argument(
        "--data-name",
        metavar="NAME",
        help="what recordings are called, here or in the card of a model that was trained on them "
        "(default: their pretty name, or the last part of their folder's path)",
    )


def main(argv: list[str] | None = None) -> int:
    """Publish as the arguments say; return the exit status."""
    args = arguments(argv)
    work = publish_model
    if args.dataset or args.space:
        work = publish_dataset if args.dataset else publish_space
    return exit_status(lambda: work(args))


def publish_model(args: argparse.Namespace) -> None:
    """Publish a model folder and print its address."""
    from . import hub_upload, model_facts, terms

    name = hub_names.new_name(args.name, "model")
    given = terms.given(args.license, args.language, args.data_name)
    facts = model_facts.read_facts(args.folder, given)
    files = hub_upload.model_files(args.folder, name, facts, args.without_results)
    for note in hub_upload.notes(args.folder, files, facts, given):
        _print_note(note)
    _deliver(args, name, files, "model")


def publish_space(args: argparse.Namespace) -> None:
    """Publish a static page with a model in it, and print its address."""
    from . import model_facts, spaces, terms

    name = hub_names.new_name(args.name, "space")
    given = terms.given(args.license, args.language, args.data_name)
    facts = model_facts.read_facts(args.folder, given)
    files = spaces.space_files(args.folder, name, facts)
    for note in facts.notes(given):
        _print_note(note)
    _deliver(args, name, files, "space")


def publish_dataset(args: argparse.Namespace) -> None:
    """Publish a folder or zip of recordings and print its address."""
    from . import folders, hub_recordings, terms

    name = hub_names.new_name(args.name, "dataset")
    given = terms.given(args.license, args.language, args.data_name)
    folder = folders.find_folder(args.folder)
    recordings = hub_recordings.dataset_files(folder, given, terms.of_place(args.folder))
    if recordings.unsaid:
        _print_note(recordings.unsaid)
    _deliver(args, name, recordings.files, "dataset")


def _deliver(
    args: argparse.Namespace, name: str, files: Mapping[str, Path | bytes], kind: Kind
) -> None:
    """Upload files and print their address, or write them where they can be looked at."""
    from . import hub_upload

    if args.dry_run is None:
        print(hub_upload.upload(name, files, kind, args.private))
        return
    hub_upload.write(files, args.dry_run)
    print(f"Nothing was uploaded: {len(files)} files are in {args.dry_run}")


def _print_note(note: str) -> None:
    print(f"note: {note}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
