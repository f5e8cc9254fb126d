"""Fine-tune a speech encoder on labelled recordings, from the command line: `python -m speech_intent.train --help`."""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from .recipes import PLAIN, PROTOCOLS, Hyperparameters, Recipe, add_data_options, chosen_recipe


def run(
    data: str, encoder: str, output_dir: Path, numbers: Hyperparameters, resume: bool = False, recipe: Recipe = PLAIN
) -> dict:
    """Train on a dataset and score the result on its test split; notebook 2 and the command line both do this.

    `data` and `recipe`: see `data.load_data`; `encoder`: see `model.build_model`. `output_dir` gets `model/`,
    `metrics.json` (copied into `model/` too, and returned), `predictions.csv`, `training_log.csv` and pictures. Under
    torchrun the processes beside the main one return an empty dict. Raises `DataError`, `ModelError`, FileExistsError.
    """
    from . import data as data_module
    from . import training

    training.check_output(Path(output_dir), resume)
    splits, how = data_module.load_data(data, numbers.seed, recipe)
    if training.is_main_process():
        print(data_module.summary(splits).to_string(), f"Split: {how}", sep="\n", flush=True)
        if recipe.note:
            print(f"Note: {recipe.note}", flush=True)
    return run_splits(splits, how, encoder, Path(output_dir), numbers, resume, replace(recipe, data=str(data)))


def run_splits(splits, how: str, encoder: str, output_dir: Path, numbers, resume: bool, recipe: Recipe) -> dict:
    """Do what `run` does from tables on."""
    import pandas as pd

    from . import data, evaluate, plots, training
    from .predict import IntentClassifier

    record = training.fine_tune(encoder, splits, numbers, output_dir, resume)
    if not training.is_main_process():
        return {}
    log = pd.read_csv(output_dir / "training_log.csv")
    plots.save(plots.training_curves(log, numbers.metric), output_dir / "training_curves.png")
    classifier = IntentClassifier.from_pretrained(output_dir / "model")
    plots.save(plots.answers(*evaluate.examples(classifier, splits["validation"])), output_dir / "validation.png")
    record |= {"data": recipe.data, "config": recipe.config, "note": recipe.note, "split": f"test ({how})"}
    record |= data.facts(splits)
    result = evaluate.evaluate_model(classifier, splits["test"], output_dir, record)
    shutil.copy(output_dir / "metrics.json", output_dir / "model")
    return result


def compare(encoders: list[str], output_dir: Path, **options) -> dict[str, dict]:
    """Run each encoder into a folder of its own in `output_dir`, print one table and write comparison.csv."""
    import pandas as pd

    results = {name: run(encoder=name, output_dir=output_dir / Path(name).name, **options) for name in encoders}
    if all(results.values()):
        columns = ["n", "correct", "accuracy", "f1_macro", "f1_weighted", "parameters", "train_seconds"]
        table = pd.DataFrame.from_dict(results, orient="index")[columns].rename_axis("encoder")
        table.to_csv(output_dir / "comparison.csv")
        print(table.to_string())
    return results


def run_protocol(args: argparse.Namespace, encoders: list[str], numbers: Hyperparameters, recipe: Recipe) -> None:
    """Run each encoder through the protocol that the arguments name, and print its table."""
    from . import protocols

    seeds, several = [int(seed) for seed in args.seeds.split(",")], len(encoders) > 1
    for encoder in encoders:
        out = args.output_dir / Path(encoder).name if several else args.output_dir
        experiment = args.protocol, args.folds, seeds, args.keep_weights, out, encoder, numbers, recipe
        print(protocols.describe(protocols.run(*experiment)))


def arguments(argv: list[str] | None) -> tuple[Hyperparameters, argparse.Namespace]:
    """Read the command line; the defaults of the numbers are the recipe's."""
    from transformers import HfArgumentParser

    parser = HfArgumentParser(Hyperparameters, prog="python -m speech_intent.train", description=__doc__)
    add_data_options(parser)
    parser.add_argument(
        "--encoder",
        nargs="+",
        help="folder, Hub id, 'small' (in models/) or 'random' (not pretrained); several are compared",
    )
    parser.add_argument("--output-dir", required=True, type=Path, help="gets model/, metrics.json, predictions.csv")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="train and score several splits, and print their spread")
    parser.add_argument("--folds", type=int, default=5, help="of the protocol kfold (default: %(default)s)")
    parser.add_argument("--seeds", default="0", help="of the protocol, such as 0,1,2 (default: %(default)s)")
    parser.add_argument("--keep-weights", action="store_true", help="keep the model of every fold")
    try:
        parser.set_defaults(**chosen_recipe(parser.parse_known_args(argv)[0]).numbers)
        numbers, args, unknown = parser.parse_args_into_dataclasses(argv, return_remaining_strings=True)
    except ValueError as error:
        parser.error(str(error))
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return numbers, args


def main(argv: list[str] | None = None) -> int:
    """Train as the arguments say; return the exit status."""
    numbers, args = arguments(argv)
    from . import evaluate

    recipe = chosen_recipe(args)
    encoders = args.encoder or [recipe.encoder]
    options = {"data": recipe.data, "numbers": numbers, "resume": args.resume, "recipe": recipe}
    try:
        if args.protocol:
            run_protocol(args, encoders, numbers, recipe)
            return 0
        if len(encoders) > 1:
            compare(encoders, args.output_dir, **options)
            return 0
        result = run(encoder=encoders[0], output_dir=args.output_dir, **options)
    except (ValueError, OSError) as error:  # DataError and ModelError are ValueErrors, FileExistsError an OSError
        print(f"error: {error}", file=sys.stderr)
        return 1
    if result:
        print(f"Test: {evaluate.describe(result)}", f"Results: {args.output_dir}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
