"""Write the figures of docs/evaluation.md about clips that were never taught.

    python benchmarks/unknown_table.py

The results come from benchmarks/figures.sh. What has none was not measured.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from blocks import UNMEASURED, table, write_block
from tables import Result, load

from speech_intent.intervals import wilson_interval
from speech_intent.paths import ROOT

PAGE = ROOT / "docs" / "evaluation.md"
NAME = "unknown: benchmarks/unknown_table.py"
HEADER = ["clips", "accepted by mistake", "95 % interval", "most in a run", "AUROC, mean (lowest)"]


def kinds(runs: Sequence[Result]) -> list[str]:
    """Lay out what of each kind was accepted in all runs together."""
    rows = []
    for kind in runs[0]["kinds"]:
        counts = [run["kinds"][kind] for run in runs]
        n = sum(count["n"] for count in counts)
        accepted = sum(count["accepted"] for count in counts)
        low, high = wilson_interval(accepted, n)
        most = max(count["accepted"] / count["n"] for count in counts)
        areas = [count["auroc"] for count in counts]
        rows.append(
            [
                kind,
                f"{accepted / n:.3f} = {accepted}/{n}",
                f"{low:.3f} to {high:.3f}",
                f"{most:.3f}",
                f"{np.mean(areas):.3f} ({min(areas):.3f})",
            ]
        )
    return table(HEADER, rows)


def answered(runs: Sequence[Result]) -> str:
    """Say how many taught requests were answered in all runs together."""
    n = sum(run["n"] for run in runs)
    count = sum(run["answered"] for run in runs)
    least = min(run["answered"] / run["n"] for run in runs)
    return f"{count / n:.3f} = {count}/{n} (fewest in a run {least:.3f})"


def bundled() -> list[str]:
    """Write the lines about benchmarks/out_of_scope.py."""
    result = load("out-of-scope")
    if not result:
        return [f"Bundled requests, intents left out: {UNMEASURED}."]
    runs = result["runs"]
    right = np.mean([run["accuracy_answered"] for run in runs])
    every = np.mean([run["accuracy"] for run in runs])
    return [
        f"**Bundled requests** (synthetic), {len(runs)} of 3 runs. Three of the nine intents "
        f"were left out of training each time, and {result['accept']} of the others promised to be "
        "answered, on validation clips. Of the test clips of the taught intents "
        f"{answered(runs)} were answered, "
        f"{100 * right:.1f} % of them rightly ({100 * every:.1f} % of all). Of what was never "
        "taught:",
        "",
        *kinds(runs),
    ]


def people() -> list[str]:
    """Write the lines about benchmarks/unknown_people.py."""
    result = load("unknown-people")
    if not result:
        return [f"People's commands: {UNMEASURED}."]
    runs = result["runs"]
    return [
        "**People's commands**, encoder frozen. Each of six was left out in turn, and "
        f"{result['accept']} of the other five promised to be answered. Of their test clips "
        f"{answered(runs)} were answered. Of what was never taught:",
        "",
        *kinds(runs),
    ]


def block() -> tuple[Path, str, str]:
    """Name what this program writes: file, name of the block, content."""
    return PAGE, NAME, "\n".join([*bundled(), "", *people()]) + "\n"


if __name__ == "__main__":
    write_block(*block())
