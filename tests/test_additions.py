import logging

import pandas as pd
import pytest
from datasets import Dataset, Features, Value

from speech_intent import additions
from speech_intent.errors import UserError
from speech_intent.recipes import resolve
from speech_intent.tables import Listing

FEATURES = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}})


def listing(*rows: tuple[str, ...], problems=(), **columns) -> Listing:
    """Rows of (file name, intent, split); further columns for all of them."""
    table = pd.DataFrame(rows, columns=["file_name", "intent", "split"])
    table = table.assign(**{"speaker": "", **columns})
    audio = [{"bytes": None, "path": f"/{row[0]}"} for row in rows]
    return Listing(table, Dataset.from_dict({"audio": audio}, FEATURES), tuple(problems))


PEOPLE = listing(("clips/1.wav", "on", ""), ("clips/2.wav", "off", ""))
VOICES = listing(("clips/1.wav", "on", ""), ("clips/2.wav", "off", ""), engine="robot")


def join(own: Listing, *others: Listing, data="people") -> Listing:
    named = {f"place/{i}/voices": other for i, other in enumerate(others)}
    return additions.joined(own, named, resolve(data=data, add=list(named)))


# Names


def test_a_folder_a_zip_and_a_dataset_on_the_hub_go_by_their_last_part(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    named = ["/data/voices/", "../voices.ZIP", "user/voices.v2", ".", "../a b"]
    found = [additions.last_part(name) for name in named]
    assert found == ["voices", "voices", "voices.v2", "here", "a_b"]


def test_no_two_folders_have_one_name_and_none_that_of_a_folder_within_the_data():
    recipe = resolve(data="/a/voices", add=["/b/voices", "/c/voices", "/d/clips", "/e/more"])
    assert additions.prefixes(recipe, ["clips/1.wav", "2.wav"]) == {
        "/b/voices": "voices-2",
        "/c/voices": "voices-3",
        "/d/clips": "clips-2",
        "/e/more": "more",
    }


@pytest.mark.parametrize("add", [["a/"], ["b", "b/../b"], ["x/y", "x/y"]])
def test_a_folder_that_is_named_twice_is_refused(tmp_path, monkeypatch, add):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="is named twice; name each folder once"):
        additions.check_names(resolve(data="a", add=add))
    additions.check_names(resolve(data="a", add=["b", "x/y"]))


def test_an_added_folder_is_read_with_usual_names_or_those_of_the_data():
    recipe = resolve("minds14", add=["voices"], text="english_transcription", speaker="who")
    found = additions.recipe_of("voices", recipe)
    assert (found.data, found.intent, found.speaker) == ("voices", "intent_class", "who")
    assert (found.text, found.config, found.audio, found.add) == (None, None, "audio", ())
    assert found.intents == recipe.intents


# One table


def test_added_clips_stand_behind_the_datas_own_under_names_of_their_own():
    found = join(PEOPLE, VOICES, VOICES)
    assert list(found.table["file_name"]) == [
        "clips/1.wav",
        "clips/2.wav",
        "voices/clips/1.wav",
        "voices/clips/2.wav",
        "voices-2/clips/1.wav",
        "voices-2/clips/2.wav",
    ]
    assert list(found.table["added"]) == ["", "", *["voices"] * 2, *["voices-2"] * 2]
    assert list(found.table["engine"]) == ["", "", *["robot"] * 4]
    assert [clip["audio"]["path"] for clip in found.clips] == ["/clips/1.wav", "/clips/2.wav"] * 3
    assert list(found.table.index) == list(range(6))
    parts = additions.apart(found.table)
    assert (list(parts.own.index), list(parts.added.index)) == ([0, 1], [2, 3, 4, 5])


def test_a_table_without_added_clips_is_all_the_datas_own():
    parts = additions.apart(PEOPLE.table)
    assert (len(parts.own), len(parts.added)) == (2, 0)


