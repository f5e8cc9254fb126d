"""Does a threshold on the score tell what a model knows from what it was never taught?

    python benchmarks/out_of_scope.py --output-dir runs/out-of-scope

Three times, three of the nine bundled intents are left out of training. The threshold is fitted on
validation clips of the other six, for a precision of 0.9; then the test clips of all nine and 90
clips without speech are answered. Finished runs are kept. Writes OUTPUT_DIR/results.json.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from speech_intent import command_line, data, evaluation, provenance, run_folder, signals, training
from speech_intent.audio import Source
from speech_intent.data import Recordings
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Recipe, resolve

RATE = 16_000  # Hz
SECONDS = 3
HALF_SECOND = RATE // 2
N_EACH = 30  # clips of noise, of chords, of knocks
NON_SPEECH = ("noise", "chords", "knocks")
N_PARTS = 3
REJECTION = "rejection.json"
TARGET_PRECISION = 0.9
LEVEL = 0.1
CHORD_DECAY = 8  # a second; a knock's is quicker
KNOCK_DECAY = 60


def non_speech(kind: str, seed: int) -> np.ndarray:
    """Make a clip of noise, chords or knocks: float32, (48000,), at 16 kHz."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return steady_noise(rng, pink=seed % 2 == 1)
    clip = np.zeros(SECONDS * RATE)
    for start in range(0, len(clip), HALF_SECOND):
        notes = 220 * 2 ** (rng.choice(24, 3) / 12)  # Hz
        sound = chord(notes) if kind == "chords" else knock(rng)
        clip[start : start + HALF_SECOND] = LEVEL * sound
    return clip.astype(np.float32)


def steady_noise(rng: np.random.Generator, pink: bool) -> np.ndarray:
    """Make white or pink noise whose root mean square is 0.1: float32, (48000,)."""
    constant = np.full(SECONDS * RATE, LEVEL, np.float32)
    make = signals.pink_noise if pink else signals.white_noise
    return signals.add_noise(constant, make(len(constant), rng), snr=0) - constant


def chord(notes: np.ndarray) -> np.ndarray:
    """Make half a second of three notes, in Hz, that fade: (8000,)."""
    seconds = np.arange(HALF_SECOND) / RATE
    sound = sum(np.sin(2 * np.pi * note * seconds) for note in notes)
    return np.exp(-CHORD_DECAY * seconds) * sound


def knock(rng: np.random.Generator) -> np.ndarray:
    """Make half a second that begins with a knock: (8000,)."""
    seconds = np.arange(HALF_SECOND) / RATE
    return np.exp(-KNOCK_DECAY * seconds) * rng.standard_normal(HALF_SECOND)


def rejection(
    scores: np.ndarray, is_correct: np.ndarray, foreign_scores: np.ndarray, threshold: float
) -> dict[str, float]:
    """Score a threshold on known requests (n,) and on what should be rejected (m,).

    Gives `auroc` (known against foreign, by score), `coverage` (share of known requests that are
    answered), `accuracy_answered` and `false_accepts` (share of foreign ones that are answered).
    """
    is_answered = np.asarray(scores) >= threshold
    is_known = np.r_[np.ones(len(scores)), np.zeros(len(foreign_scores))]
    accuracy_answered = float("nan")
    if is_answered.any():
        accuracy_answered = float(np.asarray(is_correct, float)[is_answered].mean())
    return {
        "auroc": float(roc_auc_score(is_known, np.r_[scores, foreign_scores])),
        "coverage": float(is_answered.mean()),
        "accuracy_answered": accuracy_answered,
        "false_accepts": float((np.asarray(foreign_scores) >= threshold).mean()),
    }


def coverage_curve(scores: np.ndarray, is_correct: np.ndarray) -> list[dict[str, float]]:
    """Give the accuracy of the surest share of the answers (n,), for shares from 0.1 to 1."""
    ranked = is_correct[np.argsort(-scores, kind="stable")]
    points = []
    for share in np.arange(1, 11) / 10:
        n = max(1, round(share * len(ranked)))
        points.append({"coverage": float(share), "accuracy": float(ranked[:n].mean())})
    return points


def parts(intents: Sequence[str], seed: int) -> list[list[str]]:
    """Draw what is left out each time: the intents in three parts, each sorted."""
    order = np.random.default_rng(seed).permutation(intents).tolist()
    size = len(order) // N_PARTS
    return [sorted(order[size * i : size * (i + 1)]) for i in range(N_PARTS)]


