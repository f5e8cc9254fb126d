"""What closes the gap between synthetic voices and people's: heads on the frozen encoder.

    python -m speech_intent.synthesize benchmarks/sentences/digits.csv --output-dir runs/said/digits
    python benchmarks/voice_gap.py --data DIGITS --said runs/said/digits --output runs/gap.json

Each row trains on a part of the synthetic clips and is scored on all clips of people. Their labels
are used for nothing else; `adapted` uses their statistics, without labels.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from speech_intent import (
    adaptation,
    additions,
    command_line,
    data,
    frozen_head,
    hub_models,
    intervals,
    model,
    run_folder,
)
from speech_intent.batches import Collator
from speech_intent.data import Recordings
from speech_intent.moonshine import EDGE_SAMPLES
from speech_intent.recipes import Recipe, resolve

if TYPE_CHECKING:
    from datasets import Dataset

NEURAL = ("piper", "hibari")
FEW_VOICES = 8
FEW_CLIPS = 40  # an intent


def pooled_outputs(recipe: Recipe, rows: "Dataset", edge_samples: int) -> np.ndarray:
    """Run the frozen encoder over all clips, with so much silence at both ends."""
    names = rows.features["label"].names
    classifier = model.build_model(recipe.encoder, names, seed=recipe.numbers.seed)
    classifier.model.config.edge_samples = edge_samples
    config = classifier.model.config
    collator = Collator(classifier.extractor, config, recipe.numbers, training=False)
    return frozen_head.pooled_outputs(classifier.model, rows, collator)


def parts(said: pd.DataFrame) -> dict[str, pd.Series]:
    """Name the parts of the synthetic clips that a row trains on: bool, (n_clips,)."""
    everything = pd.Series(True, said.index)
    voices = said["speaker"].drop_duplicates().sample(FEW_VOICES, random_state=0)
    order = said.sample(frac=1, random_state=0).groupby("intent").cumcount()
    return {
        "all": everything,
        "eSpeak NG alone": said["engine"] == "espeak-ng",
        "neural voices alone": said["engine"].isin(NEURAL),
        "Piper alone": said["engine"] == "piper",
        "Hibari alone": said["engine"] == "hibari",
        f"{FEW_VOICES} voices": said["speaker"].isin(voices),
        f"{FEW_CLIPS} clips an intent": (order < FEW_CLIPS).reindex(said.index),
    }


def score(head: frozen_head.Head, pooled: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Score a head on people's clips (n_clips, size), whose label ids are (n_clips,)."""
    right = int((head.logits(pooled).argmax(axis=1) == labels).sum())
    n = len(labels)
    return {"n": n, "correct": right, "interval": intervals.wilson_interval(right, n)}


def measure(recipe: Recipe, recordings: Recordings) -> list[dict[str, Any]]:
    """Fill in the table, a row a part and an amount of silence."""
    table = recordings.table.assign(split="train")
    rows = data.to_datasets(table, recordings.clips)["train"]
    labels = np.array(rows["label"])
    apart = additions.apart(table)
    people = apart.own.index.to_numpy()
    found = []
    for edge in (0, EDGE_SAMPLES):
        pooled = pooled_outputs(recipe, rows, edge)
        for name, part in parts(apart.added).items():
            if not edge and name != "all":
                continue
            taught = apart.added.index[part].to_numpy()
            head = frozen_head.fit_head(pooled[taught], rows.select(taught), recipe.numbers)
            mapping = adaptation.fit_mapping(pooled[taught], pooled[people])
            row = {
                "part": name,
                "edge_samples": edge,
                "clips": len(taught),
                "voices": int(apart.added["speaker"][part].nunique()),
                "as it is": score(head, pooled[people], labels[people]),
                "adapted": score(head, mapping(pooled[people]), labels[people]),
            }
            print(row, flush=True)
            found.append(row)
    return found


def run(args: argparse.Namespace) -> None:
    """Measure, and write the result."""
    hub_models.quiet_transformers()
    recipe = resolve("bundled", data=args.data, add=[args.said])
    recipe = replace(recipe, numbers=replace(recipe.numbers, freeze="encoder"))
    found = measure(recipe, data.read_recordings(recipe))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(args.output, {"data": Path(args.data).name, "seed": 0, "rows": found})


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="people's clips")
    parser.add_argument("--said", required=True, help="the same intents, by `synthesize`")
    parser.add_argument("--output", required=True, type=Path, help="JSON file")
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
