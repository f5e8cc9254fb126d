import numpy as np
import pytest

from speech_intent import baseline, data


@pytest.mark.parametrize("seconds", [0.025, 0.05, 0.4, 3.0])
def test_statistics_have_one_size_whatever_the_length(tone, seconds):
    statistics = baseline.mfcc_statistics(tone(440, seconds))
    assert (statistics.shape, statistics.dtype) == ((480,), np.float32)
    assert np.isfinite(statistics).all()


def test_the_baseline_tells_tones_apart(tone_folder):
    splits, _ = data.load_data(tone_folder)
    train, test = (baseline.table_statistics(splits[split]) for split in ("train", "test"))
    machine = baseline.machine().fit(train, splits["train"]["label"])
    assert machine.score(test, splits["test"]["label"]) == 1.0
