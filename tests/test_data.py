import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_intent import data
from speech_intent.errors import DataError, UserError
from speech_intent.recipes import resolve

INTENTS = ("hear_high", "hear_low", "hear_middle", "hear_upper")


@pytest.fixture
def folder(tmp_path, write_folder):
    """Four intents with 10 clips each and nothing else said of them."""
    return write_folder(tmp_path / "data", 10, seconds=0.05)


@pytest.fixture
def spoken_folder(tmp_path, write_folder):
    """Four intents with 12 clips each by six speakers, with what they say."""

    def columns(intent: str, i: int) -> dict[str, str]:
        return {"speaker": f"speaker {i % 6}", "text": f"{intent} {i}"}

    return write_folder(tmp_path / "spoken", 12, columns, seconds=0.05)


def load(folder, **given) -> data.Splits:
    return data.load_data(resolve(data=folder, **given))


def read(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)


def change(folder, table: pd.DataFrame) -> None:
    table.to_csv(folder / "metadata.csv", index=False)


def problems_of(folder) -> list[str]:
    with pytest.raises(DataError) as error:
        load(folder)
    assert error.value.name == str(folder)
    return list(error.value.problems)


# What is read


def test_labels_are_integers_sorted_by_name_and_waveforms_stay_in_their_files(folder):
    for table in load(folder).tables.values():
        assert table.features["label"].names == sorted(INTENTS)
        columns = {"file_name", "audio", "label", "seconds", "speaker", "digest"}
        assert set(table.column_names) == columns
        for row in table:
            assert row["audio"] == {"bytes": None, "path": str(folder / row["file_name"])}
            intent = table.features["label"].int2str(row["label"])
            assert row["file_name"].startswith(f"clips/{intent}_")
            assert row["seconds"] == pytest.approx(0.05)
            assert row["speaker"] == ""


def test_other_columns_of_a_folder_stay_beside_the_clips(spoken_folder):
    for table in load(spoken_folder).tables.values():
        for row in table:
            intent = table.features["label"].int2str(row["label"])
            assert row["text"].startswith(f"{intent} ")
            assert row["file_name"] == f"clips/{row['text'].replace(' ', '_')}.wav"


def test_other_columns_do_not_take_the_place_of_our_own(folder):
    change(folder, read(folder).assign(label="x", audio="y", seconds="z", engine="e"))
    row = load(folder).tables["train"][0]
    assert row["label"] in range(4)
    assert row["seconds"] == pytest.approx(0.05)
    assert row["engine"] == "e"


def test_clips_may_have_any_rate_channel_count_and_length(folder):
    soundfile.write(folder / "clips/hear_low_0.wav", np.full((48_000, 2), 0.1), 48_000)
    soundfile.write(folder / "clips/hear_low_1.wav", np.full(8_000 * 20, 0.1), 8_000)
    table = data.read_recordings(resolve(data=folder)).table.set_index("file_name")
    assert table["seconds"]["clips/hear_low_0.wav"] == pytest.approx(1.0, abs=1e-3)
    assert table["seconds"]["clips/hear_low_1.wav"] == pytest.approx(20.0, abs=1e-3)


def test_every_clip_is_in_exactly_one_split_and_says_how(folder):
    splits = load(folder, seed=2)
    names = [name for table in splits.tables.values() for name in table["file_name"]]
    assert sorted(names) == sorted(read(folder)["file_name"])
    assert splits.note.startswith("stratified by clip 30 %, seed 2; ")


# What is refused


def test_everything_wrong_is_listed_at_once(folder):
    table = read(folder)
    table.loc[0, "file_name"] = "clips/gone.wav"
    table.loc[1, "file_name"] = "../escape.wav"
    table.loc[2, "file_name"] = "/etc/hostname"
    table.loc[3, "file_name"] = "C:\\clips\\a.wav"
    table.loc[4, "file_name"] = table.loc[5, "file_name"]
    table.loc[6, "intent"] = ""
    table.loc[7, "intent"] = "heard_once"
    table.loc[8, "file_name"] = ""
    change(folder, table)
    (folder / "clips/hear_low_3.wav").write_text("not audio")
    (folder / "clips/hear_low_4.wav").write_bytes(b"")
    problems = problems_of(folder)
    expected = [
        "metadata.csv: line 2 (clips/gone.wav): there is no such file",
        "metadata.csv: line 3 (../escape.wav): file_name leaves the folder",
        "metadata.csv: line 4 (/etc/hostname): file_name leaves the folder",
        "metadata.csv: line 5 (C:/clips/a.wav): file_name leaves the folder",
        "metadata.csv: line 10 (): file_name is empty",
        f"{table.loc[5, 'file_name']}: is listed 2 times",
        f"{table.loc[6, 'file_name']}: its intent is empty",
        "intent 'heard_once' has one clip",
        "clips/hear_low_3.wav: is text, not audio",
        "clips/hear_low_4.wav: is empty",
    ]
    assert len(problems) == len(expected), problems
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)


