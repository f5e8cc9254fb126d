"""Score a trained model on labelled recordings: `python -m speech_intent.evaluate --help`."""

import argparse
import sys
from pathlib import Path

from .command_line import add_data_options, data_options, exit_status
from .errors import UserError
from .names import file_stem
from .recipes import resolve


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m speech_intent.evaluate", description=__doc__)
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        help="folder or Hub id of a classifier; several are compared",
    )
    add_data_options(parser)
    parser.add_argument(
        "--split",
        default="test",
        choices=["train", "validation", "test", "all"],
        help="all: every clip that the model has not learned from, whatever the data say, as for "
        "recordings of somebody else (default: %(default)s)",
    )
    parser.add_argument(
        "--output-dir",
        required=True,
        type=Path,
        help="gets report.html, metrics.json, predictions.csv",
    )
    parser.add_argument(
        "--seed",
        type=int,
        help="draw a split by it, where the data name none (default: the split that the model was "
        "trained with)",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="score again with noise, voices and music, in a room, on lines",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Score the models and write `OUTPUT_DIR`; return the exit status."""
    args = arguments(argv)
    return exit_status(lambda: score_models(args))


def score_models(args: argparse.Namespace) -> None:
    """Do what the arguments say."""
    from . import evaluation

    folders = model_folders(args.model, args.output_dir)
    recipe = resolve(args.recipe, **data_options(args))
    several = len(folders) > 1
    for model, folder in folders.items():
        result = evaluation.score_model(
            model, recipe, args.split, folder, args.robustness, args.seed
        )
        name = model if several else args.split.capitalize()
        print(f"{name}: {evaluation.headline(result)}")
    if several:
        table = evaluation.compare_models(folders)
        table.to_csv(args.output_dir / "comparison.csv")
        print(table.to_string())
    print(f"Results: {args.output_dir}")


def model_folders(models: list[str], output_dir: Path) -> dict[str, Path]:
    """Choose where the results of each model go: `output_dir`, or a folder a model in it.

    Raises `UserError` for a model that is named twice.
    """
    if len(models) == 1:
        return {models[0]: output_dir}
    folders: dict[str, Path] = {}
    for model in models:
        if model in folders:
            raise UserError(model, "is named twice", "name each model once")
        stem = file_stem(model)
        while output_dir / stem in folders.values():
            stem += "-again"  # ../a/b and a/b
        folders[model] = output_dir / stem
    return folders


if __name__ == "__main__":
    sys.exit(main())
