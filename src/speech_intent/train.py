"""Fine-tune a speech encoder on labelled recordings, from the command line: `python -m speech_intent.train --help`."""

import shutil
import sys
from pathlib import Path

from .recipes import Hyperparameters


def run(data: str, encoder: str, output_dir: Path, numbers: Hyperparameters, resume: bool = False) -> dict:
    """Train on a dataset and score the result on its test split; notebook 2 and the command line both do this.

    Parameters
    ----------
    data : path or str
        See `data.load_data`.
    encoder : path or str
        See `model.build_model`.
    output_dir : path
        Gets `model/`, `metrics.json` (copied into `model/` too), `predictions.csv`, `training_log.csv` and pictures.

    Returns
    -------
    dict
        What `metrics.json` holds; empty in the processes beside the main one under torchrun.

    Raises
    ------
    DataError, FileExistsError, ModelError
        See `data.load_data`, `training.fine_tune` and `model.build_model`.
    """
    import pandas as pd

    from . import data as data_module
    from . import evaluate, hub, plots, training
    from .predict import IntentClassifier

    output_dir = Path(output_dir)
    training.check_output(output_dir, resume)
    splits, how = data_module.load_data(data, numbers.seed)
    hub.quiet_transformers()
    if training.is_main_process():
        print(data_module.summary(splits).to_string(), f"Split: {how}", sep="\n", flush=True)
    record = training.fine_tune(encoder, splits, numbers, output_dir, resume)
    if not training.is_main_process():
        return {}
    log = pd.read_csv(output_dir / "training_log.csv")
    plots.save(plots.training_curves(log, numbers.metric), output_dir / "training_curves.png")
    classifier = IntentClassifier.from_pretrained(output_dir / "model")
    record |= {"data": str(data), "split": f"test ({how})"}
    result = evaluate.evaluate_model(classifier, splits["test"], output_dir, record)
    shutil.copy(output_dir / "metrics.json", output_dir / "model")
    return result


def main(argv: list[str] | None = None) -> int:
    """Train as the arguments say; return the exit status."""
    from transformers import HfArgumentParser

    parser = HfArgumentParser(Hyperparameters, prog="python -m speech_intent.train", description=__doc__)
    parser.add_argument(
        "--data", default="bundled", help="folder with metadata.csv (file_name,intent[,speaker][,split])"
    )
    parser.add_argument(
        "--encoder",
        default="small",
        help="local folder, Hub id, 'small' (the pretrained one in models/) or 'random' (the same, not pretrained)",
    )
    parser.add_argument(
        "--output-dir", required=True, type=Path, help="gets model/, metrics.json, predictions.csv, ..."
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR")
    try:
        numbers, args, unknown = parser.parse_args_into_dataclasses(argv, return_remaining_strings=True)
    except ValueError as error:
        parser.error(str(error))
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    from . import evaluate

    try:
        result = run(args.data, args.encoder, args.output_dir, numbers, args.resume)
    except (ValueError, OSError) as error:  # DataError and ModelError are ValueErrors, FileExistsError an OSError
        print(f"error: {error}", file=sys.stderr)
        return 1
    if result:
        print(f"Test: {evaluate.describe(result)}", f"Results: {args.output_dir}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
