"""Why not transcribe first? A recogniser and a text classifier beside a classifier of audio.

    pip install -e ".[transcribe]"    # Linux with glibc 2.34 or newer
    python benchmarks/transcribe_first.py --data FOLDER --model MODEL_DIR --output runs/mine.json
    python benchmarks/transcribe_first.py --data FOLDER --model MODEL_DIR --predictions RUN_DIR \\
        --output runs/folds.json

The recogniser is Moonshine Tiny; TF-IDF and a logistic regression learn from what it makes of the
training clips. The first command compares it with a trained model on the test split of a folder, or
of "bundled"; the second on the folds of `speech_intent.train --protocol`, whose answers stand in
RUN_DIR; MODEL_DIR then only says what an answer costs. Transcripts are kept beside OUTPUT.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from text_classifier import fit_text_classifier
from transcribe_costs import SIDES, costs
from transcripts import RATE, Recogniser, Transcribe, transcribe_all

from speech_intent import (
    audio,
    command_line,
    data,
    evaluation,
    held_out,
    protocols,
    provenance,
    run_folder,
)
from speech_intent.errors import UserError
from speech_intent.intervals import mcnemar, wilson_interval
from speech_intent.predict import IntentClassifier
from speech_intent.protocols import Fold, Protocol
from speech_intent.recipes import Recipe, resolve

N_TIMED = 100  # clips
N_EXAMPLES = 10

Result = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """What both sides are to be asked: clips, how they are split, and which model is ours."""

    recordings: data.Recordings
    recipe: Recipe
    protocol: Protocol
    answered: Path | None  # the run that holds our answers; None: the model is asked


def of_test_split(folder: str, model: Path) -> Comparison:
    """Compare on a folder's own split, or on the one that the model was trained with."""
    recipe = resolve(data=folder)
    recordings = data.read_recordings(recipe)
    split = held_out.assign_held_out(model, recordings.table, recipe)
    recordings = replace(recordings, table=split.table)
    return Comparison(recordings, recipe, Protocol("given"), None)


def of_folds(folder: str, run: Path) -> Comparison:
    """Compare on the folds of a run, as it drew them.

    Raises `UserError` where there is no finished run, or one of other clips.
    """
    try:
        made_of = json.loads((run / provenance.MADE_OF).read_text(encoding="utf-8"))
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "name the --output-dir of speech_intent.train --protocol"
        raise UserError(run, "holds no finished run of a protocol", remedy) from error
    shares = {name: made_of[name] for name in ("test_share", "validation_share", "by_speaker")}
    recipe = replace(resolve(data=folder, seed=results["seeds"][0]), **shares)
    n_folds = made_of["folds"] or Protocol.n_folds
    protocol = Protocol(made_of["protocol"], n_folds, results["seeds"])
    recordings = data.read_recordings(recipe)
    clips = "list of clips"
    if protocols.made_of(protocol, recipe, recordings.table)[clips] != made_of[clips]:
        raise UserError(run, f"was not trained on the clips of {folder}", "name its own data")
    return Comparison(recordings, recipe, protocol, run)


def our_answers(
    asked: Comparison, fold: Fold, number: int, classifier: IntentClassifier
) -> pd.DataFrame:
    """Give our answers (`file_name`, `predicted`) to the test clips of a fold, in their order."""
    if asked.answered is None:
        tables = data.to_datasets(fold.table, asked.recordings.clips)
        evaluation.check_intents(classifier, tables["test"])
        return evaluation.predict_table(classifier, tables["test"])
    folder = asked.answered / f"fold-{number:02d}-seed-{asked.recipe.numbers.seed}"
    return evaluation.read_predictions(folder)


def compare_fold(
    fold: Fold, texts: np.ndarray, ours: pd.DataFrame, seed: int
) -> tuple[pd.DataFrame, Pipeline, float]:
    """Fit the text classifier on a fold's training clips and answer its test clips.

    Takes the texts of all clips, (n_clips,). Gives a row a test clip (`file_name`, `intent`,
    `text`, `ours`, `transcribed`), the classifier and its C. Raises `UserError` where our answers
    are to other clips.
    """
    is_train = (fold.table["split"] == "train").to_numpy()
    is_test = (fold.table["split"] == "test").to_numpy()
    test = fold.table.loc[is_test, ["file_name", "intent"]]
    if list(ours["file_name"]) != list(test["file_name"]):
        raise UserError(fold.name, "was scored on other clips", "train the folds again")
    classifier, strength = fit_text_classifier(
        texts[is_train], fold.table["intent"][is_train], seed
    )
    answers = test.assign(
        text=texts[is_test],
        ours=ours["predicted"].to_numpy(),
        transcribed=classifier.predict(texts[is_test]),
    )
    return answers, classifier, strength


