import numpy as np
import pandas as pd
import pytest
from clip_tables import INTENTS, clips, of_corrections, with_corrections

from speech_intent.errors import DataError
from speech_intent.recipes import resolve
from speech_intent.splits import assign_splits

ADDING = resolve(data="people", add=["voices"])


def with_added(people: pd.DataFrame, n: int, **columns) -> pd.DataFrame:
    """Put `n` added clips an intent behind those of people."""
    named = {"file_name": lambda intent, i: f"voices/{intent}_{i}.wav"}
    named |= {"digest": lambda intent, i: f"voice {intent}{i}"}
    added = clips(n, **named, **columns).assign(added="voices")
    return pd.concat([people.assign(added=""), added], ignore_index=True)


def sides(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Clips of people ("") and added ones by split."""
    found = {}
    for split, rows in table.groupby("split"):
        found[split] = {name or "people": n for name, n in rows["added"].value_counts().items()}
    return found


def test_added_clips_are_train_whatever_split_they_name(caplog):
    splits = ["test", "validation", "train", ""]
    table = with_added(clips(10), 4, split=lambda intent, i: splits[i])
    split = assign_splits(table, ADDING)
    assert sides(split.table) == {
        "test": {"people": 9},
        "train": {"people": 18, "voices": 12},
        "validation": {"people": 3},
    }
    assert split.note == (
        "stratified by clip 30 %, seed 0; validation stratified by clip 15 %, seed 0 of train; "
        "12 clips added to train from voices"
    )
    assert caplog.records == []
    alone = assign_splits(clips(10)).table
    assert list(split.table["split"][:30]) == list(alone["split"])


def test_a_given_split_of_people_stays_and_lends_its_validation():
    people = clips(4, split=lambda intent, i: ["train", "train", "train", "test"][i])
    split = assign_splits(with_added(people, 3), ADDING)
    assert sides(split.table) == {
        "test": {"people": 3},
        "train": {"people": 6, "voices": 9},
        "validation": {"people": 3},
    }
    assert split.note.startswith("given; validation stratified by clip 15 %, seed 0 of train; 9 ")


def test_two_clips_an_intent_leave_a_test_and_added_clips_are_validation(caplog):
    table = with_added(clips(2), 10)
    split = assign_splits(table, ADDING)
    assert sides(split.table) == {
        "test": {"people": 3},
        "train": {"people": 3, "voices": 24},
        "validation": {"voices": 6},
    }
    warned = "the checkpoint and how sure answers sound are chosen on added clips"
    rule = "stratified by clip 15 %, seed 0"
    assert f"; WARNING: validation of added clips, {rule}: {warned}; 24 clips" in split.note
    assert f"people has no clips to spare for validation; added ones stand in: {warned}" in (
        caplog.text
    )
    assert "for test" not in caplog.text


def test_one_clip_an_intent_is_trained_on_and_the_figure_is_about_added_clips(caplog):
    speakers = {"speaker": lambda intent, i: f"robot {i // 2}"}
    split = assign_splits(with_added(clips(1), 12, **speakers), ADDING)
    assert sides(split.table)["train"]["people"] == 3
    assert set(sides(split.table)["test"]) == set(sides(split.table)["validation"]) == {"voices"}
    by = split.table[split.table["added"] == "voices"].groupby("speaker")["split"].nunique()
    assert by.max() == 1
    about = "the figure is about added clips, and says nothing about the others"
    assert f"WARNING: test of added clips, by speaker 30 %, seed 0: {about}" in split.note
    assert f"people has no clips to spare for test; added ones stand in: {about}" in caplog.text


def test_added_clips_that_are_named_for_a_split_stand_in_for_it():
    named = {"split": lambda intent, i: ["test", "train", "validation", "train"][i]}
    split = assign_splits(with_added(clips(1), 4, **named), ADDING)
    names = split.table.set_index("file_name")["split"]
    assert names["voices/on_0.wav"] == "test"
    assert names["voices/on_2.wav"] == "validation"
    assert sides(split.table) == {
        "test": {"voices": 3},
        "train": {"people": 3, "voices": 6},
        "validation": {"voices": 3},
    }
    assert "WARNING: test of added clips, named so: " in split.note


def test_people_may_be_test_alone():
    people = clips(2, split=lambda intent, i: "test")
    split = assign_splits(with_added(people, 10), ADDING)
    assert sides(split.table)["test"] == {"people": 6}
    assert set(sides(split.table)["train"]) == {"voices"}
    assert split.note.startswith("given; WARNING: validation of added clips")


def test_people_may_be_train_alone():
    people = clips(4, split=lambda intent, i: "train")
    split = assign_splits(with_added(people, 10), ADDING)
    assert set(sides(split.table)["test"]) == {"voices"}
    assert sides(split.table)["validation"] == {"people": 3}


@pytest.mark.parametrize(("n_rich", "lends"), [(1, False), (2, True)])
def test_half_of_the_intents_must_spare_a_clip(n_rich, lends):
    """Of three intents, some have three clips and the others one."""
    people = clips(3)
    rich = INTENTS[:n_rich]
    people = people[people["intent"].isin(rich) | people["file_name"].str.contains("_0")]
    split = assign_splits(with_added(people, 10), ADDING)
    assert ("people" in sides(split.table)["test"]) is lends
    assert ("people" in sides(split.table)["validation"]) is lends


def test_copies_of_one_recording_are_no_clips_to_spare():
    people = clips(3, digest=lambda intent, i: intent)
    split = assign_splits(with_added(people, 10), ADDING)
    assert sides(split.table)["train"]["people"] == 9
    assert set(sides(split.table)["test"]) == {"voices"}


def test_an_added_copy_of_a_test_clip_is_refused_or_left_out():
    table = with_added(clips(10), 4)
    tested = assign_splits(table, ADDING).table.query("split == 'test'").iloc[0]
    table.loc[table["file_name"] == "voices/on_1.wav", "digest"] = tested["digest"]
    with pytest.raises(DataError, match="have the same samples") as refusal:
        assign_splits(table, ADDING)
    assert "voices/on_1.wav (train)" in refusal.value.problems[0]
    recipe = resolve(data="people", add=["voices"], drop_copies=True)
    names = assign_splits(table, recipe).table.set_index("file_name")["split"]
    assert (names["voices/on_1.wav"], names[tested["file_name"]]) == ("", "test")


def test_a_speaker_of_one_name_is_one_in_both_folders():
    people = clips(12, speaker=lambda intent, i: f"speaker {i % 6}")
    table = with_added(people, 6, speaker=lambda intent, i: f"speaker {i % 6}")
    split = assign_splits(table, ADDING)
    by = split.table[split.table["split"] != ""].groupby("speaker")["split"].nunique()
    assert by.max() == 1
    left_out = split.table[split.table["split"] == ""]
    assert set(left_out["added"]) == {"voices"}
    assert "WARNING" not in split.note


def test_phrasings_that_added_clips_share_with_the_test_are_warned_of():
    people = clips(10, text=lambda intent, i: f"{intent} {i}")
    table = with_added(people, 10, text=lambda intent, i: f"{intent} {i}")
    assert "WARNING: test shares 9 of 9 phrasings with train" in assign_splits(table, ADDING).note


def test_where_neither_side_has_clips_to_spare_nothing_is_trained():
    with pytest.raises(DataError) as refusal:
        assign_splits(with_added(clips(1), 1), ADDING)
    problem = "no clip can be spared for test, and none of the added ones; record more"
    assert (refusal.value.name, refusal.value.problems) == ("people", (problem,))


# Corrected clips, the data's own or added


def corrections(table: pd.DataFrame, *rows: tuple[str, str, str]) -> pd.DataFrame:
    """Put added corrected clips behind a table with added ones."""
    marked = with_corrections(table.iloc[:0].drop(columns="added"), *rows)
    marked["file_name"] = "voices/" + marked["file_name"]
    both = pd.concat([table.assign(corrected=""), marked.assign(added="voices")])
    return both.reset_index(drop=True).fillna("")


def test_added_corrected_clips_are_train_and_move_no_other_clip():
    table = with_added(clips(10), 4)
    rows = [("on", "", f"new {i}") for i in range(30)]
    split = assign_splits(corrections(table, *rows), ADDING)
    assert of_corrections(split.table) == ["train"] * 30
    plain = assign_splits(table, ADDING).table
    assert split.table["split"].tolist()[: len(table)] == plain["split"].tolist()
    assert "42 clips added to train from voices; 30 corrected clips, in train only" in split.note


def test_an_added_corrected_clip_of_a_tested_speaker_or_recording_is_left_out(caplog):
    people = clips(12, speaker=lambda intent, i: f"speaker {i % 6}")
    own = [("on", f"speaker {i}", f"new {i}") for i in range(6)]
    copies = [("on", "", f"off{i}") for i in range(6)]
    table = corrections(with_added(people, 4, speaker=lambda intent, i: "robot"), *own, *copies)
    split = assign_splits(table, ADDING).table
    held_out = split[split["split"].isin(["validation", "test"])]
    speakers = set(held_out["speaker"])
    assert len(speakers) == 2
    expected = ["" if f"speaker {i}" in speakers else "train" for i in range(6)]
    assert of_corrections(split) == expected * 2  # clip i of an intent is of speaker i
    text = "warning: left out of training 2 corrected clips: their recordings or speakers are in "
    assert [message for message in caplog.messages if "corrected" in message] == [
        f"{text}test",
        f"{text}validation",
    ]


def test_an_added_corrected_copy_of_a_given_test_clip_is_left_out():
    people = clips(4, split=lambda intent, i: ["train", "train", "validation", "test"][i])
    rows = [("on", "", "dim3"), ("on", "", "dim2"), ("on", "", "dim0"), ("on", "", "new")]
    split = assign_splits(corrections(with_added(people, 3), *rows), ADDING).table
    assert of_corrections(split) == ["", "", "train", "train"]


@pytest.mark.parametrize("named", ["", "test"])
def test_no_corrected_clip_stands_in_for_a_test(named):
    """Of the data's own there are three clips, and corrected ones, which cannot be spared."""
    people = with_corrections(clips(1), *[(INTENTS[i % 3], "eve", f"new {i}") for i in range(9)])
    rows = [("on", "", f"newer {i}") for i in range(9)]
    speakers = {"speaker": lambda intent, i: f"robot {i // 2}"}
    table = corrections(with_added(people, 12, **speakers), *rows)
    table.loc[people.index[3:], "corrected"] = "yes"
    table.loc[table["file_name"] == "voices/on_3.wav", "split"] = named
    table.loc[table["file_name"].str.startswith("voices/correction"), "split"] = named
    split = assign_splits(table, ADDING)
    assert of_corrections(split.table) == ["train"] * 18
    held_out = split.table[split.table["split"].isin(["validation", "test"])]
    assert set(held_out["added"]) == {"voices"}
    assert ("test of added clips, named so" in split.note) is bool(named)


def test_a_corrected_clip_of_the_speaker_of_borrowed_clips_is_left_out():
    people = with_corrections(clips(1), *[("on", f"robot {i}", f"new {i}") for i in range(6)])
    people["corrected"] = ["", "", "", *["yes"] * 6]
    table = with_added(people, 12, speaker=lambda intent, i: f"robot {i // 2}").fillna("")
    split = assign_splits(table, ADDING).table
    held_out = set(split.loc[split["split"].isin(["validation", "test"]), "speaker"])
    assert len(held_out) == 2
    expected = ["" if f"robot {i}" in held_out else "train" for i in range(6)]
    assert of_corrections(split) == expected


@pytest.mark.parametrize("seed", range(10))
def test_however_added_clips_lie_no_corrected_one_is_held_out_and_no_copy_learned(seed):
    rng = np.random.default_rng(seed)
    people = ["", "ann", "ben", "eve", "joe"]
    spoken = clips(10, speaker=lambda intent, i: people[i % 5])
    table = with_added(spoken, 4, speaker=lambda intent, i: people[i])
    rows = [
        (rng.choice(INTENTS), rng.choice(people), rng.choice([*spoken["digest"], *"abcdefgh"]))
        for _ in range(25)
    ]
    recipe = resolve(data="people", add=["voices"], seed=seed, by_speaker=bool(seed % 2))
    split = assign_splits(corrections(table, *rows), recipe).table
    held_out = split[split["split"].isin(["validation", "test"])]
    train = split[split["split"] == "train"]
    assert set(held_out["corrected"]) == set(held_out["added"]) == {""}
    assert not set(held_out["digest"]) & set(train["digest"])
    if recipe.by_speaker:
        voices = set(train.loc[train["added"] != "", "speaker"]) - {""}
        assert not voices & set(held_out["speaker"])
