import os

import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_intent import data
from speech_intent.tables import DataError

RATE = 16_000
INTENTS = ("hear_high", "hear_low", "hear_middle", "hear_upper")


@pytest.fixture
def folder(tmp_path, write_folder):
    """Four intents with 10 clips each and nothing else said of them."""
    return write_folder(tmp_path / "data", 10, seconds=0.05)


@pytest.fixture
def spoken_folder(tmp_path, write_folder):
    """Four intents with 12 clips each by six speakers."""
    return write_folder(tmp_path / "spoken", 12, lambda _, i: {"speaker": f"speaker {i % 6}"}, seconds=0.05)


def read(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)


def change(folder, table: pd.DataFrame) -> None:
    table.to_csv(folder / "metadata.csv", index=False)


def names(splits) -> dict[str, list[str]]:
    return {split: list(table["file_name"]) for split, table in splits.items()}


def problems_of(folder) -> list[str]:
    with pytest.raises(DataError) as error:
        data.load_data(folder)
    first, *lines = str(error.value).splitlines()
    assert first == f"{folder} cannot be used:"
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


# What is read


def test_labels_are_integers_sorted_by_name_and_waveforms_stay_in_their_files(folder):
    splits, _ = data.load_data(folder)
    for table in splits.values():
        assert table.features["label"].names == sorted(INTENTS)
        assert set(table.column_names) == {"file_name", "audio", "label", "seconds", "speaker"}
        for row in table:
            assert row["audio"] == {"bytes": None, "path": str(folder / row["file_name"])}
            assert row["file_name"].startswith(f"clips/{table.features['label'].int2str(row['label'])}_")
            assert row["seconds"] == pytest.approx(0.05)
            assert row["speaker"] == ""


def test_a_split_column_is_kept_under_its_usual_names(tmp_path, write_folder):
    given = ["Training"] * 4 + ["dev"] * 2 + ["TEST"] * 4
    splits, how = data.load_data(write_folder(tmp_path / "d", 10, lambda _, i: {"split": given[i]}, seconds=0.05))
    assert how == "given"
    assert {split: len(table) for split, table in splits.items()} == {"train": 16, "validation": 8, "test": 16}
    assert all(name.endswith(("_6.wav", "_7.wav", "_8.wav", "_9.wav")) for name in splits["test"]["file_name"])


@pytest.mark.parametrize("with_validation", [True, False])
def test_csv_files_of_the_splits_are_read(folder, with_validation):
    table = read(folder)
    (folder / "metadata.csv").unlink()
    (folder / "csv").mkdir()
    number = table["file_name"].str.extract(r"_(\d)")[0].astype(int)
    table[number < 6].to_csv(folder / "csv" / "train.csv", index=False)
    table[number > 7].to_csv(folder / "csv" / "test.csv", index=False)
    if with_validation:
        table[number.between(6, 7)].to_csv(folder / "csv" / "validation.csv", index=False)
    splits, how = data.load_data(folder)
    assert how.startswith("given")
    assert sorted(splits["test"]["file_name"]) == sorted(table.loc[number > 7, "file_name"])
    assert len(splits["validation"]) == (8 if with_validation else 4)
    assert len(splits["train"]) == (24 if with_validation else 20)


def test_byte_order_mark_spaces_and_extra_columns_are_no_obstacle(folder):
    table = read(folder).assign(text="turn it on, please", engine="x")
    lines = table[["engine", "file_name", "text", "intent"]].to_csv(index=False).replace("intent\n", " intent \n", 1)
    (folder / "metadata.csv").write_text(lines, encoding="utf-8-sig")
    splits, _ = data.load_data(folder)
    assert sum(map(len, splits.values())) == 40


def test_an_intent_called_na_is_an_intent(folder):
    table = read(folder)
    change(folder, table.assign(intent=table["intent"].replace("hear_low", "NA")))
    splits, _ = data.load_data(folder)
    assert "NA" in splits["train"].features["label"].names


def test_windows_separators_in_file_names_are_understood(folder):
    table = read(folder)
    change(folder, table.assign(file_name=table["file_name"].str.replace("/", "\\")))
    splits, _ = data.load_data(folder)
    assert all(os.path.isfile(row["audio"]["path"]) for row in splits["train"])


