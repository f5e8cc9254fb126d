"""Clips of no intent: where they come from, which are taken, and what becomes of the labels."""

import datasets
import numpy as np
import pytest
import soundfile
from conftest import RATE, TONES, UNKNOWN_CLIPS

from speech_intent import audio, data, negatives
from speech_intent.errors import DataError

N_TRAIN = 16  # tones
OWN = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2


@pytest.fixture(scope="module")
def splits(recipe):
    return data.load_data(recipe())


@pytest.fixture(scope="module")
def own(tmp_path_factory, write_folder):
    """The tones, and eight clips whose intent is unknown, however it is spelled."""
    folder = tmp_path_factory.mktemp("own") / "data"
    given = ["train"] * 4 + ["validation"] * 2 + ["test"] * 4
    write_folder(folder, 10, lambda _, i: {"split": given[i]})
    rng = np.random.default_rng(1)
    with (folder / "metadata.csv").open("a", encoding="utf-8") as file:
        for i, split in enumerate(OWN):
            noise = (0.1 * rng.standard_normal(4_800)).astype(np.float32)
            soundfile.write(folder / f"clips/unknown_{i}.wav", noise, RATE)
            file.write(f"clips/unknown_{i}.wav,{['unknown', 'Unknown'][i % 2]},{split}\n")
    return folder


def kinds(table) -> dict[str, int]:
    return {kind: table["kind"].count(kind) for kind in sorted(set(table["kind"]))}


def test_a_pack_stands_in_its_splits_and_mixtures_are_trained_on(recipe, splits):
    found = negatives.collect(recipe(unknown="bundled"), splits.tables, splits.unknown)
    assert kinds(found["train"]) == {"breath": 3, "noise": 3, negatives.MIXED: 4}
    for split in ("validation", "test"):
        assert kinds(found[split]) == {"breath": 1, "noise": 1}
        assert len(found[split]) == UNKNOWN_CLIPS[split]
    label = found["train"].features["label"]
    assert label.names == [*sorted(TONES), "unknown"]
    assert set(found["train"]["label"]) == {len(TONES)}
    for clip, seconds in zip(found["train"]["audio"], found["train"]["seconds"], strict=True):
        waveform = audio.load(clip, RATE)
        assert len(waveform) / RATE == pytest.approx(seconds, abs=1e-3)


def test_no_bar_is_drawn_for_tables(recipe, own, capfd):
    splits = data.load_data(recipe(data=own))
    capfd.readouterr()
    found = negatives.collect(recipe(unknown="bundled"), splits.tables, splits.unknown)
    negatives.with_negatives(splits.tables, found)
    assert capfd.readouterr().err == ""
    assert not datasets.are_progress_bars_disabled()


def test_the_same_clips_are_collected_again(recipe, splits):
    given = recipe(unknown="bundled")
    first, again = (negatives.collect(given, splits.tables) for _ in range(2))
    assert [clip["bytes"] for clip in first["train"]["audio"]] == [
        clip["bytes"] for clip in again["train"]["audio"]
    ]


def test_unknown_becomes_the_last_label_of_training_clips_only(recipe, splits):
    found = negatives.collect(recipe(unknown="bundled"), splits.tables, splits.unknown)
    taught = negatives.with_negatives(splits.tables, found)
    assert taught["train"].features["label"].names[-1] == "unknown"
    assert len(taught["train"]) == N_TRAIN + 10
    labels = taught["train"]["label"]
    assert labels[:N_TRAIN] == splits.tables["train"]["label"]
    assert set(labels[N_TRAIN:]) == {4}
    assert len(set(taught["train"]["speaker"][N_TRAIN:])) == 10  # each is a speaker's own
    for split in ("validation", "test"):
        assert taught[split] is splits.tables[split]


def test_none_is_none(recipe, splits):
    found = negatives.collect(recipe(unknown="none"), splits.tables, splits.unknown)
    assert {split: len(table) for split, table in found.items()} == dict.fromkeys(found, 0)
    assert "kind" in found["train"].column_names


def test_with_none_the_datas_own_are_taken(recipe, own):
    splits = data.load_data(recipe(data=own))
    assert splits.tables["train"].features["label"].names == sorted(TONES)
    assert len(splits.tables["train"]) == N_TRAIN
    found = negatives.collect(recipe(data=own, unknown="none"), splits.tables, splits.unknown)
    assert kinds(found["train"]) == {negatives.OWN: 4, negatives.MIXED: 4}
    assert kinds(found["validation"]) == kinds(found["test"]) == {negatives.OWN: 2}


def test_no_more_are_learned_from_than_training_bears_and_the_datas_own_come_first(
    recipe, own, monkeypatch
):
    monkeypatch.setattr(negatives, "FEWEST", 5)
    monkeypatch.setattr(negatives, "MOST_SHARE", 0.25)  # of 16: mixtures are as many alone
    splits = data.load_data(recipe(data=own))
    given = recipe(data=own, unknown="bundled")
    found = negatives.collect(given, splits.tables, splits.unknown)
    of_train = kinds(found["train"])
    assert of_train.pop(negatives.MIXED) == 4
    assert of_train.pop(negatives.OWN) == 4
    assert sum(of_train.values()) == 1
    assert len(found["test"]) == 4  # those are only counted
    monkeypatch.setattr(negatives, "FEWEST", 3)
    monkeypatch.setattr(negatives, "MOST_SHARE", 0.6)  # 0.35 of 16 clips are 6
    found = negatives.collect(given, splits.tables, splits.unknown)
    assert len(found["train"]) == 6 + 4


@pytest.fixture
def given_folder(tmp_path, tone):
    folder = tmp_path / "heard"
    folder.mkdir()
    for i in range(14):
        soundfile.write(folder / f"{i}.wav", tone(400 + 90 * i, 0.3, i), RATE)
    return folder


def test_a_folders_clips_are_shared_out(recipe, splits, given_folder):
    given = recipe(unknown=given_folder)
    found = negatives.collect(given, splits.tables, splits.unknown)
    assert kinds(found["train"]) == {negatives.GIVEN: 12, negatives.MIXED: 4}
    assert kinds(found["validation"]) == {negatives.GIVEN: 2}
    assert len(found["test"]) == 0
    facts = negatives.facts(given)
    assert facts["folder"] == given_folder.name


def test_the_record_names_the_pack_by_what_it_holds(recipe, unknown_pack):
    facts = negatives.facts(recipe(unknown="bundled"))
    assert facts == {"folder": "bundled", "digest": facts["digest"]}
    assert len(facts["digest"]) == 16


def test_a_folder_that_is_none_is_refused(recipe, splits, tmp_path):
    with pytest.raises(DataError):
        negatives.collect(recipe(unknown=tmp_path / "gone"), splits.tables)
