import pandas as pd
import pytest

from speech_intent.copies import check_copies
from speech_intent.errors import DataError


def table(*rows: str) -> pd.DataFrame:
    """Rows such as "a.wav on train 1": the last is the digest."""
    columns = ["file_name", "intent", "split", "digest"]
    return pd.DataFrame([row.split() for row in rows], columns=columns)


DIFFERENT = table("a.wav on train 1", "b.wav on validation 2", "c.wav on test 3")
ACROSS = table(
    "a.wav on train 1",
    "b.wav on test 1",
    "c.wav off train 2",
    "d.wav off validation 2",
    "e.wav off train 2",
    "f.wav off train 3",
)


def test_different_recordings_pass_without_a_word(caplog):
    pd.testing.assert_frame_equal(check_copies(DIFFERENT, "mine", drop=False), DIFFERENT)
    assert caplog.text == ""


def test_copies_in_two_splits_are_refused_by_name():
    with pytest.raises(DataError) as refusal:
        check_copies(ACROSS, "mine", drop=False)
    remedy = "have the same samples; remove all but one, or add --drop-copies"
    assert refusal.value.name == "mine"
    assert refusal.value.problems == (
        f"a.wav (train) and b.wav (test) {remedy}",
        f"c.wav (train) and d.wav (validation) and e.wav (train) {remedy}",
    )


def test_what_is_held_out_may_be_left_out_of_training_instead(caplog):
    before = ACROSS.copy()
    kept = check_copies(ACROSS, "mine", drop=True)
    assert kept["split"].tolist() == ["", "test", "", "validation", "", "train"]
    pd.testing.assert_frame_equal(ACROSS, before)
    assert "mine: left out of training 3 clips that are copies of held-out ones" in caplog.text


def test_a_copy_of_a_test_clip_does_not_choose_a_checkpoint():
    both = table("a.wav on validation 1", "b.wav on test 1", "c.wav on train 2")
    assert check_copies(both, "mine", drop=True)["split"].tolist() == ["", "test", "train"]


def test_copies_in_one_split_are_warned_of(caplog):
    rows = [f"{name}.wav on train 1" for name in "abc"] + ["d.wav on train 2", "e.wav off train 2"]
    check_copies(table(*rows), "mine", drop=False)
    assert caplog.messages == [
        "warning: mine: 3 clips have the samples of another clip in the same split: "
        "a.wav and b.wav and c.wav; d.wav and e.wav (intents on, off)"
    ]


def test_a_warning_names_a_few(caplog):
    rows = [f"{copy}{i}.wav on train {i}" for i in range(5) for copy in "ab"]
    check_copies(table(*rows), "mine", drop=False)
    assert "5 clips have" in caplog.text
    assert caplog.messages[0].endswith("a2.wav and b2.wav, ...")


def test_clips_in_no_split_are_nobodys_copies(caplog):
    rows = table("a.wav on train 1", "b.wav on test 1")
    rows.loc[1, "split"] = ""
    pd.testing.assert_frame_equal(check_copies(rows, "mine", drop=False), rows)
    assert caplog.text == ""
