"""Write `models/`: the pretrained encoder, the classifier fine-tuned from it, and their cards.

    python pretraining/ship.py --encoder run/encoder            # once, after pretraining
    python pretraining/ship.py --classifier runs/models/model   # what `make models` does

Weights are stored in half precision. The figures of the cards come from `benchmarks/results/`, which the commands in
`pretraining/README.md` write, and from the classifier's own metrics.json.
"""

import argparse
import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from speech_intent import data, evaluate, export, publish
from speech_intent.model import SMALL
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import RECIPES
from speech_intent.tables import ROOT

RESULTS = ROOT / "benchmarks" / "results"
SCOOTER_NAME = "models/wav2vec2-small-scooter"
SCOOTER = ROOT / SCOOTER_NAME
BLOCK = r"(?s)(<!-- {}: pretraining/ship.py -->\n).*?(<!-- end -->)"
SOURCES = """\
- Texts: CLINC150 (CC BY 3.0) and banking77 (CC BY 4.0), spoken by eSpeak NG and Flite; 36 hours.
- People: 70 % of the recordings of Picovoice's wake-word-benchmark (Apache-2.0) and the public-domain words and wake
  words of Mycroft's Precise-Community-Data; 3 hours.
"""


def load(name: str) -> dict:
    """Read one result file; empty where the figure has not been taken."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def count(row: dict | None) -> str:
    """Write a proportion with its n and 95 % interval."""
    if not row:
        return "not measured"
    low, high = row.get("accuracy_interval") or row["interval"]
    return f"{row['accuracy']:.3f} = {row['correct']}/{row['n']} ({low:.3f} to {high:.3f})"


def folds(name: str, way: str = "encoder") -> str:
    """Write mean and range over the folds of `train --protocol`."""
    row = load(name).get(way)
    if not row:
        return "not measured"
    scores = [run["accuracy"] for run in row["runs"]]
    return f"{row['mean']:.3f} ({min(scores):.3f} to {max(scores):.3f}), n = {row['n']}"


def few_clips(name: str) -> str:
    """Write mean and range over the draws of twelve clips an intent."""
    scores = [row["accuracy"] for row in load(name).get("runs", []) if row["clips_per_intent"] == 12]
    if not scores:
        return "not measured"
    mean = sum(scores) / len(scores)
    return f"{mean:.3f} ({min(scores):.3f} to {max(scores):.3f}), {len(scores)} draws, n = 400 each"


def figures() -> str:
    """Write the table of what the encoder gives, beside its architecture with random weights."""
    whole = {
        name: next((row for row in load(f"curve-{name}").get("runs", []) if not row["clips_per_intent"]), None)
        for name in ("small", "random")
    }
    scooter = json.loads((SCOOTER / "metrics.json").read_text())
    rows = [
        ("fine-tuned on, scored on", "this encoder", "random weights", "MFCC + SVM"),
        ("---",) * 4,
        (
            "bundled requests: new voices, new wordings",
            count(scooter),
            count(whole["random"]),
            count(load("bundled-svm")),
        ),
        (
            "the same, 12 training clips an intent",
            few_clips("curve-small"),
            few_clips("curve-random"),
            few_clips("bundled-svm"),
        ),
        (
            "spoken digits (people), one speaker held out in turn",
            folds("digits-small"),
            folds("digits-random"),
            folds("digits-small", "MFCC + SVM"),
        ),
        (
            "spoken commands (people) left out of pretraining, 5 folds",
            folds("commands-small"),
            folds("commands-random"),
            folds("commands-small", "MFCC + SVM"),
        ),
    ]
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    text += "\n\nIn brackets: 95 % interval, or the range over folds or draws. Seed 0, draws 0 to 4; checkpoints "
    text += "chosen on\nvalidation clips; on 2 CPU cores.\n"
    minutes = {name: load(name)["train_seconds"] / 60 for name in ("digits-small", "commands-small") if load(name)}
    if minutes:
        text += "Training, while another job shared the cores: " + ", ".join(
            f"{name.split('-')[0]} {value:.0f} minutes" for name, value in minutes.items()
        )
        text += " for all folds.\n"
    if cost := load("cost"):
        time, ms = cost["fine_tune_112_clips"], cost["forward_3s_ms"]
        text += f"\n{cost['parameters'] / 1e6:.2f} M parameters with a head, {cost['megabytes']:.1f} MB on disk. "
        text += (
            f"One pass of a 3 s clip takes {ms['median']:.0f} ms\n(median of {ms['n']}), fine-tuning on 112 clips of "
        )
        text += f"2.5 s {time['seconds']:.0f} s ({time['steps']} steps).\n"
    return text


def evaluation() -> str:
    """Write what was measured of hard conditions, of thresholds on the score and of the intervals themselves."""
    return "\n".join([*robustness(), *rejection(load("out-of-scope").get("runs", [])), *coverage(load("coverage"))])


def robustness() -> list[str]:
    """Write the lines about `evaluate --robustness`."""
    path = RESULTS / "robustness.csv"
    if not path.exists():
        return ["Hard conditions: not measured.\n"]
    rows = pd.read_csv(path).to_dict("records")
    lines = ["The shipped classifier on the bundled test split under harder conditions:\n", "| condition | accuracy |"]
    lines += ["|---|---|"]
    lines += [f"| {row['condition']} | {count(row | {'interval': (row['low'], row['high'])})} |" for row in rows]
    command = (
        "`python -m speech_intent.evaluate --model models/wav2vec2-small-scooter --robustness --output-dir runs/hard`"
    )
    return [*lines, f"\n{command}\n"]


def rejection(runs: list[dict]) -> list[str]:
    """Write the lines about benchmarks/out_of_scope.py."""
    if not runs:
        return ["Unknown requests: not measured.\n"]
    mean = {key: sum(run[key] for run in runs) / len(runs) for key in ("coverage", "accuracy", "accuracy_answered")}
    total = sum(run["n"] for run in runs)
    percent = {key: f"{100 * value:.0f} %" for key, value in mean.items()}
    lines = [
        f"Three times, three of the nine bundled intents were left out of training. Of {total} test clips of the",
        f"others, {percent['coverage']} get an answer with a threshold fitted on validation for precision 0.9, and",
        f"{percent['accuracy_answered']} of the answers are right ({percent['accuracy']} without it). If only the",
        f"surest half were answered, {surest(runs, 0.5)} would be right, of the surest 80 %, {surest(runs, 0.8)}.",
        "Of what should be rejected:\n",
        "| clips | AUROC, mean (lowest) | accepted by mistake, mean (most) |\n|---|---|---|",
    ]
    for kind in ("intents left out", "noise", "chords", "knocks"):
        areas, accepts = ([run[kind][key] for run in runs] for key in ("auroc", "false_accepts"))
        cells = [f"{kind} ({sum(run[kind]['n'] for run in runs)})"]
        cells += [f"{np.mean(areas):.3f} ({min(areas):.3f})", f"{np.mean(accepts):.3f} ({max(accepts):.3f})"]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "\n`python benchmarks/out_of_scope.py --output-dir runs/out-of-scope`, seed 0, 2 CPU cores.\n"]


def surest(runs: list[dict], share: float) -> str:
    """Write the mean accuracy of this share of the answers, those with the highest scores."""
    right = [point["accuracy"] for run in runs for point in run["curve"] if abs(point["coverage"] - share) < 1e-9]
    return f"{100 * np.mean(right):.0f} %"


def coverage(result: dict) -> list[str]:
    """Write the lines about benchmarks/interval_coverage.py."""
    if not result:
        return ["Coverage of the intervals: not measured."]
    many = [row for row in result["independent clips"] if row["n"] >= 200]
    lines = [
        f"How often 95 % intervals hold the true figure ({result['draws']:,} simulated tests a case):\n",
        "| case | figure | coverage |\n|---|---|---|",
    ]
    for name in ("accuracy", "f1_macro", "f1_weighted", "precision_macro"):
        span = [row[name] for row in many]
        lines.append(f"| independent clips, n 200 to 1,000 | {name} | {min(span):.3f} to {max(span):.3f} |")
    for row in result["speakers who differ"]:
        cells = [f"{row['over speakers']:.3f} drawing speakers, {row['over clips']:.3f} drawing clips"]
        lines.append(f"| {row['speakers']} speakers who differ, 20 clips each | f1_macro | {cells[0]} |")
    return [*lines, "\n`python benchmarks/interval_coverage.py --output runs/coverage.json`"]


def encoder_card() -> str:
    """Write the model card of the encoder."""
    return f"""---
