"""Write the tables of figures in Markdown files, from `benchmarks/results/`.

    python benchmarks/tables.py

Into README.md, docs/evaluation.md and the card of the encoder. The results come from
benchmarks/figures.sh, and from the shipped classifier's own metrics.json. What has no result was
not measured.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import transcribe_table
from blocks import UNMEASURED, table, write_block

from speech_intent.paths import MOONSHINE, ROOT, SHIPPED

RESULTS = ROOT / "benchmarks" / "results"
FIGURES = "figures: benchmarks/tables.py"
EVALUATION = "evaluation: benchmarks/tables.py"
TRANSCRIBED = "transcribed first: benchmarks/tables.py"
FIGURE_FILES = (ROOT / "README.md", MOONSHINE / "README.md")
EVALUATION_FILE = ROOT / "docs" / "evaluation.md"
FINE_TUNED = "Moonshine, fine-tuned"  # classifiers
FROZEN = "Moonshine, frozen"
WAV2VEC2 = "small Wav2Vec2, fine-tuned"
RANDOM = "random weights"
SVM = "MFCC + SVM"
BESIDE = (RANDOM, SVM)  # in the first table
FEW = 12  # training clips an intent
COVERED = ("accuracy", "f1_macro", "f1_weighted", "precision_macro")
MANY = 200  # clips of a simulated test from which on coverage is reported

Result = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """An accuracy and how sure it is."""

    accuracy: float
    correct: int
    n: int
    interval: tuple[float, float] | None = None  # 95 %, where clips are independent enough for one
    spread: tuple[float, float] | None = None  # lowest and highest of several trainings
    spread_over: str = ""  # what differs between them: "6 speakers"


def load(name: str) -> Result:
    """Read one result file; empty where the figure has not been taken."""
    return read(RESULTS / f"{name}.json")


def read(path: Path) -> Result:
    """Read a JSON file; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def one_test(result: Result | None) -> Figure | None:
    """Take the figure of one training, scored on one test split."""
    if not result:
        return None
    low, high = result["accuracy_interval"]
    return Figure(result["accuracy"], result["correct"], result["n"], interval=(low, high))


def all_clips(result: Result) -> Figure | None:
    """Take the figure of the training on all clips out of a learning curve."""
    whole = [run for run in result.get("runs", []) if not run["clips_per_intent"]]
    return one_test(whole[0] if whole else None)


def few_clips(result: Result) -> Figure | None:
    """Take the mean over the draws of twelve clips an intent, all scored on the same test split."""
    runs = [run for run in result.get("runs", []) if run["clips_per_intent"] == FEW]
    if not runs:
        return None
    correct = sum(run["correct"] for run in runs)
    n = sum(run["n"] for run in runs)
    scores = [run["accuracy"] for run in runs]
    spread = (min(scores), max(scores))
    return Figure(correct / n, correct, n, spread=spread, spread_over=f"{len(runs)} draws")


def folds(result: Result, classifier: str) -> Figure | None:
    """Take the figure of all folds of `train --protocol`, each clip tested once.

    Where speakers are known, an interval over clips would be too narrow: there is none.
    """
    if classifier not in result:
        return None
    row = result[classifier]
    scores = [run["accuracy"] for run in row["runs"]]
    kind = "speakers" if result["protocol"] == "leave-one-speaker-out" else "folds"
    interval = None
    if not result["speakers"]:
        low, high = row["accuracy_interval"]
        interval = (low, high)
    return Figure(
        accuracy=row["accuracy"],
        correct=row["correct"],
        n=row["n"],
        interval=interval,
        spread=(min(scores), max(scores)),
        spread_over=f"{len(scores)} {kind}",
    )