def score(answers: pd.DataFrame) -> Result:
    """Count what each side answered correctly, and test whether they differ."""
    sides = {side: answers[side] == answers["intent"] for side in SIDES}
    test = mcnemar(*sides.values())
    result: Result = {"n": len(answers)}
    for side, is_correct in sides.items():
        correct = int(is_correct.sum())
        interval = wilson_interval(correct, len(answers))
        accuracy = correct / len(answers)
        result[side] = {"correct": correct, "accuracy": accuracy, "accuracy_interval": interval}
    return {
        **result,
        "only_ours": test.only_first,
        "only_transcribed": test.only_second,
        "p": test.p,
    }


def examples(answers: pd.DataFrame, rng: np.random.Generator) -> list[dict[str, str]]:
    """Draw clips that the text classifier got wrong."""
    wrong = answers[answers["transcribed"] != answers["intent"]]
    drawn = rng.permutation(len(wrong))[:N_EXAMPLES]
    return wrong.iloc[drawn].drop(columns="ours").to_dict("records")


def timed_clips(asked: Comparison) -> list[np.ndarray]:
    """Draw clips whose answers are timed: float32, (n_samples,) each, at 16 kHz."""
    clips = asked.recordings.clips
    rng = np.random.default_rng(asked.recipe.numbers.seed)
    drawn = rng.permutation(len(clips))[:N_TIMED]
    return [audio.load(clips[int(row)]["audio"], RATE) for row in drawn]


def compare(
    asked: Comparison, classifier: IntentClassifier, transcribe: Transcribe, kept: Path
) -> tuple[Result, Pipeline]:
    """Score both sides on every fold; give the results and the last text classifier."""
    table = asked.recordings.table
    texts = transcribe_all(asked.recordings.clips["audio"], transcribe, kept)
    seed = asked.recipe.numbers.seed
    drawn = protocols.folds(table, asked.protocol.name, asked.protocol.n_folds, asked.recipe)
    parts = []
    strengths = []
    for number, fold in enumerate(drawn, start=1):
        ours = our_answers(asked, fold, number, classifier)
        answers, fitted, strength = compare_fold(fold, texts, ours, seed)
        parts.append(answers)
        strengths.append(strength)
    together = pd.concat(parts)
    result = {
        "data": Path(asked.recipe.data).name,
        "protocol": asked.protocol.name,
        "last_split": fold.note,  # with a warning of speakers or phrasings on both sides
        "seed": seed,
        "speakers": len(set(table["speaker"]) - {""}),
        "strengths": strengths,
        **score(together),
        "examples": examples(together, np.random.default_rng(seed)),
    }
    return result, fitted


def describe(result: Result) -> str:
    """Say in words what came out."""
    lines = []
    for side in SIDES:
        row = result[side]
        low, high = row["accuracy_interval"]
        lines.append(
            f"{side}: accuracy {row['accuracy']:.4f} = {row['correct']}/{result['n']} "
            f"(95 % interval {low:.3f} to {high:.3f}), {row['ms']:.1f} ms a clip, "
            f"{row['megabytes']:.0f} MB"
        )
    lines.append(f"exact McNemar test: p = {result['p']:.2g}")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    """Compare, time, and write the results."""
    recogniser = Recogniser()  # both first: what is missing is said before any work
    classifier = IntentClassifier.from_pretrained(args.model)
    if args.predictions:
        asked = of_folds(args.data, args.predictions)
    else:
        asked = of_test_split(args.data, args.model)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    kept = args.output.with_suffix(".transcripts.json")
    result, text_classifier = compare(asked, classifier, recogniser, kept)
    waveforms = timed_clips(asked)
    for side, cost in costs(args.model, text_classifier, waveforms).items():
        result[side] |= cost
    seconds = median(len(waveform) / RATE for waveform in waveforms)
    result |= {"recogniser": recogniser.name, "timed": len(waveforms), "timed_seconds": seconds}
    run_folder.write_json(args.output, result)
    print(describe(result))


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="bundled", help="folder, or 'bundled' (default)")
    add("--model", type=Path, required=True, help="folder of a trained classifier")
    add("--predictions", type=Path, help="--output-dir of speech_intent.train --protocol")
    add("--output", type=Path, required=True, help="JSON file")
    return command_line.exit_status(lambda: run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
