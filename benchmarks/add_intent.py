"""Is an intent that was added from a few clips worth as much as training again with them?

    python benchmarks/add_intent.py --output-dir runs/add-intent            # an hour on two cores
    python benchmarks/add_intent.py --freeze encoder --output-dir runs/add-intent-frozen

Of the nine bundled intents, one is left out of training. It is then added to the model from five
of its training clips; and a second model is trained on the other eight and the same five clips.
Both answer all test clips. Finished parts are kept: run it again to go on. Writes
OUTPUT_DIR/results.json.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speech_intent import (
    command_line,
    data,
    evaluation,
    extended_model,
    hub_models,
    provenance,
    run_folder,
    training,
)
from speech_intent.data import Recordings
from speech_intent.errors import UserError
from speech_intent.intervals import mcnemar, wilson_interval
from speech_intent.names import file_stem
from speech_intent.paths import BUNDLED
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Recipe, resolve

N_CLIPS = 5
N_LEFT_OUT = 3
RESULT = "result.json"


def left_out_intents(intents: list[str], seed: int) -> list[str]:
    """Draw the intents that are left out, one a run."""
    return sorted(np.random.default_rng(seed).permutation(intents).tolist()[:N_LEFT_OUT])


def draw_clips(table: pd.DataFrame, intent: str, n: int, seed: int) -> pd.DataFrame:
    """Draw training clips of an intent, in their order."""
    rows = table[(table["split"] == "train") & (table["intent"] == intent)]
    drawn = np.random.default_rng(seed).permutation(rows.index.to_numpy())[:n]
    return rows.loc[sorted(drawn)]


def without(recordings: Recordings, intent: str, but: pd.Index | None = None) -> Recordings:
    """Leave an intent out, but for the rows of some of its training clips.

    With these, its test clips stay, and its validation clips do not.
    """
    table = recordings.table
    is_kept = table["intent"] != intent
    if but is not None:
        is_kept |= table.index.isin(but)
        is_kept |= table["split"] == "test"
    rows = np.flatnonzero(is_kept.to_numpy())
    return Recordings(table.iloc[rows].reset_index(drop=True), recordings.clips.select(rows))


def write_clips(rows: pd.DataFrame, folder: Path) -> None:
    """Write a data folder of some bundled clips, as the users of `add_intent` have one."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in rows["file_name"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUNDLED / name, folder / name)
    rows[["file_name", "intent", "speaker"]].to_csv(folder / "metadata.csv", index=False)


def train(recipe: Recipe, recordings: Recordings, folder: Path) -> float:
    """Train, or go on with it; give the seconds that it took."""
    tables = data.to_datasets(recordings.table, recordings.clips)
    resume = folder.exists()
    with run_folder.held(folder):
        return float(training.fine_tune(recipe, tables, folder, resume)["train_seconds"])


def run_one(recipe: Recipe, recordings: Recordings, intent: str, folder: Path) -> dict[str, Any]:
    """Leave one intent out, add it, train again with it, and compare; once only."""
    if (folder / RESULT).exists():
        return json.loads((folder / RESULT).read_text(encoding="utf-8"))
    clips = draw_clips(recordings.table, intent, N_CLIPS, recipe.numbers.seed)
    first_seconds = train(recipe, without(recordings, intent), folder / "eight")
    write_clips(clips, folder / "clips")
    shutil.rmtree(folder / "added", ignore_errors=True)  # it takes seconds
    began = time.perf_counter()
    model = str(folder / "eight" / "model")
    new = resolve(data=folder / "clips")
    report = extended_model.add_intent(model, new, folder / "added")
    add_seconds = time.perf_counter() - began
    again = without(recordings, intent, but=clips.index)
    again_seconds = train(recipe, again, folder / "again")
    test = data.to_datasets(again.table, again.clips)["test"]
    answers = {}
    for name in ("added", "again"):
        classifier = IntentClassifier.from_pretrained(folder / name / "model", engine="torch")
        answers[name] = evaluation.predict_table(classifier, test)
    result = {
        "left_out": intent,
        "clips": list(clips["file_name"]),
        "speakers": sorted(set(clips["speaker"])),
        "first_seconds": first_seconds,
        "added": {"seconds": round(add_seconds, 1), **figures(answers["added"], intent)},
        "again": {"seconds": again_seconds, **figures(answers["again"], intent)},
        "compared": compared(answers),
        "report": {name: report[name] for name in ("old", "added")},
    }
    run_folder.write_json(folder / RESULT, result)
    for name in ("eight", "added", "again"):
        shutil.rmtree(folder / name)
    return result


