"""Does a model say "unknown" to what it was never taught?

    python benchmarks/out_of_scope.py --texts SENTENCES.csv --output-dir runs/out-of-scope

Three times, three of the nine bundled intents are left out of training. What is answered is fitted
on validation clips of the other six, of which 0.9 are to be answered; then the test clips of all
nine, 120 clips without speech, and others that are named are answered. Finished runs are kept.
Writes OUTPUT_DIR/results.json.
"""

import argparse
import csv
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from speech_intent import (
    command_line,
    data,
    evaluation,
    provenance,
    run_folder,
    signals,
    training,
    unknown_test,
)
from speech_intent.audio import SUFFIXES, Source
from speech_intent.data import Recordings
from speech_intent.paths import BUNDLED
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Recipe, resolve
from speech_intent.synthesis import speaking
from speech_intent.synthesis.plan import Clip
from speech_intent.synthesis.voices import Voice

RATE = 16_000  # Hz
SECONDS = 3
HALF_SECOND = RATE // 2
N_EACH = 30  # clips of noise, of chords, of knocks
NON_SPEECH = ("noise", "chords", "knocks", "silence")
N_PARTS = 3
REJECTION = "rejection.json"
LEVEL = 0.1
CHORD_DECAY = 8  # a second; a knock's is quicker
KNOCK_DECAY = 60


def non_speech(kind: str, seed: int) -> np.ndarray:
    """Make a clip of noise, chords, knocks or hardly anything: float32, (48000,), at 16 kHz."""
    rng = np.random.default_rng(seed)
    if kind == "silence":
        loudness = 10.0 ** -(3 + seed % 4)
        return (loudness * rng.standard_normal(SECONDS * RATE)).astype(np.float32)
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


def parts(intents: Sequence[str], seed: int) -> list[list[str]]:
    """Draw what is left out each time: the intents in three parts, each sorted."""
    order = np.random.default_rng(seed).permutation(intents).tolist()
    size = len(order) // N_PARTS
    return [sorted(order[size * i : size * (i + 1)]) for i in range(N_PARTS)]


