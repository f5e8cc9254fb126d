import numpy as np
import pandas as pd
import pytest

from speech_intent import folds
from speech_intent.errors import DataError
from speech_intent.recipes import PLAIN, resolve


@pytest.fixture
def table() -> pd.DataFrame:
    """24 clips of three intents by four speakers."""
    rows = [(f"{i}.wav", "abc"[i % 3], f"speaker {i // 6}", "", 1.0, str(i)) for i in range(24)]
    columns = ["file_name", "intent", "speaker", "split", "seconds", "digest"]
    return pd.DataFrame(rows, columns=columns)


def drawn(table, protocol_name, n_folds=4, recipe=PLAIN) -> dict:
    return {fold.name: fold for fold in folds.folds(table, protocol_name, n_folds, recipe)}


def rows_of(fold, split) -> pd.DataFrame:
    return fold.table[fold.table["split"] == split]


def test_k_folds_test_each_clip_once_with_every_intent(table):
    found = drawn(table, "kfold")
    assert list(found) == ["fold-0", "fold-1", "fold-2", "fold-3"]
    tested = pd.concat([rows_of(fold, "test") for fold in found.values()])
    assert sorted(tested["file_name"]) == sorted(table["file_name"])
    for fold in found.values():
        assert rows_of(fold, "test")["intent"].value_counts().to_dict() == {"a": 2, "b": 2, "c": 2}
        assert list(fold.table["file_name"]) == list(table["file_name"])


def test_copies_are_tested_in_one_fold(table):
    table["digest"] = [f"{row.intent}{i // 6}" for i, row in enumerate(table.itertuples())]
    found = drawn(table, "kfold").values()
    tested = pd.concat([rows_of(fold, "test").assign(fold=fold.name) for fold in found])
    assert sorted(tested["file_name"]) == sorted(table["file_name"])
    assert tested.groupby("digest")["fold"].nunique().max() == 1
    with pytest.raises(DataError, match="no intent has enough clips for 5 folds: the most are 4"):
        drawn(table, "kfold", n_folds=5)