def figures(answers: pd.DataFrame, intent: str) -> dict[str, Any]:
    """Count right answers to the clips of all intents, of the old ones and of the new one."""
    is_right = answers["intent"] == answers["predicted"]
    is_new = answers["intent"] == intent
    groups = {"all": is_right, "old": is_right[~is_new], "new": is_right[is_new]}
    return {name: share(int(right.sum()), len(right)) for name, right in groups.items()}


def share(correct: int, n: int) -> dict[str, Any]:
    """Give a share with its counts and its 95 % interval."""
    return {
        "correct": correct,
        "n": n,
        "accuracy": correct / n,
        "accuracy_interval": wilson_interval(correct, n),
    }


def compared(answers: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Compare both models on the same clips, by the exact McNemar test."""
    is_right = {name: table["intent"] == table["predicted"] for name, table in answers.items()}
    test = mcnemar(is_right["added"], is_right["again"])
    return {"only_added": test.only_first, "only_again": test.only_second, "p": test.p}


def made_of(recipe: Recipe, recordings: Recordings) -> dict[str, Any]:
    """Name everything that decides the results in a folder, but for which intents are left out."""
    tables = data.to_datasets(recordings.table, recordings.clips)
    data_hash = data.facts(tables)["data_hash"]
    return {**provenance.ingredients(recipe), "list of clips": data_hash, "new clips": N_CLIPS}


def pooled_over(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the right answers of several runs; their test clips are the same, so no interval."""
    sums: dict[str, Any] = {}
    for name in ("added", "again"):
        sums[name] = {"seconds": [run[name]["seconds"] for run in runs]}
        for group in ("all", "old", "new"):
            correct = sum(run[name][group]["correct"] for run in runs)
            n = sum(run[name][group]["n"] for run in runs)
            sums[name][group] = {"correct": correct, "n": n, "accuracy": correct / n}
    return sums


def run(args: argparse.Namespace) -> None:
    """Leave out each intent in turn.

    Raises `OutputError` if the folder holds results of something else, `UserError` for an intent
    that there is not.
    """
    hub_models.quiet_transformers()
    recipe = resolve(
        "bundled", encoder=args.encoder, seed=args.seed, freeze=args.freeze, unknown="none"
    )
    recordings = data.read_recordings(recipe)
    intents = sorted(recordings.table["intent"].unique())
    chosen = args.intents or left_out_intents(intents, args.seed)
    for intent in chosen:
        if intent not in intents:
            raise UserError(intent, "there is no such intent", f"choose among {', '.join(intents)}")
    begun = any(args.output_dir.glob("*"))
    provenance.claim(args.output_dir, made_of(recipe, recordings), begun=begun)
    runs = []
    for intent in chosen:
        result = run_one(recipe, recordings, intent, args.output_dir / file_stem(intent))
        runs.append(result)
        for name in ("added", "again"):
            counts = [
                f"{group} {result[name][group]['correct']}/{result[name][group]['n']}"
                for group in ("all", "old", "new")
            ]
            print(f"{intent}, {name}: {', '.join(counts)}", flush=True)
    record = {
        "encoder": recipe.encoder,
        "freeze": recipe.numbers.freeze,
        "seed": args.seed,
        "together": pooled_over(runs),
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
    add("--freeze", default="auto", choices=["auto", "encoder"], help="(default: %(default)s)")
    add("--intents", nargs="+", help=f"to be left out (default: {N_LEFT_OUT}, by the seed)")
    add("--seed", type=int, default=0, help="(default: %(default)s)")
    add("--output-dir", type=Path, required=True)
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