library_name: transformers
pipeline_tag: feature-extraction
license: apache-2.0
language:
  - en
tags:
  - speech
  - wav2vec2
  - spoken-language-understanding
---

# wav2vec2-small-en

A small English speech encoder to be fine-tuned for spoken intent classification on a laptop CPU, offline. It is an
ordinary Wav2Vec2 checkpoint: seven narrow convolutions with group norm and six pre-norm transformer layers of width
192. It was pretrained from scratch to write down the characters of what is said (CTC), to tell which letter n-grams the
whole request has, and to name its intent; those heads are not included.

```python
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

encoder = "models/wav2vec2-small-en"
extractor = AutoFeatureExtractor.from_pretrained(encoder)
model = AutoModelForAudioClassification.from_pretrained(encoder, num_labels=9)  # a new head, to be trained
```

Input: mono, 16 kHz, zero mean and unit variance (the feature extractor does it). Give clips of one length or one clip
at a time: the group norm sees padding.

## What it learned from

{SOURCES}
No voice and no text of the bundled validation and test splits, no spoken digits; `pretraining/` holds the lists and the
programs.

## What it gives

{figures()}
Commands, seeds and machine: `pretraining/README.md`.

## Intended use and limits

Short English requests of up to about six seconds. Most of its speech was synthetic and formant-like; real voices are
few, accents of real speakers hardly covered, children not at all. It is no speech recogniser and knows no language but
English. Fine-tune it and measure on recordings of the people who will use it.

