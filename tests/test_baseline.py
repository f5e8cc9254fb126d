import numpy as np
import pytest

from speech_intent import baseline


@pytest.mark.parametrize("seconds", [0.025, 0.05, 0.4, 3.0])
def test_statistics_have_one_size_whatever_the_length(tone, seconds):
    statistics = baseline.mfcc_statistics(tone(440, seconds))
    assert (statistics.shape, statistics.dtype) == ((480,), np.float32)
    assert np.isfinite(statistics).all()


def test_segments_stand_in_the_order_of_time(tone):
    loud = tone(440, 0.5)
    rising = np.concatenate([loud / 100, loud])
    segments = baseline.mfcc_statistics(rising).reshape(6, 2, 40)
    level = segments[:, 0, 0]  # mean of the first MFCC: how loud
    assert level[:2].max() + 100 < level[-2:].min()


def test_means_and_deviations_stand_side_by_side(tone):
    steady = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000).astype(np.float32)
    means, deviations = baseline.mfcc_statistics(steady).reshape(6, 2, 40)[2]  # not at an end
    assert np.abs(deviations).max() < 0.1 < np.abs(means[:20]).max()
    np.testing.assert_allclose(means[20:], 0, atol=0.1)  # deltas: nothing changes


def test_the_svm_learns_what_no_line_divides_whatever_its_scale():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (200, 2))
    intents = np.where(points[:, 0] * points[:, 1] > 0, "same", "other")
    svm = baseline.make_svm().fit(points * [1, 1_000], intents)
    fresh = rng.uniform(-1, 1, (200, 2))
    expected = np.where(fresh[:, 0] * fresh[:, 1] > 0, "same", "other")
    assert svm.score(fresh * [1, 1_000], expected) > 0.9


def test_the_baseline_tells_tones_apart(tone):
    frequencies = [300, 900, 2_700]
    train, test = (
        [
            {"audio": (tone(frequency, 0.4, seed), 16_000)}
            for frequency in frequencies
            for seed in seeds
        ]
        for seeds in (range(4), range(4, 7))
    )
    svm = baseline.make_svm().fit(baseline.table_statistics(train), np.repeat(frequencies, 4))
    answers = svm.predict(baseline.table_statistics(test))
    assert list(answers) == list(np.repeat(frequencies, 3))
