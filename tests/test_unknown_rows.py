"""Rows of no intent get their splits beside the others."""

import pandas as pd
import pytest

from speech_intent.recipes import Recipe
from speech_intent.unknown_rows import with_splits

RECIPE = Recipe(test_share=0.25, validation_share=0.25)


def rows(intent: str, speakers: list[str], splits: list[str], first: int = 0, **others):
    table = pd.DataFrame({"intent": intent, "speaker": speakers, "split": splits, **others})
    table["digest"] = [f"{intent} {i}" for i in range(len(table))]
    return table.set_index(pd.RangeIndex(first, first + len(table)))


KNOWN = rows("ask", ["ann", "ben", "cat", "ann", ""], ["train", "test", "validation", "train", ""])


def unknown(speakers: list[str], splits: list[str] | None = None, **others) -> pd.DataFrame:
    return rows("unknown", speakers, splits or [""] * len(speakers), 100, **others)


def test_voices_stay_where_their_other_clips_are():
    found = with_splits(unknown(["ann", "ben", "cat", "ben"]), KNOWN, RECIPE)
    assert found["split"].tolist() == ["train", "test", "validation", "test"]
    assert found.index.tolist() == [100, 101, 102, 103]


def test_a_voice_on_both_sides_trains():
    known = rows("ask", ["ann", "ann"], ["train", "test"])
    assert with_splits(unknown(["ann"] * 8), known, RECIPE)["split"].eq("train").all()


def test_of_other_voices_a_share_is_drawn_whole():
    speakers = [f"voice {i % 8}" for i in range(24)]
    found = with_splits(unknown(speakers), KNOWN, RECIPE)
    assert found.groupby("speaker")["split"].nunique().eq(1).all()
    voices = found.drop_duplicates("speaker")["split"].value_counts()
    assert voices.to_dict() == {"train": 4, "test": 2, "validation": 2}  # a quarter of 8, then of 6
    again = with_splits(unknown(speakers), KNOWN, RECIPE)
    pd.testing.assert_frame_equal(found, again)


def test_copies_of_a_clip_without_a_speaker_stay_together():
    table = unknown([""] * 16).assign(digest=[f"clip {i % 8}" for i in range(16)])
    found = with_splits(table, KNOWN, RECIPE)
    assert found.groupby("digest")["split"].nunique().eq(1).all()
    assert set(found["split"]) == {"train", "validation", "test"}


def test_splits_that_are_given_hold():
    given = ["train", "test", "validation"] * 3
    found = with_splits(unknown(["ann"] * 9, given), KNOWN, RECIPE)
    assert found["split"].tolist() == given


def test_validation_is_drawn_where_it_is_not_given_and_test_is_not():
    given = ["train"] * 12 + ["test"] * 4
    found = with_splits(unknown([""] * 16, given), KNOWN, RECIPE)
    assert found["split"].tolist()[12:] == ["test"] * 4
    assert found["split"].value_counts().to_dict() == {"train": 9, "test": 4, "validation": 3}


@pytest.mark.parametrize("given", [False, True])
def test_corrected_clips_train(given):
    splits = ["train"] * 16 + ["test"] * 4 if given else [""] * 20
    corrected = ["yes"] * 16 + [""] * 4
    table = unknown([""] * 16 + ["ben"] * 4, splits, corrected=corrected)
    found = with_splits(table, KNOWN, RECIPE)
    assert found["split"].tolist() == ["train"] * 16 + ["test"] * 4


def test_where_there_are_none_nothing_happens():
    assert with_splits(unknown([]), KNOWN, RECIPE).empty
