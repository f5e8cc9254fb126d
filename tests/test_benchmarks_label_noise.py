"""Changed labels, and how many of them a ranking has first."""

import label_noise
import pandas as pd
import pytest

from speech_intent import folders
from speech_intent.recipes import resolve


@pytest.mark.parametrize("seed", [0, 1])
def test_a_share_of_the_labels_is_changed_to_others(seed):
    intents = pd.Series(["a", "b", "c", "d"] * 50)
    changed = label_noise.change(intents, seed)
    assert (changed != intents).sum() == 10
    assert set(changed) == set("abcd")
    assert changed.equals(label_noise.change(intents, seed))
    assert not changed.equals(label_noise.change(intents, seed + 1))


def test_changed_labels_are_counted_among_the_first_and_among_those_called_wrong():
    issues = ["wrong label", "cut", "doubtful label", "quiet, wrong label", *[""] * 21]
    ranked = pd.DataFrame({"issues": issues}, index=range(24, -1, -1))
    is_changed = pd.Series(False, range(25))
    is_changed[[24, 22, 0]] = True
    assert label_noise.score(ranked, is_changed) == {
        "changed": 3,
        "found": 1,
        "called_wrong": 2,
        "called_rightly": 1,
    }


def test_a_split_is_audited_alone(tone_folder):
    listing = folders.read_folder(tone_folder, resolve(data=tone_folder))
    train = label_noise.part(listing, listing.table["split"] == "train")
    assert len(train.table) == len(train.clips) == 16
    paths = [clip["path"] for clip in train.clips["audio"]]
    assert paths == [str(tone_folder / name) for name in train.table["file_name"]]


def test_a_set_is_measured_once_a_seed(tone_folder, encoders):
    recipe = resolve(data=tone_folder, encoder=encoders["moonshine"])
    measured = label_noise.measure(recipe, folders.read_folder(tone_folder, recipe))
    assert measured["n"] == 40
    assert [run["seed"] for run in measured["runs"]] == [0, 1, 2]
    assert all(run["changed"] == run["found"] == 2 for run in measured["runs"])
