"""How often do the 95 % intervals of metrics.json hold the true figure?

    python benchmarks/interval_coverage.py --output runs/coverage.json

Draws test splits of independent clips from classifiers whose true figures are known, nine intents, and counts the
intervals that hold them; then clips of speakers who differ, where only the bootstrap over speakers can know it.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tqdm import trange

from speech_intent import metrics

LABELS = [f"intent_{i}" for i in range(9)]
SHARES = np.linspace(1.5, 0.5, 9) / 9  # unequal, as in real data
FIGURES = ("accuracy", "f1_macro", "f1_weighted", "precision_macro")


def answers(rng, n: int, accuracy: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Draw truth and prediction (n,); a clip is answered rightly with its `accuracy`, else any other intent."""
    truth = rng.choice(9, n, p=SHARES)
    wrong = (truth + rng.integers(1, 9, n)) % 9
    return truth, np.where(rng.random(n) < accuracy, truth, wrong)


def true_figures(accuracy: float) -> dict[str, float]:
    """Give the figures of endless clips, from the expected confusion matrix."""
    matrix = SHARES[:, None] * np.where(np.eye(9), accuracy, (1 - accuracy) / 8)
    found = metrics.averages(1e9 * matrix[None])
    return {"accuracy": accuracy} | {name: float(value[0]) for name, value in found.items()}


def clips(n: int, accuracy: float, draws: int, rng) -> dict[str, float]:
    """Count how often each figure's interval holds it, on independent clips."""
    true, held = true_figures(accuracy), dict.fromkeys(FIGURES, 0)
    for seed in trange(draws, desc=f"n {n}, accuracy {accuracy}", leave=False):
        found = metrics.classification_metrics(*answers(rng, n, accuracy), LABELS, seed=seed)
        for name in FIGURES:
            low, high = found[f"{name}_interval"]
            held[name] += low <= true[name] <= high
    return {name: count / draws for name, count in held.items()}


def speakers(n_speakers: int, draws: int, rng, each: int = 20) -> dict[str, float]:
    """Count for macro F1, on speakers who are understood differently well (beta distribution, mean 0.8)."""
    many = answers(rng, 2_000_000, rng.beta(8, 2, 100_000).repeat(20))
    matrix = np.zeros((9, 9))
    np.add.at(matrix, many, 1)
    true, held = float(metrics.averages(matrix[None])["f1_macro"][0]), {"over clips": 0, "over speakers": 0}
    names = np.repeat([f"speaker {i}" for i in range(n_speakers)], each)
    for seed in trange(draws, desc=f"{n_speakers} speakers", leave=False):
        pair = answers(rng, n_speakers * each, rng.beta(8, 2, n_speakers).repeat(each))
        for way, known in (("over clips", ()), ("over speakers", names)):
            low, high = metrics.classification_metrics(*pair, LABELS, known, seed=seed)["f1_macro_interval"]
            held[way] += low <= true <= high
    return {way: count / draws for way, count in held.items()}


def main() -> None:
    """Print and store the coverage of every case."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--draws", type=int, default=2_000, help="test splits a case (default: %(default)s)")
    p.add_argument("--output", type=Path, required=True, help="JSON file")
    args = p.parse_args()
    rng = np.random.default_rng(0)
    result: dict = {"draws": args.draws, "independent clips": [], "speakers who differ": []}
    for n in (50, 200, 400, 1_000):
        for accuracy in (0.5, 0.7, 0.8, 0.9, 0.95):
            result["independent clips"].append({"n": n, "true": accuracy} | clips(n, accuracy, args.draws, rng))
            print(result["independent clips"][-1], flush=True)
    for n_speakers in (5, 10, 20, 40):
        row = {"speakers": n_speakers} | speakers(n_speakers, args.draws, rng)
        result["speakers who differ"].append(row)
        print(row, flush=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
