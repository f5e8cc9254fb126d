"""Does a model of people's spoken commands say "unknown" to people's other words?

    python benchmarks/unknown_people.py COMMANDS --others digits=DIGITS words=WORDS \\
      --output runs/unknown-people.json

Each intent of COMMANDS is left out in turn. A head on the frozen encoder is fitted to a share of
the other clips, what is answered to another share, for 0.97 of the taught clips; the rest is
answered, with the clips that were left out, and those of other folders of people's recordings.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from speech_intent import (
    command_line,
    data,
    fit_rejection,
    frozen_head,
    negatives,
    run_folder,
    stored_outputs,
    unknown_test,
)
from speech_intent.audio import SUFFIXES
from speech_intent.batches import Collator
from speech_intent.model import build_model
from speech_intent.promises import Promise
from speech_intent.recipes import Recipe, resolve
from speech_intent.rejection import Rejection
from speech_intent.tables import SPLITS, UNKNOWN


class Encoder:
    """The frozen encoder, which hears each clip once."""

    def __init__(self, recipe: Recipe):
        self.classifier = build_model(recipe.encoder, ["a", "b"], seed=recipe.numbers.seed)
        config = self.classifier.model.config
        self.collator = Collator(self.classifier.extractor, config, recipe.numbers, False)

    def __call__(self, table: Any) -> np.ndarray:
        """Give what a head gets of the clips of a table, (n_clips, size)."""
        return frozen_head.pooled_outputs(self.classifier.model, table, self.collator)


def other_clips(folder: Path, n: int, seed: int) -> Any:
    """List at most n audio files of a folder as a table, drawn by chance."""
    from datasets import Dataset

    files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    drawn = np.random.default_rng(seed).permutation(len(files))[:n]
    rows = [
        {"audio": {"bytes": None, "path": str(files[i])}, "seconds": 0.0, "label": 0} for i in drawn
    ]
    return Dataset.from_list(rows)


def leave_out(
    left_out: str,
    recordings: data.Recordings,
    recipe: Recipe,
    no_request: np.ndarray,
    pooled: np.ndarray,
    others: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Train without an intent, and answer its clips and all others."""
    is_known = (recordings.table["intent"] != left_out).to_numpy()
    table = recordings.table[is_known].reset_index(drop=True)
    split = data.assign_splits(table, recipe).table
    tables = data.to_datasets(split, recordings.clips.select(np.flatnonzero(is_known)))
    known = {name: pooled[is_known][(split["split"] == name).to_numpy()] for name in SPLITS}
    labels = {name: np.array(tables[name]["label"]) for name in SPLITS}
    head = frozen_head.fit_head(known["train"], tables["train"], recipe.numbers)
    promise = Promise("accept", recipe.numbers.accept)
    kept = {name: known[name] for name in stored_outputs.SPLITS}
    stored = stored_outputs.standardise(kept, {name: labels[name] for name in kept})
    row = fit_rejection.fit_row(stored, stored.standardised(no_request), recipe.numbers.seed)
    decides = fit_rejection.fit(stored, (head.weight, head.bias), row, promise).rejection

    def judged(outputs: np.ndarray) -> np.ndarray:
        return decides.knownness(head.logits(outputs), outputs)

    taught_scores = judged(known["test"])
    result: dict[str, Any] = {
        "left_out": left_out,
        "n": len(taught_scores),
        "answered": int(answered(decides, taught_scores).sum()),
        "kinds": {},
    }
    for kind, outputs in {"the intent left out": pooled[~is_known], **others}.items():
        scores = judged(outputs)
        result["kinds"][kind] = {
            "n": len(scores),
            "accepted": int(answered(decides, scores).sum()),
            "auroc": unknown_test.auroc(taught_scores, scores),
        }
    return result


def answered(decides: Rejection, scores: np.ndarray) -> np.ndarray:
    """Tell which clips are answered, by how much they are like what was taught, (n,)."""
    return scores >= decides.threshold[0]


def run(args: argparse.Namespace) -> None:
    """Leave each intent out in turn."""
    recipe = resolve("bundled", data=args.data, freeze="encoder", accept=args.accept)
    recordings = data.read_recordings(recipe)
    encoder = Encoder(recipe)
    every = data.to_datasets(recordings.table.assign(split="train"), recordings.clips)["train"]
    pooled = encoder(every)
    tables = {"train": every}
    no_request = encoder(negatives.of_split(recipe, tables, None, "train"))
    others = {
        kind: encoder(other_clips(Path(folder), args.most, recipe.numbers.seed))
        for kind, _, folder in (text.partition("=") for text in args.others)
    }
    runs = []
    for intent in sorted(set(recordings.table["intent"]) - {UNKNOWN}):
        runs.append(leave_out(intent, recordings, recipe, no_request, pooled, others))
        print(runs[-1], flush=True)
    record = {"encoder": recipe.encoder, "accept": args.accept, "seed": recipe.numbers.seed}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(args.output, {**record, "runs": runs})


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", help="folder of people's recordings")
    add("--others", nargs="*", default=[], metavar="KIND=FOLDER")
    add("--most", type=int, default=900, help="clips of each (default: %(default)s)")
    add("--accept", type=float, default=0.97, help="of taught requests (default: %(default)s)")
    add("--output", type=Path, required=True)
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
