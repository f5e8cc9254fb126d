"""How many wrong labels an audit finds: 5 % of a set's labels are changed, and it is asked.

    python benchmarks/label_noise.py --digits DIGITS --commands COMMANDS --output runs/noise.json

A changed label is another intent, each as likely. Counted are those among the first 8 % of the
audit's ranking, the one that its page and audit.csv show. The third set is the bundled training
split, in which several voices say each wording; the fourth is one clip of each wording. Clips are
decoded and encoded once; each seed changes other labels, and draws other folds.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speech_intent import clip_checks, command_line, data, findings, hub_models, run_folder
from speech_intent.recipes import Recipe, resolve
from speech_intent.tables import Listing

CHANGED = 0.05  # of the labels
LOOKED_AT = 0.08  # of the ranking
SEEDS = (0, 1, 2)


def change(intents: pd.Series, seed: int) -> pd.Series:
    """Give a share of clips another intent, drawn evenly: the intents of all."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(intents))[: round(CHANGED * len(intents))]
    names = sorted(intents.unique())
    ids = intents.map({name: i for i, name in enumerate(names)}).to_numpy(copy=True)
    ids[rows] = (ids[rows] + rng.integers(1, len(names), len(rows))) % len(names)
    return pd.Series(np.array(names, dtype=object)[ids], intents.index)


def score(ranked: pd.DataFrame, is_changed: pd.Series) -> dict[str, Any]:
    """Count the changed labels among the first of a ranking, and among those called wrong."""
    first = ranked.index[: int(LOOKED_AT * len(ranked))]
    is_called = ranked["issues"].str.split(", ").map(lambda kinds: findings.WRONG in kinds)
    called = ranked.index[is_called]
    return {
        "changed": int(is_changed.sum()),
        "found": int(is_changed[first].sum()),
        "called_wrong": len(called),
        "called_rightly": int(is_changed[called].sum()),
    }


def part(listing: Listing, is_kept: pd.Series) -> Listing:
    """Give some of the clips."""
    rows = listing.table.index[is_kept]
    table = listing.table.loc[rows].reset_index(drop=True)
    return Listing(table, listing.clips.select(rows), listing.problems)


def measure(recipe: Recipe, listing: Listing) -> dict[str, Any]:
    """Audit one set with changed labels, once a seed."""
    began = time.perf_counter()
    heard = clip_checks.hear_all(listing.clips["audio"])
    pooled = findings.encode(listing.clips, heard, recipe)
    listened = time.perf_counter() - began
    runs = []
    for seed in SEEDS:
        began = time.perf_counter()
        intents = change(listing.table["intent"], seed)
        changed = replace(listing, table=listing.table.assign(intent=intents))
        found = findings.rank(changed, heard, pooled, recipe.with_seed(seed))
        seconds = listened + time.perf_counter() - began  # what this audit would take alone
        is_changed = intents != listing.table["intent"]
        runs.append({"seed": seed, **score(found.table, is_changed), "seconds": round(seconds)})
        print(recipe.data, len(heard), runs[-1], flush=True)
    return {"n": len(listing.table), "runs": runs}


def run(args: argparse.Namespace) -> None:
    """Measure, and write the result."""
    hub_models.quiet_transformers()
    sets = {}
    for name in ("digits", "commands"):
        recipe = resolve(data=getattr(args, name))
        sets[name] = measure(recipe, data.list_clips(recipe, "part"))
    listing = data.list_clips(resolve(), "part")
    train = part(listing, listing.table["split"] == "train")
    sets["bundled"] = measure(resolve(), train)
    sets["wordings"] = measure(resolve(), part(train, ~train.table["text"].duplicated()))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    result = {"share_changed": CHANGED, "share_looked_at": LOOKED_AT, "sets": sets}
    run_folder.write_json(args.output, result)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--digits", required=True, help="the Free Spoken Digit Dataset")
    parser.add_argument("--commands", required=True, help="the recordings of wake words")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