def foreign_sources(recordings: Recordings, left_out: Sequence[str]) -> dict[str, list[Source]]:
    """Collect what should be rejected: test clips of intents left out, and what is no speech."""
    table = recordings.table
    is_foreign = (table["intent"].isin(left_out) & (table["split"] == "test")).to_numpy()
    rows = np.flatnonzero(is_foreign).tolist()
    sources: dict[str, list[Source]] = {
        "intents left out": [recordings.clips[row]["audio"] for row in rows]
    }
    for kind in NON_SPEECH:
        sources[kind] = [(non_speech(kind, seed), RATE) for seed in range(N_EACH)]
    return sources


def train_and_score(
    recipe: Recipe, recordings: Recordings, left_out: list[str], folder: Path
) -> dict[str, Any]:
    """Train without some intents, then score the threshold with and without them; once only."""
    finished = folder / REJECTION
    if finished.exists():
        return json.loads(finished.read_text(encoding="utf-8"))
    resume = folder.exists()
    with run_folder.held(folder):
        return _train_and_score(recipe, recordings, left_out, folder, resume)


def _train_and_score(
    recipe: Recipe, recordings: Recordings, left_out: list[str], folder: Path, resume: bool
) -> dict[str, Any]:
    is_known = ~recordings.table["intent"].isin(left_out).to_numpy()
    known_clips = recordings.clips.select(np.flatnonzero(is_known))
    known_table = recordings.table[is_known].reset_index(drop=True)
    tables = data.to_datasets(known_table, known_clips)
    training.fine_tune(recipe, tables, folder, resume)
    classifier = IntentClassifier.from_pretrained(folder / "model")
    predictions = evaluation.predict_table(classifier, tables["test"])
    scores = predictions["score"].to_numpy()
    is_correct = (predictions["intent"] == predictions["predicted"]).to_numpy()
    result: dict[str, Any] = {
        "left_out": left_out,
        "threshold": classifier.threshold,
        "n": len(scores),
    }
    for name, sources in foreign_sources(recordings, left_out).items():
        foreign = np.array([classifier.predict(source).score for source in sources])
        worth = rejection(scores, is_correct, foreign, classifier.threshold)
        result[name] = {
            "n": len(foreign),
            "auroc": worth["auroc"],
            "false_accepts": worth["false_accepts"],
        }
        result["coverage"] = worth["coverage"]
        result["accuracy_answered"] = worth["accuracy_answered"]
    result["accuracy"] = float(is_correct.mean())
    result["curve"] = coverage_curve(scores, is_correct)
    run_folder.write_json(folder / REJECTION, result)
    shutil.rmtree(folder / "model")
    return result


def made_of(recipe: Recipe, recordings: Recordings) -> dict[str, Any]:
    """Name everything that decides the results in a folder."""
    tables = data.to_datasets(recordings.table, recordings.clips)
    data_hash = data.facts(tables)["data_hash"]
    return {**provenance.ingredients(recipe), "list of clips": data_hash}


def run(args: argparse.Namespace) -> None:
    """Leave out each third of the intents in turn.

    Raises `OutputError` if the folder holds results of something else.
    """
    recipe = resolve(
        "bundled", encoder=args.encoder, seed=args.seed, target_precision=TARGET_PRECISION
    )
    recordings = data.read_recordings(recipe)
    begun = any(args.output_dir.glob("*"))
    provenance.claim(args.output_dir, made_of(recipe, recordings), begun=begun)
    intents = sorted(recordings.table["intent"].unique())
    runs = []
    for i, left_out in enumerate(parts(intents, args.seed)):
        result = train_and_score(recipe, recordings, left_out, args.output_dir / f"third-{i}")
        runs.append(result)
        shown = {key: value for key, value in result.items() if key != "curve"}
        print(json.dumps(shown), flush=True)
    record = {
        "encoder": recipe.encoder,
        "seed": args.seed,
        "target_precision": TARGET_PRECISION,
        "runs": runs,
    }
    run_folder.write_json(args.output_dir / "results.json", record)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--encoder", default="moonshine", help="(default: %(default)s)")
    add("--seed", type=int, default=0, help="(default: %(default)s)")
    add("--output-dir", type=Path, required=True)
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
