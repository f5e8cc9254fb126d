"""Find wrong labels and broken clips: `python -m speech_intent.audit --help`."""

import argparse
import logging
import sys
from pathlib import Path

from .command_line import add_data_options, data_options, exit_status
from .errors import DataError, OutputError
from .recipes import resolve

TABLE = "audit.csv"
PAGE = "audit.html"  # written last

logger = logging.getLogger("speech_intent")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speech_intent.audit",
        description="Look for labels that are likely wrong, copies, outliers, and clips that are "
        "broken, silent, without speech, cut or clipped. Nothing is changed.",
    )
    add_data_options(parser)
    parser.add_argument(
        "--encoder",
        help="folder or Hub id of the frozen encoder that listens; 'moonshine' (default) or "
        "'small', both English",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the folds (default: %(default)s)")
    parser.add_argument(
        "--output-dir", required=True, type=Path, help=f"gets {PAGE}, to listen, and {TABLE}"
    )
    parser.add_argument(
        "--write-corrected",
        type=Path,
        metavar="FILE.csv",
        help="a new table, with the suggested intents in place of those that are likely wrong",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Audit what the arguments name; return the exit status."""
    args = make_parser().parse_args(argv)
    return exit_status(lambda: audit(args))


def audit(args: argparse.Namespace) -> None:
    """Do what the arguments say, and say what was found."""
    from . import additions, audit_page, corrected_table, findings, run_folder

    recipe = resolve(args.recipe, encoder=args.encoder, seed=args.seed, **data_options(args))
    if args.write_corrected is not None:
        corrected_table.check_target(args.write_corrected, recipe)
    if (args.output_dir / PAGE).exists():
        remedy = "choose another folder, or delete it first"
        raise OutputError(args.output_dir, "holds an audit", remedy)
    with run_folder.held(args.output_dir):
        found = findings.find(recipe)
        found.table.round(6).to_csv(args.output_dir / TABLE, index=False)
        name = additions.last_part(recipe.data)
        audit_page.write_page(found, name, args.output_dir / PAGE)
    if found.listing.problems:
        logger.warning("warning: %s", DataError(recipe.data, found.listing.problems))
    print(audit_page.headline(found.table))
    for kind, n in audit_page.kinds(found.table).most_common():
        print(f"  {n} {kind}")
    print(f"Listen: {args.output_dir / PAGE}")
    if args.write_corrected is not None:
        corrected_table.write(found, recipe, args.write_corrected)
        print(f"Corrected table: {args.write_corrected}; hear its changes before you use it")


if __name__ == "__main__":
    sys.exit(main())
