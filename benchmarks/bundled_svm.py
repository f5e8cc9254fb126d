"""MFCC statistics with a support vector machine on the bundled data, the classical way to be beaten.

    python benchmarks/bundled_svm.py --output runs/bundled-svm.json

On all training clips, and on the draws of twelve clips an intent that `learning_curve.py` makes.
"""

import argparse
import json
from pathlib import Path

from learning_curve import draw

from speech_intent import baseline, data, evaluate, metrics


def main() -> None:
    """Fit on the training clips and score the test clips; nothing is tuned."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--output", type=Path, required=True, help="JSON file")
    args = p.parse_args()
    splits, _ = data.load_data("bundled")
    test = baseline.table_statistics(splits["test"])

    def score(train) -> dict:
        guesses = baseline.machine().fit(baseline.table_statistics(train), train["label"]).predict(test)
        labels = splits["test"].features["label"].names
        return metrics.classification_metrics(splits["test"]["label"], guesses, labels, splits["test"]["speaker"])

    result = score(splits["train"])
    runs = [{"clips_per_intent": 12, "seed": i} | score(draw(splits["train"], 12, i)) for i in range(5)]
    keys = ("clips_per_intent", "seed", "n", "correct", "accuracy", "accuracy_interval")
    result |= {"runs": [{key: run[key] for key in keys} for run in runs]}
    print(evaluate.describe(result), *(f"12 clips an intent: {evaluate.describe(run)}" for run in runs), sep="\n")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