def test_symbolic_links_are_followed(folder, tmp_path):
    (folder / "clips").rename(tmp_path / "elsewhere")
    (folder / "clips").symlink_to(tmp_path / "elsewhere")
    splits, _ = data.load_data(folder)
    assert sum(map(len, splits.values())) == 40


def test_clips_may_have_any_rate_channel_count_and_length(folder):
    soundfile.write(folder / "clips/hear_low_0.wav", np.full((48_000, 2), 0.1), 48_000)
    soundfile.write(folder / "clips/hear_low_1.wav", np.full(8_000 * 20, 0.1), 8_000)
    splits, _ = data.load_data(folder)
    seconds = {row["file_name"]: row["seconds"] for table in splits.values() for row in table}
    assert seconds["clips/hear_low_0.wav"] == pytest.approx(1.0, abs=1e-3)
    assert seconds["clips/hear_low_1.wav"] == pytest.approx(20.0, abs=1e-3)


# How it is split


def test_clips_are_split_70_to_30_in_every_intent(folder):
    splits, how = data.load_data(folder)
    assert how == "stratified by clip 30 %, seed 0; validation stratified by clip 15 %, seed 0 of train"
    for label in range(4):
        assert {split: table["label"].count(label) for split, table in splits.items()} == {
            "train": 6,
            "validation": 1,
            "test": 3,
        }


def test_every_clip_is_in_exactly_one_split(folder, spoken_folder):
    for some_folder in (folder, spoken_folder):
        splits, _ = data.load_data(some_folder)
        everything = [name for table in splits.values() for name in table["file_name"]]
        assert sorted(everything) == sorted(read(some_folder)["file_name"])


def test_the_seed_decides_the_split(folder):
    first, again, other = (names(data.load_data(folder, seed)[0]) for seed in (1, 1, 2))
    assert first == again
    assert sorted(first["test"]) != sorted(other["test"])


@pytest.mark.parametrize("seed", range(3))
def test_speakers_stand_on_one_side_only_and_every_intent_on_both(spoken_folder, seed):
    splits, how = data.load_data(spoken_folder, seed)
    assert how.startswith(f"by speaker 30 %, seed {seed}")
    speakers = [set(table["speaker"]) for table in splits.values()]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 6
    assert all(set(table["label"]) == {0, 1, 2, 3} for table in splits.values())
    assert list(data.summary(splits)["speakers also in train"]) == ["-", 0, 0]


def test_too_few_speakers_give_a_split_by_clip_and_a_warning(tmp_path, write_folder, caplog):
    speakers = {intent: "anna" if intent < "hear_m" else "bert" for intent in INTENTS}
    folder = write_folder(tmp_path / "d", 10, lambda intent, _: {"speaker": speakers[intent]}, seconds=0.05)
    splits, how = data.load_data(folder)
    assert how.startswith("stratified by clip")
    assert "too few speakers" in caplog.text
    assert data.summary(splits).loc["test", "speakers also in train"] == 2


def test_the_given_test_split_is_never_touched_to_make_validation(tmp_path, write_folder):
    folder = write_folder(tmp_path / "d", 10, lambda _, i: {"split": "test" if i < 3 else "train"}, seconds=0.05)
    splits, how = data.load_data(folder)
    assert how == "given; validation stratified by clip 15 %, seed 0 of train"
    assert sorted(splits["test"]["file_name"]) == sorted(n for n in read(folder)["file_name"] if n[-5] in "012")
    assert len(splits["validation"]) == 4


def test_the_summary_counts_clips_minutes_intents_and_speakers(spoken_folder):
    summary = data.summary(data.load_data(spoken_folder)[0])
    assert list(summary.index) == ["train", "validation", "test"]
    assert summary["clips"].sum() == 48
    assert summary["speakers"].sum() == 6
    assert set(summary["intents"]) == {4}


# What is refused


def test_no_such_folder(tmp_path):
    assert "no such folder" in problems_of(tmp_path / "gone")[0]