def measured() -> dict[str, dict[str, Figure | None]]:
    """Collect the figures: by what was fine-tuned on and scored on, then by classifier."""
    curves = {name: load(f"curve-{name}") for name in ("moonshine", "random")}
    svm = load("bundled-svm")
    return {
        "spoken digits (people), one speaker held out in turn": of_people("digits"),
        "spoken commands (people), five folds": of_people("commands"),
        "bundled requests (synthetic): new voices, new wordings": {
            FINE_TUNED: one_test(read(SHIPPED / "metrics.json")),
            WAV2VEC2: one_test(load("bundled-small")),
            RANDOM: all_clips(curves["random"]),
            SVM: one_test(svm),
        },
        "the same, 12 training clips an intent": {
            FINE_TUNED: few_clips(curves["moonshine"]),
            RANDOM: few_clips(curves["random"]),
            SVM: few_clips(svm),
        },
    }


def of_people(name: str) -> dict[str, Figure | None]:
    """Collect the figures on recordings of people, by classifier."""
    ours = load(f"{name}-moonshine")
    frozen = load(f"{name}-moonshine-frozen")
    return {
        FINE_TUNED: folds(ours, "encoder"),
        FROZEN: folds(frozen, "encoder"),
        RANDOM: folds(load(f"{name}-random"), "encoder"),
        SVM: folds(ours or frozen, SVM),
    }


def cells(figure: Figure | None) -> list[str]:
    """Write accuracy, right / clips, interval and range, a cell each."""
    if figure is None:
        return [UNMEASURED, "", "", ""]
    interval = span(figure.interval) if figure.interval else ""
    spread = f"{span(figure.spread)} ({figure.spread_over})" if figure.spread else ""
    return [f"{figure.accuracy:.3f}", f"{figure.correct}/{figure.n}", interval, spread]


def span(ends: tuple[float, float]) -> str:
    """Write the two ends of an interval or a range."""
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def figures() -> str:
    """Write the first table: what fine-tuning gives, with the others' accuracy beside it."""
    header = ["fine-tuned on, scored on", "accuracy", "right / clips", "95 % interval"]
    header += ["range over folds or draws", *BESIDE]
    rows = []
    for task, by_classifier in measured().items():
        others = [by_classifier[name] for name in BESIDE]
        accuracies = [cells(figure)[0] if figure else "" for figure in others]
        best = by_classifier[FINE_TUNED]
        if best is None and by_classifier.get(FROZEN):
            best = by_classifier[FROZEN]
            task = f"{task}, encoder frozen"
        rows.append([task, *cells(best), *accuracies])
    return "\n".join([*table(header, rows), "", *remarks()]) + "\n"


def remarks() -> list[str]:
    """Write what qualifies the first table, and what the encoder costs."""
    lines = [
        "Moonshine's training data are not published in full: that these recordings of people are "
        "among them cannot be",
        "excluded. Intervals are Wilson's, over clips; the digits have none, being six people's, "
        "nor have the draws, which",
        "share their test clips. Seed 0, draws 0 to 4; checkpoints chosen on validation clips; on "
        "2 CPU cores. How loud the noise",
        "of training is was settled with one of the six speakers' digits (george) in sight. "
        "Moonshine's rows but the first",
        "are of trainings before 0.1 s of silence was put at both ends of a clip.",
    ]
    cost = load("cost")
    if cost:
        forward = cost["forward_3s_ms"]
        tuned = cost["fine_tuned"]
        clips = f"{cost['clips']['n']} clips of {cost['clips']['seconds']:.0f} s"
        lines += [
            "",
            f"{cost['parameters'] / 1e6:.2f} M parameters with a head, {cost['megabytes']:.1f} MB "
            f"on disk. One pass of a 3 s clip takes torch {forward['median']:.0f} ms (median of "
            f"{forward['n']}). Fine-tuning on",
            f"{clips} takes {tuned['seconds']:.0f} s ({tuned['epochs']:.0f} epochs), "
            f"a head on the frozen encoder {cost['frozen']['seconds']:.0f} s." + training_minutes(),
        ]
    return lines


