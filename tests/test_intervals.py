import numpy as np
import pytest
from scipy.stats import binom

from speech_intent import intervals


@pytest.mark.parametrize(
    ("correct", "n", "interval"),
    [  # the score interval of Newcombe 1998 (Stat. Med. 17), table I; recipe scooter's 44 of 48
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (29, 29, (0.8830, 1.0)),
        (44, 48, (0.8045, 0.9671)),
    ],
)
def test_wilson_intervals_equal_published_ones(correct, n, interval):
    assert intervals.wilson_interval(correct, n) == pytest.approx(interval, abs=1e-4)


def test_a_proportion_of_nothing_may_be_anything():
    assert intervals.wilson_interval(0, 0) == [0.0, 1.0]


@pytest.mark.parametrize("n", [200, 400])
def test_wilson_intervals_hold_the_truth_in_95_of_100_tests(n):
    counts = np.arange(n + 1)  # every outcome by its probability: no simulation needed
    low, high = np.transpose([intervals.wilson_interval(int(k), n) for k in counts])
    for accuracy in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        holds = (low <= accuracy) & (accuracy <= high)
        assert 0.93 <= binom.pmf(counts, n, accuracy)[holds].sum() <= 0.97


def test_the_middle_95_percent_leaves_as_much_out_below_as_above():
    assert intervals.middle_95(np.arange(201) / 200) == pytest.approx([0.025, 0.975])
    assert intervals.middle_95(np.full(9, 1 + 1e-12)) == [1.0, 1.0]


def test_clips_are_drawn_where_speakers_are_not_known():
    truth = [0] * 30 + [1] * 70
    predicted = [0] * 20 + [1] * 80
    resampled = intervals.resample(truth, predicted, 3, (), np.random.default_rng(0))
    assert resampled.note == "over clips"
    assert resampled.matrices.shape == (intervals.N_DRAWS, 3, 3)
    assert set(resampled.matrices.sum(axis=(1, 2))) == {100}
    means = resampled.matrices.mean(axis=0)
    assert means == pytest.approx(np.array([[20, 10, 0], [0, 70, 0], [0, 0, 0]]), abs=0.5)
    deviation = resampled.matrices[:, 1, 1].std()
    assert deviation == pytest.approx(np.sqrt(100 * 0.7 * 0.3), rel=0.1)  # of a binomial


def test_speakers_are_drawn_whole():
    truth = [0, 0, 1, 1, 1]
    predicted = [0, 1, 1, 1, 1]
    speakers = ["ann", "ann", "ben", "ben", "ben"]
    resampled = intervals.resample(truth, predicted, 2, speakers, np.random.default_rng(0))
    drawn = {tuple(matrix.ravel().astype(int)) for matrix in resampled.matrices}
    # Two draws of Ann's [[1, 1], [0, 0]] and Ben's [[0, 0], [0, 3]].
    assert drawn == {(2, 2, 0, 0), (1, 1, 0, 3), (0, 0, 0, 6)}
    both = (resampled.matrices == np.array([[1, 1], [0, 3]])).all(axis=(1, 2))
    assert both.mean() == pytest.approx(1 / 2, abs=0.05)


def note(speakers) -> str:
    ids = [0] * len(speakers)
    return intervals.resample(ids, ids, 1, speakers, np.random.default_rng(0)).note


def test_the_note_says_what_was_drawn_and_whether_it_was_enough():
    assert note([f"speaker {i}" for i in range(10)] * 2) == "over 10 speakers"
    assert note([f"speaker {i}" for i in range(9)]) == (
        "over 9 speakers, too few for a reliable interval"
    )
    assert note(["ann", "ann"]) == "over clips"  # one speaker varies by nothing
    assert note(["ann", "ben", ""]) == "over clips"  # somebody is not known


def test_mcnemar_by_hand():
    first = [1] * 8 + [0] * 2 + [1] * 5 + [0] * 3
    second = [0] * 8 + [1] * 2 + [1] * 5 + [0] * 3
    test = intervals.mcnemar(first, second)
    assert (test.only_first, test.only_second) == (8, 2)
    assert test.p == pytest.approx(2 * (1 + 10 + 45) / 2**10)  # 0, 1 or 2 of 10, both sides


def test_models_that_never_differ_are_equal():
    assert intervals.mcnemar([1, 0, 1], [1, 0, 1]) == intervals.McNemar(0, 0, 1.0)
