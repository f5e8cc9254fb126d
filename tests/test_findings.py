"""An audit of tones: what was spoilt comes first, and nothing stops it."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import RATE, TONES, write_csv

from speech_intent import findings
from speech_intent.clip_checks import Finding
from speech_intent.errors import DataError
from speech_intent.paths import BUNDLED
from speech_intent.recipes import resolve

N = 10  # clips an intent


@pytest.fixture
def folder(tmp_path, write_folder):
    return write_folder(tmp_path / "data", N)


@pytest.fixture
def find(encoders):
    def run(folder, **given) -> pd.DataFrame:
        recipe = resolve(data=folder, encoder=encoders["moonshine"], **given)
        return findings.find(recipe).table

    return run


def rows(folder) -> list[dict]:
    table = pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)
    return table.to_dict("records")


def change(folder, changes: dict[str, str]) -> None:
    """Give clips other intents."""
    table = [row | {"intent": changes.get(row["file_name"], row["intent"])} for row in rows(folder)]
    write_csv(folder / "metadata.csv", table)


def add(folder, *more: dict) -> None:
    write_csv(folder / "metadata.csv", [*rows(folder), *more])


def kinds(table: pd.DataFrame, name: str) -> list[str]:
    return table.loc[table["file_name"] == name, "issues"].item().split(", ")


CHANGES = {
    "clips/hear_low_3.wav": "hear_high",
    "clips/hear_high_0.wav": "hear_middle",
    "clips/hear_upper_7.wav": "hear_low",
}


def test_changed_labels_come_first_with_what_they_were(folder, find):
    change(folder, CHANGES)
    table = find(folder)
    first = table.head(3)
    assert set(first["file_name"]) == set(CHANGES)
    assert all("wrong label" in issues for issues in first["issues"])
    for row in first.itertuples():
        assert row.file_name.startswith(f"clips/{row.suggested}_")
        assert row.probability < 0.5 < row.suggested_probability
        assert f"sounds like {row.suggested}" in row.reasons
    assert not table["issues"].iloc[3:].str.contains("label").any()


def test_where_hardly_anybody_speaks_nobody_need(folder, find):
    """Tones, most of which the detector takes for no speech: a finding, and no fault."""
    table = find(folder)
    speechless = table[table["issues"] == "speechless"]
    assert len(speechless) > 20
    assert speechless["score"].max() > 0.9


@pytest.mark.parametrize(("n_speechless", "is_fault"), [(1, True), (2, True), (3, False)])
def test_more_than_half_of_the_clips_say_what_is_usual(n_speechless, is_fault):
    found = [[Finding("speechless", "")]] * n_speechless + [[]] * (4 - n_speechless)
    assert ("speechless" in findings._worst_scores(found)) == is_fault
    assert findings._worst_scores(found)["silent"] == 0


def test_every_clip_has_a_row_and_ranks_follow_scores(folder, find):
    table = find(folder)
    assert list(table.columns) == list(findings.COLUMNS)
    assert sorted(table["file_name"]) == sorted(row["file_name"] for row in rows(folder))
    assert table["rank"].tolist() == list(range(1, 4 * N + 1))
    assert table["score"].is_monotonic_increasing and table["score"].between(0, 1).all()
    assert (table["suggested"] == "").all() and table["suggested_probability"].isna().all()
    assert not table["issues"].str.contains("label|intent|silent|outlier").any()


def test_the_same_seed_finds_the_same(folder, find):
    change(folder, CHANGES)
    pd.testing.assert_frame_equal(find(folder), find(folder))


def test_broken_clips_are_found_and_stop_nothing(folder, find):
    (folder / "clips" / "broken.wav").write_bytes(b"no audio")
    soundfile.write(folder / "clips" / "silent.wav", np.zeros(RATE), RATE)
    shutil.copy(BUNDLED / "audio" / "test-0001.mp3", folder / "clips" / "long.mp3")
    new = ("broken.wav", "silent.wav", "long.mp3")
    add(folder, *({"file_name": f"clips/{name}", "intent": "hear_low"} for name in new))
    table = find(folder)
    assert kinds(table, "clips/broken.wav") == ["unreadable"]
    assert "silent" in kinds(table, "clips/silent.wav")
    assert "long" in kinds(table, "clips/long.mp3")
    assert "speechless" not in kinds(table, "clips/long.mp3")
    assert set(table["file_name"].head(2)) == {"clips/broken.wav", "clips/silent.wav"}
    broken = table[table["file_name"] == "clips/broken.wav"].iloc[0]
    assert np.isnan(broken["probability"]) and broken["suggested"] == ""


def test_one_recording_with_two_intents_is_found_twice(folder, find):
    shutil.copy(folder / "clips/hear_low_0.wav", folder / "clips/again.wav")
    add(folder, {"file_name": "clips/again.wav", "intent": "hear_high"})
    table = find(folder)
    first = table.head(2)
    assert set(first["file_name"]) == {"clips/again.wav", "clips/hear_low_0.wav"}
    assert all("two intents" in issues for issues in first["issues"])
    again = first[first["file_name"] == "clips/again.wav"].iloc[0]
    assert "the same recording as clips/hear_low_0.wav (hear_low)" in again["reasons"]
    assert again["suggested"] == "hear_low"


def test_a_copy_with_the_same_intent_is_no_fault(folder, find):
    shutil.copy(folder / "clips/hear_low_0.wav", folder / "clips/again.wav")
    add(folder, {"file_name": "clips/again.wav", "intent": "hear_low"})
    table = find(folder)
    assert "copy" in kinds(table, "clips/again.wav")
    assert "two intents" not in kinds(table, "clips/again.wav")
    pair = table[table["file_name"].isin(["clips/again.wav", "clips/hear_low_0.wav"])]
    assert pair["probability"].nunique() == 1 and (pair["score"] > 0).all()


def test_a_label_is_not_judged_by_its_own_copy(folder, find):
    """Two copies with the same wrong label would hide each other."""
    shutil.copy(folder / "clips/hear_low_0.wav", folder / "clips/again.wav")
    add(folder, {"file_name": "clips/again.wav", "intent": "hear_low"})
    change(folder, dict.fromkeys(["clips/hear_low_0.wav", "clips/again.wav"], "hear_high"))
    assert set(find(folder).head(2)["file_name"]) == {"clips/hear_low_0.wav", "clips/again.wav"}


def test_a_row_without_an_intent_is_found(folder, find):
    change(folder, {"clips/hear_low_0.wav": ""})
    table = find(folder)
    assert table["file_name"].iloc[0] == "clips/hear_low_0.wav"
    assert "no intent" in kinds(table, "clips/hear_low_0.wav")
    assert "wrong label" not in kinds(table, "clips/hear_low_0.wav")


def test_rows_that_name_no_clip_are_kept_apart(folder, encoders):
    add(folder, {"file_name": "clips/gone.wav", "intent": "hear_low"})
    found = findings.find(resolve(data=folder, encoder=encoders["moonshine"]))
    assert len(found.table) == 4 * N
    (problem,) = found.listing.problems
    assert "clips/gone.wav" in problem and "no such file" in problem


def test_an_intent_with_one_clip_is_not_judged_and_one_with_two_is(folder, find):
    kept = [
        row
        for row in rows(folder)
        if row["intent"] in ("hear_low", "hear_high") or row["file_name"].endswith("_0.wav")
    ]
    kept += [row for row in rows(folder) if row["file_name"] == "clips/hear_upper_1.wav"]
    write_csv(folder / "metadata.csv", kept)
    table = find(folder)
    assert "single clip" in kinds(table, "clips/hear_middle_0.wav")
    single = table[table["file_name"] == "clips/hear_middle_0.wav"].iloc[0]
    assert np.isnan(single["probability"]) and single["suggested"] == ""
    for name in ("clips/hear_upper_0.wav", "clips/hear_upper_1.wav"):
        assert table.loc[table["file_name"] == name, "probability"].item() > 0


def test_two_intents_are_enough(folder, find):
    write_csv(folder / "metadata.csv", rows(folder)[: 2 * N])
    change(folder, {"clips/hear_low_1.wav": "hear_high"})
    table = find(folder)
    assert table["file_name"].iloc[0] == "clips/hear_low_1.wav"
    assert table["suggested"].iloc[0] == "hear_low"


def test_odd_names_are_nothing_special(tmp_path, tone, find):
    """A folder for each intent: names that no table could hold."""
    folder = tmp_path / "data"
    for intent in ("on, off", "<b>dim</b>"):
        (folder / intent.replace("/", "")).mkdir(parents=True)
    names = [folder / "on, off" / f'a, "{i}"\n.wav' for i in range(3)]
    names += [folder / "<b>dim<b>" / f"'{i}';.wav" for i in range(3)]
    for i, name in enumerate(names):
        soundfile.write(name, tone(787 if i < 3 else 3171, 0.4, i) if i else np.zeros(RATE), RATE)
    table = find(folder)
    assert set(table["file_name"]) == {name.relative_to(folder).as_posix() for name in names}
    assert "silent" in kinds(table, 'on, off/a, "0"\n.wav')


def test_speakers_texts_and_splits_are_kept(tmp_path, write_folder, find):
    def columns(intent, i):
        return {"speaker": f"s{i}", "text": f"{intent} {i}", "split": "train" if i else "test"}

    folder = write_folder(tmp_path / "spoken", 4, columns)
    row = find(folder).set_index("file_name").loc["clips/hear_low_0.wav"]
    assert (row["speaker"], row["text"], row["split"]) == ("s0", "hear_low 0", "test")


@pytest.mark.parametrize(
    ("kept", "problem"),
    [
        (["hear_low_0", "hear_low_1"], "there is one intent only"),
        (["hear_low_0", "hear_high_0"], "no intent has two different clips"),
    ],
)
def test_too_little_to_compare_is_said(folder, find, kept, problem):
    names = [f"clips/{name}.wav" for name in kept]
    write_csv(folder / "metadata.csv", [row for row in rows(folder) if row["file_name"] in names])
    with pytest.raises(DataError, match=problem):
        find(folder)


def test_unreadable_clips_are_named_where_none_is_left(folder, find):
    for row in rows(folder):
        (folder / row["file_name"]).write_bytes(b"no audio")
    with pytest.raises(DataError) as error:
        find(folder)
    assert error.value.problems[0] == "it has no clip that can be read and has an intent"
    assert len(error.value.problems) == 1 + len(TONES) * N
