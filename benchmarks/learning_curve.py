"""Accuracy on the bundled test split by the number of training clips.

    python benchmarks/learning_curve.py --clips 12 --draws 5 --output-dir runs/few

Voices and wordings of the test split are never trained on. Draws that many training clips of each
intent (0 means all), a seed a draw; the validation split is cut to four clips of each intent.
Finished runs are kept: run it again to go on. Writes OUTPUT_DIR/results.json.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speech_intent import (
    command_line,
    data,
    evaluation,
    hub_models,
    provenance,
    run_folder,
    training,
)
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Recipe, resolve

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

FEW_VALIDATION = 4  # clips an intent
KEPT = (
    "clips_per_intent",
    "n_train",
    "seed",
    "n",
    "correct",
    "accuracy",
    "accuracy_interval",
    "f1_macro",
    "steps",
    "train_seconds",
    "hyperparameters",
)


def draw(table: "Dataset", per_intent: int, seed: int) -> "Dataset":
    """Draw `per_intent` rows of each label, in their order; 0 draws all."""
    if not per_intent:
        return table
    labels = np.array(table["label"])
    rng = np.random.default_rng(seed)
    rows: list[int] = []
    for label in np.unique(labels):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        rows += shuffled[:per_intent].tolist()
    return table.select(sorted(rows))


def draw_tables(tables: "DatasetDict", per_intent: int, seed: int) -> "DatasetDict":
    """Draw the training clips, and few validation clips if not all are trained on."""
    n_validation = FEW_VALIDATION if per_intent else 0
    drawn = type(tables)(tables)
    drawn["train"] = draw(tables["train"], per_intent, seed)
    drawn["validation"] = draw(tables["validation"], n_validation, seed)
    return drawn


def train_and_score(
    recipe: Recipe, tables: "DatasetDict", per_intent: int, folder: Path
) -> dict[str, Any]:
    """Fine-tune on one draw, by the recipe's seed, and score the test split; once only."""
    finished = folder / "metrics.json"
    if finished.exists():
        return json.loads(finished.read_text(encoding="utf-8"))
    resume = folder.exists()
    with run_folder.held(folder):
        return _train_and_score(recipe, tables, per_intent, folder, resume)


def _train_and_score(
    recipe: Recipe, tables: "DatasetDict", per_intent: int, folder: Path, resume: bool
) -> dict[str, Any]:
    drawn = draw_tables(tables, per_intent, recipe.numbers.seed)
    trained = training.fine_tune(recipe, drawn, folder, resume)
    classifier = IntentClassifier.from_pretrained(folder / "model")
    record = {
        **trained,
        "data": recipe.data,
        "split": "test",
        "clips_per_intent": per_intent,
        "n_train": len(drawn["train"]),
    }
    result = evaluation.evaluate_model(classifier, drawn["test"], folder, record)
    shutil.rmtree(folder / "model")
    return result


def made_of(recipe: Recipe, tables: "DatasetDict") -> dict[str, Any]:
    """Name what decides the results in a folder, but for the seed and the number of clips."""
    ingredients = provenance.ingredients(recipe)
    del ingredients["seed"]
    return {**ingredients, "list of clips": data.facts(tables)["data_hash"]}


def write_results(encoder: str, output_dir: Path) -> None:
    """Collect the results of this and earlier calls."""
    paths = output_dir.glob("*/metrics.json")
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    runs = [{key: result[key] for key in KEPT} for result in results]
    runs.sort(key=lambda run: (run["n_train"], run["seed"]))
    run_folder.write_json(output_dir / "results.json", {"encoder": encoder, "runs": runs})


def run(args: argparse.Namespace) -> None:
    """Run every size and draw. Raises `OutputError` if the folder's results differ in more."""
    hub_models.quiet_transformers()
    recipe = resolve(
        "bundled", encoder=args.encoder, learning_rate=args.learning_rate, unknown="none"
    )
    tables = data.load_data(recipe).tables
    begun = any(args.output_dir.glob("*"))
    provenance.claim(args.output_dir, made_of(recipe, tables), begun=begun)
    for per_intent in args.clips:
        name = str(per_intent or "all")
        scores = []
        for seed in range(args.draws):
            folder = args.output_dir / f"{name}-{seed}"
            result = train_and_score(recipe.with_seed(seed), tables, per_intent, folder)
            scores.append(result["accuracy"])
            print(f"{name} clips an intent, draw {seed}: accuracy {scores[-1]:.4f}", flush=True)
        print(f"{name} clips an intent: mean {np.mean(scores):.4f} of {len(scores)}", flush=True)
    write_results(args.encoder, args.output_dir)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--encoder", default="moonshine", help="(default: %(default)s)")
    add("--clips", type=int, nargs="+", default=[0], help="an intent; 0 is all (default)")
    add("--draws", type=int, default=1, help="(default: %(default)s)")
    add("--learning-rate", type=float)
    add("--output-dir", type=Path, required=True)
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
