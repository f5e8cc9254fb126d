import numpy as np
import pytest
from clip_tables import INTENTS, clips, of_corrections, with_corrections

from speech_intent import drawing
from speech_intent.errors import DataError
from speech_intent.recipes import PLAIN, resolve
from speech_intent.splits import assign_splits


def test_a_share_is_drawn_among_the_train_rows_that_are_named():
    table = clips(10, split=lambda intent, i: "train" if i < 8 else "test")
    among = table.index[table["intent"] != "dim"]
    rule = drawing.draw(table, among, "validation", 0.25, PLAIN)
    assert rule == "stratified by clip 25 %, seed 0"
    drawn = table[table["split"] == "validation"]
    assert drawn["intent"].value_counts().to_dict() == {"off": 2, "on": 2}
    assert (table["split"] == "test").sum() == 6


def test_where_no_clip_can_be_spared_nothing_is_drawn():
    table = clips(1, split=lambda intent, i: "train")
    assert drawing.draw(table, table.index, "test", 0.5, PLAIN) is None
    assert drawing.draw(table, table.index[:0], "test", 0.5, PLAIN) is None
    assert set(table["split"]) == {"train"}


def test_only_a_table_of_nothing_but_corrected_clips_is_refused():
    table = with_corrections(clips(1), ("on", "", "new"))
    assert drawing.eligible(table, PLAIN, "test").index.tolist() == [0, 1, 2]
    assert drawing.eligible(table.iloc[:0], PLAIN, "test").empty
    with pytest.raises(DataError, match="no clip for test: all are corrected ones"):
        drawing.eligible(table.tail(1), PLAIN, "test")


def test_corrected_clips_of_what_is_held_out_are_left_out_of_train_and_of_nothing_else(caplog):
    rows = [("on", "", "dim0"), ("on", "ann", "new"), ("on", "ben", "newer")]
    table = with_corrections(clips(2, speaker=lambda intent, i: "ann"), *rows, *rows)
    table["split"] = ["train"] * 9 + ["validation"] * 3
    by_clip = table.copy()
    drawing.hold_out(by_clip, [0], "test", by_speaker=False)
    assert by_clip["split"].tolist()[:6] == ["test", *["train"] * 5]
    assert of_corrections(by_clip) == ["", "train", "train", *["validation"] * 3]
    drawing.hold_out(table, [0], "test", by_speaker=True)
    assert of_corrections(table) == ["", "", "train", *["validation"] * 3]
    text = "warning: left out of training %d corrected clips: their recordings or speakers are in "
    assert caplog.messages == [text % 1 + "test", text % 2 + "test"]


def test_corrected_clips_of_people_unknown_are_not_of_one_that_is_held_out():
    table = with_corrections(clips(2), ("on", "", "new"))
    table["split"] = "train"
    drawing.hold_out(table, [0], "test", by_speaker=True)
    assert of_corrections(table) == ["train"]


def test_the_draw_of_speakers_comes_closest_to_the_share():
    """Of 20 clips an intent by four speakers a quarter can be had: 2 + 3, or 5."""
    speakers = ["a"] * 2 + ["b"] * 3 + ["c"] * 5 + ["d"] * 10
    table = clips(20, speaker=lambda intent, i: speakers[i])
    split = assign_splits(table, resolve(test_share=0.25)).table
    tested = split.loc[split["split"] == "test"]
    assert len(tested) == 15  # a quarter of 60
    assert set(tested["speaker"]) in ({"a", "b"}, {"c"})


def test_copies_do_not_count_as_clips_that_can_be_spared():
    with pytest.raises(DataError, match="no clip can be spared for validation"):
        assign_splits(clips(12, digest=lambda intent, i: f"{intent}{i % 2}"))


@pytest.mark.parametrize("seed", range(20))
def test_however_clips_lie_no_corrected_one_and_no_copy_of_one_is_learned_and_tested(seed):
    rng = np.random.default_rng(seed)
    people = ["", "ann", "ben", "eve", "joe"]
    spoken = clips(10, speaker=lambda intent, i: people[i % 5])
    others = [*spoken["digest"], *"abcdefgh"]
    rows = [
        (rng.choice([*INTENTS, "new"]), rng.choice(people), rng.choice(others)) for _ in range(25)
    ]
    table = with_corrections(spoken, *rows)
    by_speaker = bool(seed % 2)
    split = assign_splits(table, resolve(seed=seed, by_speaker=by_speaker)).table
    held_out = split[split["split"].isin(["validation", "test"])]
    train = split[split["split"] == "train"]
    assert set(held_out["corrected"]) == {""}
    assert not set(held_out["digest"]) & set(train["digest"])
    if by_speaker:
        voices = set(train.loc[train["corrected"] == "yes", "speaker"]) - {""}
        assert not voices & set(held_out["speaker"])
    assert of_corrections(split).count("train") > 5
