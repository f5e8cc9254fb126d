"""MFCC statistics with a support vector machine on the bundled data, the classical way to beat.

    python benchmarks/bundled_svm.py --output runs/bundled-svm.json

On all training clips, and on the draws of twelve clips an intent that `learning_curve.py` makes.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learning_curve import draw

from speech_intent import baseline, data, evaluation, metrics

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset

FEW = 12  # training clips an intent
N_DRAWS = 5
KEPT = ("n", "correct", "accuracy", "accuracy_interval")


def score(train: "Dataset", test: "Dataset", test_statistics: "np.ndarray") -> dict[str, Any]:
    """Fit on training clips and score test clips, whose statistics have shape (n_clips, 480)."""
    svm = baseline.make_svm().fit(baseline.table_statistics(train), train["label"])
    answers = svm.predict(test_statistics)
    labels = test.features["label"].names
    return metrics.classification_metrics(test["label"], answers, labels, test["speaker"])


def main() -> None:
    """Fit and score; nothing is tuned."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    args = parser.parse_args()
    tables = data.load_data().tables
    train = tables["train"]
    test = tables["test"]
    statistics = baseline.table_statistics(test)
    result = score(train, test, statistics)
    print(evaluation.headline(result))
    result["runs"] = []
    for seed in range(N_DRAWS):
        few = score(draw(train, FEW, seed), test, statistics)
        print(f"{FEW} clips an intent: {evaluation.headline(few)}")
        kept = {key: few[key] for key in KEPT}
        result["runs"].append({"clips_per_intent": FEW, "seed": seed, **kept})
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
