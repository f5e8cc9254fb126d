import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import head_layers
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_intent import adaptation, data, experiment, frozen_head, model, unlabelled
from speech_intent.batches import Collator
from speech_intent.model import Trained
from speech_intent.recipes import Hyperparameters

NUMBERS = Hyperparameters()
LABELS = ["a", "b", "c", "d"]
SIZE = 5


def pooled(n: int, seed: int = 0, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    """Draw outputs (n, SIZE)."""
    rng = np.random.default_rng(seed)
    return shift + spread * rng.standard_normal((n, SIZE))


# The map


def test_many_recordings_get_the_mean_and_deviation_of_training():
    trained, heard = pooled(10_000), pooled(100_000, 1, shift=3, spread=2)
    mapped = adaptation.fit_mapping(trained, heard)(heard)
    np.testing.assert_allclose(mapped.mean(axis=0), trained.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(mapped.std(axis=0), trained.std(axis=0), atol=1e-3)


def test_recordings_like_training_are_left_as_they_are():
    trained = pooled(50)
    mapping = adaptation.fit_mapping(trained, trained)
    np.testing.assert_allclose(mapping(pooled(7, 2)), pooled(7, 2), atol=1e-12)


def test_few_recordings_change_little_and_one_says_nothing_of_deviations():
    trained = pooled(1_000)
    one = adaptation.fit_mapping(trained, np.full((1, SIZE), 11.0))
    assert one.scale.tolist() == [1.0] * SIZE
    moved = one(np.zeros((1, SIZE)))[0]  # by a tenth and a bit of 11, as one of eleven
    np.testing.assert_allclose(moved, -(11 - trained.mean(axis=0)) / 11)
    moves = []
    for n in (1, 5, 30, 1_000):
        heard = pooled(n, 1, shift=3)
        heard += 3 - heard.mean(axis=0)
        moves.append(-adaptation.fit_mapping(trained, heard)(trained).mean())
    assert moves == sorted(moves)
    assert moves[-1] == pytest.approx(3, abs=0.1)
    assert adaptation.weight(0) == 0
    assert adaptation.weight(30) == 0.75


def test_a_dimension_that_hardly_varies_is_only_moved():
    trained, heard = pooled(1_000), pooled(1_000, 1, shift=3)
    trained[:, 0], heard[:, 0] = 1.0, 2.0
    heard[:, 1] = 5.0
    mapping = adaptation.fit_mapping(trained, heard)
    assert mapping.scale[0] == 1
    assert mapping.scale[1] == pytest.approx(adaptation.LARGEST_SCALE, rel=0.03)
    assert mapping(heard)[0, 0] == pytest.approx(1, abs=0.02)
    nothing = np.zeros((3, SIZE))
    assert np.isfinite(adaptation.fit_mapping(nothing, nothing + 1)(nothing)).all()


def test_a_dimension_that_varies_more_than_in_training_is_drawn_together():
    mapping = adaptation.fit_mapping(pooled(9_000), pooled(9_000, 1, spread=100))
    np.testing.assert_allclose(mapping.scale, 0.01, rtol=0.05)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(2, 40), st.floats(-50, 50), st.floats(0, 50))
def test_the_map_can_be_taken_back(n_heard, n_trained, shift, spread):
    mapping = adaptation.fit_mapping(pooled(n_trained), pooled(n_heard, 1, shift, spread))
    assert (mapping.scale > 0).all()
    clips = pooled(9, 2)
    np.testing.assert_allclose(mapping.inverse()(mapping(clips)), clips, atol=1e-9)
    np.testing.assert_allclose(mapping(mapping.inverse()(clips)), clips, atol=1e-9)


@pytest.mark.parametrize("heard", [np.zeros((3, SIZE + 1)), np.zeros(SIZE)])
def test_outputs_of_another_size_do_not_fit(heard):
    with pytest.raises(ValueError, match="do not fit each other"):
        adaptation.fit_mapping(pooled(3), heard)
    assert adaptation.fit_mapping(pooled(3), pooled(2)).scale.shape == (SIZE,)


def test_clips_are_of_the_kind_whose_mean_is_nearer():
    trained, heard = pooled(50), pooled(50, 1, shift=2)
    assert adaptation.resembles(pooled(9, 2, shift=2), heard, trained)
    assert not adaptation.resembles(pooled(9, 2), heard, trained)
    wide = (trained - trained.mean(axis=0)) * [100, 1, 1, 1, 1]  # there a distance says little
    clips = np.array([[-50.0, 2, 2, 2, 2]])
    assert adaptation.resembles(clips, heard, wide)


# In the head


@pytest.fixture(scope="module")
def tables(recipe):
    return data.load_data(recipe()).tables


def outputs(classifier, table) -> np.ndarray:
    collator = Collator(classifier.extractor, classifier.model.config, NUMBERS, training=False)
    return frozen_head.pooled_outputs(classifier.model, table, collator)


def logits_of(classifier, table) -> np.ndarray:
    collator = Collator(classifier.extractor, classifier.model.config, NUMBERS, training=False)
    logits = []
    with torch.inference_mode():
        for row in table:
            inputs = collator([row])
            del inputs["labels"]
            logits.append(classifier.model(**inputs).logits.numpy())
    return np.concatenate(logits)


def test_a_folded_map_is_the_map_before_the_head(encoder, tables):
    classifier = model.build_model(encoder, LABELS)
    before = outputs(classifier, tables["validation"])
    size = before.shape[1]
    rng = np.random.default_rng(0)
    mapping = adaptation.Mapping(
        rng.standard_normal(size), rng.standard_normal(size), rng.uniform(0.5, 2, size)
    )
    wanted = adaptation.head_logits(classifier.model, mapping(before))
    unmapped = adaptation.head_logits(classifier.model, before)
    np.testing.assert_allclose(unmapped, logits_of(classifier, tables["validation"]), atol=1e-5)
    adaptation.fold(classifier.model, mapping)
    found = logits_of(classifier, tables["validation"])
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(found - unmapped).max() > 0.01
    adaptation.fold(classifier.model, mapping.inverse())
    np.testing.assert_allclose(logits_of(classifier, tables["validation"]), unmapped, atol=1e-4)
    assert all(layer.weight.dtype == torch.float32 for layer in head_layers(classifier.model))


# From end to end


@pytest.fixture
def elsewhere(tmp_path, write_folder):
    """The tones again, other ones, with what a table would say of them."""
    return write_folder(tmp_path / "elsewhere", 8, seconds=0.7)


def adapt(recipe, tables, folder, name="wav2vec2_layer", encoders=None):
    classifier = model.build_model(encoders[name], LABELS)
    trained = Trained(np.zeros((8, 4)), np.zeros(8), pd.DataFrame(), {})
    recordings = unlabelled.read(str(folder))
    return adaptation.adapt(classifier, tables, recordings, NUMBERS, trained), classifier, trained


def test_validation_clips_of_trainings_kind_keep_their_logits(
    recipe, tables, elsewhere, encoders, monkeypatch
):
    monkeypatch.setattr(adaptation, "resembles", lambda *parts: False)
    adapted, _, trained = adapt(recipe, tables, elsewhere, encoders=encoders)
    assert adapted.trained is trained
    assert adapted.record["calibrated_as"] == "training"


def test_validation_clips_of_the_recordings_kind_get_the_mapped_logits(
    recipe, tables, elsewhere, encoders, monkeypatch
):
    seen = []
    monkeypatch.setattr(adaptation, "resembles", lambda *parts: not seen.append(parts))
    adapted, classifier, _ = adapt(recipe, tables, elsewhere, encoders=encoders)
    assert adapted.record["calibrated_as"] == "recordings"
    assert adapted.trained.label_ids.tolist() == tables["validation"]["label"]
    assert [len(part) for part in seen[0]] == [8, 32, 16]  # validation, recordings, training
    adaptation.fold(classifier.model, adapted.mapping)
    logits = logits_of(classifier, tables["validation"])
    np.testing.assert_allclose(adapted.trained.logits, logits, atol=1e-4)


@pytest.mark.parametrize("freeze", ["encoder", "none"])
def test_a_run_is_adapted_after_training(tmp_path, recipe, elsewhere, encoders, freeze, caplog):
    plain = recipe(freeze=freeze, epochs=1, encoder=encoders["moonshine"])
    given = recipe(freeze=freeze, epochs=1, encoder=encoders["moonshine"], adapt=elsewhere)
    before = experiment.run(plain, tmp_path / "plain")
    result = experiment.run(given, tmp_path / "adapted")
    assert result["adapted"] == {
        **unlabelled.read(str(elsewhere)).facts(),
        "weight": round(32 / 42, 3),
        "calibrated_as": result["adapted"]["calibrated_as"],
        "test_clips": 0,
    }
    assert result["best_validation"] == before["best_validation"]
    for name in ("made_of.json", "model/training.json"):
        record = json.loads((tmp_path / "adapted" / name).read_text())
        assert record["adapted"]["clips"] == 32
        assert record["adapted"]["digest"] == result["adapted"]["digest"]
    assert "adapted" not in before
    assert "few recordings" not in caplog.text
    parts = [tmp_path / name / "predictions.csv" for name in ("plain", "adapted")]
    scores = [pd.read_csv(path)["p_hear_low"] for path in parts]
    assert not np.allclose(*scores)


@pytest.mark.parametrize("name", ["wav2vec2_layer", "moonshine"])
def test_recordings_are_heard_as_the_saved_model_hears_them(
    tmp_path, recipe, tables, elsewhere, encoders, monkeypatch, name
):
    """Not as training did, which multiplies in bfloat16 where it can."""
    seen = {}
    fold = adaptation.fold

    def keep(network, mapping):
        seen.update(mapping=mapping)
        fold(network, mapping)

    monkeypatch.setattr(adaptation, "fold", keep)
    given = recipe(adapt=elsewhere, epochs=2, encoder=encoders[name])
    experiment.run(given, tmp_path / "out")
    folder = tmp_path / "out" / "model"
    saved = model.NewClassifier(*_loaded(folder), pretrained=True)
    trained = outputs(saved, tables["train"])
    heard = outputs(saved, unlabelled.read(str(elsewhere)).clips)
    again = adaptation.fit_mapping(trained, heard)
    np.testing.assert_allclose(again.origin, seen["mapping"].origin, atol=1e-5)
    np.testing.assert_allclose(again.scale, seen["mapping"].scale, rtol=1e-3)


def _loaded(folder):
    from speech_intent import checkpoints

    checkpoint = checkpoints.load(folder, str(folder))
    return checkpoint.network.eval(), checkpoint.extractor


def test_few_recordings_are_warned_of_and_test_clips_among_them_counted(
    tmp_path, recipe, tone_folder, caplog
):
    room = tmp_path / "room"
    room.mkdir()
    for name in ("hear_low_9.wav", "hear_high_8.wav", "hear_low_0.wav"):  # two are of test
        shutil.copy(tone_folder / "clips" / name, room)
    result = experiment.run(recipe(freeze="encoder", adapt=room), tmp_path / "out")
    assert result["adapted"]["test_clips"] == 2
    assert "room: few recordings (3) to adapt to; their statistics count by 23 %" in caplog.text
    assert "2 of the test clips are among them" in (tmp_path / "out/report.html").read_text()