def test_the_seed_of_the_recipe_draws_other_folds(table):
    first, again, other = (
        drawn(table, "kfold", recipe=PLAIN.with_seed(seed))["fold-0"].table for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert list(first["split"]) != list(other["split"])


def test_more_folds_than_clips_of_any_intent_are_refused(table):
    with pytest.raises(DataError, match="no intent has enough clips for 9 folds: the most are 8"):
        drawn(table, "kfold", n_folds=9)


def test_leave_one_speaker_out_tests_each_speaker_alone(table):
    found = drawn(table, "leave-one-speaker-out")
    assert list(found) == [f"speaker {i}" for i in range(4)]
    for name, fold in found.items():
        assert set(rows_of(fold, "test")["speaker"]) == {name}
        assert len(rows_of(fold, "test")) == 6
        assert set(fold.table["split"]) == {"train", "validation", "test"}


def test_clips_of_unknown_speakers_are_never_left_out(table):
    table.loc[table["speaker"] == "speaker 3", "speaker"] = ""
    found = drawn(table, "leave-one-speaker-out")
    assert list(found) == ["speaker 0", "speaker 1", "speaker 2"]
    assert all("" not in set(rows_of(fold, "test")["speaker"]) for fold in found.values())


@pytest.mark.parametrize("speaker", ["", "ann"])
def test_leaving_speakers_out_needs_two_names(table, speaker):
    with pytest.raises(DataError, match="names two speakers or more; use kfold"):
        drawn(table.assign(speaker=speaker), "leave-one-speaker-out")


def test_by_speaker_keeps_speakers_apart_and_random_does_not_look(table):
    by_speaker = drawn(table, "speaker")["speaker"]
    assert by_speaker.table.groupby("speaker")["split"].nunique().max() == 1
    at_random = drawn(table, "random")["random"]
    assert at_random.table.groupby("speaker")["split"].nunique().max() > 1
    assert "WARNING: test shares 3 of 3 speakers with train" in at_random.note
    assert "shares" not in by_speaker.note


def test_a_given_split_is_left_as_it_is_and_the_others_draw_anew(table):
    given = np.where(np.arange(24) < 6, "test", np.where(np.arange(24) < 12, "validation", "train"))
    table = table.assign(split=given)
    assert list(drawn(table, "given")["given"].table["split"]) == list(given)
    assert drawn(table, "given")["given"].note == "given"
    assert list(drawn(table, "random")["random"].table["split"]) != list(given)
    tested = pd.concat([rows_of(fold, "test") for fold in drawn(table, "kfold").values()])
    assert sorted(tested["file_name"]) == sorted(table["file_name"])


def test_a_protocol_that_there_is_not_is_a_fault_of_ours(table):
    with pytest.raises(ValueError, match="there is no protocol 'bootstrap'"):
        drawn(table, "bootstrap")


# Corrected clips


@pytest.fixture
def corrected(table) -> pd.DataFrame:
    """The table with corrected clips: of speaker 0, of somebody, and copies of clips 5 and 9."""
    rows = [
        ("c0.flac", "a", "speaker 0", "", 1.0, "new 0"),
        ("c1.flac", "new", "", "", 1.0, "new 1"),
        ("c2.flac", "b", "", "", 1.0, "5"),
        ("c3.flac", "c", "", "", 1.0, "9"),
    ]
    more = pd.DataFrame(rows, columns=table.columns).assign(corrected="yes")
    return pd.concat([table.assign(corrected=""), more], ignore_index=True)


def of_corrections(fold) -> dict[str, str]:
    rows = fold.table[fold.table["corrected"] == "yes"]
    return dict(zip(rows["file_name"], rows["split"], strict=True))


@pytest.mark.parametrize("name", ["kfold", "leave-one-speaker-out", "speaker", "random", "given"])
@pytest.mark.parametrize("seed", range(3))
def test_corrected_clips_only_train_in_every_protocol(table, corrected, name, seed):
    recipe = PLAIN.with_seed(seed)
    found = drawn(corrected, name, recipe=recipe)
    assert len(found) == {"kfold": 4, "leave-one-speaker-out": 4}.get(name, 1)
    for fold in found.values():
        assert set(of_corrections(fold).values()) <= {"train", ""}
        held_out = fold.table[fold.table["split"].isin(["validation", "test"])]
        assert not set(held_out["digest"]) & set(rows_of(fold, "train")["digest"])
    plain = drawn(table, name, recipe=recipe)
    assert list(plain) == list(found)
    for one, other in zip(plain.values(), found.values(), strict=True):
        assert set(rows_of(one, "test")["file_name"]) == set(rows_of(other, "test")["file_name"])


def test_a_corrected_clip_is_left_out_where_its_speaker_or_its_recording_is_tested(corrected):
    found = drawn(corrected, "leave-one-speaker-out")
    for name, fold in found.items():
        splits = of_corrections(fold)
        held_out = rows_of(fold, "validation")["digest"].tolist()
        assert splits["c0.flac"] == ("" if name == "speaker 0" else "train")
        assert splits["c1.flac"] == "train"
        assert splits["c2.flac"] == ("" if name == "speaker 0" or "5" in held_out else "train")
        assert splits["c3.flac"] == ("" if name == "speaker 1" or "9" in held_out else "train")
    for fold in drawn(corrected, "kfold").values():
        assert of_corrections(fold)["c0.flac"] == "train"  # voices are not kept apart


def test_a_speaker_of_nothing_but_corrected_clips_is_not_tested(corrected):
    corrected.loc[corrected["file_name"] == "c1.flac", "speaker"] = "eve"
    found = drawn(corrected, "leave-one-speaker-out")
    assert list(found) == [f"speaker {i}" for i in range(4)]


@pytest.mark.parametrize("name", ["kfold", "leave-one-speaker-out", "speaker", "random"])
def test_a_protocol_of_nothing_but_corrected_clips_says_what_is_missing(table, name):
    with pytest.raises(DataError, match="no clip for test: all are corrected ones"):
        drawn(table.assign(corrected="yes"), name)


# With added clips


def with_added(table, **columns) -> pd.DataFrame:
    """Put six added clips behind a table, two an intent."""
    rows = [(f"more/{i}.wav", "abc"[i % 3], "robot", "test", 1.0, f"more {i}") for i in range(6)]
    added = pd.DataFrame(rows, columns=list(table)).assign(added="more", **columns)
    return pd.concat([table.assign(added=""), added], ignore_index=True)


ADDING = resolve(add=["more"])


@pytest.mark.parametrize("name", ["kfold", "leave-one-speaker-out", "random", "speaker"])
def test_added_clips_are_in_every_folds_train_and_never_tested(table, name):
    for fold in drawn(with_added(table), name, recipe=ADDING).values():
        assert (fold.table["added"] == "more").sum() == 6
        assert set(fold.table.loc[fold.table["added"] == "more", "split"]) == {"train"}
        assert "6 clips added to train from more" in fold.note
    alone = drawn(table, name)
    both = drawn(with_added(table), name, recipe=ADDING)
    for key, fold in alone.items():
        assert list(rows_of(both[key], "test")["file_name"]) == list(
            rows_of(fold, "test")["file_name"]
        )


def test_added_clips_of_the_speaker_who_is_tested_are_left_out(table, caplog):
    table = with_added(table, speaker="speaker 1")
    found = drawn(table, "leave-one-speaker-out", recipe=ADDING)
    for fold in found.values():
        split = set(fold.table.loc[fold.table["added"] == "more", "split"])
        heard = "speaker 1" in set(rows_of(fold, "train").query("added == ''")["speaker"])
        assert split == ({"train"} if heard else {""})
    assert "left out of training 6 added clips of held-out speakers: speaker 1" in caplog.text


@pytest.mark.parametrize("name", ["kfold", "leave-one-speaker-out"])
def test_added_corrected_clips_of_what_is_tested_are_left_out_of_that_fold(table, name):
    """Of added clips one is a copy of clip 5, of speaker 0; another is of speaker 0; four new."""
    table = with_added(table, corrected="yes").fillna("")
    more = table.index[24:]
    table.loc[more[0], "digest"] = "5"
    table.loc[more[1], "speaker"] = "speaker 0"
    for fold in drawn(table, name, recipe=ADDING).values():
        held_out = fold.table[fold.table["split"].isin(["validation", "test"])]
        splits = fold.table.loc[more, "split"].tolist()
        assert splits[0] == ("" if "5" in set(held_out["digest"]) else "train")
        if name == "leave-one-speaker-out":
            assert splits[1] == ("" if fold.name == "speaker 0" else "train")
        assert splits[2:] == ["train"] * 4
