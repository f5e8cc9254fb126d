"""A model that says "unknown", from the table to the answer, and the pack that it learns from."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import transformers
from conftest import RATE, TONES

from speech_intent import IntentClassifier, ModelError, data, experiment, onnx_export, provenance
from speech_intent.digests import sha256
from speech_intent.names import likeness
from speech_intent.paths import BUNDLED
from speech_intent.rejection import NO_SPEECH

PACK = BUNDLED / "unknown"
SPLITS = ["train"] * 4 + ["validation"] * 2 + ["test"] * 4


@pytest.fixture(scope="module")
def with_unknown(tmp_path_factory, write_folder):
    """The tones, and noise of no intent."""
    folder = tmp_path_factory.mktemp("with_unknown") / "data"
    write_folder(folder, 10, lambda _, i: {"split": SPLITS[i]})
    rng = np.random.default_rng(1)
    with (folder / "metadata.csv").open("a", encoding="utf-8") as file:
        for i, split in enumerate(SPLITS):
            noise = (0.1 * rng.standard_normal(4_800)).astype(np.float32)
            soundfile.write(folder / f"clips/unknown_{i}.wav", noise, RATE)
            file.write(f"clips/unknown_{i}.wav,unknown,{split}\n")
    return folder


@pytest.fixture(scope="module")
def run(with_unknown, recipe, tmp_path_factory):
    """A run whose model has learned from them and from the pack."""
    folder = tmp_path_factory.mktemp("unknown") / "run"
    given = recipe(data=with_unknown, freeze="encoder", unknown="bundled")
    return folder, experiment.run(given, folder)


@pytest.fixture(scope="module")
def folder(run):
    folder = run[0] / "model"
    onnx_export.export(folder)
    return folder


def test_rows_of_no_intent_are_no_label_and_are_not_scored(run, with_unknown, recipe):
    output_dir, result = run
    assert result["n"] == 16
    config = json.loads((output_dir / "model" / "config.json").read_text())
    assert sorted(config["label2id"]) == sorted(TONES)
    splits = data.load_data(recipe(data=with_unknown))
    assert {split: len(table) for split, table in splits.tables.items()} == {
        "train": 16,
        "validation": 8,
        "test": 16,
    }
    assert {split: len(table) for split, table in splits.unknown.items()} == {
        "train": 4,
        "validation": 2,
        "test": 4,
    }
    names = splits.unknown["train"]["file_name"]
    assert names == [f"clips/unknown_{i}.wav" for i in range(4)]
    assert set(provenance.read_clips(output_dir / "model")["intent"]) == {*TONES, "unknown"}


def test_the_model_folder_has_what_decides(run):
    model = run[0] / "model"
    config = json.loads((model / "config.json").read_text())
    assert config["rejection_digest"] == sha256(model / "unknown.safetensors")
    assert "rejection_threshold" not in config
    record = json.loads((model / "training.json").read_text())
    assert record["unknown"]["n"] == 8
    assert not (run[0] / "unknown.safetensors").exists()
    found = IntentClassifier.from_pretrained(model).rejection
    assert found.centres.shape[0] == len(TONES)
    assert len(found.unknown) == len(found.mean) + 1


def test_both_engines_agree_on_what_is_answered(folder, tone):
    models = [IntentClassifier.from_pretrained(folder, engine) for engine in ("torch", "onnx")]
    rng = np.random.default_rng(5)
    clips = [tone(hertz, seed=60 + i) for hertz in TONES.values() for i in range(2)]
    clips += [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (4_800, 8_000)]
    clips += [np.zeros(8_000, np.float32)]
    answers = [model.predict((clip, RATE)) for clip in clips for model in models]
    assert [a.reason for a in answers[::2]] == [a.reason for a in answers[1::2]]
    assert {a.accepted for a in answers} == {True, False}
    assert sum(a.accepted for a in answers[:16:2]) >= 6  # the tones
    assert not answers[16].accepted  # noise
    reasons = {a.reason for a in answers if not a.accepted}
    assert reasons == {NO_SPEECH}  # nobody speaks in any of them


def test_what_is_not_answered_is_unknown_with_a_guess_and_a_reason(folder):
    answer = IntentClassifier.from_pretrained(folder, "torch").predict((np.zeros(8_000), RATE))
    said = answer.as_dict(file="a.wav", model="it")
    assert (said["label"], said["reason"]) == ("unknown", "no speech")
    assert said["guess"] == answer.scores[0][0]
    assert len(said["scores"]) == len(TONES)


def test_a_pipeline_of_transformers_gives_the_same_scores_of_the_intents(folder, tone):
    pipeline = transformers.pipeline("audio-classification", model=str(folder))
    waveform = tone(787, 0.4, 9)
    found = pipeline({"raw": waveform, "sampling_rate": RATE}, top_k=None)
    expected = {entry["label"]: entry["score"] for entry in found}
    answer = IntentClassifier.from_pretrained(folder, "torch").predict((waveform, RATE))
    assert dict(answer.scores) == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


def test_without_its_file_a_model_is_refused(copied):
    (copied / "unknown.safetensors").unlink()
    for engine in ("torch", "onnx"):
        with pytest.raises(ModelError, match=r"has no unknown\.safetensors"):
            IntentClassifier.from_pretrained(copied, engine)


def test_older_models_always_answer_or_go_by_a_score(copied, tone):
    config = json.loads((copied / "config.json").read_text())
    del config["rejection_digest"]
    (copied / "config.json").write_text(json.dumps(config))
    for engine in ("torch", "onnx"):
        classifier = IntentClassifier.from_pretrained(copied, engine)
        assert classifier.predict((np.zeros(800), RATE)).accepted
    (copied / "config.json").write_text(json.dumps(config | {"rejection_threshold": 1.0}))
    for engine in ("torch", "onnx"):
        answer = IntentClassifier.from_pretrained(copied, engine).predict((tone(213), RATE))
        assert answer.reason == "its score is too low"


# The pack in `dataset/unknown`


@pytest.fixture(scope="module")
def pack() -> pd.DataFrame:
    return pd.read_csv(PACK / "metadata.csv", keep_default_na=False)


def test_the_packs_files_are_those_of_its_table_and_small(pack):
    files = {path.relative_to(PACK).as_posix() for path in (PACK / "audio").iterdir()}
    assert set(pack["file_name"]) == files
    assert len(pack) == len(files) > 900
    assert sum(path.stat().st_size for path in PACK.rglob("*") if path.is_file()) <= 4_000_000
    assert pack["seconds"].between(0.1, 16).all()


@pytest.mark.parametrize("column", ["text", "speaker"])
def test_splits_of_the_pack_share_no_text_and_no_voice(pack, column):
    named = pack[pack[column] != ""]
    assert named.groupby(named[column].map(likeness))["split"].nunique().eq(1).all()
    assert set(pack["split"]) == {"train", "validation", "test"}


def test_nothing_in_the_pack_is_a_request_of_the_bundled_data(pack):
    with (BUNDLED / "phrasings.csv").open(encoding="utf-8", newline="") as file:
        taught = {likeness(row["text"]) for row in csv.DictReader(file)}
    assert len(taught) > 100
    with (PACK / "sentences.csv").open(encoding="utf-8", newline="") as file:
        sentences = list(csv.DictReader(file))
    assert not taught & {likeness(row["text"]) for row in sentences}
    assert not taught & {likeness(text) for text in pack["text"]}
    spoken = {row["text"]: row["split"] for row in sentences}
    said = pack[pack["text"] != ""]
    assert said["text"].map(spoken).tolist() == said["split"].tolist()