## Licence

Weights: Apache-2.0. The speech it learned from is not included.
"""


def ship(source: Path, target: Path, keep: tuple[str, ...]) -> None:
    """Copy a model folder with its weights in half precision, read back as float32."""
    from transformers import AutoModel, AutoModelForAudioClassification

    kind = AutoModelForAudioClassification if "training.json" in keep else AutoModel
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    kind.from_pretrained(source, dtype="float32").half().save_pretrained(part)
    config = json.loads((part / "config.json").read_text()) | {"dtype": "float32"}
    config.pop("_name_or_path", None)
    (part / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("preprocessor_config.json", *keep):
        shutil.copy(source / name, part)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def score_classifier() -> None:
    """Score the stored weights, halved as they are, on the bundled test split and keep metrics.json beside them."""
    record = json.loads((SCOOTER / "training.json").read_text())
    splits, how = data.load_data("bundled", record["seed"])
    with tempfile.TemporaryDirectory() as scratch:
        classifier = IntentClassifier.from_pretrained(SCOOTER, engine="torch")
        record |= {"data": "bundled", "split": f"test ({how})", "note": RECIPES["bundled"].note}
        evaluate.evaluate_model(classifier, splits["test"], Path(scratch), record)
        shutil.copy(Path(scratch) / "metrics.json", SCOOTER)


def main() -> None:
    """Copy what is named, then write both cards and the tables in the README files."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--encoder", type=Path, help="folder of the pretrained encoder")
    p.add_argument("--classifier", type=Path, help="model folder of a training run")
    args = p.parse_args()
    if args.encoder:
        ship(args.encoder, SMALL, ())
    if args.classifier:
        ship(args.classifier, SCOOTER, ("training.json",))
        score_classifier()
        export.export(SCOOTER, "bundled")
    if (SCOOTER / "metrics.json").exists():
        (SCOOTER / "README.md").write_text(publish.model_card(SCOOTER, SCOOTER_NAME), encoding="utf-8")
        (SMALL / "README.md").write_text(encoder_card(), encoding="utf-8")
        for path in (ROOT / "README.md", ROOT / "pretraining" / "README.md"):
            text = path.read_text(encoding="utf-8")
            for name, write in (("figures", figures), ("evaluation", evaluation)):
                text = re.sub(
                    BLOCK.format(name), lambda block, write=write: block[1] + write().rstrip() + "\n" + block[2], text
                )
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