def test_a_folder_without_tables(tmp_path):
    assert problems_of(tmp_path) == ["it has neither metadata.csv nor csv/train.csv and csv/test.csv"]


def test_missing_columns_are_named_beside_those_found(folder):
    change(folder, read(folder).rename(columns={"intent": "label"}))
    assert problems_of(folder) == [
        "metadata.csv cannot be read: it has no column intent; it has file_name, label",
    ]


def test_missing_columns_of_several_files_are_all_named(folder):
    (folder / "metadata.csv").unlink()
    (folder / "csv").mkdir()
    (folder / "csv" / "train.csv").write_text("path,intent\na.wav,on\n")
    (folder / "csv" / "test.csv").write_text("file_name,label\na.wav,on\n")
    problems = problems_of(folder)
    assert [problem.split()[0] for problem in problems] == ["csv/train.csv", "csv/test.csv"]


def test_rows_longer_than_the_header_do_not_shift_the_columns(folder):
    lines = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join([lines[0], *(f"{line},please" for line in lines[1:])]))
    problem = "metadata.csv cannot be read: its rows have more fields than its header; quote fields with commas"
    assert problems_of(folder) == [problem]


@pytest.mark.parametrize("content", [b"", b"file_name,intent\n", b"\xff\xfe\x00", b'file_name,intent\na.wav,"on\n'])
def test_a_table_that_cannot_be_read(folder, content):
    (folder / "metadata.csv").write_bytes(content)
    assert problems_of(folder)[0].startswith("metadata.csv cannot be read: ")


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
        "row 1 (clips/gone.wav): there is no such file",
        "row 2 (../escape.wav): file_name leaves the folder",
        "row 3 (/etc/hostname): file_name leaves the folder",
        "row 4 (C:/clips/a.wav): file_name leaves the folder",
        "row 9 (): file_name is empty",
        f"{table.loc[5, 'file_name']}: is listed 2 times",
        f"{table.loc[6, 'file_name']}: its intent is empty",
        "intent 'heard_once' has one clip",
        f"{folder / 'clips/hear_low_3.wav'}: is damaged or is not audio",
        f"{folder / 'clips/hear_low_4.wav'}: is empty",
    ]
    assert len(problems) == len(expected), problems
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)


def test_broken_files_alone_are_all_listed(folder):
    for i in range(3):
        (folder / f"clips/hear_low_{i}.wav").write_text("not audio")
    assert len(problems_of(folder)) == 3


def test_a_short_row_is_an_empty_intent(folder):
    with (folder / "metadata.csv").open("a") as file:
        file.write("clips/hear_low_0.wav\n")
    assert "clips/hear_low_0.wav: its intent is empty" in problems_of(folder)


def test_the_same_file_by_another_spelling_is_a_duplicate(folder):
    table = read(folder)
    table.loc[0, "file_name"] = "./" + table.loc[1, "file_name"]
    change(folder, table)
    assert problems_of(folder) == [f"{table.loc[1, 'file_name']}: is listed 2 times"]


def test_unknown_splits_and_labels_that_train_lacks(folder):
    table = read(folder).assign(split=["train", "test"] * 20)
    table.loc[0, "split"] = "tset"
    table.loc[1, "split"] = ""
    table.loc[[3, 5], "intent"] = "unheard"
    change(folder, table)
    assert problems_of(folder) == [
        f"{table.loc[0, 'file_name']}: unknown split 'tset'; use train, validation or test",
        f"{table.loc[1, 'file_name']}: unknown split ''; use train, validation or test",
        "intent 'unheard' is in test but not in train",
    ]


def test_a_split_column_without_test_rows(folder):
    change(folder, read(folder).assign(split="train"))
    assert problems_of(folder) == ["the split column has no test rows"]


def test_one_intent_only(folder):
    change(folder, read(folder).assign(intent="on"))
    assert problems_of(folder) == ["there is one intent only (on); a classifier needs two"]


def test_two_clips_an_intent_are_too_few(tmp_path, write_folder):
    with pytest.raises(DataError, match="every intent needs at least three"):
        data.load_data(write_folder(tmp_path / "d", 2, seconds=0.05))
