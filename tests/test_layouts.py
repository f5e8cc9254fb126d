"""The ways in which people lay out folders of clips: each comes out as the same table."""

import os

import pandas as pd
import pytest

from speech_intent import folders, layouts
from speech_intent.errors import DataError

CLIPS = {  # intent and split of each
    "1.wav": ("on", "train"),
    "2.wav": ("off", "train"),
    "3.WAV": ("on", "test"),
    "4.flac": ("off", "test"),
}
TABLE = "file_name,intent\n1.wav,on\n2.wav,off\n3.WAV,on\n4.flac,off\n"
TRAIN = "file_name,intent\n1.wav,on\n2.wav,off\n"
TEST = "file_name,intent\n3.WAV,on\n4.flac,off\n"


def table(*names: str, prefix: str = "") -> str:
    """Write the rows of some clips."""
    return "\n".join(["file_name,intent", *(f"{prefix}{name},{CLIPS[name][0]}" for name in names)])


def objects(*names: str) -> str:
    """Write the rows of some clips as JSONL."""
    return "\n".join(f'{{"file_name": "{name}", "label": "{CLIPS[name][0]}"}}' for name in names)


def write(folder, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def clips_in(pattern: str) -> dict[str, str]:
    """Place the clips; the pattern may name {intent} and {split}."""
    return {pattern.format(intent=i, split=s) + name: "" for name, (i, s) in CLIPS.items()}


def answers(folder) -> dict[str, tuple[str, str]]:
    """Read a folder; give intent and split of each clip."""
    found = folders.read_table(folder)
    assert all((folder / name).is_file() for name in found["file_name"])
    names = found["file_name"].str.rpartition("/")[2]
    return dict(zip(names, zip(found["intent"], found["split"], strict=True), strict=True))


def problems_of(folder) -> list[str]:
    with pytest.raises(DataError) as error:
        folders.read_table(folder)
    return list(error.value.problems)


WITHOUT_SPLITS = {
    "a table of any name": {"labels.csv": TABLE, **clips_in("")},
    "a table of any name beside a folder of clips": {"x.csv": TABLE, **clips_in("audio/")},
    "metadata.csv": {"metadata.csv": TABLE, **clips_in("")},
    "metadata.csv with names in a folder": {"metadata.csv": TABLE, **clips_in("wavs/")},
    "Metadata.CSV": {"Metadata.CSV": TABLE, **clips_in("")},
    "metadata.tsv": {"metadata.tsv": TABLE.replace(",", "\t"), **clips_in("")},
    "metadata.jsonl": {"metadata.jsonl": objects(*CLIPS), **clips_in("")},
    "a folder for each intent": clips_in("{intent}/"),
    "train/ alone": {"train/metadata.csv": TABLE, **clips_in("train/")},
}
WITH_SPLITS = {
    "tables at the top": {"train.csv": TRAIN, "test.csv": TEST, **clips_in("")},
    "tables in csv/": {"csv/train.csv": TRAIN, "csv/test.csv": TEST, **clips_in("")},
    "tables as JSONL": {
        "train.jsonl": objects("1.wav", "2.wav"),
        "test.jsonl": objects("3.WAV", "4.flac"),
        **clips_in(""),
    },
    "tables beside a folder of clips": {
        "train.csv": TRAIN,
        "test.csv": TEST,
        **clips_in("audio/"),
    },
    "tables beside the folders of the splits": {
        "train.csv": TRAIN,
        "test.csv": TEST,
        **clips_in("{split}/"),
    },
    "tables that name the folders of the splits": {
        "train.csv": table("1.wav", "2.wav", prefix="train/"),
        "test.csv": table("3.WAV", "4.flac", prefix="test/"),
        **clips_in("{split}/"),
    },
    "metadata.csv in the folders of the splits": {
        "train/metadata.csv": TRAIN,
        "test/metadata.csv": TEST,
        **clips_in("{split}/"),
    },
    "metadata.jsonl in the folders of the splits": {
        "train/metadata.jsonl": objects("1.wav", "2.wav"),
        "test/metadata.jsonl": objects("3.WAV", "4.flac"),
        **clips_in("{split}/"),
    },
    "a folder for each intent in those of the splits": clips_in("{split}/{intent}/"),
    "metadata.csv in csv/ is none": {
        "csv/train.csv": TRAIN,
        "csv/test.csv": TEST,
        "phrasings.csv": "text\nplease\n",
        "voices.csv": "name\nann\n",
        **clips_in(""),
    },
}


@pytest.mark.parametrize("name", WITHOUT_SPLITS)
def test_layouts_that_say_nothing_of_splits(tmp_path, name):
    write(tmp_path, WITHOUT_SPLITS[name])
    assert answers(tmp_path) == {clip: (intent, "") for clip, (intent, _) in CLIPS.items()}


@pytest.mark.parametrize("name", WITH_SPLITS)
def test_layouts_that_name_splits(tmp_path, name):
    write(tmp_path, WITH_SPLITS[name])
    assert answers(tmp_path) == CLIPS


@pytest.mark.parametrize("name", ["dev", "Valid", "val", "validation"])
def test_splits_may_have_any_of_their_names(tmp_path, name):
    files = clips_in("{split}/{intent}/") | {f"{name}/on/5.wav": "", f"{name}/off/6.wav": ""}
    write(tmp_path, files)
    expected = {"5.wav": ("on", "validation"), "6.wav": ("off", "validation")}
    assert answers(tmp_path) == CLIPS | expected


def test_a_test_split_of_one_intent_is_no_less_a_split(tmp_path):
    write(tmp_path, {"train/on/1.wav": "", "train/off/2.wav": "", "test/on/3.wav": ""})
    assert answers(tmp_path)["3.wav"] == ("on", "test")


def test_metadata_at_the_top_wins(tmp_path):
    write(tmp_path, {"metadata.csv": TABLE, "train.csv": "x", "test.csv": "y", **clips_in("")})
    assert set(answers(tmp_path)) == set(CLIPS)


def test_what_systems_leave_behind_is_no_clip(tmp_path):
    junk = {"on/._1.wav": "", "__MACOSX/on/1.wav": "", ".cache/x.wav": "", ".trash.csv": ""}
    write(tmp_path, clips_in("{intent}/") | junk | {"Thumbs.db": "", "on/.DS_Store": ""})
    assert set(answers(tmp_path)) == set(CLIPS)
    assert sorted(layouts.find_layout(tmp_path).clips) == sorted(clips_in("{intent}/"))


def test_clips_that_no_row_lists_are_told(tmp_path, caplog):
    write(tmp_path, {"metadata.csv": TABLE, **clips_in("")})
    answers(tmp_path)
    assert caplog.text == ""
    write(tmp_path, {f"new/{i}.wav": "" for i in range(5)} | {"notes.txt": ""})
    assert set(answers(tmp_path)) == set(CLIPS)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"warning: {tmp_path}: audio files that are listed nowhere, and are not used: 5 "
        "(new/0.wav, new/1.wav, new/2.wav, ...)"
    )


