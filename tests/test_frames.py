import copy
import io

import numpy as np
import pytest
import soundfile
import torch

from speech_intent import frames, model
from speech_intent.batches import Collator
from speech_intent.frames import FrameCollator

RATE = 16_000  # Hz
SECONDS = (0.05, 0.4, 1.3)


@pytest.fixture(scope="module")
def classifier(encoders):
    return model.build_model(encoders["moonshine"], ["a", "b"], spec_augment=False)


@pytest.fixture(scope="module")
def rows(tone, tmp_path_factory):
    """Clips of unequal length as rows of a table: two files, and one that is only bytes."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for i, seconds in enumerate(SECONDS):
        file = folder / f"{i}.wav"
        soundfile.write(file, tone(300 * (i + 1), seconds), RATE)
        clip = {"path": str(file), "bytes": None}
        rows.append({"audio": clip, "seconds": seconds, "label": i % 2})
    rows[1]["audio"] = {"path": None, "bytes": (folder / "1.wav").read_bytes()}
    return rows


@pytest.fixture
def collator(classifier, numbers, monkeypatch):
    """Make a collator of frames, and count how often its network computes some."""

    def make(training=False, **changed):
        made = FrameCollator(
            classifier.extractor, copy.deepcopy(classifier.model), numbers(**changed), training
        )
        compute = made.network.frames
        made.counted = []

        def count(waveforms):
            made.counted.append(waveforms.shape[1])
            return compute(waveforms)

        monkeypatch.setattr(made.network, "frames", count)
        return made

    return make


def samples(*seconds: float) -> list[int]:
    return [round(each * RATE) for each in seconds]


def test_a_batch_of_frames_gives_the_logits_of_a_batch_of_waveforms(
    classifier, collator, numbers, rows
):
    waves = Collator(classifier.extractor, classifier.model.config, numbers(), training=False)
    network = classifier.model.eval()
    with torch.inference_mode():
        expected = network(**waves(rows))
        batch = collator()(rows)
        found = network(**batch)
    assert batch["labels"].tolist() == [0, 1, 0]
    assert batch["frame_mask"].sum(1).tolist() == [9, 23, 61]
    assert expected.logits.std() > 1e-3
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.loss, expected.loss)


@pytest.mark.parametrize("training", [True, False])
def test_the_convolutions_of_a_clip_run_once(collator, rows, training):
    made = collator(training)
    first = made(rows)
    again = made(rows[::-1])
    shortest = 0.12 if training else 0.05  # longer than what is masked
    assert made.counted == samples(shortest, *SECONDS[1:])
    torch.testing.assert_close(again["frames"].flip(0), first["frames"])
    assert not first["frames"].requires_grad


def test_a_clip_of_which_training_takes_a_random_part_is_not_remembered(collator, rows):
    made = collator(training=True, max_seconds=1.0)
    parts = [made(rows)["frames"][2] for _ in range(2)]
    assert made.counted == samples(0.12, 0.4, 1.0, 1.0)
    assert not torch.equal(*parts)
    validation = collator(training=False, max_seconds=1.0)
    for _ in range(2):
        validation(rows)
    assert validation.counted == samples(0.05, 0.4, 1.0)


def test_an_augmented_clip_is_not_remembered(collator, rows):
    torch.manual_seed(0)
    made = collator(training=True, augment=True)
    first, second = (made(rows[2:])["frames"] for _ in range(2))
    assert len(made.counted) == 2
    assert first.shape != second.shape or not torch.equal(first, second)


@pytest.mark.parametrize("family", ["wav2vec2_group", "wav2vec2_layer", "wavlm", "hubert"])
def test_in_a_batch_of_frames_a_clip_has_the_logits_that_it_has_alone(
    encoders, numbers, rows, family
):
    """Group norm would average over padding, if it saw any."""
    classifier = model.build_model(encoders[family], ["a", "b"], spec_augment=False)
    network = classifier.model.eval()
    waves = Collator(classifier.extractor, network.config, numbers(), training=False)
    with torch.inference_mode():
        expected = torch.cat([network(**waves([row])).logits for row in rows])
        made = FrameCollator(classifier.extractor, network, numbers(), training=False)
        found = network(**made(rows)).logits
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_frames_in_bfloat16_are_close(encoders, numbers, rows):
    classifier = model.build_model(encoders["wav2vec2_group"], ["a", "b"])
    given = classifier.extractor, classifier.model, numbers(), False
    exact, close = (FrameCollator(*given, bfloat16=half)(rows) for half in (False, True))
    assert close["input_values"].dtype == torch.bfloat16
    difference = (close["input_values"] - exact["input_values"]).abs().max()
    assert 0 < difference < 0.05 * exact["input_values"].abs().max()


def test_what_there_is_no_room_for_is_computed_again(collator, rows, monkeypatch):
    n_bytes = (9 + 23) * 32 * 4  # the frames of two clips, 32 features in 4 bytes
    monkeypatch.setattr(frames, "MOST_BYTES", n_bytes)
    made = collator()
    for _ in range(2):
        made(rows)
    assert made.counted == samples(*SECONDS, 1.3)
    monkeypatch.setattr(frames, "MOST_BYTES", n_bytes - 1)
    made = collator()
    for _ in range(2):
        made(rows)
    assert made.counted == samples(*SECONDS, 0.4, 1.3)


def test_clips_without_a_path_are_told_apart_by_their_content(collator, rows, tone):
    file = io.BytesIO()
    soundfile.write(file, tone(900, 0.4), RATE, format="WAV")
    other = rows[1] | {"audio": {"path": None, "bytes": file.getvalue()}}
    batch = collator()([rows[1], other, rows[1]])
    assert not torch.allclose(batch["frames"][0], batch["frames"][1], atol=1e-3)
    np.testing.assert_array_equal(batch["frames"][0], batch["frames"][2])
