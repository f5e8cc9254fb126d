"""Does a threshold on the score tell requests that a model knows from those that it was never taught, and from noise?

    python benchmarks/out_of_scope.py --output-dir runs/out-of-scope

Three times, three of the nine bundled intents are left out of training. The threshold is fitted on validation clips of
the other six, for a precision of 0.9; then the test clips of all nine and 90 clips without speech are answered.
Finished runs are kept. Writes OUTPUT_DIR/results.json.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from speech_intent import calibration, data, evaluate, training
from speech_intent.conditions import add_noise
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Hyperparameters

RATE, SECONDS = 16_000, 3
N_EACH = 30  # clips of noise, of chords, of knocks


def non_speech(kind: str, seed: int) -> np.ndarray:
    """Make a clip of noise, chords or knocks, float32, (48,000,) at 16 kHz."""
    rng, t = np.random.default_rng(seed), np.arange(SECONDS * RATE) / RATE
    if kind == "noise":
        constant = np.full(len(t), 0.1, np.float32)
        return add_noise(constant, ("white", "pink")[seed % 2], 0, seed) - constant
    clip = np.zeros(len(t))
    for start in range(0, SECONDS * RATE, RATE // 2):
        fade = np.exp(-(8 if kind == "chords" else 60) * t[: RATE // 2])
        notes = 220 * 2 ** (rng.choice(24, 3) / 12)
        sound = sum(np.sin(2 * np.pi * note * t[: RATE // 2]) for note in notes)
        clip[start : start + RATE // 2] = 0.1 * fade * (sound if kind == "chords" else rng.standard_normal(RATE // 2))
    return clip.astype(np.float32)


def answers(predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores (n,) of answers and whether they are right (n,)."""
    return predictions["score"].to_numpy(), (predictions["intent"] == predictions["predicted"]).to_numpy()


def run(left_out: list[str], encoder: str, seed: int, folder: Path) -> dict:
    """Train without some intents, then score the threshold on test clips with and without them."""
    if (folder / "rejection.json").exists():
        return json.loads((folder / "rejection.json").read_text())
    table, clips = data.read_recordings("bundled")
    known = ~table["intent"].isin(left_out).to_numpy()
    strange = ~known & (table["split"] == "test").to_numpy()
    splits = data.to_datasets(table[known].reset_index(drop=True), clips.select(np.flatnonzero(known)))
    numbers = Hyperparameters(seed=seed, target_precision=0.9)
    training.fine_tune(encoder, splits, numbers, folder, resume=folder.exists())
    classifier = IntentClassifier.from_pretrained(folder / "model")
    scores, right = answers(evaluate.predict_table(classifier, splits["test"]))
    sources = {"intents left out": [clips[int(i)]["audio"] for i in np.flatnonzero(strange)]}
    for kind in ("noise", "chords", "knocks"):
        sources[kind] = [(non_speech(kind, i), RATE) for i in range(N_EACH)]
    result = {"left_out": left_out, "threshold": classifier.threshold, "n": len(scores)}
    for name, those in sources.items():
        others = np.array([classifier.predict(source).score for source in those])
        found = calibration.rejection(scores, right, others, classifier.threshold)
        result[name] = {"n": len(others)} | {key: found[key] for key in ("auroc", "false_accepts")}
        result |= {key: found[key] for key in ("coverage", "accuracy_answered")}
    result |= {"accuracy": float(right.mean()), "curve": coverage_curve(scores, right)}
    (folder / "rejection.json").write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(folder / "model")
    return result


def coverage_curve(scores: np.ndarray, right: np.ndarray) -> list[dict]:
    """Give the accuracy of the surest share of the answers, for shares from 0.1 to 1."""
    ranked = right[np.argsort(-scores, kind="stable")]
    counts = {share: max(1, round(share * len(ranked))) for share in np.arange(1, 11) / 10}
    return [{"coverage": float(share), "accuracy": float(ranked[:n].mean())} for share, n in counts.items()]


def main() -> None:
    """Leave out each third of the intents in turn."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--encoder", default="small", help="(default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    p.add_argument("--output-dir", type=Path, required=True)
    args = p.parse_args()
    intents = sorted(data.read_recordings("bundled")[0]["intent"].unique())
    order = np.random.default_rng(args.seed).permutation(intents).tolist()
    runs = []
    for i in range(3):
        runs.append(run(sorted(order[3 * i : 3 * i + 3]), args.encoder, args.seed, args.output_dir / f"third-{i}"))
        print(json.dumps({key: value for key, value in runs[-1].items() if key != "curve"}), flush=True)
    record = {"encoder": args.encoder, "seed": args.seed, "target_precision": 0.9, "runs": runs}
    (args.output_dir / "results.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
