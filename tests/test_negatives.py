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


def collected(recipe, splits) -> dict:
    return {
        split: negatives.of_split(recipe, splits.tables, splits.unknown, split)
        for split in ("train", "validation", "test")
    }


def test_a_pack_stands_in_its_splits(recipe, splits):
    found = collected(recipe(unknown="bundled"), splits)
    for split, table in found.items():
        assert set(kinds(table)) == {"breath", "noise"}
        assert len(table) == UNKNOWN_CLIPS[split]
    label = found["train"].features["label"]
    assert label.names == [*sorted(TONES), "unknown"]
    assert set(found["train"]["label"]) == {len(TONES)}
    for clip, seconds in zip(found["train"]["audio"], found["train"]["seconds"], strict=True):
        waveform = audio.load(clip, RATE)
        assert len(waveform) / RATE == pytest.approx(seconds, abs=1e-3)


def test_no_bar_is_drawn_for_tables(recipe, own, capfd):
    splits = data.load_data(recipe(data=own))
    capfd.readouterr()
    collected(recipe(unknown="bundled"), splits)
    assert capfd.readouterr().err == ""
    assert not datasets.are_progress_bars_disabled()


def test_none_is_none(recipe, splits):
    found = collected(recipe(unknown="none"), splits)
    assert {split: len(table) for split, table in found.items()} == dict.fromkeys(found, 0)
    assert "kind" in found["train"].column_names


def test_with_none_the_datas_own_are_taken(recipe, own):
    splits = data.load_data(recipe(data=own))
    assert splits.tables["train"].features["label"].names == sorted(TONES)
    assert len(splits.tables["train"]) == N_TRAIN
    found = collected(recipe(data=own, unknown="none"), splits)
    assert kinds(found["train"]) == {negatives.OWN: 4}
    assert kinds(found["validation"]) == kinds(found["test"]) == {negatives.OWN: 2}


def test_the_datas_own_stand_beside_the_pack(recipe, own):
    splits = data.load_data(recipe(data=own))
    found = collected(recipe(data=own, unknown="bundled"), splits)
    assert len(found["train"]) == 4 + UNKNOWN_CLIPS["train"]
    assert kinds(found["train"])[negatives.OWN] == 4


@pytest.fixture
def given_folder(tmp_path, tone):
    folder = tmp_path / "heard"
    folder.mkdir()
    for i in range(14):
        soundfile.write(folder / f"{i}.wav", tone(400 + 90 * i, 0.3, i), RATE)
    return folder


def test_a_folders_clips_are_shared_out(recipe, splits, given_folder):
    given = recipe(unknown=given_folder)
    found = collected(given, splits)
    assert kinds(found["train"]) == {negatives.GIVEN: 12}
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
        negatives.of_split(recipe(unknown=tmp_path / "gone"), splits.tables, None, "train")
