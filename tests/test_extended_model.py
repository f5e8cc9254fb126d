"""A model that knows one intent more: what is written, what stays, what is refused."""

import json
import shutil
from pathlib import Path

import hub_client
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from conftest import RATE, TONES, write_csv
from transformers import AutoConfig, AutoModelForAudioClassification, pipeline

from speech_intent import (
    audio,
    data,
    evaluation,
    extended_model,
    held_out,
    onnx_export,
    provenance,
    run_folder,
    training,
)
from speech_intent.digests import sha256
from speech_intent.errors import DataError, ModelError, OutputError
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import resolve

THREE = ("hear_high", "hear_low", "hear_upper")
NEW = "hear_middle"  # stands between them


def train_three(recipe, folder, write_folder, encoder, **changed) -> Path:
    splits = ["train"] * 4 + ["validation"] * 3 + ["test"] * 3
    write_folder(folder / "data", 10, lambda _, i: {"split": splits[i]}, THREE)
    given = recipe(data=folder / "data", encoder=encoder, freeze="encoder", **changed)
    training.fine_tune(given, data.load_data(given).tables, folder / "run")
    return folder / "run" / "model"


@pytest.fixture(scope="module")
def three(tmp_path_factory, recipe, write_folder, encoders) -> Path:
    """A model that knows three of the tones."""
    folder = tmp_path_factory.mktemp("three")
    options = {"unknown": "bundled"}
    return train_three(recipe, folder, write_folder, encoders["wav2vec2_layer"], **options)


def write_new(folder: Path, tone, intent=NEW, n=5, first=50) -> Path:
    folder.mkdir(parents=True)
    rows = []
    for i in range(n):
        soundfile.write(folder / f"{i}.wav", tone(TONES[NEW], 0.4, first + i), RATE)
        rows.append({"file_name": f"{i}.wav", "intent": intent})
    write_csv(folder / "metadata.csv", rows)
    return folder


@pytest.fixture(scope="module")
def new(tmp_path_factory, tone) -> Path:
    """Five clips of the fourth tone."""
    return write_new(tmp_path_factory.mktemp("new") / "data", tone)


@pytest.fixture(scope="module")
def added(tmp_path_factory, three, new):
    """What is written where the fourth tone is added, and what is returned."""
    folder = tmp_path_factory.mktemp("added") / "out"
    return folder, extended_model.add_intent(str(three), resolve(data=new), folder)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForAudioClassification.from_pretrained(folder).state_dict()


# What is written


def test_a_complete_model_is_written_and_the_old_one_stays(tmp_path, three, new):
    before = contents(three)
    result = extended_model.add_intent(str(three), resolve(data=new), tmp_path / "out")
    assert contents(three) == before
    assert json.loads((tmp_path / "out" / "added.json").read_text()) == result
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "model", "added.json"}
    assert set(contents(tmp_path / "out" / "model")) == set(before)


def test_the_new_intent_stands_in_its_place(added):
    config = AutoConfig.from_pretrained(added[0] / "model")
    assert list(config.id2label.values()) == sorted([*THREE, NEW])
    assert config.label2id == {label: i for i, label in config.id2label.items()}


def test_the_model_answers_all_intents(added, tone):
    classifier = IntentClassifier.from_pretrained(added[0] / "model")
    right = [
        classifier.predict((tone(frequency, 0.4, 900 + i), RATE)).label == intent
        for intent, frequency in TONES.items()
        for i in range(10)
    ]
    assert np.mean(right) > 0.8


def test_transformers_pipeline_gives_the_same_scores(added, tone):
    clip = tone(TONES[NEW], 0.4, 999)
    ours = dict(IntentClassifier.from_pretrained(added[0] / "model").predict((clip, RATE)).scores)
    classify = pipeline("audio-classification", model=str(added[0] / "model"))
    theirs = classify({"raw": clip, "sampling_rate": RATE}, top_k=None)
    assert {each["label"]: each["score"] for each in theirs} == pytest.approx(ours, abs=1e-4)


def test_the_counts_are_those_of_the_two_models(added, three, tone_folder):
    folder, result = added
    clips = [tone_folder / "clips" / f"{intent}_{i}.wav" for intent in THREE for i in (4, 5, 6)]
    truth = [intent for intent in THREE for _ in range(3)]
    for name, model in (("before", three), ("after", folder / "model")):
        classifier = IntentClassifier.from_pretrained(model)
        right = [
            classifier.predict(clip).label == intent
            for clip, intent in zip(clips, truth, strict=True)
        ]
        assert result["old"][name]["correct"] == sum(right)
        for intent in THREE:
            n = sum(r for r, t in zip(right, truth, strict=True) if t == intent)
            assert result["per_intent"][intent][name] == n
    assert result["old"]["n"] == 9
    entry = result["added"][NEW]
    assert (entry["n"], entry["is_new"], entry["held_out"]) == (5, True, "clips")


