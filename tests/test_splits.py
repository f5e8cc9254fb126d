import pandas as pd
import pytest
from clip_tables import INTENTS, clips, counts, of_corrections, with_corrections

from speech_intent.errors import DataError
from speech_intent.recipes import resolve
from speech_intent.splits import assign_splits


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


# Corrected clips


def test_corrected_clips_only_train_and_move_no_other_clip():
    table = with_corrections(clips(10), *[("on", "", f"new {i}") for i in range(30)])
    for seed in range(5):
        split = assign_splits(table, resolve(seed=seed))
        assert of_corrections(split.table) == ["train"] * 30
        plain = assign_splits(clips(10), resolve(seed=seed)).table
        assert split.table["split"].tolist()[:30] == plain["split"].tolist()
        assert split.note.endswith("of train; 30 corrected clips, in train only")


def test_corrected_clips_of_people_unknown_do_not_stand_for_a_speaker():
    """All others are of one speaker, so there are no speakers to hold out."""
    table = with_corrections(clips(10, speaker=lambda intent, i: "ann"), ("on", "", "new"))
    split = assign_splits(table)
    assert split.note.startswith("stratified by clip 30 %")
    assert of_corrections(split.table) == ["train"]
    assert "; 1 corrected clips, in train only; WARNING: who speaks 1 of them" in split.note


def test_corrected_clips_of_the_speakers_held_out_are_left_out_of_training(caplog):
    spoken = clips(12, speaker=lambda intent, i: f"speaker {i % 6}")
    own = [("on", f"speaker {i}", f"new {i}") for i in range(6)]
    table = with_corrections(spoken, *own, ("on", "", "new"))
    split = assign_splits(table)
    held_out = split.table["split"].isin(["validation", "test"])
    speakers = set(split.table.loc[held_out, "speaker"])
    assert len(speakers) == 2
    expected = ["" if f"speaker {i}" in speakers else "train" for i in range(6)]
    assert of_corrections(split.table) == [*expected, "train"]
    note = "; 5 corrected clips, in train only; WARNING: who speaks 1 of them is not known"
    assert split.note.endswith(f"{note}, and may be tested")
    assert caplog.messages == [
        "warning: left out of training 1 corrected clips: their recordings or speakers are in test",
        "warning: left out of training 1 corrected clips: their recordings or speakers are in "
        "validation",
    ]


def test_a_corrected_copy_of_a_clip_goes_where_that_does_but_is_never_held_out():
    """Each clip of the first 27 has a corrected copy, of which some have another intent."""
    copies = [("off", "", f"{intent}{i}") for intent in INTENTS for i in range(9)]
    split = assign_splits(with_corrections(clips(10), *copies)).table
    by_digest = split[split["corrected"] == ""].set_index("digest")["split"]
    for row in split[split["corrected"] == "yes"].itertuples():
        assert row.split == ("train" if by_digest[row.digest] == "train" else "")
    assert counts(split)["test"] == dict.fromkeys(INTENTS, 3)


def test_a_corrected_copy_of_a_given_test_clip_is_refused_or_dropped_as_others_are():
    given = clips(4, split=lambda intent, i: ("train", "train", "validation", "test")[i])
    table = with_corrections(given, ("dim", "", "dim3")).replace({"split": {"": "train"}})
    with pytest.raises(DataError) as refusal:
        assign_splits(table, resolve(data="mine"))
    named = "dim_3.wav (test) and correction_0.flac (train) have the same samples"
    assert refusal.value.problems[0].startswith(named)
    assert of_corrections(assign_splits(table, resolve(drop_copies=True)).table) == [""]


@pytest.mark.parametrize("split", ["test", "validation"])
def test_nothing_but_corrected_clips_to_draw_from_is_named(split):
    table = with_corrections(clips(4).iloc[:0], *[("on", "", f"{i}") for i in range(9)])
    table["split"] = "" if split == "test" else "train"
    with pytest.raises(DataError) as refusal:
        assign_splits(table, resolve(data="mine"))
    assert refusal.value.name == "mine"
    assert refusal.value.problems == (
        f"there is no clip for {split}: all are corrected ones, and those only train; "
        "record others as well",
    )


def test_too_few_clips_beside_corrected_ones_are_too_few():
    rows = [(intent, "", f"new {intent} {i}") for intent in INTENTS for i in range(5)]
    with pytest.raises(DataError, match="at least three that are not corrected ones"):
        assign_splits(with_corrections(clips(2), *rows))


def test_a_corrected_copy_with_an_intent_of_its_own_is_no_recording_too_few():
    """A new intent has two recordings, of which one is known by another intent."""
    table = with_corrections(clips(10), ("cancel", "", "on1"), ("cancel", "", "new"))
    assert assign_splits(table).table["split"].isin(["train", "validation", "test", ""]).all()


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
