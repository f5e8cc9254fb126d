import json
import shutil
from types import SimpleNamespace

import hub_client
import pandas as pd
import pytest
import soundfile
from conftest import TONES

from speech_intent import data, experiment, held_out, provenance
from speech_intent.errors import DataError
from speech_intent.recipes import PLAIN, resolve
from speech_intent.recorder import Recordings
from speech_intent.tables import is_corrected

INTENTS = ("dim", "on")
SPLITS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4


def clips(n: int = 12, split: bool = False, prefix: str = "") -> pd.DataFrame:
    """`n` clips of each of two intents; with `split` the data say which is which."""
    rows = [
        {
            "file_name": f"{intent}_{i}.wav",
            "intent": intent,
            "speaker": "",
            "split": SPLITS[i] if split else "",
            "digest": f"{prefix}{intent}{i}",
        }
        for intent in INTENTS
        for i in range(n)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def model(tmp_path):
    """A model that was trained on `clips()` in `SPLITS`, with seed 5."""
    (tmp_path / "training.json").write_text('{"seed": 5}')
    clips(split=True)[provenance.COLUMNS].to_csv(tmp_path / "clips.csv", index=False)
    return tmp_path


def names(table, split) -> set[str]:
    return set(table.loc[table["split"] == split, "file_name"])


def as_trained(split: str) -> set[str]:
    return names(clips(split=True), split)


def test_the_split_is_the_one_of_training(model, caplog):
    split = held_out.assign_held_out(model, clips(), PLAIN)
    for name in ("train", "validation", "test"):
        assert names(split.table, name) == as_trained(name)
    assert split.note == "as the model was trained"
    assert caplog.text == ""


def test_clips_that_were_added_move_nothing_and_are_told(model, caplog):
    split = held_out.assign_held_out(model, clips(14), PLAIN)
    assert names(split.table, "test") == as_trained("test")
    assert split.note == "as the model was trained; 4 clips are new since then, in no split"
    assert "left out 4 clips that are new since training, such as dim_12.wav" in caplog.text


def test_clips_are_known_by_their_samples_under_other_names(model):
    table = clips()
    table["file_name"] = "moved/" + table["file_name"]
    split = held_out.assign_held_out(model, table, PLAIN)
    assert names(split.table, "test") == {f"moved/{name}" for name in as_trained("test")}


def test_clips_are_known_by_their_names_where_samples_differ_in_the_last_bit(model):
    split = held_out.assign_held_out(model, clips(prefix="elsewhere"), PLAIN)
    assert names(split.table, "test") == as_trained("test")


def test_clips_that_were_converted_are_known_by_their_names_without_suffix(model, caplog):
    table = clips(prefix="lossy")
    table["file_name"] = table["file_name"].str.replace(".wav", ".MP3")
    split = held_out.assign_held_out(model, table[::-1].reset_index(drop=True), PLAIN)
    expected = {name.replace(".wav", ".MP3") for name in as_trained("test")}
    assert names(split.table, "test") == expected
    text = "24 clips have other samples than the clips of these names in training"
    assert text in caplog.text


def test_only_the_suffix_of_audio_is_no_part_of_a_name(model):
    """Of on.0 and on.1, one was trained on and the other tests."""
    table = clips(split=True)
    table["file_name"] = table["file_name"].str.replace("_", ".").str.removesuffix(".wav")
    table[provenance.COLUMNS].to_csv(model / "clips.csv", index=False)
    found = held_out.trained_splits(table.assign(digest="new"), table, "data")
    assert found.tolist() == table["split"].tolist()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_data_without_a_clip_that_may_be_scored_say_what_to_do(model, split):
    table = clips(split=True)
    table = table[table["split"] == "train"].assign(split="")
    new = clips(prefix="new").assign(file_name=[f"{i}.wav" for i in range(24)])
    table = pd.concat([table, new], ignore_index=True)
    with pytest.raises(DataError) as refusal:
        held_out.assign_held_out(model, table, PLAIN, split)
    assert refusal.value.problems == (
        f"none of its clips is in the {split} split that the model was trained with; give the "
        "data a split column, or draw one with evaluate's --seed",
    )
    drawn = held_out.assign_held_out(model, table, PLAIN, split, seed=0)
    assert not names(drawn.table, split) & as_trained("train")


def test_the_same_names_in_another_dataset_mean_nothing(model):
    table = clips(prefix="other")
    table["intent"] = table["intent"].replace({"on": "dim", "dim": "on"})
    split = held_out.assign_held_out(model, table, PLAIN)
    assert split.note.startswith("stratified by clip 30 %, seed 5")


def test_a_dataset_that_the_model_never_saw_is_split_by_its_seed(model):
    table = clips(prefix="other").assign(file_name=[f"{i}.wav" for i in range(24)])
    drawn = {seed: held_out.assign_held_out(model, table, PLAIN, seed=seed) for seed in (None, 5)}
    assert drawn[None].note == drawn[5].note
    assert names(drawn[None].table, "test") == names(drawn[5].table, "test")


def test_a_model_that_lists_no_clips_has_a_seed(model):
    (model / "clips.csv").unlink()
    split = held_out.assign_held_out(model, clips(), PLAIN)
    assert split.note.startswith("stratified by clip 30 %, seed 5")
    again = held_out.assign_held_out(model, clips(), PLAIN, seed=2)
    assert again.note.startswith("stratified by clip 30 %, seed 2")


def test_a_split_that_is_drawn_leaves_out_what_was_learned(model, caplog):
    split = held_out.assign_held_out(model, clips(), PLAIN, seed=1)
    tested = names(split.table, "test")
    assert tested
    assert tested <= as_trained("test")
    n_gone = 8 - len(tested)  # 30 % of 12, of each intent
    assert n_gone > 0
    assert split.note.endswith(
        f"; WARNING: {n_gone} clips that the model was trained on are left out"
    )
    assert f"left out of test {n_gone} clips that the model was trained on, such as" in caplog.text


@pytest.mark.parametrize(
    ("scored", "left"), [("test", {"test"}), ("validation", {"validation", "test"})]
)
def test_splits_of_the_data_hold_but_for_what_was_learned(model, scored, left):
    """All clips are now said to be test clips, or validation clips, or to train."""
    table = clips(split=True)
    table.loc[:5, "split"] = scored
    split = held_out.assign_held_out(model, table, PLAIN, scored)
    expected = {
        row.file_name
        for row, before in zip(table.itertuples(), clips(split=True)["split"], strict=True)
        if row.split == scored and before in left
    }
    assert names(split.table, scored) == expected


def test_training_clips_are_scored_when_that_is_asked_for(model):
    split = held_out.assign_held_out(model, clips(), PLAIN, "train")
    assert names(split.table, "train") == as_trained("train")
    assert "WARNING" not in split.note


def test_validation_is_that_of_training_where_the_data_name_none(model):
    table = clips(14, split=False)
    table["split"] = (["train"] * 8 + ["test"] * 4 + ["train"] * 2) * 2
    split = held_out.assign_held_out(model, table, PLAIN, "validation")
    assert names(split.table, "validation") == as_trained("validation")
    assert split.note == "given"


def test_a_test_of_nothing_but_training_clips_is_refused(model):
    table = clips(6)
    table["split"] = ["train", "train", "train", "validation", "test", "test"] * 2
    with pytest.raises(DataError) as refusal:
        held_out.assign_held_out(model, table, resolve(data="mine"))
    assert refusal.value.problems == ("the model was trained on all 4 test clips; give it others",)


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"seed": null}'])
def test_a_model_whose_seed_is_not_known_gets_0(tmp_path, text):
    if text is not None:
        (tmp_path / "training.json").write_text(text)
    assert held_out.split_seed(tmp_path) == 0
    assert held_out.split_seed(tmp_path, 3) == 3


