"""What is left out, added and counted."""

import json

import add_intent
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from speech_intent.data import Recordings
from speech_intent.intervals import wilson_interval

INTENTS = [f"intent {i}" for i in range(9)]


@pytest.fixture
def recordings() -> Recordings:
    """Ten training, two validation and three test clips an intent."""
    splits = ["train"] * 10 + ["validation"] * 2 + ["test"] * 3
    rows = [(intent, split) for split in splits for intent in INTENTS]
    table = pd.DataFrame(rows, columns=["intent", "split"])
    table["file_name"] = [f"{i}.wav" for i in range(len(table))]
    table["speaker"] = "ann"
    return Recordings(table, Dataset.from_dict({"row": list(range(len(table)))}))


def test_the_seed_draws_what_is_left_out():
    drawn = add_intent.left_out_intents(INTENTS, seed=0)
    assert len(drawn) == 3 and drawn == sorted(drawn) and set(drawn) < set(INTENTS)
    assert add_intent.left_out_intents(INTENTS, seed=0) == drawn
    assert add_intent.left_out_intents(INTENTS, seed=1) != drawn


def test_five_training_clips_of_the_intent_are_drawn(recordings):
    clips = add_intent.draw_clips(recordings.table, "intent 4", 5, seed=0)
    assert set(clips["intent"]) == {"intent 4"} and set(clips["split"]) == {"train"}
    assert len(clips) == 5 and list(clips.index) == sorted(clips.index)


def test_the_first_model_never_hears_the_intent(recordings):
    left = add_intent.without(recordings, "intent 4")
    assert "intent 4" not in set(left.table["intent"])
    assert left.table.groupby("split").size().to_dict() == {
        "train": 80,
        "validation": 16,
        "test": 24,
    }
    names = [f"{row}.wav" for row in left.clips["row"]]
    assert names == list(left.table["file_name"])


def test_the_second_model_hears_the_same_clips_and_no_more(recordings):
    clips = add_intent.draw_clips(recordings.table, "intent 4", 5, seed=0)
    left = add_intent.without(recordings, "intent 4", but=clips.index)
    of_intent = left.table[left.table["intent"] == "intent 4"]
    learned = of_intent.loc[of_intent["split"] == "train", "file_name"]
    assert list(learned) == list(clips["file_name"])
    assert of_intent.groupby("split").size().to_dict() == {"train": 5, "test": 3}
    assert (left.table["split"] == "test").sum() == 27
    assert [f"{row}.wav" for row in left.clips["row"]] == list(left.table["file_name"])


def answers(predicted: str) -> pd.DataFrame:
    return pd.DataFrame({"intent": list("aabbn"), "predicted": list(predicted)})


def test_old_and_new_are_counted_apart():
    result = add_intent.figures(answers("aabnn"), "n")
    assert [(result[g]["correct"], result[g]["n"]) for g in ("all", "old", "new")] == [
        (4, 5),
        (3, 4),
        (1, 1),
    ]
    assert result["old"]["accuracy_interval"] == wilson_interval(3, 4)


def test_both_models_are_compared_clip_by_clip():
    compared = add_intent.compared({"added": answers("aabbn"), "again": answers("naaba")})
    assert compared == {"only_added": 3, "only_again": 0, "p": 0.25}


def part(correct: int) -> dict:
    groups = {g: {"correct": correct, "n": 10} for g in ("all", "old", "new")}
    return {name: {"seconds": 2.0, **groups} for name in ("added", "again")}


def test_runs_are_added_up():
    sums = add_intent.pooled_over([part(3), part(4)])
    assert sums["added"]["all"] == {"correct": 7, "n": 20, "accuracy": 0.35}
    assert sums["again"]["seconds"] == [2.0, 2.0]


def test_a_finished_part_is_kept(tmp_path, recordings, monkeypatch):
    monkeypatch.setattr(add_intent.training, "fine_tune", lambda *_: pytest.fail("again"))
    (tmp_path / "result.json").write_text(json.dumps({"left_out": "intent 4"}))
    recipe = add_intent.resolve("bundled")
    result = add_intent.run_one(recipe, recordings, "intent 4", tmp_path)
    assert result == {"left_out": "intent 4"}


def test_an_intent_that_there_is_not_is_named(tmp_path, recordings, monkeypatch, capsys):
    monkeypatch.setattr(add_intent.data, "read_recordings", lambda recipe: recordings)
    options = ["--intents", "nothing", "--output-dir", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["add_intent.py", *options])
    assert add_intent.main() == 1
    assert "nothing: there is no such intent; choose among intent 0" in capsys.readouterr().err


def test_one_run_adds_the_intent_to_the_first_model(tmp_path, tone_folder, recipe, monkeypatch):
    """The tones, one of which is left out."""
    monkeypatch.setattr(add_intent, "BUNDLED", tone_folder)
    monkeypatch.setattr(add_intent, "N_CLIPS", 3)
    given = recipe(freeze="encoder")
    recordings = add_intent.data.read_recordings(given)
    result = add_intent.run_one(given, recordings, "hear_low", tmp_path)
    assert result["report"]["added"]["hear_low"]["n"] == 3
    assert [result["added"][g]["n"] for g in ("all", "old", "new")] == [16, 12, 4]
    assert np.isfinite(result["again"]["seconds"])
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "result.json"}
