import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from speech_intent import batches
from speech_intent.batches import Collator
from speech_intent.recipes import Hyperparameters

RATE = 16_000


@pytest.fixture
def ramp_row():
    """A 3 s clip in which the value of a sample is its place."""
    ramp = np.linspace(-1, 1, 3 * RATE, dtype=np.float32)
    return {"audio": (ramp, RATE), "seconds": 3.0, "label": 2}


@pytest.fixture
def make_collator(encoders):
    folder = encoders["wav2vec2_group"]
    extractor, config = (
        AutoFeatureExtractor.from_pretrained(folder),
        AutoConfig.from_pretrained(folder),
    )

    def make(training: bool, **numbers) -> Collator:
        return Collator(
            extractor, config, Hyperparameters(**{"augment": False, **numbers}), training
        )

    return make


def test_a_long_clip_is_cropped_at_random_in_training_and_at_its_start_else(
    make_collator, ramp_row
):
    torch.manual_seed(0)
    cropped = [make_collator(True, max_seconds=1.0).waveform(ramp_row) for _ in range(6)]
    assert {len(waveform) for waveform in cropped} == {RATE}
    assert len({round(float(waveform[0]), 3) for waveform in cropped}) > 3
    beginning = make_collator(False, max_seconds=1.0).waveform(ramp_row)
    np.testing.assert_array_equal(beginning, ramp_row["audio"][0][:RATE])


def test_a_short_clip_is_whole_in_training_and_leaves_nothing_to_chance(make_collator, ramp_row):
    """A run that remembers clips then goes on as one that was resumed, and reads them again."""
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert len(make_collator(True, max_seconds=15.0).waveform(ramp_row)) == 3 * RATE
    assert torch.equal(torch.get_rng_state(), state)


def test_the_tutorials_one_second_is_not_the_default():
    assert Hyperparameters().max_seconds == 15.0


def test_only_training_clips_are_augmented(make_collator, ramp_row):
    torch.manual_seed(0)
    training = make_collator(True, augment=True)
    assert len({len(training.waveforms([ramp_row])[0]) for _ in range(12)}) > 2  # speeds
    (validation,) = make_collator(False, augment=True).waveforms([ramp_row])
    np.testing.assert_array_equal(validation, ramp_row["audio"][0])


def test_the_babble_of_a_clip_is_the_others_of_its_batch_as_they_were_read(
    make_collator, monkeypatch
):
    heard = []

    def silenced(waveform, rate, others):
        heard.append((waveform[0], rate, [other[0] for other in others]))
        return waveform * 0

    monkeypatch.setattr(batches, "augment", silenced)
    levels = np.array([0.1, 0.2, 0.3], np.float32)
    rows = [{"audio": (np.full(RATE, level), RATE), "seconds": 1.0, "label": 0} for level in levels]
    waveforms = make_collator(True, augment=True).waveforms(rows)
    assert not any(waveform.any() for waveform in waveforms)
    for i, (own, rate, others) in enumerate(heard):
        assert (own, rate, others) == (levels[i], RATE, [*levels[:i], *levels[i + 1 :]])
    assert len(heard) == 3


def test_a_batch_is_augmented_by_torchs_seed(make_collator, ramp_row):
    collator = make_collator(True, augment=True)
    torch.manual_seed(1)
    first = collator([ramp_row] * 4)["input_values"]
    assert not torch.equal(first, collator([ramp_row] * 4)["input_values"])
    torch.manual_seed(1)
    assert torch.equal(first, collator([ramp_row] * 4)["input_values"])


def test_a_clip_shorter_than_a_masked_span_can_be_trained_on(encoder, tone):
    model = AutoModelForAudioClassification.from_pretrained(encoder, num_labels=5).train()
    extractor = AutoFeatureExtractor.from_pretrained(encoder)
    row = {"audio": (tone(400, 0.026), RATE), "seconds": 0.026, "label": 4}
    batch = Collator(extractor, model.config, Hyperparameters(), True)([row, row])
    assert torch.isfinite(model(**batch).loss)


def test_a_batch_has_inputs_and_labels(make_collator, ramp_row):
    batch = make_collator(True)([ramp_row, {**ramp_row, "label": 0}])
    assert batch["labels"].tolist() == [2, 0]
    assert batch["input_values"].shape == (2, 3 * RATE)


def test_what_is_odd_about_a_clip_is_not_told_again_in_each_epoch(
    make_collator, tmp_path, tone, caplog
):
    """Whoever has read the data has told of it."""
    cut = tmp_path / "cut.wav"
    soundfile.write(cut, tone(440), RATE)
    cut.write_bytes(cut.read_bytes()[:-1000])
    row = {"audio": {"bytes": None, "path": str(cut)}, "label": 0, "seconds": 0.36}
    batch = make_collator(training=True)([row])
    assert batch["input_values"].shape == (1, 6400 - 500)
    assert caplog.messages == []
