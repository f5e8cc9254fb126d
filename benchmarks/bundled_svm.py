"""MFCC statistics with a support vector machine on the bundled data, the classical way to be beaten.

python benchmarks/bundled_svm.py --output runs/bundled-svm.json
"""

import argparse
import json
from pathlib import Path

from speech_intent import baseline, data, evaluate, metrics


def main() -> None:
    """Fit on the training clips and score the test clips; nothing is tuned."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--output", type=Path, required=True, help="JSON file")
    args = p.parse_args()
    splits, _ = data.load_data("bundled")
    machine = baseline.machine().fit(baseline.table_statistics(splits["train"]), splits["train"]["label"])
    guesses = machine.predict(baseline.table_statistics(splits["test"]))
    result = metrics.classification_metrics(splits["test"]["label"], guesses, splits["test"].features["label"].names)
    print(evaluate.describe(result))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