def training_minutes() -> str:
    """Write how long the folds of real speech took, where they were measured."""
    results = {name: load(f"{name}-moonshine") for name in ("digits", "commands")}
    minutes = [
        f"{name} {result['train_seconds'] / 60:.0f} minutes"
        for name, result in results.items()
        if result
    ]
    if not minutes:
        return ""
    return f" All folds, on one core beside other work: {', '.join(minutes)}."


def evaluation() -> str:
    """Write everything else: each classifier, hard conditions, thresholds, intervals."""
    parts = [
        *each_classifier(),
        "",
        *robustness(),
        "",
        *coverage(load("coverage")),
    ]
    return "\n".join(parts) + "\n"


def each_classifier() -> list[str]:
    """Write the first table in full, a row a classifier; none for what was not measured."""
    header = ["fine-tuned on, scored on", "classifier", "accuracy", "right / clips"]
    header += ["95 % interval", "range over folds or draws"]
    rows = [
        [task, name, *cells(figure)]
        for task, by_classifier in measured().items()
        for name, figure in by_classifier.items()
        if figure or (name == FINE_TUNED and not by_classifier.get(FROZEN))
    ]
    return [
        "The first table in full. Random weights are those of Moonshine's architecture:",
        "",
        *table(header, rows),
    ]


def robustness() -> list[str]:
    """Write the lines about `evaluate --robustness`."""
    path = RESULTS / "robustness.csv"
    if not path.exists():
        return [f"Hard conditions: {UNMEASURED}."]
    conditions = pd.read_csv(path).to_dict("records")
    clean = conditions[0]["accuracy"]
    rows = []
    for row in conditions:
        interval = (row["low"], row["high"])
        figure = Figure(row["accuracy"], row["correct"], row["n"], interval)
        share = f"{row['accuracy'] / clean:.3f}"
        rows.append([row["condition"], *cells(figure)[:3], share])
    header = ["condition", "accuracy", "right / clips", "95 % interval", "share of clean"]
    return [
        "The shipped classifier on the bundled test split under harder conditions, and what share "
        "of its accuracy is left:",
        "",
        *table(header, rows),
        "",
        "`python -m speech_intent.evaluate --model models/moonshine-tiny-scooter --robustness "
        "--output-dir runs/hard`",
    ]


def coverage(result: Result) -> list[str]:
    """Write the lines about benchmarks/interval_coverage.py."""
    if not result:
        return [f"Coverage of the intervals: {UNMEASURED}."]
    many = [row for row in result["independent clips"] if row["n"] >= MANY]
    rows = []
    for name in COVERED:
        shares = [row[name] for row in many]
        ends = (min(shares), max(shares))
        rows.append(["independent clips, n 200 to 1,000", name, span(ends)])
    for row in result["speakers who differ"]:
        case = f"{row['speakers']} speakers who differ, 20 clips each"
        shares = (
            f"{row['over speakers']:.3f} drawing speakers, {row['over clips']:.3f} drawing clips"
        )
        rows.append([case, "f1_macro", shares])
    return [
        "How often 95 % intervals hold the true figure "
        f"({result['draws']:,} simulated tests a case):",
        "",
        *table(["case", "figure", "coverage"], rows),
        "",
        "`python benchmarks/interval_coverage.py --output runs/coverage.json`",
    ]


def transcribed_first() -> str:
    """Write what benchmarks/transcribe_first.py measured."""
    results = {task: load(f"transcribe-first-{task}") for task in transcribe_table.NAMES}
    return "\n".join(transcribe_table.lines(results)) + "\n"


def blocks() -> list[tuple[Path, str, str]]:
    """List what this program writes: file, name of the block, content."""
    first = figures()
    return [
        *((path, FIGURES, first) for path in FIGURE_FILES),
        (EVALUATION_FILE, EVALUATION, evaluation()),
        (EVALUATION_FILE, TRANSCRIBED, transcribed_first()),
    ]


def main() -> None:
    """Write every block."""
    for path, name, content in blocks():
        write_block(path, name, content)


if __name__ == "__main__":
    main()
