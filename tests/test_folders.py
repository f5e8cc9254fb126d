import random

import pandas as pd
import pytest
from test_table_files import mutated

from speech_intent import folders
from speech_intent.errors import DataError
from speech_intent.recipes import Recipe

INTENTS = ("hear_high", "hear_low", "hear_middle", "hear_upper")


@pytest.fixture
def folder(tmp_path, write_folder):
    """Four intents with 3 clips each and nothing else said of them."""
    return write_folder(tmp_path / "data", 3, seconds=0.05)


def read(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)


def change(folder, table: pd.DataFrame) -> None:
    table.to_csv(folder / "metadata.csv", index=False)


def problems_of(folder) -> list[str]:
    with pytest.raises(DataError) as error:
        folders.read_table(folder)
    assert error.value.name == str(folder)
    return list(error.value.problems)


# What is read


def test_clips_stay_in_their_files(folder):
    listing = folders.read_folder(folder)
    assert list(listing.table.columns) == ["file_name", "intent", "speaker", "split"]
    assert len(listing.table) == len(listing.clips) == 12
    assert listing.problems == ()
    for name, clip in zip(listing.table["file_name"], listing.clips["audio"], strict=True):
        assert clip == {"bytes": None, "path": str(folder / name)}


def test_a_split_column_gets_its_usual_names(tmp_path, write_folder):
    given = ["Training", "dev", "TEST"]
    folder = write_folder(tmp_path / "d", 3, lambda _, i: {"split": given[i]}, seconds=0.05)
    table = folders.read_table(folder)
    numbers = table["file_name"].str[-5].astype(int)
    assert list(table["split"]) == [("train", "validation", "test")[i] for i in numbers]


@pytest.mark.parametrize("place", ["csv", "."])
@pytest.mark.parametrize("with_validation", [True, False])
def test_csv_files_of_the_splits_are_read(folder, place, with_validation):
    table = read(folder)
    (folder / "metadata.csv").unlink()
    (folder / place).mkdir(exist_ok=True)
    numbers = table["file_name"].str[-5].astype(int)
    parts = {"train": table[numbers == 0], "test": table[numbers == 2]}
    if with_validation:
        parts["validation"] = table[numbers == 1]
    for split, part in parts.items():
        part.to_csv(folder / place / f"{split}.csv", index=False)
    found = folders.read_table(folder)
    assert len(found) == (12 if with_validation else 8)
    for split, part in parts.items():
        names = found.loc[found["split"] == split, "file_name"]
        assert sorted(names) == sorted(part["file_name"])


def test_byte_order_mark_blanks_and_other_columns_are_no_obstacle(folder):
    table = read(folder).assign(text="turn it on, please", engine="x")
    columns = ["engine", "file_name", "text", "intent"]
    text = table[columns].to_csv(index=False).replace("intent\n", " intent \n", 1)
    (folder / "metadata.csv").write_text(text, encoding="utf-8-sig")
    found = folders.read_table(folder)
    assert set(found["text"]) == {"turn it on, please"}
    assert list(found.columns) == ["file_name", "intent", "speaker", "split", "engine", "text"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_seen_in_the_header(folder, separator):
    read(folder).to_csv(folder / "metadata.csv", sep=separator, index=False)
    assert sorted(folders.read_table(folder)["intent"].unique()) == list(INTENTS)


@pytest.mark.parametrize("name", ["NA", "lights: on", "$5_or_$6", "a/b", "../x", "true"])
def test_an_intent_may_be_called_anything(folder, name):
    table = read(folder)
    change(folder, table.assign(intent=table["intent"].replace("hear_low", name)))
    assert name in set(folders.read_table(folder)["intent"])


def test_windows_separators_in_file_names_are_understood(folder):
    table = read(folder)
    change(folder, table.assign(file_name=table["file_name"].str.replace("/", "\\")))
    assert list(folders.read_table(folder)["file_name"]) == list(table["file_name"])


def test_a_linked_folder_and_links_within_it_are_followed(folder, tmp_path):
    (folder / "clips").rename(folder / "elsewhere")
    (folder / "clips").symlink_to("elsewhere")
    (tmp_path / "linked").symlink_to(folder)
    assert len(folders.read_table(tmp_path / "linked")) == 12


def test_the_hubs_cache_links_its_files_to_blobs_beside_them(folder, tmp_path):
    repo = tmp_path / "datasets--me--mine"
    (repo / "blobs").mkdir(parents=True)
    snapshot = folder.rename((repo / "snapshots").mkdir() or repo / "snapshots" / "0123")
    for i, path in enumerate(sorted((snapshot / "clips").iterdir())):
        path.symlink_to(path.rename(repo / "blobs" / str(i)))
    assert len(folders.read_table(snapshot)) == 12


def test_a_recipe_says_how_columns_are_called_and_names_numbered_intents(folder):
    table = read(folder)
    numbers = table["intent"].map({name: i for i, name in enumerate(INTENTS)})
    columns = {"path": table["file_name"], "class": numbers, "who": "ann"}
    change(folder, pd.DataFrame(columns))
    recipe = Recipe(file_name="path", intent="class", speaker="who", intents=INTENTS)
    found = folders.read_table(folder, recipe)
    assert list(found["intent"]) == list(table["intent"])
    assert set(found["speaker"]) == {"ann"}


# What is refused


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError) as error:
        folders.find_folder(tmp_path / "gone")
    assert error.value.problems == (
        "there is no such folder; give one with metadata.csv, a zip of it, or 'bundled'",
    )


