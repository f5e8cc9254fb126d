"""Better numbers by trial: `train --search N`, the Trainer's own search with Optuna.

Trials learn from train and are scored on validation; the test split is not handed to them. Each is
drawn from its number and the trials before it, so that a search that was killed goes on as if it
had not been.
"""

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import provenance, run_folder
from .errors import OutputError, UserError
from .extras import SEARCH
from .recipes import Recipe
from .remarks import LEARNED
from .trials import SEARCHED, STUDY, Trials, has_diverged, row_of, seconds, with_drawn

if TYPE_CHECKING:
    from datasets import DatasetDict
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

FOLDER = "search"  # in a run's folder
TRIALS = "trials.csv"
JOURNAL = "journal.log"  # Optuna's own, from which a search goes on


@dataclass(frozen=True)
class Found:
    """What a search came to: a recipe with the best numbers, and a record of the search."""

    recipe: Recipe
    record: dict[str, Any]


def check(n_trials: int) -> None:
    """Raise `UserError` for a search that cannot be."""
    if n_trials < 1:
        raise UserError(SEARCH, f"{n_trials} trials cannot be", "give 1 or more")
    if find_spec("optuna") is None:
        problem = "needs the package optuna, which is not installed"
        raise UserError(SEARCH, problem, 'pip install -e ".[search]"')
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        problem = "runs in one process, and torchrun has started several"
        raise UserError(SEARCH, problem, "search without torchrun, then train with settings.toml")


def run(
    recipe: Recipe, tables: "DatasetDict", output_dir: Path, n_trials: int, resume: bool
) -> Found:
    """Train `n_trials` models, keep none, and give the numbers of the one that validation prefers.

    `output_dir` gets `search/` with `trials.csv`; with `resume` the trials there count. Raises
    `OutputError` where there are some and `resume` is false, or they are of something else;
    `UserError` where every trial diverged.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = output_dir / FOLDER
    begun = (folder / JOURNAL).exists()
    if begun and not resume:
        remedy = "add --resume to go on, or choose another folder"
        raise OutputError(output_dir, "holds a search", remedy)
    if run_folder.has_begun(output_dir) and not begun:
        problem = "holds a run whose numbers were not searched"
        raise OutputError(output_dir, problem, "leave --search out, or choose another folder")
    learned = type(tables)({split: tables[split] for split in LEARNED})
    clips = provenance.clips_of(learned)
    provenance.claim(folder, provenance.ingredients(recipe), clips, begun)
    storage = _storage(folder)
    study = optuna.create_study(
        study_name=STUDY, storage=storage, direction="maximize", load_if_exists=True
    )
    if len(_finished(study)) < n_trials:
        _search(study, storage, Trials(recipe, learned, folder), n_trials)
    return _found(recipe, study)


def _search(study: "Study", storage: "BaseStorage", trials: Trials, n_trials: int) -> None:
    """Add trials until there are enough, and keep their table beside them."""
    if not _finished(study):
        study.enqueue_trial(trials.usual())  # the best is then no worse than what is usual
    while len(_finished(study)) < n_trials:
        trials.add(storage, len(_finished(study)))
        rows = [row_of(trial, trials.numbers) for trial in _finished(study)]
        table = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="trial"))
        table.to_csv(trials.folder / TRIALS)
        print(f"trial {len(rows)} of {n_trials}: {_in_words(rows[-1])}")


def _storage(folder: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    file = str(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(file, JournalFileOpenLock(file)))


def _finished(study: "Study") -> list["FrozenTrial"]:
    """List the trials that were not killed."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _found(recipe: Recipe, study: "Study") -> Found:
    trials = _finished(study)
    n_diverged = sum(map(has_diverged, trials))
    if n_diverged == len(trials):
        problem = f"all {n_diverged} trials diverged"
        raise UserError(SEARCH, problem, "lower --learning-rate, in another --output-dir")
    numbers = with_drawn(recipe.numbers, study.best_trial.params)
    record = {
        "trials": len(trials),
        "diverged": n_diverged,
        "numbers": list(SEARCHED),
        "metric": numbers.metric,
        "best": study.best_trial.user_attrs[numbers.metric],
        "seconds": round(sum(map(seconds, trials)), 1),
    }
    # The note goes into settings.toml, and from there into the records of whoever uses that.
    text = f"{', '.join(SEARCHED)} are the best of {len(trials)} trials on validation clips."
    note = f"{recipe.note} {text}".strip()
    return Found(replace(recipe, numbers=numbers, note=note), record)


def _in_words(row: dict[str, Any]) -> str:
    named = {name: row[name] for name in row if name != "seconds"}
    return ", ".join(f"{name} {value:.3g}" for name, value in named.items())