def test_a_seed_that_was_recorded_is_used(tmp_path):
    (tmp_path / "training.json").write_text('{"seed": 7}')
    assert held_out.split_seed(tmp_path) == 7
    assert held_out.split_seed(tmp_path, 0) == 0


def test_a_run_is_tested_again_on_its_own_clips(tmp_path, write_folder, recipe):
    """Trained with another seed than 0 on data that name no split; then clips are added."""
    folder = write_folder(tmp_path / "data", 6)
    given = recipe(data=folder, freeze="encoder", seed=3)
    experiment.run(given, tmp_path / "out")
    answered = pd.read_csv(tmp_path / "out" / "predictions.csv")["file_name"]
    shutil.rmtree(folder)
    write_folder(folder, 9)
    again = held_out.load_splits(tmp_path / "out" / "model", recipe(data=folder))
    assert again.tables["test"]["file_name"] == answered.tolist()
    drawn = data.load_data(given.with_seed(3)).tables["train"]["file_name"]
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(drawn) & set(answered)  # what the seed alone would have led to
    assert again.note == "as the model was trained; 12 clips are new since then, in no split"
    assert record["seed"] == 3


def test_the_split_of_a_model_on_the_hub_is_published_with_it(
    tmp_path, model, model_folder, monkeypatch
):
    """Trained with seed 5 on data that name no split; as seed 0 would not have split them."""
    hub_client.visit(monkeypatch)
    hub_client.use_cache(monkeypatch, tmp_path / "cache")
    published = shutil.copytree(model_folder, tmp_path / "published")
    for name in ("clips.csv", "training.json"):
        shutil.copy(model / name, published)
    hub_client.upload("tester/split", published)
    recordings = SimpleNamespace(table=clips())
    monkeypatch.setattr(data, "read_recordings", lambda recipe, role: recordings)
    monkeypatch.setattr(data, "make_splits", lambda recordings, split: split)
    split = held_out.load_splits("tester/split", PLAIN)
    assert names(split.table, "test") == as_trained("test")