def test_speakers_that_look_alike_are_told(folder, caplog):
    speakers = ["ann", "Ann", "ben"] * 4
    change(folder, read(folder).assign(speaker=speakers))
    assert sorted(set(folders.read_table(folder)["speaker"])) == ["Ann", "ann", "ben"]
    assert "'Ann' (4 of the clips)" in caplog.text


def test_a_folder_that_cannot_be_read(tmp_path):
    assert problems_of(tmp_path / "gone") == ["it cannot be read (No such file or directory)"]


def test_a_folder_without_tables(tmp_path):
    (problem,) = problems_of(tmp_path)
    assert problem.startswith("it has neither metadata.csv nor anything else")


def test_missing_columns_are_named_beside_those_found(folder):
    change(folder, read(folder).rename(columns={"intent": "class"}))
    assert problems_of(folder) == [
        "metadata.csv: has no column 'intent'; it has file_name, class",
    ]


def test_missing_columns_of_several_files_are_all_named(folder):
    (folder / "metadata.csv").unlink()
    (folder / "csv").mkdir()
    (folder / "csv" / "train.csv").write_text("clip,intent\na.wav,on\n")
    (folder / "csv" / "test.csv").write_text("file_name,class\na.wav,on\n")
    assert sorted(problems_of(folder)) == [
        "csv/test.csv: has no column 'intent'; it has file_name, class",
        "csv/train.csv: has no column 'file_name'; it has clip, intent",
    ]


def test_rows_longer_than_the_header_do_not_shift_the_columns(folder):
    lines = (folder / "metadata.csv").read_text().splitlines()
    lines[2] += ",please"
    (folder / "metadata.csv").write_text("\n".join(lines))
    problem = "has 3 fields under 2 columns; put quotes around a field that holds the separator"
    assert problems_of(folder) == [f"metadata.csv: line 3: {problem}"]
    assert len(folders.read_folder(folder).table) == 11


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"file_name,intent\n", "has no rows"),
        (b"\xff\xfe\x00", "begins as UTF-16-LE, and is cut off or damaged; save it again"),
    ],
)
def test_a_table_that_cannot_be_read(folder, content, problem):
    (folder / "metadata.csv").write_bytes(content)
    assert problems_of(folder) == [f"metadata.csv: {problem}"]


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
    table = read(folder).assign(split=["train", "test"] * 6)
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


@pytest.mark.parametrize(
    "spelling", ["../outside.wav", "clips/../../outside.wav", "{parent}/outside.wav"]
)
def test_a_clip_that_is_there_but_outside_the_folder_is_refused(folder, spelling):
    (folder / "clips" / "hear_low_0.wav").rename(folder.parent / "outside.wav")
    name = spelling.format(parent=folder.parent)
    table = read(folder)
    row = list(table["file_name"]).index("clips/hear_low_0.wav")
    table.loc[row, "file_name"] = name
    change(folder, table)
    problem = "file_name leaves the folder; it must be relative to it, without '..'"
    assert problems_of(folder) == [f"metadata.csv: line {row + 2} ({name}): {problem}"]


def test_other_links_out_of_the_folder_are_refused(folder, tmp_path):
    (folder / "clips").rename(tmp_path / "elsewhere")
    (folder / "clips").symlink_to(tmp_path / "elsewhere")
    problems = problems_of(folder)
    assert len(problems) == 12
    name = read(folder)["file_name"][0]
    problem = "is a link that leaves the folder; copy the file into it"
    assert problems[0] == f"metadata.csv: line 2 ({name}): {problem}"


def test_a_long_name_hides_no_other_problem(folder):
    table = read(folder)
    table.loc[3, "file_name"] = "x" * 300
    table.loc[5, "file_name"] = "clips/gone.wav"
    change(folder, table)
    long, gone = problems_of(folder)
    assert long.endswith(": there is no such file to be read (File name too long)")
    assert gone == "metadata.csv: line 7 (clips/gone.wav): there is no such file"


def test_any_damage_is_listed_or_refused(folder):
    data = (folder / "metadata.csv").read_bytes()
    rng = random.Random(1)
    n_refused = 0
    for _ in range(400):
        (folder / "metadata.csv").write_bytes(mutated(data, rng))
        try:
            n_refused += bool(folders.read_folder(folder).problems)
        except DataError as error:
            n_refused += bool(str(error))
    assert n_refused > 300