OTHER = {
    "a table": {"noises/metadata.csv": TABLE, "noises/audio/1.wav": "", "noises/2.wav": ""},
    "JSON lines, deeper": {"more/noises/metadata.jsonl": "{}", "more/noises/1.wav": ""},
    "splits": {"noises/train.csv": TRAIN, "noises/test.csv": TEST, "noises/3.wav": ""},
    "splits in csv/": {"noises/csv/train.csv": TRAIN, "noises/audio/3.wav": ""},
}


@pytest.mark.parametrize("name", OTHER)
def test_clips_of_a_dataset_inside_the_data_are_not_missed(tmp_path, name, caplog):
    write(tmp_path, {"metadata.csv": TABLE, **clips_in(""), **OTHER[name]})
    assert set(answers(tmp_path)) == set(CLIPS)
    assert caplog.text == ""


NOT_OTHER = {
    "a table of any name": {"new/notes.csv": "a", "new/1.wav": ""},
    "a split's table that is not read": {"test/metadata.csv": TABLE, "test/1.wav": ""},
    "a name that begins alike": {"ne/metadata.csv": TABLE, "new/1.wav": ""},
}


@pytest.mark.parametrize("name", NOT_OTHER)
def test_clips_beside_other_tables_are_told(tmp_path, name, caplog):
    write(tmp_path, {"metadata.csv": TABLE, **clips_in(""), **NOT_OTHER[name]})
    assert set(answers(tmp_path)) == set(CLIPS)
    assert "listed nowhere, and are not used: 1 (" in caplog.text


def test_the_clips_of_a_dataset_inside_the_data_may_be_listed_by_the_data(tmp_path, caplog):
    table = TABLE.replace("1.wav", "noises/1.wav")
    files = {**clips_in(""), "noises/1.wav": "", "noises/metadata.csv": TABLE}
    write(tmp_path, {"metadata.csv": table, **files})
    assert len(answers(tmp_path)) == len(CLIPS)


def test_clips_below_the_folders_of_intents_are_told(tmp_path, caplog):
    write(tmp_path, clips_in("{intent}/") | {"0.wav": "", "on/ann/9.wav": ""})
    assert set(answers(tmp_path)) == set(CLIPS)
    assert "listed nowhere, and are not used: 2 (0.wav, on/ann/9.wav)" in caplog.text


@pytest.mark.parametrize("place", ["data", "a/b/my data"])
def test_a_folder_in_a_folder_is_found_if_it_is_alone(tmp_path, place):
    write(tmp_path / place, clips_in("{intent}/"))
    (tmp_path / ".DS_Store").write_text("")
    assert layouts.without_wrapping(tmp_path) == tmp_path / place
    (tmp_path / "other").mkdir()
    assert layouts.without_wrapping(tmp_path) == tmp_path


