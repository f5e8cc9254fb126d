"""What is kept of the clips that a head was made of, and when it is believed."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from speech_intent import data, frozen_head, model, stored_outputs, training
from speech_intent.batches import Collator
from speech_intent.digests import sha256
from speech_intent.errors import ModelError
from speech_intent.predict import IntentClassifier
from speech_intent.stored_outputs import MOST_CLIPS, choose, standardise
from speech_intent.torch_model import TorchModel

SIZE = 6


@pytest.fixture(scope="module")
def tables(recipe):
    return data.load_data(recipe()).tables


def read(folder, n_labels=4, digest=None):
    weight, _ = frozen_head.read_head(TorchModel.load(folder, "it").network)
    if digest is None:
        digest = json.loads((folder / "training.json").read_text())["pooled_digest"]
    return stored_outputs.read(folder, "it", digest, n_labels, weight.shape[1])


# Which clips


def test_at_most_so_many_clips_of_each_intent_are_chosen():
    labels = np.repeat([0, 1, 2], [MOST_CLIPS + 50, 3, MOST_CLIPS])
    rows = choose(labels, seed=0)
    assert np.bincount(labels[rows]).tolist() == [MOST_CLIPS, 3, MOST_CLIPS]
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert choose(labels, 0).tolist() == rows.tolist() != choose(labels, 1).tolist()


# What is written


def pooled(n=40, seed=0):
    rng = np.random.default_rng(seed)
    values = 300 + 0.01 * rng.standard_normal((n, SIZE))  # hardly varying, far from 0
    values[:, 0] = 7.0  # never
    labels = {"train": np.arange(n) % 3, "validation": np.arange(8) % 3}
    return standardise({"train": values, "validation": values[:8]}, labels), values


def test_half_precision_does_for_outputs_that_hardly_vary(tmp_path):
    kept, values = pooled()
    file = tmp_path / "pooled.safetensors"
    stored_outputs.write(kept, file)
    back = stored_outputs.read(tmp_path, "it", sha256(file), 3, SIZE)
    restored = back.outputs["train"] * back.scale + back.mean
    np.testing.assert_allclose(restored[:, 1:], values[:, 1:], atol=1e-4)
    assert load_file(file)["train"].dtype == np.float16
    assert back.labels["train"].tolist() == kept.labels["train"].tolist()
    assert back.labels["validation"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_an_output_that_never_varied_is_not_blown_up(tmp_path):
    kept, _ = pooled()
    assert kept.scale[0] == 1.0
    assert np.abs(kept.standardised(np.full((1, SIZE), 7.001))[0, 0]) < 0.01


@pytest.mark.parametrize("freeze", ["none", "encoder"])
def test_what_training_keeps_goes_through_the_saved_head_to_its_logits(
    tmp_path, tables, recipe, encoders, freeze
):
    """That is: computed with the best weights, in float32, as inference does."""
    record = training.fine_tune(
        recipe(encoder=encoders["moonshine"], epochs=3, freeze=freeze), tables, tmp_path
    )
    folder = tmp_path / "model"
    assert record["pooled_digest"] == sha256(folder / "pooled.safetensors")
    assert not (tmp_path / "pooled.safetensors").exists()
    kept = read(folder)
    loaded = TorchModel.load(folder, "it")
    weight, bias = frozen_head.read_head(loaded.network)
    classifier = IntentClassifier(loaded, "it")
    for split in ("train", "validation"):
        outputs = kept.outputs[split] * kept.scale + kept.mean
        scores = [classifier.predict(clip).scores for clip in tables[split]["audio"]]
        logits = outputs @ weight.T + bias
        likelihoods = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected = [[dict(row)[label] for label in classifier.labels] for row in scores]
        np.testing.assert_allclose(likelihoods, expected, atol=2e-3)
        assert kept.labels[split].tolist() == tables[split]["label"]


def test_what_a_frozen_encoder_gave_is_not_computed_again(tmp_path, tables, recipe, monkeypatch):
    calls = []
    encode = frozen_head.pooled_outputs

    def count(network, table, collator):
        calls.append(len(table))
        return encode(network, table, collator)

    monkeypatch.setattr(frozen_head, "pooled_outputs", count)
    training.fine_tune(recipe(freeze="encoder"), tables, tmp_path)
    assert calls == [16, 8]


def test_inference_does_not_read_the_file(model_folder, tmp_path, tone):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    clip = (tone(3171), 16_000)
    before = IntentClassifier.from_pretrained(folder).predict(clip)
    (folder / "pooled.safetensors").write_bytes(b"no tensors")
    assert IntentClassifier.from_pretrained(folder).predict(clip) == before


def test_a_large_intent_is_cut_before_the_encoder_runs(recipe, tables, monkeypatch, encoders):
    monkeypatch.setattr(stored_outputs, "MOST_CLIPS", 2)
    classifier = model.build_model(encoders["moonshine"], ["a", "b", "c", "d"])
    kept = stored_outputs.collect(classifier, tables, recipe().numbers, None)
    assert np.bincount(kept.labels["train"]).tolist() == [2, 2, 2, 2]
    assert len(kept.outputs["train"]) == 8
    collator = Collator(
        classifier.extractor, classifier.model.config, recipe().numbers, training=False
    )
    rows = choose(np.array(tables["train"]["label"]), 0)
    values = frozen_head.pooled_outputs(classifier.model, tables["train"].select(rows), collator)
    np.testing.assert_allclose(kept.outputs["train"] * kept.scale + kept.mean, values, atol=1e-6)


# What is refused


def test_a_model_without_the_file_is_told_what_to_do(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "pooled.safetensors").unlink()
    digest = "0" * 64
    for name, more in ((str(folder), ""), ("user/name", "; if the Hub could not be reached, try")):
        with pytest.raises(ModelError) as error:
            stored_outputs.read(folder, name, digest, 4, 32)
        assert error.value.name == name
        assert error.value.problem.startswith("has no pooled.safetensors")
        assert error.value.remedy.startswith("train it again with this version of train")
        assert more in error.value.remedy and ("Hub" in error.value.remedy) == bool(more)


@pytest.mark.parametrize("digest", ["0" * 64, None, 7])
def test_a_file_that_the_record_does_not_know_is_refused(model_folder, digest):
    with pytest.raises(ModelError, match="is not the file that belongs to this model"):
        stored_outputs.read(model_folder, "it", digest, 4, 32)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff" * 40])
def test_what_is_no_such_file_is_refused(tmp_path, content):
    (tmp_path / "pooled.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"pooled\.safetensors: cannot be read"):
        stored_outputs.read(tmp_path, "it", sha256(tmp_path / "pooled.safetensors"), 3, SIZE)


def with_nan(values):
    values = values.copy()
    values[1, 2] = np.nan
    return values


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("mean", None, "lacks mean"),
        ("train", lambda v: v[:, :4], "has train of the shape"),
        ("train", lambda v: v[0], "has train of the shape"),
        ("train", lambda v: np.float16(1), "has train of the shape"),
        ("validation", lambda v: v[:0], "has validation of the shape"),
        ("train_labels", lambda v: v[:-1], "has train_labels of the shape"),
        ("train", with_nan, "has numbers in train that are not finite"),
        ("scale", lambda v: 0 * v, "has a scale that is not above 0"),
        ("train_labels", lambda v: v + 1, "has labels in train that are none of the model's 3"),
        ("validation_labels", lambda v: v - 1, "has labels in validation that are none"),
        ("validation_labels", lambda v: v + 0.5, "has labels in validation that are none"),
        ("train_labels", lambda v: np.minimum(v, 1), "has no training clips of some"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, name, change, problem):
    file = tmp_path / "pooled.safetensors"
    stored_outputs.write(pooled()[0], file)
    tensors = load_file(file)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = np.ascontiguousarray(change(tensors[name]))
    save_file(tensors, file)
    with pytest.raises(ModelError) as error:
        stored_outputs.read(tmp_path, "it", sha256(file), 3, SIZE)
    assert error.value.problem.startswith(problem)
    assert error.value.name == str(file)