def test_broken_files_alone_are_all_listed(folder):
    for i in range(3):
        (folder / f"clips/hear_low_{i}.wav").write_text("not audio")
    assert len(problems_of(folder)) == 3


# What is said of it


def test_the_summary_counts_clips_minutes_intents_and_speakers(spoken_folder):
    summary = data.summary(load(spoken_folder).tables)
    assert list(summary.index) == ["train", "validation", "test"]
    assert summary["clips"].sum() == 48
    assert summary["speakers"].sum() == 6
    assert set(summary["intents"]) == {4}
    assert list(summary["speakers also in train"]) == ["-", 0, 0]


def test_the_summary_counts_speakers_on_both_sides(spoken_folder):
    summary = data.summary(load(spoken_folder, by_speaker=False).tables)
    assert summary.loc["test", "speakers also in train"] == summary.loc["test", "speakers"]


def test_the_summary_says_where_speakers_are_unknown(folder):
    summary = data.summary(load(folder).tables)
    assert set(summary["speakers"]) == {"unknown"}
    assert list(summary["speakers also in train"]) == ["-", "unknown", "unknown"]


def test_the_facts_count_speakers_and_tell_data_apart(spoken_folder):
    facts = data.facts(load(spoken_folder).tables)
    assert (facts["speakers_train"], facts["speakers_test"]) == (4, 1)
    assert facts["data_hash"] == data.facts(load(spoken_folder).tables)["data_hash"]
    assert facts["data_hash"] != data.facts(load(spoken_folder, seed=1).tables)["data_hash"]


def test_another_label_of_a_clip_is_other_data(folder):
    names = ["train", "train", "train", "validation", *["test"] * 6]
    table = read(folder)
    table["split"] = [names[int(name[-5])] for name in table["file_name"]]
    change(folder, table)
    before = data.facts(load(folder).tables)["data_hash"]
    table.loc[table["file_name"] == "clips/hear_low_9.wav", "intent"] = "hear_high"
    change(folder, table)
    assert data.facts(load(folder).tables)["data_hash"] != before


@pytest.fixture
def copied(tmp_path, write_folder):
    """A folder whose test clip of one intent is also in train, as FLAC under another name."""
    splits = ["train", "train", "validation", "test"]
    folder = write_folder(tmp_path / "copied", 4, lambda _, i: {"split": splits[i]})
    samples, rate = soundfile.read(folder / "clips/hear_low_3.wav", dtype="int16")
    soundfile.write(folder / "clips/again.flac", samples, rate)
    with (folder / "metadata.csv").open("a", encoding="utf-8") as file:
        file.write("clips/again.flac,hear_low,train\n")
    return folder


def test_the_same_samples_in_train_and_test_are_refused_by_name(copied):
    with pytest.raises(DataError) as refusal:
        load(copied)
    assert refusal.value.problems == (
        "clips/hear_low_3.wav (test) and clips/again.flac (train) have the same samples; "
        "remove all but one, or add --drop-copies",
    )


def test_copies_may_be_left_out_of_training(copied):
    tables = load(copied, drop_copies=True).tables
    assert "clips/again.flac" not in tables["train"]["file_name"]
    assert "clips/hear_low_3.wav" in tables["test"]["file_name"]
    assert {split: len(table) for split, table in tables.items()} == {
        "train": 8,
        "validation": 4,
        "test": 4,
    }


def test_an_intent_that_loses_all_its_training_clips_is_refused(tmp_path, write_folder):
    """Every low tone is the same recording; the high ones are not."""
    splits = ["train", "train", "validation", "test"]
    folder = write_folder(tmp_path / "data", 4, lambda _, i: {"split": splits[i]})
    for i in range(1, 4):
        first = folder / "clips" / "hear_low_0.wav"
        (folder / "clips" / f"hear_low_{i}.wav").write_bytes(first.read_bytes())
    with pytest.raises(DataError) as refusal:
        load(folder, drop_copies=True)
    assert refusal.value.problems == ("intent 'hear_low' is in test but not in train",)


# Corrected clips


def test_a_corrected_clip_is_known_by_the_samples_that_were_answered(folder):
    before = "0123456789abcdef" * 4
    table = read(folder).assign(corrected="", original_digest=before)
    table.loc[1:3, "corrected"] = "yes"
    table.loc[2, "original_digest"] = ""
    table.loc[3, "original_digest"] = "no digest"
    plain = data.read_recordings(resolve(data=folder)).table["digest"]
    change(folder, table)
    digests = data.read_recordings(resolve(data=folder)).table["digest"]
    assert digests[1] == before[: data.DIGEST_LENGTH]
    others = [i for i in digests.index if i != 1]
    assert digests[others].tolist() == plain[others].tolist()


