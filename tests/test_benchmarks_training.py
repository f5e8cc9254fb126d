"""Tables and inputs of benchmarks/training.py."""

import subprocess
import sys

import numpy as np
import pytest
import training
import training_inputs

from speech_intent import audio

SIDE = {"seconds": 10.0, "losses": [3.0, 2.0, 1.0], "validation_loss": 0.5, "megabytes": 900.0}
RESULT = {
    "machine": "2 cores",
    "clips": 24,
    "ours": {**SIDE, "bfloat16": True},
    "ours, another seed": {**SIDE, "validation_loss": 0.625, "bfloat16": True},
    "reference": {**SIDE, "seconds": 40.0, "megabytes": 1800.0},
    "alone_seconds": 2.0,
    "beside_seconds": 5.0,
}


def test_speed_counts_clips_and_compares_both_sides():
    rows = training.speed_rows({"whisper": RESULT})
    assert rows == [["Whisper base", "2.40", "0.60", "4.0", "900 MB", "1800 MB", "2.5"]]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([5.0, 4.0, 3.0, 2.0, 1.0], [5.0, 4.0, 3.0, 2.0, 1.0]),
        ([5.0, 3.0, 4.0, 4.0, 3.0, 1.0, 2.0, 2.0, 1.0, 0.0], [4.0, 4.0, 2.0, 2.0, 0.5]),
    ],
)
def test_a_curve_is_averaged_over_fifths(losses, expected):
    assert training.parts(losses) == expected


def test_the_block_has_a_row_a_side_and_says_how_it_was_measured():
    curve = {side: {**RESULT[side], "losses": [3.0, 2.0, 1.0, 1.0, 1.0]} for side in training.SIDES}
    text = training.tables({"moonshine": {**RESULT, **curve}})
    assert "| Moonshine Tiny | ours | 3.00 | 2.00 | 1.00 | 1.00 | 1.00 | 0.50 |" in text
    assert "| Moonshine Tiny | ours, another seed | 3.00" in text
    assert "| Moonshine Tiny | reference | 3.00" in text
    assert text.endswith("Moonshine Tiny: 24 clips, 5 updates, bfloat16; 2 cores.\n")


def test_another_program_is_busy_for_as_long_as_is_wanted(monkeypatch):
    monkeypatch.setattr(training, "BUSY", "while True: pass")
    with pytest.raises(ValueError, match="inside"), training.busy() as process:
        assert process.poll() is None
        raise ValueError("inside")
    assert process.poll() is not None


def test_a_clip_tells_its_intent_by_its_tone(tmp_path):
    table = training_inputs.make_clips(tmp_path, 10, np.random.default_rng(0))
    assert table["label"] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]
    for row in table:
        waveform = audio.load(row["audio"], training_inputs.RATE)
        assert 1 <= row["seconds"] <= 8
        assert len(waveform) == round(row["seconds"] * training_inputs.RATE)
        spectrum = np.abs(np.fft.rfft(waveform))
        loudest = spectrum.argmax() * training_inputs.RATE / len(waveform)
        expected = training_inputs.LOWEST * training_inputs.STEP ** row["label"]
        assert loudest == pytest.approx(expected, abs=2)


def test_both_sides_train_on_the_same_inputs(tmp_path):
    """As many updates of each, and a loss of every one."""
    rng = np.random.default_rng(0)
    tables = {
        split: training_inputs.make_clips(tmp_path / split, n, rng)
        for split, n in (("train", 10), ("validation", 2))
    }
    training_inputs.DatasetDict(tables).save_to_disk(tmp_path / "data")
    training_inputs.make_encoder("moonshine", tmp_path / "model")
    for side in ("ours", "reference"):
        result = training.train(side, tmp_path)
        assert len(result["losses"]) == 2
        assert np.isfinite([*result["losses"], result["validation_loss"]]).all()
        assert result["seconds"] > 0
        assert not (tmp_path / "output").exists()


def test_the_other_sides_threads_wait_as_they_do_by_default():
    """The package, imported here, says otherwise in the environment that programs inherit."""
    program = "import os; print('OMP_WAIT_POLICY' in os.environ)"
    inherited = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert inherited.split() == ["True"]
    assert training.run("-c", program).last_line == "False"
