import pandas as pd
import pytest

from speech_intent.errors import DataError
from speech_intent.recipes import resolve
from speech_intent.splits import assign_splits

INTENTS = ("dim", "off", "on")


def clips(n: int, **columns) -> pd.DataFrame:
    """`n` clips of each of three intents; a column is a function of (intent, i)."""
    rows = [
        {"file_name": f"{intent}_{i}.wav", "intent": intent, "speaker": "", "split": ""}
        | {"digest": f"{intent}{i}"}
        | {name: value(intent, i) for name, value in columns.items()}
        for intent in INTENTS
        for i in range(n)
    ]
    return pd.DataFrame(rows)


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Clips of each intent by split."""
    crosstab = pd.crosstab(table["split"], table["intent"])
    return {split: dict(row) for split, row in crosstab.iterrows()}


def test_clips_are_split_70_to_30_in_every_intent_and_validation_comes_out_of_train():
    split = assign_splits(clips(10))
    each = dict.fromkeys(INTENTS, 1)
    assert counts(split.table) == {
        "train": {intent: 6 for intent in each},
        "validation": {intent: 1 for intent in each},
        "test": {intent: 3 for intent in each},
    }
    rule = "stratified by clip 30 %, seed 0; validation stratified by clip 15 %, seed 0 of train"
    assert split.note == rule


def test_the_shares_are_the_recipes():
    recipe = resolve(test_share=0.5, validation_share=0.4, seed=3)
    split = assign_splits(clips(10), recipe)
    assert split.table["split"].value_counts().to_dict() == {
        "test": 15,
        "train": 9,
        "validation": 6,
    }
    assert "clip 50 %, seed 3; validation stratified by clip 40 %, seed 3" in split.note


def test_the_table_that_was_given_stays_as_it_was():
    table = clips(10)
    assign_splits(table)
    assert set(table["split"]) == {""}


def test_the_seed_decides_the_split():
    drawn = [set(names_of_test(clips(10), seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def names_of_test(table: pd.DataFrame, seed: int) -> list[str]:
    split = assign_splits(table, resolve(seed=seed)).table
    return sorted(split.loc[split["split"] == "test", "file_name"])


@pytest.mark.parametrize("seed", range(3))
def test_speakers_stand_on_one_side_only_and_every_intent_on_both(seed):
    table = clips(12, speaker=lambda intent, i: f"speaker {i % 6}")
    split = assign_splits(table, resolve(seed=seed))
    assert split.table.groupby("speaker")["split"].nunique().max() == 1
    assert split.table.groupby("split")["intent"].nunique().to_dict() == {
        "train": 3,
        "validation": 3,
        "test": 3,
    }
    assert (
        split.note
        == f"by speaker 30 %, seed {seed}; validation by speaker 15 %, seed {seed} of train"
    )


def test_the_draw_of_speakers_comes_closest_to_the_share():
    """Of 20 clips an intent by four speakers a quarter can be had: 2 + 3, or 5."""
    speakers = ["a"] * 2 + ["b"] * 3 + ["c"] * 5 + ["d"] * 10
    table = clips(20, speaker=lambda intent, i: speakers[i])
    split = assign_splits(table, resolve(test_share=0.25)).table
    tested = split.loc[split["split"] == "test"]
    assert len(tested) == 15  # a quarter of 60
    assert set(tested["speaker"]) in ({"a", "b"}, {"c"})


def test_speakers_are_not_looked_at_where_the_recipe_says_so():
    table = clips(12, speaker=lambda intent, i: f"speaker {i % 6}")
    split = assign_splits(table, resolve(by_speaker=False))
    assert split.note.startswith("stratified by clip 30 %")
    assert split.table.groupby("speaker")["split"].nunique().max() > 1


def test_too_few_speakers_give_a_split_by_clip_and_a_warning(caplog):
    table = clips(10, speaker=lambda intent, i: "ann" if intent == "on" else "ben")
    split = assign_splits(table)
    assert split.note.startswith("stratified by clip")
    assert "too few speakers to hold some out for test" in caplog.text
    assert split.note.endswith("WARNING: test shares 2 of 2 speakers with train")


def test_a_given_test_split_is_never_touched_to_make_validation():
    table = clips(10, split=lambda intent, i: "test" if i < 3 else "train")
    split = assign_splits(table)
    assert split.note == "given; validation stratified by clip 15 %, seed 0 of train"
    tested = split.table.loc[split.table["split"] == "test", "file_name"]
    assert sorted(tested) == sorted(f"{intent}_{i}.wav" for intent in INTENTS for i in range(3))


def test_given_splits_are_kept():
    names = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    table = clips(10, split=lambda intent, i: names[i])
    split = assign_splits(table)
    assert split.note == "given"
    pd.testing.assert_frame_equal(split.table, table)


def test_what_stands_on_both_sides_is_counted_in_a_warning():
    """Of the test's three speakers one, and of its four phrasings two, are in train."""
    table = clips(
        4,
        split=lambda intent, i: ("train", "train", "test", "validation")[i],
        speaker=lambda intent, i: "ann" if (intent, i) == ("on", 0) else f"{intent}{i}",
        text=lambda intent, i: "please" if intent != "on" else f"{intent} {i}",
    )
    table.loc[table["file_name"] == "on_2.wav", "speaker"] = "ann"
    note = assign_splits(table).note
    assert note == "given; WARNING: test shares 1 of 3 speakers and 1 of 2 phrasings with train"


