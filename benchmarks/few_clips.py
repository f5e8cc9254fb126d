"""How good a classifier is that begins with sentences, with a few clips, or with both.

    python -m speech_intent.synthesize benchmarks/sentences/digits.csv --output-dir runs/said/digits
    python benchmarks/few_clips.py --data DIGITS --add runs/said/digits --output-dir runs/few/digits

Data that name a test split: the clips are drawn from their train split, a seed a draw. Others: each
speaker in turn gives the clips, and all other speakers are the test. 0 clips are sentences alone.
The head is fitted to pooled outputs of the frozen encoder, which are computed once; `--fine-tune`
trains the encoder too, minutes a row. Finished rows are kept: run it again to go on. Voices of the
bundled test split are left out of the sentences. Writes OUTPUT_DIR/results.json.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from learning_curve import FEW_VALIDATION

from speech_intent import (
    additions,
    command_line,
    data,
    evaluation,
    frozen_head,
    hub_models,
    intervals,
    model,
    provenance,
    run_folder,
    training,
)
from speech_intent.batches import Collator
from speech_intent.data import Recordings
from speech_intent.errors import DataError
from speech_intent.paths import BUNDLED
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import Recipe, resolve

CLIPS = (0, 1, 3, 5, 12)  # an intent


@dataclass(frozen=True)
class Draw:
    """Which clips teach and which test, as rows of the table."""

    name: str
    train: np.ndarray  # of the data's own
    validation: np.ndarray
    test: np.ndarray


def draws(own: pd.DataFrame, per_intent: int, n_draws: int) -> Iterator[Draw]:
    """Draw `per_intent` clips of each intent, and few to validate: a seed a draw, or a speaker."""
    if own["split"].ne("").any():
        pools = [(str(seed), own[own["split"] == "train"]) for seed in range(n_draws)]
    else:
        pools = list(own.groupby("speaker"))
    for seed, (name, pool) in enumerate(pools):
        rng = np.random.default_rng(seed)
        order = pool.iloc[rng.permutation(len(pool))].groupby("intent").cumcount()
        train = order.index[order < per_intent]
        if own["split"].ne("").any():
            test = own.index[own["split"] == "test"]
            others = own[own["split"] == "validation"].groupby("intent").cumcount()
            validation = others.index[others < FEW_VALIDATION]
        else:
            test = own.index[own["speaker"] != name]
            is_next = (order >= per_intent) & (order < per_intent + FEW_VALIDATION)
            validation = order.index[is_next]
        yield Draw(name, *(index.to_numpy() for index in (train, validation, test)))


def other_voices(table: pd.DataFrame) -> pd.Series:
    """Tell which added rows are by voices that the bundled test split has not: bool, (n_rows,)."""
    voices = pd.read_csv(BUNDLED / "voices.csv")
    tested = voices[voices["split"] == "test"]
    names = {voice.rpartition("+")[2].casefold() for voice in tested["voice"]}
    variant = table["speaker"].str.extract(r"\+(.+)-\d+$")[0].str.casefold()
    is_tested = variant.isin(names) | table["engine"].isin(["flite", "festival"])
    return ~(is_tested & table["engine"].ne(""))


class Frozen:
    """Heads on one pass of the frozen encoder over all clips."""

    def __init__(self, recipe: Recipe, recordings: Recordings):
        table = recordings.table.assign(split="train")
        self.rows = data.to_datasets(table, recordings.clips)["train"]
        names = self.rows.features["label"].names
        self.numbers = replace(recipe.numbers, freeze="encoder")
        classifier = model.build_model(recipe.encoder, names, seed=self.numbers.seed)
        config = classifier.model.config
        collator = Collator(classifier.extractor, config, self.numbers, training=False)
        self.pooled = frozen_head.pooled_outputs(classifier.model, self.rows, collator)

    def right(self, draw: Draw, added: np.ndarray) -> int:
        """Fit a head to a draw and added rows; count the test clips that it gets right."""
        taught = np.concatenate([draw.train, added]).astype(int)
        head = frozen_head.fit_head(self.pooled[taught], self.rows.select(taught), self.numbers)
        answers = head.logits(self.pooled[draw.test]).argmax(axis=1)
        return int((answers == np.array(self.rows["label"])[draw.test]).sum())


class FineTuned:
    """A training a row, its checkpoint chosen on added clips where there are any."""

    def __init__(self, recipe: Recipe, recordings: Recordings, output_dir: Path):
        self.recipe = recipe
        self.recordings = recordings
        self.output_dir = output_dir

    def right(self, draw: Draw, added: np.ndarray) -> int:
        """Train on a draw and added rows; count the test clips that the model gets right."""
        table = self.recordings.table
        said = table["split"].iloc[added]
        split = pd.Series("", table.index)
        split.iloc[added] = said.where(said == "validation", "train")
        for name in ("train", "test"):
            split.iloc[getattr(draw, name)] = name
        if not (split == "validation").any():
            split.iloc[draw.validation] = "validation"
        tables = data.to_datasets(table.assign(split=split), self.recordings.clips)
        folder = self.output_dir / f"{len(draw.train)}-{len(added)}-{draw.name}"
        with run_folder.held(folder):
            training.fine_tune(self.recipe, tables, folder, resume=True)
            classifier = IntentClassifier.from_pretrained(folder / "model")
            result = evaluation.evaluate_model(classifier, tables["test"], folder, {})
        shutil.rmtree(folder)
        return int(result["correct"])


def row_of(draw: Draw, per_intent: int, n_added: int, right: int) -> dict[str, Any]:
    """Describe one row of the results."""
    n = len(draw.test)
    return {
        "clips_per_intent": per_intent,
        "draw": draw.name,
        "n_train": len(draw.train),
        "n_added": n_added,
        "n": n,
        "correct": right,
        "accuracy": right / n,
        "accuracy_interval": intervals.wilson_interval(right, n),
    }


def run(args: argparse.Namespace) -> None:
    """Fill in every row that is not there yet. Raises `DataError`, `OutputError`."""
    hub_models.quiet_transformers()
    recipe = resolve("bundled", data=args.data, add=[args.add], unknown="none")
    recordings = data.read_recordings(recipe)
    table = recordings.table
    parts = additions.apart(table)
    if not (parts.own["split"].ne("").any() or parts.own["speaker"].nunique() > 1):
        raise DataError(args.data, ["names neither a test split nor two speakers"])
    added = parts.added
    if args.data == "bundled":
        added = added[other_voices(added)]
    path = args.output_dir / "results.json"
    ingredients = provenance.ingredients(recipe)
    listed = table[["file_name", "intent", "digest"]].to_csv(index=False).encode()
    digest = hashlib.sha256(listed).hexdigest()
    made_of = {**ingredients, "clips": digest, "fine_tune": args.fine_tune}
    provenance.claim(args.output_dir, made_of, begun=path.exists())
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    done = {(row["clips_per_intent"], row["draw"], row["n_added"] > 0) for row in rows}
    learner = FineTuned(recipe, recordings, args.output_dir) if args.fine_tune else None
    for per_intent in args.clips:
        for draw in draws(parts.own, per_intent, args.draws):
            for with_added in (False, True):
                if (per_intent, draw.name, with_added) in done or not (per_intent or with_added):
                    continue
                learner = learner or Frozen(recipe, recordings)
                taught = added.index.to_numpy() if with_added else np.array([], int)
                right = learner.right(draw, taught)
                rows.append(row_of(draw, per_intent, len(taught), right))
                print(json.dumps(rows[-1]), flush=True)
                content = {"data": Path(args.data).name, "fine_tune": args.fine_tune, "rows": rows}
                run_folder.write_json(path, content)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="bundled", help="people's clips (default: %(default)s)")
    parser.add_argument("--add", required=True, help="folder that `synthesize` made")
    parser.add_argument("--clips", type=int, nargs="+", default=CLIPS, help="an intent")
    parser.add_argument("--draws", type=int, default=3, help="where there is a test split")
    parser.add_argument("--fine-tune", action="store_true", help="train the encoder too")
    parser.add_argument("--output-dir", required=True, type=Path)
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
