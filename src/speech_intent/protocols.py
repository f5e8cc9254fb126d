"""The same experiment on several splits and seeds: a figure with its spread, beside the baseline and the majority."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from . import baseline, data, metrics, train
from .recipes import Hyperparameters, Recipe


def folds(
    table: pd.DataFrame, protocol: str, n_folds: int, seed: int, recipe: Recipe
) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Fill the `split` column once a fold: yield the fold's name, the table, and how it was split.

    "given" leaves a folder's own split; "random" and "speaker" draw one by clip or by whole speakers; "kfold" is
    stratified by intent, each clip tested once; "leave-one-speaker-out" tests each speaker in turn. Validation clips
    are taken out of train. ValueError where speakers are needed and not known.
    """
    recipe = replace(recipe, by_speaker=protocol in ("given", "speaker") and recipe.by_speaker)
    if protocol in ("given", "random", "speaker"):
        yield protocol, *data.assign_splits(table if protocol == "given" else table.assign(split=""), seed, recipe)
        return
    for name, test in _test_rows(table, protocol, n_folds, seed):
        split = table.assign(split="train")
        split.loc[split.index[test], "split"] = "test"
        yield name, *data.assign_splits(split, seed, recipe)


def _test_rows(table: pd.DataFrame, protocol: str, n_folds: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    from sklearn.model_selection import StratifiedKFold

    if protocol == "kfold":
        parts = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(table, table["intent"])
        yield from ((f"fold-{i}", test) for i, (_, test) in enumerate(parts))
        return
    speakers = sorted(set(table["speaker"]) - {""})
    if len(speakers) < 2:
        raise ValueError("leave-one-speaker-out needs a column that names two speakers or more; use kfold")
    yield from ((name, np.flatnonzero(table["speaker"] == name)) for name in speakers)


def run(
    protocol: str,
    n_folds: int,
    seeds: Sequence[int],
    keep_weights: bool,
    output_dir: Path,
    encoder: str,
    numbers: Hyperparameters,
    recipe: Recipe,
) -> dict:
    """Train and score every fold and seed in a folder of its own; finished ones are kept, so a run can be repeated.

    Writes `results.json` and returns it: for the encoder, MFCC + SVM and the majority class, `accuracy` pooled over the
    folds of the first seed with its interval, `mean` and `sd` over all folds and seeds, and `runs`.
    """
    table, clips = data.read_recordings(recipe.data, recipe)
    statistics = baseline.table_statistics(clips)
    answers: dict[str, list[pd.DataFrame]] = {"encoder": [], "MFCC + SVM": [], "majority class": []}
    seconds = 0.0
    for seed in seeds:
        for name, split, how in folds(table, protocol, n_folds, seed, recipe):
            out, how = output_dir / f"{name}-seed-{seed}", f"{protocol}, {name}; {how}"
            if not (out / "metrics.json").exists():
                splits = data.to_datasets(split, clips)
                train.run_splits(splits, how, encoder, out, replace(numbers, seed=seed), out.exists(), recipe)
            if not keep_weights:
                shutil.rmtree(out / "model", ignore_errors=True)
            seconds += json.loads((out / "metrics.json").read_text(encoding="utf-8"))["train_seconds"]
            predictions = pd.read_csv(out / "predictions.csv", keep_default_na=False)
            answers["encoder"].append(predictions.assign(fold=name, seed=seed))
            learn, test = (split["split"] == "train").to_numpy(), (split["split"] == "test").to_numpy()
            svm = baseline.machine().fit(statistics[learn], split["intent"][learn])
            truth = split.loc[test, ["intent", "speaker"]].assign(fold=name, seed=seed)
            answers["MFCC + SVM"].append(truth.assign(predicted=svm.predict(statistics[test])))
            answers["majority class"].append(truth.assign(predicted=split["intent"][learn].mode()[0]))
    list_hash = hashlib.sha256(table[["file_name", "intent"]].to_csv(index=False).encode()).hexdigest()[:16]
    record = {"protocol": protocol, "seeds": list(seeds), "encoder": encoder, "data": Path(recipe.data).name}
    record |= {"last_split": how}  # with a warning of speakers or phrasings on both sides
    record |= {"data_hash": list_hash, "n": len(table), "speakers": int(table["speaker"].replace("", np.nan).nunique())}
    record |= {"hyperparameters": asdict(numbers), "train_seconds": round(seconds, 1)}
    results = record | {way: summary(pd.concat(parts), seeds[0]) for way, parts in answers.items()}
    (output_dir / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def summary(answers: pd.DataFrame, first_seed: int) -> dict:
    """Score the answers (`intent`, `predicted`, `speaker`, `fold`, `seed`) of all folds and seeds."""
    right = answers["intent"] == answers["predicted"]
    runs = right.groupby([answers["seed"], answers["fold"]]).agg(accuracy="mean", n="size").reset_index()
    pooled = answers[answers["seed"] == first_seed]
    labels = sorted(set(pooled["intent"]) | set(pooled["predicted"]))
    ids = {label: i for i, label in enumerate(labels)}
    truth, guesses = pooled["intent"].map(ids), pooled["predicted"].map(ids)
    scores = metrics.classification_metrics(truth, guesses, labels, pooled["speaker"])
    names = ("n", "correct", "accuracy", "accuracy_interval", "f1_macro", "f1_macro_interval", "bootstrap")
    keep = {name: scores[name] for name in names}
    spread = {"mean": runs["accuracy"].mean(), "sd": runs["accuracy"].std(ddof=1) if len(runs) > 1 else None}
    return keep | spread | {"runs": runs.to_dict("records")}


def describe(results: dict) -> str:
    """Print the ways side by side, with what qualifies their figures."""
    ways = ("encoder", "MFCC + SVM", "majority class")
    columns = ["n", "correct", "accuracy", "accuracy_interval", "f1_macro", "f1_macro_interval", "mean", "sd"]
    table = pd.DataFrame({way: {column: results[way][column] for column in columns} for way in ways}).T
    flatters = results["protocol"] in ("random", "kfold") and not results["speakers"]
    warning = "\nWarning: speakers are not named; the same may be on both sides, and the figures flatter."
    how = f"Protocol {results['protocol']}, seeds {results['seeds']}, data list {results['data_hash']}"
    bootstrap = f"Intervals: accuracy Wilson's, macro F1 bootstrap {results['encoder']['bootstrap']}"
    return f"{table.to_string()}\n{how}\nLast split: {results['last_split']}\n{bootstrap}{warning if flatters else ''}"