def test_a_folder_of_nothing_but_corrected_clips_says_what_is_missing(folder):
    change(folder, read(folder).assign(corrected="yes"))
    assert problems_of(folder) == [
        "there is no clip for test: all are corrected ones, and those only train; "
        "record others as well"
    ]


def test_an_intent_that_only_corrected_clips_have_is_trained_and_not_tested(folder):
    table = read(folder).assign(corrected="")
    table.loc[table["intent"] == "hear_low", "corrected"] = "yes"
    change(folder, table)
    tables = load(folder).tables
    number = tables["train"].features["label"].str2int("hear_low")
    assert tables["train"]["label"].count(number) == 10
    assert set(tables["test"]["label"]) == set(range(4)) - {number}


# With added folders


@pytest.fixture
def voices(tmp_path, write_folder):
    """Four synthetic clips an intent, under the names of people's clips."""
    return write_folder(
        tmp_path / "voices", 4, lambda intent, i: {"engine": "robot", "speaker": "r"}, seconds=0.5
    )


def test_added_clips_are_trained_on_under_names_of_their_own(folder, voices):
    alone = load(folder)
    both = load(folder, add=[voices])
    for split in ("validation", "test"):
        assert both.tables[split]["file_name"] == alone.tables[split]["file_name"]
        assert set(both.tables[split]["engine"]) == {""}
    added = both.tables["train"].filter(lambda name: name == "voices", input_columns="added")
    assert len(added) == 16
    assert len(both.tables["train"]) == len(alone.tables["train"]) + 16
    assert set(added["engine"]) == {"robot"}
    assert all(name.startswith("voices/clips/") for name in added["file_name"])
    assert {row["audio"]["path"] for row in added} == {
        str(voices / name.removeprefix("voices/")) for name in added["file_name"]
    }
    names = [name for table in both.tables.values() for name in table["file_name"]]
    assert len(set(names)) == len(names) == 56
    assert data.facts(both.tables)["data_hash"] != data.facts(alone.tables)["data_hash"]


def test_a_zip_may_be_added(folder, voices):
    shutil.make_archive(str(voices), "zip", voices)
    zipped = load(folder, add=[f"{voices}.zip"])
    assert data.facts(zipped.tables) == data.facts(load(folder, add=[voices]).tables)


def test_a_broken_added_clip_is_named_with_its_folder(folder, voices):
    (voices / "clips" / "hear_low_0.wav").write_text("no audio")
    with pytest.raises(DataError) as refusal:
        load(folder, add=[voices])
    (problem,) = refusal.value.problems
    assert problem.startswith("voices/clips/hear_low_0.wav: ")


def test_an_added_folder_that_is_not_there_is_named(folder):
    with pytest.raises(DataError, match="there is no such folder") as refusal:
        load(folder, add=["/gone"])
    assert refusal.value.name == "/gone"


def test_the_same_recordings_under_another_name_are_copies(folder, tmp_path):
    again = shutil.copytree(folder, tmp_path / "again")
    with pytest.raises(DataError, match="have the same samples"):
        load(folder, add=[again])
    tables = load(folder, add=[again], drop_copies=True).tables
    digests = {split: set(table["digest"]) for split, table in tables.items()}
    assert not digests["train"] & digests["test"]
    with pytest.raises(UserError, match="is named twice"):
        load(folder, add=[folder])


def test_one_clip_an_intent_of_people_is_enough_beside_added_ones(tmp_path, write_folder, voices):
    people = write_folder(tmp_path / "people", 1)
    with pytest.raises(DataError, match="has one clip; record more"):
        load(people)
    splits = load(people, add=[voices])
    assert set(splits.tables["test"]["engine"]) == {"robot"}
    assert "" in splits.tables["train"]["engine"]
    assert "WARNING: test of added clips" in splits.note


def test_speakers_that_look_alike_across_folders_are_warned_of(tmp_path, write_folder, caplog):
    people = write_folder(tmp_path / "people", 10, lambda _, i: {"speaker": "Ann"})
    more = write_folder(tmp_path / "more", 4, lambda _, i: {"speaker": "ann"}, seconds=0.5)
    load(people, add=[more])
    assert caplog.text.count("look alike, and count as several") == 1


def test_corrected_clips_of_an_added_folder_are_known_by_the_samples_that_were_answered(
    folder, voices
):
    before = "0123456789abcdef" * 4
    plain = data.read_recordings(resolve(data=folder, add=[voices])).table["digest"]
    change(voices, read(voices).assign(Corrected=["yes"] * 2 + [""] * 14, original_digest=before))
    table = data.read_recordings(resolve(data=folder, add=[voices])).table
    marked = table["digest"] == before[: data.DIGEST_LENGTH]
    assert table.index[marked].tolist() == [40, 41]
    assert table.loc[~marked, "digest"].tolist() == plain[~marked].tolist()
    splits = load(folder, add=[voices])
    assert set(splits.tables["train"]["file_name"]) > set(table.loc[marked, "file_name"])
    assert "; 2 corrected clips, in train only" in splits.note