def test_a_folder_of_clips_may_be_an_intent_and_is_no_wrapping(tmp_path):
    write(tmp_path, {"on/1.wav": "", "on/2.wav": ""})
    assert layouts.without_wrapping(tmp_path) == tmp_path
    with pytest.raises(DataError, match="no folder for each intent"):
        layouts.find_layout(tmp_path)
    layout = layouts.find_layout(tmp_path, fewest_intents=1)
    assert layouts.intents_of(layout.parts[0], layout.clips) == {"on/1.wav": "on", "on/2.wav": "on"}
    write(tmp_path, {"on/metadata.csv": "file_name,intent"})
    assert layouts.without_wrapping(tmp_path) == tmp_path / "on"


def test_a_split_and_a_link_are_no_wrapping(tmp_path):
    (tmp_path / "data" / "train" / "on").mkdir(parents=True)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "there").symlink_to(tmp_path / "data")
    assert layouts.without_wrapping(tmp_path / "data") == tmp_path / "data"
    assert layouts.without_wrapping(tmp_path / "link") == tmp_path / "link"


# What is refused


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "it has neither metadata.csv nor anything else"),
        (clips_in(""), "it has neither metadata.csv nor anything else"),
        (clips_in("clips/"), "it has neither metadata.csv nor anything else"),
        (clips_in("{split}/"), "it has neither metadata.csv nor anything else"),
        ({"metadata.csv.txt": ""}, "metadata.csv.txt cannot be read; save it as metadata.csv"),
        ({"labels.xlsx": "", **clips_in("")}, "labels.xlsx cannot be read; save it as metadata"),
        (
            {"metadata.csv": "", "metadata.jsonl": ""},
            "it has metadata.csv and metadata.jsonl; keep the one that holds",
        ),
        (
            {"train.csv": "", "test.csv": "", "train.jsonl": ""},
            "train.csv and train.jsonl are both tables of train; keep one",
        ),
        (
            {"train.csv": "", "dev.csv": "", "val.csv": ""},
            "dev.csv and val.csv are both tables of validation; keep one",
        ),
        (
            {"train/metadata.csv": TRAIN, **clips_in("{split}/")},
            "test/ has no metadata.csv, and other splits have one",
        ),
        (
            {"a.csv": TABLE, "b.csv": TABLE, **clips_in("{intent}/")},
            "it has several tables (a.csv, b.csv); call the one that lists all clips metadata.csv",
        ),
    ],
)
def test_a_folder_that_can_be_read_in_no_way_or_in_two(tmp_path, files, problem):
    write(tmp_path, files)
    assert [each[: len(problem)] for each in problems_of(tmp_path)] == [problem]


def test_names_that_are_found_in_two_places(tmp_path):
    write(tmp_path, {"train.csv": TRAIN, "test.csv": TEST, **clips_in(""), **clips_in("{split}/")})
    end = "put the folder into their names"
    assert sorted(problems_of(tmp_path)) == [
        f"test.csv: its files are in the folder itself and in test/; {end}",
        f"train.csv: its files are in the folder itself and in train/; {end}",
    ]


def test_names_beside_metadata_in_a_splits_folder_count_from_there(tmp_path):
    write(tmp_path, {"train/metadata.csv": TRAIN, "test/metadata.csv": TEST})
    write(tmp_path, clips_in("") | clips_in("{split}/"))
    assert set(folders.read_table(tmp_path)["file_name"]) == set(clips_in("{split}/"))


def test_a_row_of_another_split_than_its_table(tmp_path):
    text = "file_name,intent,split\n1.wav,on,train\n2.wav,off,dev\n"
    write(tmp_path, {"train.csv": text, "test.csv": TEST, **clips_in("")})
    assert problems_of(tmp_path) == [
        "train.csv: line 3 (2.wav): its split is 'validation', and that of its table train"
    ]


def test_the_table_keeps_its_form(tmp_path):
    write(tmp_path, clips_in("{split}/{intent}/"))
    found = folders.read_table(tmp_path)
    assert list(found.columns) == ["file_name", "intent", "speaker", "split"]
    assert isinstance(found.index, pd.RangeIndex)


def test_names_that_are_no_text_are_named(tmp_path):
    """As where a zip was unpacked on a system with another encoding."""
    write(tmp_path, clips_in("{intent}/"))
    for name in (b"on/caf\xe9.wav", b"caf\xe9/1.wav"):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
    with pytest.raises(DataError) as error:
        folders.read_table(tmp_path)
    text = str(error.value)
    assert r"caf\udce9/1.wav: its name is not UTF-8; rename it" in text
    assert r"on/caf\udce9.wav: its name is not UTF-8; rename it" in text
