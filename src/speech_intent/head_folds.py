"""The folds in which the regularisation of a frozen encoder's head is chosen, within train."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from .tables import is_corrected

if TYPE_CHECKING:
    from datasets import Dataset

Folds = list[tuple[np.ndarray, np.ndarray]]  # rows to fit on, rows to score

MOST_FOLDS = 5


def folds_of(table: "Dataset", seed: int) -> Folds:
    """Divide a table of training clips. Corrected ones are fitted in every fold, scored in none."""
    columns = [name for name in table.column_names if name != "audio"]
    rows = table.select_columns(columns).to_pandas()
    labels = rows["label"].to_numpy()
    corrected = is_corrected(rows).to_numpy()
    others = np.flatnonzero(~corrected)
    if not len(others):
        return []
    folds = make_folds(labels[others], rows["speaker"].iloc[others].tolist(), seed)
    # An intent that only corrected clips have cannot be scored, so none may be predicted.
    always = np.flatnonzero(corrected & np.isin(labels, labels[others]))
    return [(np.concatenate([others[kept], always]), others[scored]) for kept, scored in folds]


def make_folds(labels: np.ndarray, speakers: Sequence[str], seed: int) -> Folds:
    """Divide clips, by label ids (n,) and speakers (n,), so that every fold has every intent.

    Speakers stay in one fold each where all are known and enough of them say each intent. At most
    5 folds, fewer where an intent has fewer clips; none where one has a single clip.
    """
    by_speaker = _speaker_folds(labels, speakers, seed) if all(speakers) else []
    if by_speaker:
        return by_speaker
    n_folds = min(MOST_FOLDS, _fewest(labels))
    if n_folds < 2:
        return []
    division = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return list(division.split(labels, labels))


def _speaker_folds(labels: np.ndarray, speakers: Sequence[str], seed: int) -> Folds:
    """Divide clips by whole speakers; no folds where no division has every intent in each."""
    pairs = pd.DataFrame({"label": labels, "speaker": list(speakers)}).drop_duplicates()
    most = min(MOST_FOLDS, _fewest(pairs["label"].to_numpy()))
    n_intents = len(np.unique(labels))
    for n_folds in range(most, 1, -1):
        division = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        folds = list(division.split(labels, labels, list(speakers)))
        if all(len(np.unique(labels[scored])) == n_intents for _, scored in folds):
            return folds
    return []


def _fewest(labels: np.ndarray) -> int:
    """Count how often the rarest label occurs."""
    return int(np.unique(labels, return_counts=True)[1].min())