def test_the_record_says_what_was_added_to_what(added, three, new):
    record = json.loads((added[0] / "model" / "training.json").read_text())
    before = json.loads((three / "training.json").read_text())
    assert record["encoder"] == before["encoder"]
    assert record["hyperparameters"] == before["hyperparameters"]
    assert "best_validation" not in record  # it was the other model's
    (entry,) = record["added"]
    assert entry["model"] == str(three)
    assert entry["weights"] == {"model.safetensors": sha256(three / "model.safetensors")}
    assert entry["data"] == str(new)
    assert entry["clips"] == {NEW: 5}
    assert entry["validation"] == added[1]["old"]
    assert record["sources"][:-1] == before["sources"]
    assert record["sources"][-1] == {
        "role": "added",
        "name": str(new),
        "place": "folder",
        "called": new.name,
    }
    file = added[0] / "model" / "pooled.safetensors"
    assert record["pooled_digest"] == sha256(file) != before["pooled_digest"]


def test_no_clip_that_was_added_is_tested_on(added, three, new, tone):
    folder = shutil.copytree(new, added[0].parent / "more")
    splits = ["test"] * 8 + ["train", "validation"] * 2
    intents = [NEW] * 10 + ["hear_low"] * 2
    rows = []
    for i, (intent, split) in enumerate(zip(intents, splits, strict=True)):
        rows.append({"file_name": f"{i}.wav", "intent": intent, "split": split})
        if i >= 5:
            soundfile.write(folder / f"{i}.wav", tone(TONES[intent], 0.4, 200 + i), RATE)
    write_csv(folder / "metadata.csv", rows)
    splits = held_out.load_splits(added[0] / "model", resolve(data=folder))
    assert sorted(splits.tables["test"]["file_name"]) == ["5.wav", "6.wav", "7.wav"]
    listed = provenance.read_clips(added[0] / "model")
    assert len(listed) == len(provenance.read_clips(three)) + 5
    assert set(listed.loc[listed["intent"] == NEW, "split"]) == {"train"}


def test_temperature_and_threshold_are_fitted_again(added, three):
    before = AutoConfig.from_pretrained(three)
    after = AutoConfig.from_pretrained(added[0] / "model")
    assert after.rejection_digest == sha256(added[0] / "model" / "unknown.safetensors")
    assert after.rejection_digest != before.rejection_digest
    assert added[1]["threshold"] is None
    assert added[1]["temperature"] == after.calibration_temperature
    assert after.calibration_temperature != before.calibration_temperature


def test_what_is_not_answered_is_settled_anew_on_all_validation_clips(added, three):
    """What was learned of clips of no intent stays."""
    assert added[1]["old"]["after"]["n"] == 9
    record = added[1]["unknown"]
    assert (record["promise"], record["share"], record["kept"]) == ("accept", 0.95, False)
    before = IntentClassifier.from_pretrained(three).rejection
    after = IntentClassifier.from_pretrained(added[0] / "model").rejection
    np.testing.assert_array_equal(after.unknown, before.unknown)
    assert (len(before.centres), len(after.centres)) == (3, 4)
    assert record["answered"] == record["n"]  # too few clips for more


def test_a_threshold_of_somebodys_own_stays(tmp_path, three, new):
    folder = shutil.copytree(three, tmp_path / "model")
    record = json.loads((folder / "training.json").read_text())
    record["hyperparameters"]["target_precision"] = None
    (folder / "training.json").write_text(json.dumps(record))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rejection_threshold": 0.123}))
    result = extended_model.add_intent(str(folder), resolve(data=new), tmp_path / "out")
    assert result["threshold"] == 0.123


def test_a_model_without_a_threshold_gets_none(tmp_path, model_folder, tone):
    new = write_new(tmp_path / "new", tone, "something_else")
    result = extended_model.add_intent(str(model_folder), resolve(data=new), tmp_path / "out")
    assert result["threshold"] is None
    assert not hasattr(AutoConfig.from_pretrained(tmp_path / "out/model"), "rejection_threshold")


def test_a_licence_comes_along_and_an_onnx_form_does_not(tmp_path, three, new):
    folder = shutil.copytree(three, tmp_path / "model")
    (folder / "LICENSE").write_text("MIT")
    onnx_export.export(folder)
    result = extended_model.add_intent(str(folder), resolve(data=new), tmp_path / "out")
    names = set(contents(tmp_path / "out" / "model"))
    assert "LICENSE" in names and not names & {"onnx", "onnx.json"}
    assert result["had_onnx"]
    onnx_export.export(tmp_path / "out" / "model")


