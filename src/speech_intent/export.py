"""Write a classifier as ONNX for the fast engine: `python -m speech_intent.export --help`."""

import argparse
import sys
from pathlib import Path

from .command_line import exit_status


def main(argv: list[str] | None = None) -> int:
    """Export as the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m speech_intent.export", description=__doc__)
    parser.add_argument("folder", type=Path, help="model folder, such as OUT/model")
    parser.add_argument(
        "--data",
        metavar="DIR|ZIP|bundled",
        help="judge a reduced precision by accuracy on these recordings",
    )
    args = parser.parse_args(argv)
    return exit_status(lambda: export_model(args.folder, args.data))


def export_model(folder: Path, data: str | None) -> None:
    """Export a model and say what came of it."""
    from .onnx_export import export
    from .onnx_model import describe

    print(describe(export(folder, data)))


if __name__ == "__main__":
    sys.exit(main())
