"""Accuracy on the bundled test split (voices and wordings never trained on) by the number of training clips.

    python benchmarks/learning_curve.py --encoder small --clips 12 --draws 5 --output-dir runs/few

Draws that many training clips of each intent (0 means all), a seed a draw; the validation split shrinks to four clips
of each intent. Finished runs are kept: run it again to go on. Writes OUTPUT_DIR/results.json.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from speech_intent import data, evaluate, hub, training
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Hyperparameters

FEW_VALIDATION = 4  # clips an intent


def draw(table, per_intent: int, seed: int):
    """Draw `per_intent` rows of each label from a datasets.Dataset; 0 draws all."""
    if not per_intent:
        return table
    labels, rng = np.array(table["label"]), np.random.default_rng(seed)
    rows = [row for label in np.unique(labels) for row in rng.permutation(np.flatnonzero(labels == label))[:per_intent]]
    return table.select(sorted(int(row) for row in rows))


def run(splits, encoder: str, per_intent: int, seed: int, learning_rate: float | None, folder: Path) -> dict:
    """Fine-tune on one draw and score the test split."""
    if (folder / "metrics.json").exists():
        return json.loads((folder / "metrics.json").read_text())
    splits = type(splits)(splits)
    splits["train"] = draw(splits["train"], per_intent, seed)
    splits["validation"] = draw(splits["validation"], FEW_VALIDATION if per_intent else 0, seed)
    numbers = Hyperparameters(seed=seed, learning_rate=learning_rate)
    record = training.fine_tune(encoder, splits, numbers, folder, resume=folder.exists())
    classifier = IntentClassifier.from_pretrained(folder / "model")
    record |= {"data": "bundled", "split": "test", "clips_per_intent": per_intent, "n_train": len(splits["train"])}
    result = evaluate.evaluate_model(classifier, splits["test"], folder, record)
    shutil.rmtree(folder / "model")
    return result


def main() -> None:
    """Run every size and draw."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--encoder", default="small", help="(default: %(default)s)")
    p.add_argument("--clips", type=int, nargs="+", default=[0], help="an intent; 0 is all (default)")
    p.add_argument("--draws", type=int, default=1, help="(default: %(default)s)")
    p.add_argument("--learning-rate", type=float)
    p.add_argument("--output-dir", type=Path, required=True)
    args = p.parse_args()
    hub.quiet_transformers()
    splits, _ = data.load_data("bundled")
    for per_intent in args.clips:
        scores = []
        for seed in range(args.draws):
            folder = args.output_dir / f"{per_intent or 'all'}-{seed}"
            scores.append(run(splits, args.encoder, per_intent, seed, args.learning_rate, folder)["accuracy"])
            print(f"{per_intent or 'all'} clips an intent, draw {seed}: accuracy {scores[-1]:.4f}", flush=True)
        print(f"{per_intent or 'all'} clips an intent: mean {np.mean(scores):.4f} of {len(scores)}", flush=True)
    keys = ("clips_per_intent", "n_train", "seed", "n", "correct", "accuracy", "accuracy_interval", "f1_macro")
    keys += ("steps", "train_seconds", "hyperparameters")
    runs = [json.loads(path.read_text()) for path in args.output_dir.glob("*/metrics.json")]  # of earlier calls too
    runs = sorted(({key: row[key] for key in keys} for row in runs), key=lambda row: (row["n_train"], row["seed"]))
    (args.output_dir / "results.json").write_text(json.dumps({"encoder": args.encoder, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
