"""A corrected table: what it changes, what it keeps, and that it replaces nothing."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from conftest import write_csv

from speech_intent import corrected_table, folders
from speech_intent.errors import OutputError, UserError
from speech_intent.findings import Findings
from speech_intent.recipes import Recipe, resolve


def found(recipe: Recipe, suggested: dict[str, str]) -> Findings:
    """Suggest other intents for clips, worst first."""
    listing = folders.read_folder(folders.find_folder(recipe.data), recipe, "part")
    table = listing.table.assign(suggested=listing.table["file_name"].map(suggested).fillna(""))
    is_wrong = table["suggested"] != ""
    table["issues"] = is_wrong.map({True: "cut, wrong label", False: "doubtful label"})
    return Findings(table.iloc[::-1], listing)


def write(folder: Path, suggested: dict[str, str], path: Path, **given) -> list[dict]:
    recipe = resolve(data=folder, **given)
    corrected_table.check_target(path, recipe)
    corrected_table.write(found(recipe, suggested), recipe, path)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_suggested_intents_take_the_place_of_wrong_ones(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", 2, lambda intent, i: {"note": 'a, "b"'})
    before = (folder / "metadata.csv").read_bytes()
    rows = write(folder, {"clips/hear_low_1.wav": "hear_high"}, tmp_path / "new.csv")
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        old = list(csv.DictReader(file))
    assert list(rows[0]) == [*old[0], "intent_before"]
    for row, was in zip(rows, old, strict=True):
        is_changed = row["file_name"] == "clips/hear_low_1.wav"
        assert row["intent"] == ("hear_high" if is_changed else was["intent"])
        assert row["intent_before"] == ("hear_low" if is_changed else "")
        assert row["note"] == was["note"]
    assert (folder / "metadata.csv").read_bytes() == before


def test_a_table_keeps_its_own_columns_and_names(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", 2)
    old = pd.read_csv(folder / "metadata.csv")
    (folder / "metadata.csv").unlink()
    old["file_name"] = old["file_name"].str.removeprefix("clips/")
    old = old.rename(columns={"file_name": "path", "intent": "class"}).assign(intent="unused")
    old.to_csv(folder / "list.tsv", sep="\t", index=False)
    suggested = {"clips/hear_low_1.wav": "hear_high"}
    rows = write(folder, suggested, tmp_path / "new.csv", intent="class")
    assert list(rows[0]) == ["path", "class", "intent", "intent_before"]
    assert {"path": "hear_low_1.wav", "class": "hear_high", "intent": "unused"}.items() <= (
        next(row for row in rows if row["intent_before"]).items()
    )


def test_rows_without_a_clip_stay(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", 2)
    old = pd.read_csv(folder / "metadata.csv").to_dict("records")
    gone = {"file_name": "clips/gone.wav", "intent": "hear_low"}
    write_csv(folder / "metadata.csv", [old[0], gone, *old[1:]])
    rows = write(folder, {"clips/hear_low_1.wav": "hear_high"}, tmp_path / "new.csv")
    assert rows[1] == gone | {"intent_before": ""}
    assert [row["file_name"] for row in rows if row["intent_before"]] == ["clips/hear_low_1.wav"]


def test_a_second_correction_keeps_the_first(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", 2)
    write(folder, {"clips/hear_low_1.wav": "hear_high"}, tmp_path / "new.csv")
    (tmp_path / "new.csv").replace(folder / "metadata.csv")
    rows = write(folder, {"clips/hear_low_0.wav": "hear_upper"}, tmp_path / "newer.csv")
    assert {row["file_name"]: row["intent_before"] for row in rows if row["intent_before"]} == {
        "clips/hear_low_0.wav": "hear_low",
        "clips/hear_low_1.wav": "hear_low",
    }


@pytest.mark.parametrize("layout", ["folders", "splits"])
def test_without_a_single_table_one_is_made_that_wins(tmp_path, write_folder, layout):
    folder = write_folder(tmp_path / "data", 4)
    old = pd.read_csv(folder / "metadata.csv")
    (folder / "metadata.csv").unlink()
    name = "clips/hear_low_1.wav"
    if layout == "splits":
        old.iloc[::2].to_csv(folder / "train.csv", index=False)
        old.iloc[1::2].to_csv(folder / "test.csv", index=False)
    else:
        for row in old.itertuples():
            (folder / row.intent).mkdir(exist_ok=True)
            (folder / row.file_name).rename(folder / row.intent / Path(row.file_name).name)
        (folder / "clips").rmdir()
        name = "hear_low/hear_low_1.wav"
    rows = write(folder, {name: "hear_high"}, folder / "metadata.csv")
    splits = ["split"] if layout == "splits" else []
    assert list(rows[0]) == ["file_name", "intent", *splits, "intent_before"]
    read = folders.read_table(folder).set_index("file_name")
    assert len(read) == 16
    assert (read.loc[name, "intent"], read.loc[name, "intent_before"]) == ("hear_high", "hear_low")
    assert set(read["split"]) == ({"train", "test"} if splits else {""})


def test_nothing_is_overwritten(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", 2)
    recipe = resolve(data=folder)
    old = folder / "metadata.csv"
    before = old.read_bytes()
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "nowhere.csv")
    for path in (old, link):
        with pytest.raises(OutputError, match="is there already"):
            corrected_table.check_target(path, recipe)
        with pytest.raises(OutputError, match="cannot be written"):  # made while clips were heard
            corrected_table.write(found(recipe, {}), recipe, path)
    assert old.read_bytes() == before and not (tmp_path / "nowhere.csv").exists()


def test_a_folder_that_is_not_there_is_named_before_any_work(tmp_path):
    with pytest.raises(OutputError, match="there is no such folder; make it first"):
        corrected_table.check_target(tmp_path / "gone" / "new.csv", resolve(data=tmp_path))


def test_a_dataset_on_the_hub_has_no_table(tmp_path):
    with pytest.raises(UserError, match="is a dataset on the Hub"):
        corrected_table.check_target(tmp_path / "new.csv", resolve(data="user/data"))