# What stays


def test_every_family_keeps_its_encoder_and_the_logits_of_old_intents(
    tmp_path, recipe, write_folder, encoder, new, tone
):
    """Heads with a projector, and Moonshine's without one."""
    model = train_three(recipe, tmp_path, write_folder, encoder)
    extended_model.add_intent(str(model), resolve(data=new), tmp_path / "out")
    before, after = weights(model), weights(tmp_path / "out" / "model")
    heads = ("projector.", "classifier.")
    assert set(before) == set(after)
    for name, weight in before.items():
        if not name.startswith(heads):
            assert torch.equal(weight, after[name]), name
    models = [IntentClassifier.from_pretrained(f).model for f in (model, tmp_path / "out/model")]
    clips = [tone(frequency, 0.4, 700) for frequency in TONES.values()]
    temperatures = [each.network.config.calibration_temperature for each in models]
    old, now = (each(clips) * t for each, t in zip(models, temperatures, strict=True))
    np.testing.assert_allclose(now[:, [0, 1, 3]], old, atol=2e-3)


def test_a_fine_tuned_model_takes_an_intent(tmp_path, model_folder, tone):
    folder = tmp_path / "new"
    write_new(folder, tone, "hear_top")
    for i in range(5):
        soundfile.write(folder / f"{i}.wav", tone(5021, 0.4, i), RATE)
    result = extended_model.add_intent(str(model_folder), resolve(data=folder), tmp_path / "out")
    classifier = IntentClassifier.from_pretrained(tmp_path / "out" / "model")
    assert classifier.labels == sorted([*TONES, "hear_top"])
    assert result["old"]["after"]["correct"] >= result["old"]["before"]["correct"] - 2


def test_intents_are_added_one_after_the_other(tmp_path, added, tone):
    new = write_new(tmp_path / "new", tone, "a_fifth", first=80)
    for i in range(5):
        soundfile.write(new / f"{i}.wav", tone(431, 0.4, i), RATE)
    first = added[0] / "model"
    result = extended_model.add_intent(str(first), resolve(data=new), tmp_path / "out")
    record = json.loads((tmp_path / "out/model/training.json").read_text())
    assert [list(entry["clips"]) for entry in record["added"]] == [[NEW], ["a_fifth"]]
    assert result["per_intent"][NEW]["n"] == 0
    assert result["old"]["n"] == 9
    assert len(provenance.read_clips(tmp_path / "out/model")) == 30 + 5 + 5


def test_more_clips_of_an_old_intent_add_no_label(tmp_path, three, tone):
    folder = write_new(tmp_path / "new", tone, "hear_low")
    for i in range(5):
        soundfile.write(folder / f"{i}.wav", tone(TONES["hear_low"], 0.4, 400 + i), RATE)
    result = extended_model.add_intent(str(three), resolve(data=folder), tmp_path / "out")
    assert not result["added"]["hear_low"]["is_new"]
    assert IntentClassifier.from_pretrained(tmp_path / "out/model").labels == list(THREE)
    assert result["old"]["after"]["correct"] >= result["old"]["before"]["correct"] - 1


def test_silent_clips_are_warned_of_and_no_fault(tmp_path, three, caplog):
    folder = tmp_path / "new"
    folder.mkdir()
    for i in range(3):
        soundfile.write(folder / f"{i}.wav", np.zeros(6_000 + i), RATE)
    rows = [{"file_name": f"{i}.wav", "intent": "nothing"} for i in range(3)]
    write_csv(folder / "metadata.csv", rows)
    extended_model.add_intent(str(three), resolve(data=folder), tmp_path / "out")
    assert "is silent" in caplog.text
    classifier = IntentClassifier.from_pretrained(tmp_path / "out/model")
    scores = classifier.predict(folder / "0.wav", limit=9).scores
    assert np.isfinite([score for _, score in scores]).all()


def test_of_a_long_clip_the_beginning_is_learned(tmp_path, three, new, tone, monkeypatch):
    seconds = []
    load = audio.load

    def watch(*args, **kwargs):
        waveform = load(*args, **kwargs)
        seconds.append(len(waveform) / RATE)
        return waveform

    monkeypatch.setattr(audio, "load", watch)
    folder = shutil.copytree(new, tmp_path / "new")
    soundfile.write(folder / "0.wav", tone(TONES[NEW], 17.0, 3), RATE)
    extended_model.add_intent(str(three), resolve(data=folder), tmp_path / "out")
    assert max(seconds) == 15.0


# What is refused, and what a fault leaves


def refused(kind, model, data_folder, out) -> str:
    with pytest.raises(kind) as error:
        extended_model.add_intent(str(model), resolve(data=data_folder), out)
    assert not (out / "model").exists() or kind is OutputError
    return str(error.value)


