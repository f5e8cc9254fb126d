"""Score a trained model on labelled recordings, from the command line: `python -m speech_intent.evaluate --help`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .recipes import add_data_options, chosen_recipe

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from .predict import IntentClassifier


def predict_table(classifier: "IntentClassifier", table: "Dataset") -> "pd.DataFrame":
    """Predict every clip of a table: `file_name`, `intent` (truth), `predicted`, `score`, in the table's order."""
    import pandas as pd
    from tqdm import tqdm

    names = table.features["label"].names
    rows = []
    for row in tqdm(table, desc="Predicting", unit="clip", disable=None, leave=False):
        prediction = classifier.predict(row["audio"])
        rows.append((row["file_name"], names[row["label"]], prediction.label, prediction.score))
    return pd.DataFrame(rows, columns=["file_name", "intent", "predicted", "score"])


def evaluate_model(classifier: "IntentClassifier", table: "Dataset", output_dir: Path, record: dict) -> dict:
    """Score a classifier on one split from `data.load_data` and write the results. The model is not changed.

    `output_dir` gets `metrics.json` (the scores of `metrics.classification_metrics` with `record`: data, split, seed;
    also returned), `predictions.csv` and `confusion_matrix.png`. Raises ValueError for intents that the model does not
    know.
    """
    from . import metrics, plots

    unknown = {table.features["label"].names[i] for i in set(table["label"])} - set(classifier.labels)
    if unknown:
        problem = f"does not know the intents {', '.join(sorted(unknown))} of the data"
        raise ValueError(f"{classifier.name}: {problem}; it knows {', '.join(classifier.labels)}")
    predictions = predict_table(classifier, table)
    ids = {label: i for i, label in enumerate(classifier.labels)}
    truth, predicted = (predictions[column].map(ids) for column in ("intent", "predicted"))
    result = {**metrics.classification_metrics(truth, predicted, classifier.labels), **record}
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    predictions.to_csv(output_dir / "predictions.csv", index=False)
    plots.save(plots.confusion_matrix(result["confusion"], classifier.labels), output_dir / "confusion_matrix.png")
    partial = output_dir / "metrics.json.partial"  # metrics.json says that a run is finished: all or nothing
    partial.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(output_dir / "metrics.json")
    return result


def examples(classifier: "IntentClassifier", table: "Dataset", n: int = 8) -> "tuple[list, list[str]]":
    """Pick n clips at even distances and answer them: waveforms (n_samples,) and "truth: answer score" lines."""
    from . import audio

    names, rate = table.features["label"].names, classifier.extractor.sampling_rate
    waveforms, lines = [], []
    for i in range(0, len(table), max(1, len(table) // n)):
        row = table[i]
        prediction = classifier.predict(row["audio"])
        waveforms.append(audio.load(row["audio"], rate, max_seconds=classifier.max_seconds))
        lines.append(f"{names[row['label']]}: {prediction.label} {prediction.score:.2f}")
    return waveforms[:n], lines[:n]


def describe(result: dict) -> str:
    """Say the headline figures of `metrics.json` in one line."""
    low, high = result["accuracy_interval"]
    accuracy = f"accuracy {result['accuracy']:.4f} = {result['correct']}/{result['n']}"
    return f"{accuracy} (95 % interval {low:.3f} to {high:.3f}), macro F1 {result['f1_macro']:.4f}"


def model_seed(model: str | Path) -> int:
    """Read the seed a model was trained with, so that its test clips are not clips it learned from."""
    try:
        return int(json.loads((Path(model) / "training.json").read_text())["seed"])
    except (OSError, ValueError, KeyError):
        return 0


def main(argv: list[str] | None = None) -> int:
    """Score the model and write `OUTPUT_DIR`; return the exit status."""
    p = argparse.ArgumentParser(prog="python -m speech_intent.evaluate", description=__doc__)
    p.add_argument("--model", required=True, help="local folder or Hub id of a trained classifier")
    add_data_options(p)
    p.add_argument("--split", default="test", choices=["train", "validation", "test"], help="(default: %(default)s)")
    p.add_argument("--output-dir", required=True, type=Path, help="gets metrics.json, predictions.csv, pictures")
    p.add_argument("--seed", type=int, help="of the split, where the folder names none (default: the model's own)")
    args = p.parse_args(argv)
    from . import data
    from .predict import IntentClassifier

    try:
        if (args.output_dir / "metrics.json").exists():
            raise FileExistsError(f"{args.output_dir}: holds results; choose another folder, or delete it first")
        seed = model_seed(args.model) if args.seed is None else args.seed
        recipe = chosen_recipe(args)
        splits, how = data.load_data(recipe.data, seed, recipe)
        record = {"model": args.model, "data": recipe.data, "config": recipe.config}
        record |= {"split": f"{args.split} ({how})", "seed": seed}
        classifier = IntentClassifier.from_pretrained(args.model)
        result = evaluate_model(classifier, splits[args.split], args.output_dir, record)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.split.capitalize()}: {describe(result)}", f"Results: {args.output_dir}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
