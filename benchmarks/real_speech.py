"""Accuracy on real human speech, beside the classical baseline and the majority class.

    python benchmarks/real_speech.py FOLDER --output-dir runs/digits

FOLDER has a metadata.csv (README.md, "Real speech", makes one). Where it names speakers, each is held out in turn and
the model learns from the others; else five stratified folds. A tenth of each training part is the validation split.
Finished folds are kept: run it again to go on. Prints a table and writes OUTPUT_DIR/results.json.
"""

import argparse
import json
import os
import platform
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

from speech_intent import baseline, metrics, tables, train
from speech_intent.recipes import Hyperparameters


def folds(table: pd.DataFrame, seed: int) -> dict[str, np.ndarray]:
    """Name the test rows of each fold: every speaker in turn, or five stratified parts."""
    if table["speaker"].nunique() > 1:
        return {speaker: np.flatnonzero(table["speaker"] == speaker) for speaker in sorted(table["speaker"].unique())}
    parts = StratifiedKFold(5, shuffle=True, random_state=seed).split(table, table["intent"])
    return {f"fold {i}": test for i, (_, test) in enumerate(parts)}


def fold_folder(folder: Path, table: pd.DataFrame, test: np.ndarray, output_dir: Path, seed: int) -> Path:
    """Write a fold as a data folder of its own: a metadata.csv with a `split` column and a link to the clips."""
    table = table[["file_name", "intent", "speaker"]].assign(split="train")
    rest = np.setdiff1d(np.arange(len(table)), test)
    _, validation = train_test_split(rest, test_size=0.1, stratify=table["intent"].iloc[rest], random_state=seed)
    table.loc[test, "split"], table.loc[validation, "split"] = "test", "validation"
    table["file_name"] = "clips/" + table["file_name"]
    output_dir.mkdir(parents=True, exist_ok=True)
    if not (output_dir / "clips").exists():
        (output_dir / "clips").symlink_to(folder.resolve(), target_is_directory=True)
    table.to_csv(output_dir / "metadata.csv", index=False)
    return output_dir


def score_baseline(fold: Path, statistics: np.ndarray, table: pd.DataFrame) -> tuple[list, list]:
    """Predict a fold's test clips with MFCC statistics and a support vector machine; return truth and prediction."""
    split = pd.read_csv(fold / "metadata.csv")["split"].to_numpy()
    learn, test = split != "test", split == "test"
    machine = baseline.machine().fit(statistics[learn], table["intent"][learn])
    return list(table["intent"][test]), list(machine.predict(statistics[test]))


def pooled(truth: list[str], predicted: list[str], accuracies: list[float]) -> dict:
    """Score all folds' answers together, with the mean and the standard deviation over folds."""
    labels = sorted(set(truth))
    ids = {label: i for i, label in enumerate(labels)}
    scores = metrics.classification_metrics([ids[t] for t in truth], [ids[p] for p in predicted], labels)
    keep = {key: scores[key] for key in ("n", "correct", "accuracy", "accuracy_interval", "f1_macro")}
    return keep | {
        "fold_accuracies": accuracies,
        "mean": float(np.mean(accuracies)),
        "sd": float(np.std(accuracies, ddof=1)),
    }


def main() -> None:
    """Run every fold and print the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path)
    p.add_argument("--output-dir", type=Path, required=True)
    p.add_argument("--encoder", default="small", help="(default: %(default)s)")
    p.add_argument("--epochs", type=float, default=6, help="(default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    args = p.parse_args()
    table = tables.read_table(args.folder)
    clips = [{"audio": args.folder / name} for name in table["file_name"]]
    statistics = baseline.table_statistics(clips)
    answers: dict[str, list] = {"MFCC + SVM": [], "encoder": []}
    seconds = 0.0
    for name, test in folds(table, args.seed).items():
        fold = fold_folder(args.folder, table, test, args.output_dir / name.replace(" ", "-"), args.seed)
        answers["MFCC + SVM"].append(score_baseline(fold, statistics, table))
        out = fold / "run"
        if not (out / "metrics.json").exists():
            numbers = Hyperparameters(epochs=args.epochs, batch_size=16, seed=args.seed)
            train.run(fold, args.encoder, out, numbers, resume=out.exists())
        rows = pd.read_csv(out / "predictions.csv")
        answers["encoder"].append((list(rows["intent"]), list(rows["predicted"])))
        seconds += json.loads((out / "metrics.json").read_text())["train_seconds"]
        print(f"{name}: accuracy {np.mean(rows['intent'] == rows['predicted']):.4f}, n {len(rows)}", flush=True)
    results = {}
    for way, pairs in answers.items():
        accuracies = [float(np.mean(np.array(t) == np.array(q))) for t, q in pairs]
        truth, predicted = ([intent for pair in pairs for intent in pair[side]] for side in (0, 1))
        results[way] = pooled(truth, predicted, accuracies)
    counts = table["intent"].value_counts()
    results["majority class"] = {
        "n": len(table),
        "correct": int(counts.iloc[0]),
        "accuracy": counts.iloc[0] / len(table),
    }
    record = {
        "encoder": args.encoder,
        "epochs": args.epochs,
        "seed": args.seed,
        "train_seconds": seconds,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "results": results,
    }
    (args.output_dir / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    print(pd.DataFrame(results).T[["n", "correct", "accuracy", "f1_macro", "mean", "sd"]].to_string())


if __name__ == "__main__":
    main()
