import numpy as np
import pytest
from datasets import Dataset

from speech_intent.head_folds import folds_of, make_folds


@pytest.mark.parametrize(
    ("counts", "n_folds"), [([9, 9], 5), ([9, 5], 5), ([9, 3], 3), ([2, 9], 2), ([1, 9], 0)]
)
def test_there_are_as_many_folds_as_the_rarest_intent_allows(counts, n_folds):
    labels = np.repeat([0, 1], counts)
    folds = make_folds(labels, [""] * len(labels), 0)
    assert len(folds) == n_folds
    for kept, scored in folds:
        assert sorted([*kept, *scored]) == list(range(len(labels)))
        assert set(labels[kept]) == set(labels[scored]) == {0, 1}


def said(by: dict[str, list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Give labels (n,) and speakers (n,) of what each speaker says."""
    pairs = [(label, speaker) for speaker, labels in by.items() for label in labels]
    labels, speakers = zip(*pairs, strict=True)
    return np.array(labels), np.array(speakers)


@pytest.mark.parametrize(("n_speakers", "n_folds"), [(8, 5), (3, 3), (2, 2)])
def test_known_speakers_stay_in_one_fold_each(n_speakers, n_folds):
    labels, speakers = said({f"speaker {i}": [0, 0, 1, 1, 2] for i in range(n_speakers)})
    folds = make_folds(labels, speakers, 0)
    assert len(folds) == n_folds
    for kept, scored in folds:
        assert not set(speakers[kept]) & set(speakers[scored])
        assert set(labels[scored]) == {0, 1, 2}


@pytest.mark.parametrize(
    "by",
    [
        {"ann": [0, 0, 0], "ben": [1, 1, 1]},  # nobody says both
        {"ann": [0, 0, 0, 1, 1, 1]},
        {"ann": [0, 0, 1, 1], "": [0, 0, 1, 1], "ben": [0, 0, 1, 1]},  # one is not known
    ],
)
def test_clips_are_divided_where_speakers_cannot_be(by):
    labels, speakers = said(by)
    folds = make_folds(labels, speakers, 0)
    assert len(folds) == min(5, np.bincount(labels).min())
    assert any(set(speakers[kept]) & set(speakers[scored]) for kept, scored in folds)


def test_fewer_folds_are_made_where_a_fold_would_miss_an_intent():
    """Four speakers say each intent, but no four folds of whole speakers are found."""
    clips = {"ann": (4, 2), "ben": (4, 1), "eve": (1, 4), "joe": (5, 0), "kim": (0, 4)}
    labels, speakers = said({name: [0] * n + [1] * m for name, (n, m) in clips.items()})
    folds = make_folds(labels, speakers, 0)
    assert 2 <= len(folds) < 4
    for kept, scored in folds:
        assert not set(speakers[kept]) & set(speakers[scored])
        assert set(labels[scored]) == {0, 1}


# Corrected clips


def test_corrected_clips_are_fitted_in_every_fold_and_scored_in_none():
    """Who speaks them is not known; a new intent has no others."""
    labels = np.repeat([0, 1, 2, 3], [20, 20, 20, 8])
    is_corrected = (np.arange(len(labels)) % 5 == 0) | (labels == 3)
    marks = np.where(is_corrected, "yes", "").tolist()
    speakers = ["" if mark else f"speaker {i % 7}" for i, mark in enumerate(marks)]
    columns = {"label": labels.tolist(), "speaker": speakers, "corrected": marks}
    folds = folds_of(Dataset.from_dict(columns), 0)
    assert len(folds) == 5
    others = np.flatnonzero(~is_corrected)
    assert sorted(np.concatenate([scored for _, scored in folds])) == others.tolist()
    for kept, scored in folds:
        assert not set(kept) & set(scored)
        known = [speakers[i] for i in kept if not is_corrected[i]]
        assert not set(known) & {speakers[i] for i in scored}  # corrected ones do not hinder that
        assert set(np.flatnonzero(is_corrected & (labels != 3))) <= set(kept)
        assert set(labels[kept]) == set(labels[scored]) == {0, 1, 2}


def test_of_nothing_but_corrected_clips_there_are_no_folds():
    columns = {"label": [0, 1] * 5, "speaker": [""] * 10, "corrected": ["yes"] * 10}
    assert folds_of(Dataset.from_dict(columns), 0) == []
