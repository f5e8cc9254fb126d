"""New clips, compared with what a model was made of."""

import logging
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import RATE, write_csv

from speech_intent import data, provenance
from speech_intent.errors import DataError
from speech_intent.new_clips import read_new_clips
from speech_intent.recipes import resolve

LABELS = ["hear_high", "hear_low"]


@pytest.fixture(scope="module")
def known(recipe):
    """The clips of a model that knows all four tones."""
    return provenance.clips_of(data.load_data(recipe()).tables)


def write(folder, tone, names, **columns):
    """Write a tone a clip; the names tell the intent."""
    rows = []
    folder.mkdir(exist_ok=True)
    for i, intent in enumerate(names):
        soundfile.write(folder / f"{i}.wav", tone(2311, 0.4, 500 + i), RATE)
        row = {"file_name": f"{i}.wav", "intent": intent}
        rows.append(row | {name: values[i] for name, values in columns.items()})
    write_csv(folder / "metadata.csv", rows)
    return folder


def read(folder, known, labels=LABELS, **options):
    return read_new_clips(resolve(data=folder, **options), labels, known)


def problems(folder, known, **options) -> str:
    with pytest.raises(DataError) as error:
        read(folder, known, **options)
    return " | ".join(error.value.problems)


def test_one_intent_is_enough_and_clips_without_a_split_are_learned_from(tmp_path, tone, known):
    clips = read(write(tmp_path, tone, ["turn_on"] * 3, speaker=["a", "b", "a"]), known)
    assert clips.intents("train") == ["turn_on"] * 3
    assert clips.tables["train"]["speaker"] == ["a", "b", "a"]
    assert clips.intents("validation") == []
    assert list(clips.listing.columns) == provenance.COLUMNS
    assert clips.listing["split"].tolist() == ["train"] * 3


@pytest.mark.parametrize("wrapping", ["", "all"])
def test_a_folder_of_one_intent_names_it(tmp_path, tone, known, wrapping):
    inner = tmp_path / "data" / wrapping / "turn_on"
    inner.parent.mkdir(parents=True)
    write(inner, tone, ["x"] * 2)
    (inner / "metadata.csv").unlink()
    assert read(tmp_path / "data", known).intents("train") == ["turn_on"] * 2


def test_a_zip_of_one_intents_folder_does(tmp_path, tone, known):
    inner = tmp_path / "data" / "turn_on"
    inner.parent.mkdir()
    write(inner, tone, ["x"] * 2)
    (inner / "metadata.csv").unlink()
    path = shutil.make_archive(str(tmp_path / "clips"), "zip", tmp_path / "data")
    assert read(path, known).intents("train") == ["turn_on"] * 2


def test_splits_that_the_data_name_hold(tmp_path, tone, known):
    splits = ["train", "train", "validation", "test"]
    clips = read(write(tmp_path, tone, ["turn_on"] * 4, split=splits), known)
    assert [len(clips.tables[name]) for name in ("train", "validation", "test")] == [2, 1, 1]
    assert sorted(clips.listing["split"]) == sorted(splits)


@pytest.mark.parametrize("name", ["Hear_High", "hear high", "hear-high", "HEAR_HIGH "])
def test_a_name_that_looks_like_an_old_one_is_refused(tmp_path, tone, known, name):
    words = problems(write(tmp_path, tone, [name] * 2), known)
    assert "looks like 'hear_high', which the model knows; write 'hear_high'" in words


def test_an_old_intents_own_name_is_none_of_those(tmp_path, tone, known):
    clips = read(write(tmp_path, tone, ["hear_low"] * 2), known)
    assert clips.intents("train") == ["hear_low"] * 2


def test_one_clip_of_an_intent_is_too_few(tmp_path, tone, known):
    folder = write(tmp_path, tone, ["turn_on", "turn_off", "turn_off"])
    assert problems(folder, known) == (
        "intent 'turn_on' has one new clip to learn from; record more"
    )


def test_an_intent_that_is_only_tested_is_refused(tmp_path, tone, known):
    splits = ["train", "train", "validation", "test"]
    folder = write(tmp_path, tone, ["a_", "a_", "b_", "hear_low"], split=splits)
    assert problems(folder, known) == "intent 'b_' is in validation or test, and not in train"


def test_clips_for_testing_only_teach_nothing(tmp_path, tone, known):
    folder = write(tmp_path, tone, ["a_", "a_"], split=["test", "test"])
    assert "no clips to learn from" in problems(folder, known)


def test_the_models_own_clips_are_left_out_and_named(tmp_path, tone, known, tone_folder, caplog):
    folder = write(tmp_path, tone, ["turn_on"] * 3)
    for i, old in enumerate(("hear_low_0", "hear_high_9")):  # train, test
        shutil.copy(tone_folder / "clips" / f"{old}.wav", folder / f"{i + 3}.wav")
    rows = [{"file_name": f"{i}.wav", "intent": "turn_on"} for i in range(5)]
    write_csv(folder / "metadata.csv", rows)
    with caplog.at_level(logging.WARNING, "speech_intent"):
        clips = read(folder, known)
    assert list(clips.listing["file_name"]) == ["0.wav", "1.wav", "2.wav"]
    assert "left out 2 clips that the model was made with" in caplog.text
    assert "1 in train" in caplog.text and "1 in test" in caplog.text


def test_data_that_the_model_was_made_with_teach_nothing(known, tone_folder):
    words = problems(tone_folder, known)
    assert words.startswith("the model was made with all 40 clips (")
    assert "16 in train" in words


def test_copies_are_learned_from_once(tmp_path, tone, known, caplog):
    folder = write(tmp_path, tone, ["turn_on"] * 3)
    shutil.copy(folder / "0.wav", folder / "1.wav")
    assert len(read(folder, known).listing) == 2
    assert "have the samples of another clip" in caplog.text


def test_copies_on_both_sides_of_a_split_are_refused_or_dropped(tmp_path, tone, known):
    splits = ["train", "train", "train", "test"]
    folder = write(tmp_path, tone, ["turn_on"] * 4, split=splits)
    shutil.copy(folder / "0.wav", folder / "3.wav")
    assert "have the same samples" in problems(folder, known)
    clips = read(folder, known, drop_copies=True)
    assert sorted(clips.listing["split"]) == ["test", "train", "train"]


def test_a_broken_clip_is_named(tmp_path, tone, known):
    folder = write(tmp_path, tone, ["turn_on"] * 3)
    soundfile.write(folder / "1.wav", np.array([np.nan] * 8000, np.float32), RATE, subtype="FLOAT")
    assert "1.wav: has NaN or infinite samples" in problems(folder, known)


def test_a_model_without_any_listed_clip_takes_all(tmp_path, tone):
    nothing = pd.DataFrame(columns=provenance.COLUMNS, dtype=str)
    assert len(read(write(tmp_path, tone, ["turn_on"] * 2), nothing).listing) == 2


def test_clips_of_no_intent_are_left_out(tmp_path, tone, known, caplog):
    clips = read(write(tmp_path, tone, ["turn_on", "turn_on", "Unknown"]), known)
    assert clips.intents("train") == ["turn_on"] * 2
    assert clips.tables["train"].features["label"].names == ["turn_on"]
    assert len(clips.listing) == 2
    assert "left out 1 clips whose intent is unknown; only `train` learns from them" in caplog.text


def test_clips_of_no_intent_alone_are_refused(tmp_path, tone, known):
    write(tmp_path, tone, ["unknown"] * 3)
    assert problems(tmp_path, known).startswith("it has no clips to learn from")
