"""How often do the 95 % intervals of metrics.json hold the true figure?

    python benchmarks/interval_coverage.py --output runs/coverage.json

Draws test splits of independent clips from classifiers whose true figures are known, nine intents,
and counts the intervals that hold them; then clips of speakers who differ, where only the bootstrap
over speakers can know it.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import trange

from speech_intent import metrics

N_LABELS = 9
LABELS = [f"intent_{i}" for i in range(N_LABELS)]
SHARES = np.linspace(1.5, 0.5, N_LABELS) / N_LABELS  # unequal, as in real data
FIGURES = ("accuracy", "f1_macro", "f1_weighted", "precision_macro")
SIZES = (50, 200, 400, 1_000)  # clips
ACCURACIES = (0.5, 0.7, 0.8, 0.9, 0.95)
SPEAKERS = (5, 10, 20, 40)
CLIPS_EACH = 20  # of a speaker
SKILL = (8, 2)  # beta distribution of a speaker's accuracy: mean 0.8
ENDLESS = 1e9  # clips
MANY_SPEAKERS = 100_000


@dataclass(frozen=True)
class Answers:
    """A simulated test split."""

    truth: np.ndarray  # label ids, (n,)
    predicted: np.ndarray  # (n,)


def draw_answers(rng: np.random.Generator, n: int, accuracy: np.ndarray | float) -> Answers:
    """Draw n clips; each is answered rightly with its `accuracy`, else by any other intent."""
    truth = rng.choice(N_LABELS, n, p=SHARES)
    wrong = (truth + rng.integers(1, N_LABELS, n)) % N_LABELS
    return Answers(truth, np.where(rng.random(n) < accuracy, truth, wrong))


def true_figures(accuracy: float) -> dict[str, float]:
    """Give the figures of endless clips, from the expected confusion matrix."""
    is_diagonal = np.eye(N_LABELS, dtype=bool)
    chances = np.where(is_diagonal, accuracy, (1 - accuracy) / (N_LABELS - 1))
    matrix = ENDLESS * SHARES[:, None] * chances
    averages = metrics.averages(matrix[None])
    return {"accuracy": accuracy, **{name: float(value[0]) for name, value in averages.items()}}


def coverage_over_clips(
    n: int, accuracy: float, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """Count how often each figure's interval holds it, on n independent clips."""
    true = true_figures(accuracy)
    n_held = dict.fromkeys(FIGURES, 0)
    for seed in trange(draws, desc=f"n {n}, accuracy {accuracy}", leave=False):
        answers = draw_answers(rng, n, accuracy)
        result = metrics.classification_metrics(answers.truth, answers.predicted, LABELS, seed=seed)
        for name in FIGURES:
            n_held[name] += holds(result[f"{name}_interval"], true[name])
    return {name: count / draws for name, count in n_held.items()}


def holds(interval: list[float], value: float) -> bool:
    """Say whether a value lies in an interval, its ends included."""
    low, high = interval
    return low <= value <= high


def true_macro_f1(rng: np.random.Generator) -> float:
    """Give the macro F1 over very many speakers who are understood differently well."""
    skills = rng.beta(*SKILL, MANY_SPEAKERS).repeat(CLIPS_EACH)
    answers = draw_answers(rng, len(skills), skills)
    matrix = np.zeros((N_LABELS, N_LABELS))
    np.add.at(matrix, (answers.truth, answers.predicted), 1)
    return float(metrics.averages(matrix[None])["f1_macro"][0])


def coverage_over_speakers(
    n_speakers: int, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """Count for macro F1, on speakers who are understood differently well."""
    true = true_macro_f1(rng)
    names = np.repeat([f"speaker {i}" for i in range(n_speakers)], CLIPS_EACH)
    known = {"over clips": (), "over speakers": names}
    n_held = dict.fromkeys(known, 0)
    for seed in trange(draws, desc=f"{n_speakers} speakers", leave=False):
        skills = rng.beta(*SKILL, n_speakers).repeat(CLIPS_EACH)
        answers = draw_answers(rng, len(skills), skills)
        for name, speakers in known.items():
            result = metrics.classification_metrics(
                answers.truth, answers.predicted, LABELS, speakers, seed=seed
            )
            n_held[name] += holds(result["f1_macro_interval"], true)
    return {name: count / draws for name, count in n_held.items()}


def main() -> None:
    """Print and store the coverage of every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--draws", type=int, default=2_000, help="test splits a case (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    over_clips: list[dict[str, Any]] = []
    over_speakers: list[dict[str, Any]] = []
    for n in SIZES:
        for accuracy in ACCURACIES:
            shares = coverage_over_clips(n, accuracy, args.draws, rng)
            over_clips.append({"n": n, "true": accuracy, **shares})
            print(over_clips[-1], flush=True)
    for n_speakers in SPEAKERS:
        shares = coverage_over_speakers(n_speakers, args.draws, rng)
        over_speakers.append({"speakers": n_speakers, **shares})
        print(over_speakers[-1], flush=True)
    result = {
        "draws": args.draws,
        "independent clips": over_clips,
        "speakers who differ": over_speakers,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