# Corrected clips


def with_corrections(table: pd.DataFrame, *digests: str) -> pd.DataFrame:
    rows = [
        {"file_name": f"c{i}.flac", "intent": "on", "speaker": "", "split": "", "digest": digest}
        for i, digest in enumerate(digests)
    ]
    more = pd.DataFrame(rows).assign(corrected="yes")
    return pd.concat([table.assign(corrected=""), more], ignore_index=True)


@pytest.mark.parametrize("split", ["test", "validation"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_corrected_clips_are_never_scored_whether_the_model_learned_them_or_not(
    model, split, seed, caplog
):
    """Of the first four, one is new, and others are copies of clips of each split of training."""
    table = with_corrections(clips(), "new", "on0", "on6", "on8")
    learned = with_corrections(clips(split=True), "learned")
    learned = learned.replace({"split": {"": "train"}, "file_name": {"c0.flac": "learned.flac"}})
    learned[provenance.COLUMNS].to_csv(model / "clips.csv", index=False)
    table = pd.concat([table, learned.tail(1).assign(split="")], ignore_index=True)
    assigned = held_out.assign_held_out(model, table, PLAIN, split, seed).table
    marked = assigned[assigned["corrected"] == "yes"]
    assert set(marked["split"]) <= {"train", ""}
    assert names(assigned, split)
    if seed is None:
        assert names(assigned, split) == as_trained(split)
        assert marked["split"].tolist() == ["", "train", "", "", "train"]
        assert caplog.text == ""


def test_corrected_clips_of_given_splits_stay_in_train(model):
    """A model of earlier may have had one in validation."""
    table = with_corrections(clips(split=True), "on6").replace({"split": {"": "train"}})
    recipe = resolve(drop_copies=True)
    assigned = held_out.assign_held_out(model, table, recipe, "validation").table
    assert "c0.flac" not in names(assigned, "validation")


@pytest.mark.parametrize("seed", [None, 3])
def test_a_folder_of_nothing_but_corrected_clips_tests_no_model(model, seed):
    table = with_corrections(clips(), "new").tail(1)
    for split in ("test", "validation"):
        with pytest.raises(DataError, match=f"no clip for {split}: all are corrected ones"):
            held_out.assign_held_out(model, table, PLAIN, split, seed)


def test_a_test_clip_that_was_corrected_and_learned_is_left_out_of_the_test(
    tmp_path, write_folder, recipe, tone, caplog
):
    """Its samples are no 16-bit ones, and were rounded when it was kept."""
    folder = write_folder(tmp_path / "data", 6)
    tested = data.load_data(recipe(data=folder)).tables["test"]["file_name"][0]
    soundfile.write(folder / tested, tone(333, 0.4), 16_000, "FLOAT")
    for intent in TONES:
        for i in range(3):
            soundfile.write(tmp_path / "tone.wav", tone(TONES[intent], 0.4, 50 + i), 16_000)
            Recordings(tmp_path / "mine").keep(tmp_path / "tone.wav", intent, "ann")
    row = Recordings(tmp_path / "mine").keep(folder / tested, "hear_low", "", corrected=True)
    given = recipe(data=tmp_path / "mine", freeze="encoder")
    experiment.run(given, tmp_path / "out")
    assert row["file_name"] in data.load_data(given).tables["train"]["file_name"]
    again = held_out.load_splits(tmp_path / "out" / "model", recipe(data=folder), seed=0)
    assert tested not in again.tables["test"]["file_name"]
    assert f"that the model was trained on, such as {tested}" in caplog.text


# Models that learned from added clips too


@pytest.fixture
def mixed(model):
    """The same model, which learned from the folder voices too: other intents, the same names."""
    own = clips(split=True)[provenance.COLUMNS]
    added = clips(prefix="voice").assign(split="train")
    added["file_name"] = "voices/" + added["file_name"]
    listed = pd.concat([own, added[provenance.COLUMNS]])
    listed.to_csv(model / "clips.csv", index=False)
    return model


def test_people_are_tested_as_if_nothing_had_been_added(mixed):
    split = held_out.assign_held_out(mixed, clips(), resolve(data="people"))
    for name in ("train", "validation", "test"):
        assert names(split.table, name) == as_trained(name)


@pytest.mark.parametrize("prefix", ["voice", "converted"])
def test_clips_that_were_added_are_known_as_trained_on(mixed, prefix):
    """Under the names of people's clips, of which some are test."""
    recipe = resolve(data="/elsewhere/voices")
    with pytest.raises(DataError, match="none of its clips is in the test split"):
        held_out.assign_held_out(mixed, clips(prefix=prefix), recipe)
    with pytest.raises(DataError, match="the model was trained on all 8 test clips"):
        held_out.assign_held_out(mixed, clips(split=True, prefix=prefix), recipe)


def test_data_may_be_test_clips_alone(model):
    table = clips(split=True)
    table = table[table["split"] == "test"].reset_index(drop=True)
    split = held_out.assign_held_out(model, table, PLAIN)
    assert (names(split.table, "test"), split.note) == (as_trained("test"), "given")
    (model / "clips.csv").unlink()
    assert held_out.assign_held_out(model, table, PLAIN).note == "given"


@pytest.mark.parametrize("split", [False, True])
def test_all_clips_of_somebody_else_may_be_scored(model, split):
    table = clips(split=split, prefix="other").assign(file_name=[f"{i}.wav" for i in range(24)])
    assigned = held_out.assign_held_out(model, table, PLAIN, held_out.ALL)
    assert set(assigned.table["split"]) == {"test"}
    assert assigned.note == "all clips"


def test_all_clips_are_those_that_the_model_has_not_learned_from(model, caplog):
    added = clips(prefix="new").assign(file_name=[f"{i}.wav" for i in range(24)])
    table = pd.concat([clips(), added], ignore_index=True)
    assigned = held_out.assign_held_out(model, table, PLAIN, held_out.ALL)
    assert names(assigned.table, "test") == as_trained("test") | set(added["file_name"])
    assert "clips that the model was trained on" in caplog.text
    learned = clips(split=True)
    learned = learned[learned["split"] == "train"].reset_index(drop=True)
    with pytest.raises(DataError, match="was trained on all"):
        held_out.assign_held_out(model, learned, PLAIN, held_out.ALL)


def test_all_clips_have_no_corrected_ones(model):
    table = with_corrections(clips(prefix="other"), "new")
    assigned = held_out.assign_held_out(model, table, PLAIN, held_out.ALL).table
    assert set(assigned.loc[is_corrected(assigned), "split"]) == {""}
    with pytest.raises(DataError, match="all are corrected ones"):
        only = table[is_corrected(table)].reset_index(drop=True)
        held_out.assign_held_out(model, only, PLAIN, held_out.ALL)


def test_all_clips_may_hold_some_that_a_model_without_a_list_learned(model):
    (model / "clips.csv").unlink()
    assigned = held_out.assign_held_out(model, clips(), PLAIN, held_out.ALL)
    assert set(assigned.table["split"]) == {"test"}
    assert "WARNING: the model does not say" in assigned.note
