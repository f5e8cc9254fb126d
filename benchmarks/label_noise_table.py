"""Write the table of found wrong labels in docs/evaluation.md, from `benchmarks/results/`.

    python benchmarks/label_noise_table.py

The result comes from benchmarks/label_noise.py.
"""

from pathlib import Path

from blocks import UNMEASURED, table, write_block
from tables import EVALUATION_FILE, load

NAME = "label noise: benchmarks/label_noise_table.py"
SETS = {
    "digits": "spoken digits (people)",
    "commands": "spoken commands (people)",
    "bundled": "bundled training split (synthetic)",
    "wordings": "the same, one clip of each wording",
}
HEADER = (
    "labels of which 5 % were changed",
    "clips",
    "changed, of them in the first 8 %",
    "share (by seed)",
    "called wrong, of them rightly",
    "seconds of an audit",
)


def lines() -> list[str]:
    """Write a row a set, its seeds together."""
    sets = load("label-noise").get("sets", {})
    if not sets:
        return [f"Wrong labels that an audit finds: {UNMEASURED}."]
    rows = []
    for name, title in SETS.items():
        runs = sets[name]["runs"]
        n_changed, n_found, n_called, n_rightly = (
            sum(run[key] for run in runs)
            for key in ("changed", "found", "called_wrong", "called_rightly")
        )
        by_seed = ", ".join(f"{run['found'] / run['changed']:.3f}" for run in runs)
        rows.append(
            [
                title,
                str(sets[name]["n"]),
                f"{n_found}/{n_changed}",
                f"{n_found / n_changed:.3f} ({by_seed})",
                f"{n_rightly}/{n_called}",
                f"{max(run['seconds'] for run in runs)}",
            ]
        )
    return table(HEADER, rows)


def block() -> tuple[Path, str, str]:
    """Name what this program writes: file, name of the block, content."""
    return EVALUATION_FILE, NAME, "\n".join(lines()) + "\n"


def main() -> None:
    """Write the block."""
    write_block(*block())


if __name__ == "__main__":
    main()