def test_splits_that_are_none_do_not_matter_for_added_clips():
    voices = listing(("1.wav", "on", "fold3"), ("2.wav", "off", "validation"))
    found = join(PEOPLE, voices)
    assert found.problems == ()
    assert list(found.table["split"]) == ["", "", "", "validation"]


def test_problems_of_an_added_folder_begin_with_its_name():
    voices = listing(("1.wav", "on", ""), problems=["metadata.csv: line 3 (2.wav): is no file"])
    found = join(listing(("1.wav", "On", ""), problems=["2.wav: its intent is empty"]), voices)
    assert found.problems == (
        "2.wav: its intent is empty",
        "voices/metadata.csv: line 3 (2.wav): is no file",
    )


def test_intents_that_look_alike_across_folders_are_refused():
    (problem,) = join(PEOPLE, listing(("1.wav", "On", ""), ("2.wav", "off", ""))).problems
    assert problem.startswith("the intents 'on' (1 of the clips) and 'On' (1 of the clips) look")


def test_two_intents_are_enough_wherever_they_come_from():
    one = listing(("1.wav", "on", ""), ("2.wav", "on", ""))
    assert join(one, one).problems == ("there is one intent only (on); a classifier needs two",)
    assert join(one, listing(("1.wav", "off", ""))).problems == ()


def test_what_people_say_in_test_must_be_in_train_of_one_or_the_other():
    people = listing(("1.wav", "on", "test"), ("2.wav", "off", "test"))
    assert join(people, VOICES).problems == ()
    named_test = listing(("1.wav", "on", "test"), ("3.wav", "dim", ""))
    assert join(people, named_test).problems == ("intent 'off' is in test but not in train",)


def test_intents_of_one_side_only_are_warned_of(caplog):
    join(PEOPLE, listing(("1.wav", "dim", ""), ("2.wav", "on", ""), ("3.wav", "red", "")))
    assert [record.getMessage() for record in caplog.records] == [
        "warning: people: intents without a clip, which are learned from added ones alone: "
        "dim, red",
        "warning: people: intents of which no clip was added: off",
    ]
    caplog.clear()
    join(PEOPLE, VOICES)
    assert caplog.records == []
    many = [(f"{i}.wav", f"intent {i:02d}", "") for i in range(12)]
    with caplog.at_level(logging.WARNING):
        join(PEOPLE, listing(*many))
    assert "alone: intent 00, intent 01" in caplog.text
    assert "intent 09, ...\n" in caplog.text


def test_clips_of_no_intent_are_none_of_the_intents(caplog):
    voices = listing(("1.wav", "on", ""), ("2.wav", "off", ""), ("3.wav", "unknown", "test"))
    assert join(PEOPLE, voices).problems == ()
    others = listing(("1.wav", "Unknown", "test"), ("2.wav", "unknown", ""))
    assert join(listing(("1.wav", "on", "train"), ("2.wav", "off", "train")), others).problems == ()
    assert "unknown" not in caplog.text
    assert join(listing(("1.wav", "on", "")), others).problems == (
        "there is one intent only (on); a classifier needs two",
    )


# Speakers


def table(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Rows of (speaker, split, added)."""
    return pd.DataFrame(rows, columns=["speaker", "split", "added"])


def test_added_clips_of_held_out_speakers_are_left_out(caplog):
    clips = table(
        ("ann", "train", ""),
        ("ann", "test", ""),
        ("ben", "test", ""),
        ("eva", "validation", ""),
        ("", "test", ""),
        *[(name, "train", "more") for name in ("ann", "ben", "eva", "", "joe")],
    )
    found = additions.without_held_out_speakers(clips, resolve(data="people"))
    assert list(found["split"][5:]) == ["train", "", "", "train", "train"]
    assert list(found["split"][:5]) == list(clips["split"][:5])
    assert "people: left out of training 2 added clips of held-out speakers: ben, eva" in (
        caplog.text
    )
