"""Score a trained model on labelled recordings, from the command line: `python -m speech_intent.evaluate --help`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .recipes import add_data_options, chosen_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from datasets import Dataset

    from .predict import IntentClassifier


def predict_table(classifier: "IntentClassifier", table: "Dataset", change: "Callable | None" = None) -> "pd.DataFrame":
    """Predict every clip of a table, in its order; `change` alters the first window of each (see `conditions`).

    Gives `file_name`, `intent` (truth), `predicted` (the best intent, accepted or not), `score`, `accepted`, `speaker`,
    `seconds` and `p_INTENT`, the probability of every intent.
    """
    import pandas as pd
    from tqdm import tqdm

    from . import audio

    names, rate = table.features["label"].names, classifier.extractor.sampling_rate
    rows = []
    for i, row in enumerate(tqdm(table, desc="Predicting", unit="clip", disable=None, leave=False)):
        source = row["audio"]
        if change:
            source = change(audio.load(source, rate, max_seconds=classifier.max_seconds), rate, i), rate
        prediction = classifier.predict(source)
        answer = {"predicted": prediction.label, "score": prediction.score, "accepted": prediction.accepted}
        truth = {"file_name": row["file_name"], "intent": names[row["label"]]}
        whose = {"speaker": row["speaker"], "seconds": round(prediction.seconds, 3)}
        rows.append(truth | answer | whose | {f"p_{label}": score for label, score in sorted(prediction.scores)})
    return pd.DataFrame(rows)


def evaluate_model(
    classifier: "IntentClassifier", table: "Dataset", output_dir: Path, record: dict, robustness: bool = False
) -> dict:
    """Score a classifier on one split from `data.load_data` and write the results. The model is not changed.

    `output_dir` gets what `write_results` writes and, with `robustness`, `robustness.csv`: accuracy under each of
    `conditions`. Returns the contents of metrics.json. Raises ValueError for intents that the model does not know.
    """
    import pandas as pd

    from . import conditions, metrics

    unknown = {table.features["label"].names[i] for i in set(table["label"])} - set(classifier.labels)
    if unknown:
        problem = f"does not know the intents {', '.join(sorted(unknown))} of the data"
        raise ValueError(f"{classifier.name}: {problem}; it knows {', '.join(classifier.labels)}")
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    predictions = predict_table(classifier, table)
    if robustness:
        parts = {name: predict_table(classifier, table, change) for name, change in conditions.conditions().items()}
        counts = metrics.accuracy_by(pd.concat(parts, names=["condition"]).reset_index(0), ["condition"])
        counts.loc[list(parts)].to_csv(output_dir / "robustness.csv")
    return write_results(predictions, classifier.labels, output_dir, record | {"threshold": classifier.threshold})


def write_results(predictions: "pd.DataFrame", labels: list[str], output_dir: Path, record: dict) -> dict:
    """Score the answers of `predict_table` and write everything about them.

    `output_dir` gets `metrics.json` (the scores of `metrics.classification_metrics`, calibration, and `record`: data,
    split, seed, threshold; also returned), `predictions.csv`, `confusion_matrix.png`, `reliability.png`, and
    `report.html`, which shows them all, and `robustness.csv` where it is there.
    """
    from . import calibration, metrics, plots, report

    ids = {label: i for i, label in enumerate(labels)}
    truth, predicted = (predictions[column].map(ids) for column in ("intent", "predicted"))
    result = metrics.classification_metrics(truth, predicted, labels, predictions["speaker"])
    right, accepted = (truth == predicted).to_numpy(), predictions["accepted"].to_numpy()
    scores, n_accepted = predictions["score"].to_numpy(), int(accepted.sum())
    table = calibration.reliability(scores, right)
    result |= {"calibration_error": calibration.calibration_error(table)}
    result |= {"calibration_error_interval": calibration.calibration_error_interval(scores, right)}
    if record["threshold"] is not None:
        counts = {"coverage": (n_accepted, len(right))}
        counts |= {"accuracy_answered": (int(right[accepted].sum()), n_accepted)} if n_accepted else {}
        for name, (k, n) in counts.items():
            result |= {name: k / n, f"{name}_interval": metrics.wilson_interval(k, n)}
    result |= record
    predictions.to_csv(output_dir / "predictions.csv", index=False)
    plots.save(plots.confusion_matrix(result["confusion"], labels), output_dir / "confusion_matrix.png")
    plots.save(plots.reliability(table), output_dir / "reliability.png")
    report.write(result, predictions, output_dir)
    partial = output_dir / "metrics.json.partial"  # metrics.json says that a run is finished: all or nothing
    partial.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(output_dir / "metrics.json")
    return result


def compare(folders: dict[str, Path]) -> "pd.DataFrame":
    """Compare models, by name, on the same clips, from their `predictions.csv`: best first, each against the best.

    Gives `correct`, `n`, `accuracy`, its interval (`low`, `high`), and of the exact McNemar test `only_best`,
    `only_this` (clips that one of the two alone answered rightly) and `p`. Raises ValueError if the clips differ.
    """
    import pandas as pd

    from . import metrics

    tables = {name: pd.read_csv(folder / "predictions.csv", keep_default_na=False) for name, folder in folders.items()}
    if len({tuple(table["file_name"]) for table in tables.values()}) > 1:
        raise ValueError("the models were not scored on the same clips; add --seed, so that one split is drawn for all")
    counts = pd.concat(tables, names=["model"]).reset_index(0)
    counts = metrics.accuracy_by(counts, ["model"]).sort_values("accuracy", ascending=False, kind="stable")
    right = {name: table["intent"] == table["predicted"] for name, table in tables.items()}
    tests = {name: metrics.mcnemar(right[counts.index[0]], right[name]) for name in counts.index[1:]}
    tests = pd.DataFrame.from_dict(tests, orient="index").reindex(counts.index)
    return counts.join(tests.rename(columns={"only_first": "only_best", "only_second": "only_this"}))


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
    """Score the models and write `OUTPUT_DIR`; return the exit status."""
    p = argparse.ArgumentParser(prog="python -m speech_intent.evaluate", description=__doc__)
    p.add_argument("--model", required=True, nargs="+", help="folder or Hub id of a classifier; several are compared")
    add_data_options(p)
    p.add_argument("--split", default="test", choices=["train", "validation", "test"], help="(default: %(default)s)")
    p.add_argument("--output-dir", required=True, type=Path, help="gets report.html, metrics.json, predictions.csv")
    p.add_argument("--seed", type=int, help="of the split, where the folder names none (default: the model's own)")
    p.add_argument("--robustness", action="store_true", help="score again with noise, on a telephone and in a room")
    args = p.parse_args(argv)
    several, folders = len(args.model) > 1, {}
    try:
        for model in args.model:
            out = args.output_dir / model.replace("/", "--").strip("-") if several else args.output_dir
            folders[model], result = out, score(model, out, args)
            print(f"{model if several else args.split.capitalize()}: {describe(result)}")
        if several:
            table = compare(folders)
            table.to_csv(args.output_dir / "comparison.csv")
            print(table.to_string())
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Results: {args.output_dir}")
    return 0


def score(model: str, output_dir: Path, args: argparse.Namespace) -> dict:
    """Evaluate one model as the arguments of the command line say."""
    from . import data
    from .predict import IntentClassifier

    if (output_dir / "metrics.json").exists():
        raise FileExistsError(f"{output_dir}: holds results; choose another folder, or delete it first")
    seed = model_seed(model) if args.seed is None else args.seed
    recipe = chosen_recipe(args)
    splits, how = data.load_data(recipe.data, seed, recipe)
    record = {"model": model, "data": recipe.data, "config": recipe.config}
    record |= {"split": f"{args.split} ({how})", "seed": seed} | data.facts(splits)
    classifier = IntentClassifier.from_pretrained(model, engine="torch")
    return evaluate_model(classifier, splits[args.split], output_dir, record, args.robustness)


if __name__ == "__main__":
    sys.exit(main())