def speak(texts: Path, folder: Path, n: int, seed: int) -> list[Path]:
    """Let the voices of the bundled test split say sentences of a CSV file, column `text`."""
    with (BUNDLED / "voices.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["engine"] == "espeak-ng"]
    voices = [Voice("espeak-ng", row["voice"], 1.0) for row in rows if row["split"] == "test"]
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(sorted(pd.read_csv(texts)["text"].unique()))[:n]
    clips = []
    for number, text in enumerate(tqdm(drawn, "Speaking", unit="clip", disable=None)):
        voice = voices[rng.integers(len(voices))]
        clip = Clip(number, "unknown", str(text), number + 2, "test", (voice,))
        if speaking.make(clip, seed, folder) is not None:
            clips.append(folder / clip.file_name)
    return clips


def foreign_sources(
    recordings: Recordings, left_out: Sequence[str], others: dict[str, list[Path]]
) -> dict[str, list[Source]]:
    """Collect what should be rejected: test clips of intents left out, and what is no speech.

    With them come files by kind, `others`.
    """
    table = recordings.table
    is_foreign = (table["intent"].isin(left_out) & (table["split"] == "test")).to_numpy()
    rows = np.flatnonzero(is_foreign).tolist()
    sources: dict[str, list[Source]] = {
        "intents left out": [recordings.clips[row]["audio"] for row in rows]
    }
    for kind in NON_SPEECH:
        sources[kind] = [(non_speech(kind, seed), RATE) for seed in range(N_EACH)]
    return {**sources, **{kind: list(files) for kind, files in others.items()}}


def train_and_score(
    recipe: Recipe,
    recordings: Recordings,
    left_out: list[str],
    others: dict[str, list[Path]],
    folder: Path,
) -> dict[str, Any]:
    """Train without some intents, then answer what was taught and what was not; once only."""
    finished = folder / REJECTION
    if finished.exists():
        return json.loads(finished.read_text(encoding="utf-8"))
    resume = folder.exists()
    with run_folder.held(folder):
        result = _train_and_score(recipe, recordings, left_out, others, folder, resume)
        run_folder.write_json(finished, result)
        shutil.rmtree(folder / "model")
    return result


def _train_and_score(
    recipe: Recipe,
    recordings: Recordings,
    left_out: list[str],
    others: dict[str, list[Path]],
    folder: Path,
    resume: bool,
) -> dict[str, Any]:
    is_known = ~recordings.table["intent"].isin(left_out).to_numpy()
    known_clips = recordings.clips.select(np.flatnonzero(is_known))
    known_table = recordings.table[is_known].reset_index(drop=True)
    tables = data.to_datasets(known_table, known_clips)
    record: dict[str, Any] = {}
    if not (folder / "model").exists():
        record = training.fine_tune(recipe, tables, folder, resume)
    classifier = IntentClassifier.from_pretrained(folder / "model")
    known = evaluation.predict_table(classifier, tables["test"])
    is_correct = (known["intent"] == known["predicted"]).to_numpy()
    answered = known["accepted"].to_numpy()
    kinds = {}
    sources = foreign_sources(recordings, left_out, others)
    for kind, clips in sources.items():
        kinds[kind] = answer(classifier, clips, known["knownness"].to_numpy())
    return {
        "left_out": left_out,
        "n": len(known),
        "answered": int(answered.sum()),
        "coverage": float(answered.mean()),
        "accuracy": float(is_correct.mean()),
        "accuracy_answered": float(is_correct[answered].mean()),
        "train_seconds": record.get("train_seconds"),
        "kinds": kinds,
    }


def answer(
    classifier: IntentClassifier, clips: Sequence[Source], known: np.ndarray
) -> dict[str, Any]:
    """Answer clips of one kind; count the answers, and compare them with taught ones (n,)."""
    predictions = [classifier.predict(clip) for clip in clips]
    reasons = Counter(prediction.reason for prediction in predictions if prediction.reason)
    knownness = np.array([prediction.knownness for prediction in predictions])
    return {
        "n": len(predictions),
        "accepted": sum(prediction.accepted for prediction in predictions),
        "auroc": unknown_test.auroc(known, knownness),
        "reasons": dict(reasons),
    }


def folder_of(text: str) -> tuple[str, Path]:
    """Read KIND=FOLDER."""
    kind, _, folder = text.partition("=")
    return kind, Path(folder)


def made_of(recipe: Recipe, recordings: Recordings, others: dict[str, list[Path]]) -> dict:
    """Name everything that decides the results in a folder."""
    tables = data.to_datasets(recordings.table, recordings.clips)
    data_hash = data.facts(tables)["data_hash"]
    counts = {kind: len(files) for kind, files in others.items()}
    return {**provenance.ingredients(recipe), "list of clips": data_hash, "others": counts}


def run(args: argparse.Namespace) -> None:
    """Leave out each third of the intents in turn.

    Raises `OutputError` if the folder holds results of something else.
    """
    recipe = resolve("bundled", encoder=args.encoder, seed=args.seed, accept=args.accept)
    recordings = data.read_recordings(recipe)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    others = {}
    for kind, folder in args.others:
        files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
        rng = np.random.default_rng(args.seed)
        others[kind] = [files[i] for i in rng.permutation(len(files))[: args.most]]
    if args.texts is not None:
        spoken = args.output_dir.with_name(f"{args.output_dir.name}-spoken")
        others["other sentences, new voices"] = speak(args.texts, spoken, args.most, args.seed)
    begun = any(args.output_dir.glob("*"))
    provenance.claim(args.output_dir, made_of(recipe, recordings, others), begun=begun)
    intents = sorted(recordings.table["intent"].unique())
    runs = []
    for i, left_out in enumerate(parts(intents, args.seed)):
        if args.only is not None and i != args.only:
            continue
        folder = args.output_dir / f"third-{i}"
        result = train_and_score(recipe, recordings, left_out, others, folder)
        runs.append(result)
        print(json.dumps(result), flush=True)
        record = {
            "encoder": recipe.encoder,
            "seed": args.seed,
            "accept": args.accept,
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
    add("--accept", type=float, default=0.9, help="of taught requests (default: %(default)s)")
    add("--texts", type=Path, help="CSV of other sentences, column text, to be spoken")
    add("--others", type=folder_of, nargs="*", default=[], metavar="KIND=FOLDER")
    add("--most", type=int, default=400, help="clips of each (default: %(default)s)")
    add("--only", type=int, choices=range(N_PARTS), help="one third, to run several at once")
    add("--output-dir", type=Path, required=True)
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
