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

from speech_intent import data, evaluate, publish
from speech_intent.model import SMALL
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import RECIPES
from speech_intent.tables import ROOT

RESULTS = ROOT / "benchmarks" / "results"
SCOOTER_NAME = "models/wav2vec2-small-scooter"
SCOOTER = ROOT / SCOOTER_NAME
BLOCK = r"(?s)(<!-- figures: pretraining/ship.py -->\n).*?(<!-- end -->)"
SOURCES = """\
- Texts: CLINC150 (CC BY 3.0) and banking77 (CC BY 4.0), spoken by eSpeak NG and Flite; 36 hours.
- People: 70 % of the recordings of Picovoice's wake-word-benchmark (Apache-2.0) and the public-domain words and wake
  words of Mycroft's Precise-Community-Data; 3 hours.
"""


def load(name: str) -> dict:
    """Read one result file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def count(row: dict) -> str:
    """Write a proportion with its n and 95 % interval."""
    low, high = row.get("accuracy_interval") or row["interval"]
    return f"{row['accuracy']:.3f} = {row['correct']}/{row['n']} ({low:.3f} to {high:.3f})"


def curve(name: str, clips: int) -> list[dict]:
    """Pick the runs of one size from a learning curve; 0 is all clips."""
    return [row for row in load(name)["runs"] if row["clips_per_intent"] == clips]


def few_clips(name: str) -> str:
    """Write mean and range over the draws of twelve clips an intent."""
    scores = [row["accuracy"] for row in curve(name, 12)]
    mean = sum(scores) / len(scores)
    return f"{mean:.3f}, mean of {len(scores)} draws ({min(scores):.3f} to {max(scores):.3f}), n = 400 each"


def figures() -> str:
    """Write the table of what the encoder gives, beside its architecture with random weights."""
    digits = {name: load(f"digits-{name}")["results"]["encoder"] for name in ("small", "random")}
    svm = load("digits-small")["results"]["MFCC + SVM"]["mean"]
    folds = {name: f"{row['mean']:.3f} (n = {row['n']})" for name, row in digits.items()}
    commands = load("commands-small")["results"]["encoder"]
    cost = load("cost")
    noise = load("noise")["results"]
    rows = [
        ("fine-tuned on", "this encoder", "random weights"),
        ("---", "---", "---"),
        ("spoken digits (FSDD, people), mean of six speakers held out in turn", folds["small"], folds["random"]),
        (
            "bundled scooter requests, test split: new voices and new wordings",
            *(count(curve(f"curve-{name}", 0)[0]) for name in ("small", "random")),
        ),
        (
            "the same, 12 training clips an intent",
            *(few_clips(f"curve-{name}") for name in ("small", "random")),
        ),
        ("spoken commands (people), clips left out of pretraining, five folds", count(commands), "not measured"),
    ]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    time = cost["fine_tune_112_clips"]
    minutes = {name: load(f"digits-{name}")["train_seconds"] / 60 for name in ("small", "random")}
    return f"""{table}

In brackets: 95 % intervals, or the range over draws. Seed 0; checkpoints chosen on validation clips; all on
{load("digits-small")["machine"]}. MFCC + SVM reaches {svm:.3f} on the digits. The six fine-tunings on digits took
{minutes["small"]:.0f} minutes together, from random weights {minutes["random"]:.0f}.

Accuracy of the shipped classifier on the bundled test split: {count(noise["clean"])}; with white noise at 10 dB
{count(noise["white"])}, with pink noise {count(noise["pink"])}.

{cost["parameters"] / 1e6:.2f} M parameters with a head of nine intents, {cost["megabytes"]:.1f} MB on disk. On \
{cost["cores"]} CPU cores one pass of a 3 s clip takes {cost["forward_3s_ms"]["median"]:.0f} ms (median of \
{cost["forward_3s_ms"]["n"]}) and fine-tuning on 112 clips of 2.5 s {time["seconds"]:.0f} s ({time["steps"]} steps).
"""


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
192. It was pretrained from scratch to write down the characters of what is said (CTC) and to name the intent of
requests; those two heads are not included.

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
        classifier = IntentClassifier.from_pretrained(SCOOTER)
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
    if (SCOOTER / "metrics.json").exists():
        (SCOOTER / "README.md").write_text(publish.model_card(SCOOTER, SCOOTER_NAME), encoding="utf-8")
    if (RESULTS / "cost.json").exists():  # the last of the figures to be taken
        (SMALL / "README.md").write_text(encoder_card(), encoding="utf-8")
        for path in (ROOT / "README.md", ROOT / "pretraining" / "README.md"):
            text = re.sub(BLOCK, lambda block: block[1] + figures() + block[2], path.read_text(encoding="utf-8"))
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