def test_phrasings_of_validation_alone_are_no_leak():
    table = clips(
        3,
        split=lambda intent, i: ("train", "test", "validation")[i],
        text=lambda intent, i: f"{intent} {min(i, 1)}",
    )
    assert assign_splits(table).note == "given"


def test_two_clips_an_intent_are_too_few():
    with pytest.raises(DataError, match="no clip can be spared for validation") as error:
        assign_splits(clips(2))
    assert error.value.problems == (
        "no clip can be spared for validation: every intent needs at least three",
    )


def test_copies_are_drawn_together():
    """Three recordings of each intent, each four times: none stands in two splits."""
    table = clips(12, digest=lambda intent, i: f"{intent}{i % 3}")
    split = assign_splits(table)
    assert split.table.groupby("digest")["split"].nunique().max() == 1
    assert split.table["split"].value_counts().to_dict() == dict.fromkeys(
        ("train", "validation", "test"), 12
    )


def test_copies_do_not_count_as_clips_that_can_be_spared():
    with pytest.raises(DataError, match="no clip can be spared for validation"):
        assign_splits(clips(12, digest=lambda intent, i: f"{intent}{i % 2}"))


def test_an_intent_of_one_recording_under_several_names_is_refused():
    table = clips(12, digest=lambda intent, i: intent if intent == "off" else f"{intent}{i}")
    with pytest.raises(DataError) as refusal:
        assign_splits(table)
    assert refusal.value.problems == (
        "intent 'off' has one recording only, under several names; record more",
    )


def test_copies_that_are_given_on_both_sides_are_refused():
    table = clips(
        3,
        split=lambda intent, i: ("train", "validation", "test")[i],
        digest=lambda intent, i: f"{intent}{i % 2}",
    )
    with pytest.raises(DataError) as refusal:
        assign_splits(table, resolve(data="mine"))
    assert refusal.value.name == "mine"
    assert len(refusal.value.problems) == 3
    left = assign_splits(table, resolve(drop_copies=True)).table
    assert counts(left)["test"] == dict.fromkeys(INTENTS, 1)
    assert "train" not in counts(left)


# With added clips


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


# Where nothing is trained


def test_only_the_split_that_is_scored_need_have_clips():
    table = clips(2, split=lambda intent, i: "test")
    assert assign_splits(table, scored="test").note == "given"
    with pytest.raises(DataError, match="no clip can be spared for validation"):
        assign_splits(table, scored="validation")
    two = assign_splits(clips(2), scored="test")
    assert two.note == "stratified by clip 30 %, seed 0"
    with pytest.raises(DataError, match="no clip can be spared for test"):
        assign_splits(clips(1), scored="test")
    assert assign_splits(clips(1), scored="train").note == "all train"


def test_where_neither_side_has_clips_to_spare_nothing_is_trained():
    with pytest.raises(DataError) as refusal:
        assign_splits(with_added(clips(1), 1), ADDING)
    problem = "no clip can be spared for test, and none of the added ones; record more"
    assert (refusal.value.name, refusal.value.problems) == ("people", (problem,))