def test_results_are_never_written_over(added, three, new):
    before = contents(added[0] / "model")
    assert "holds a finished run" in refused(OutputError, three, new, added[0])
    run = three.parent  # of the model itself
    assert "holds a finished run" in refused(OutputError, three, new, run)
    assert contents(added[0] / "model") == before


def test_a_folder_that_another_run_holds_is_refused(tmp_path, three, new):
    with run_folder.held(tmp_path / "out"):
        words = refused(OutputError, three, new, tmp_path / "out")
    assert "is being written to by another run" in words


def test_an_interrupted_writing_leaves_no_model_and_may_be_repeated(
    tmp_path, three, new, monkeypatch
):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    monkeypatch.setattr(run_folder, "save_model", stop)
    with pytest.raises(KeyboardInterrupt):
        extended_model.add_intent(str(three), resolve(data=new), out)
    assert not (out / "model").exists()
    monkeypatch.undo()
    extended_model.add_intent(str(three), resolve(data=new), out)
    assert {path.name for path in out.iterdir()} == {".lock", "model", "added.json"}


def test_a_full_disk_is_said_in_words(tmp_path, three, new, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    assert "the disk is full" in refused(OutputError, three, new, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pooled.safetensors", "has no pooled.safetensors"),
        ("clips.csv", "has no clips.csv"),
        ("training.json", "is not the file that belongs to this model"),
        ("model.safetensors", "has no model.safetensors"),
    ],
)
def test_a_model_that_lacks_a_file_is_refused(tmp_path, three, new, name, problem):
    folder = shutil.copytree(three, tmp_path / "model")
    (folder / name).unlink()
    assert problem in refused(ModelError, folder, new, tmp_path / "out")


def test_a_model_that_was_adapted_is_refused(tmp_path, recipe, write_folder, encoders, new):
    """What it has stored are clips of training, and its head expects recordings of elsewhere."""
    folder = write_folder(tmp_path / "elsewhere", 2)
    model = train_three(recipe, tmp_path, write_folder, encoders["wav2vec2_layer"], adapt=folder)
    with pytest.raises(ModelError, match="was adapted to recordings, and its head") as error:
        extended_model.add_intent(str(model), resolve(data=new), tmp_path / "out")
    assert "train it without --adapt" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_whose_voices_were_added_is_in_the_record(added, three):
    records = [
        json.loads((folder / "training.json").read_text()) for folder in (three, added[0] / "model")
    ]
    (train, validation), (more, same) = ([*record["synthetic"].values()] for record in records)
    assert train[1] + 5 == more[1]
    assert validation == same


def test_an_edited_file_is_refused(tmp_path, three, model_folder, new):
    folder = shutil.copytree(three, tmp_path / "model")
    content = bytearray((folder / "pooled.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "pooled.safetensors").write_bytes(content)
    assert "is not the file that belongs" in refused(ModelError, folder, new, tmp_path / "out")
    shutil.copy(model_folder / "pooled.safetensors", folder)
    assert "is not the file that belongs" in refused(ModelError, folder, new, tmp_path / "out")


def test_outputs_that_are_no_numbers_are_refused(tmp_path, three, new, monkeypatch):
    monkeypatch.setattr(
        extended_model.frozen_head,
        "pooled_outputs",
        lambda network, table, collator: np.full((len(table), 32), np.nan),
    )
    assert "not finite numbers" in refused(ModelError, three, new, tmp_path / "out")


def test_lookalikes_and_known_clips_are_refused(tmp_path, three, tone):
    new = write_new(tmp_path / "new", tone, "Hear Low")
    assert "looks like 'hear_low'" in refused(DataError, three, new, tmp_path / "out")
    old = three.parents[1] / "data"
    words = refused(DataError, three, old, tmp_path / "out")
    assert "the model was made with all 30 clips" in words


# On the Hub


def test_a_published_model_takes_an_intent(tmp_path, three, new, monkeypatch):
    hub_client.visit(monkeypatch)
    hub_client.use_cache(monkeypatch, tmp_path)
    hub_client.upload("tester/three", three)
    # Who has answered with it has no such file in the cache yet.
    IntentClassifier.from_pretrained("tester/three")
    result = extended_model.add_intent("tester/three", resolve(data=new), tmp_path / "out")
    assert result["model"] == "tester/three"
    assert NEW in IntentClassifier.from_pretrained(tmp_path / "out/model").labels
    table = data.load_data(resolve(data=three.parents[1] / "data")).tables["test"]
    classifier = IntentClassifier.from_pretrained(tmp_path / "out/model")
    assert len(evaluation.predict_table(classifier, table)) == 9
