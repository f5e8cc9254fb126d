"""Clips made of the pieces of others: what they are made of, and in which order."""

import numpy as np
import pytest
from conftest import RATE, TONES

from speech_intent import mixtures

LABELS = [0, 1, 2, 3] * 3
SPEAKERS = ["a", "a", "a", "a", "b", "b", "b", "b", "", "c", "", ""]


@pytest.fixture(scope="module")
def clips(tone):
    """Tones with three words each, as it were: it is quiet between them."""
    made = []
    for i, label in enumerate(LABELS):
        words = [tone(list(TONES.values())[label], 0.3, 10 * i + j) for j in range(3)]
        made.append(np.concatenate([np.append(word, np.zeros(800)) for word in words]))
    return [clip.astype(np.float32) for clip in made]


def made(clips, labels=LABELS, speakers=SPEAKERS, n=8, seed=0) -> list[np.ndarray]:
    return list(mixtures.mixtures(clips, labels, speakers, RATE, n, seed))


def test_clips_are_float32_no_louder_than_full_scale_and_of_the_length_of_a_few_pieces(clips):
    found = made(clips, n=20)
    assert len(found) == 20
    for clip in found:
        assert (clip.dtype, clip.ndim) == (np.float32, 1)
        assert np.abs(clip).max() <= 1
        assert 0.1 * RATE < len(clip) <= mixtures.MOST * mixtures.PIECE[1] * RATE
        assert np.sqrt(np.mean(clip**2)) > 0.01


def test_the_seed_decides_all(clips):
    first, again, other = (made(clips, seed=seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_a_clip_is_cut_where_it_is_quiet_and_nothing_is_lost(clips):
    for seed in range(5):
        pieces = mixtures.cut(clips[0], RATE, np.random.default_rng(seed))
        assert np.array_equal(np.concatenate(pieces), clips[0])
        for piece in pieces[:-1]:
            assert 0.2 * RATE <= len(piece) <= 0.8 * RATE
            # The pauses are 50 ms long; no cut is within a word.
            assert np.abs(piece[-100:]).max() < 0.01


@pytest.mark.parametrize("n", [4, 6, 9])
def test_hardly_ever_do_two_neighbours_stay_neighbours(n):
    n_together = 0
    for seed in range(100):
        order = mixtures._disordered(n, np.random.default_rng(seed))
        assert sorted(order) == list(range(n))
        n_together += bool(np.any(np.diff(order) == 1))
    assert n_together < 5  # more than half of all orders


def test_two_pieces_get_an_order_too():
    """There is one only that parts them; none of a single one."""
    orders = {tuple(mixtures._disordered(2, np.random.default_rng(i))) for i in range(20)}
    assert orders == {(1, 0)}
    assert mixtures._disordered(1, np.random.default_rng(0)).tolist() == [0]


def test_pieces_of_others_are_by_the_same_speaker_where_he_has_enough():
    labels, speakers = np.array(LABELS), np.array(SPEAKERS)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        others = mixtures._others(5, labels, speakers, rng)
        assert set(speakers[others]) == {"b"}
        assert sorted(labels[others]) == [0, 2, 3]  # of none twice, and not of the first's
        others = mixtures._others(9, labels, speakers, rng)  # c has no other clip
        assert len(others) == 3
        assert 1 not in labels[others]


def test_pieces_of_several_clips_are_equally_loud(clips):
    loud = [clip * gain for clip, gain in zip(clips, np.linspace(0.1, 1, len(clips)), strict=True)]
    rng = np.random.default_rng(0)
    for clip in loud:
        piece = mixtures._drawn(mixtures.cut(clip, RATE, rng), rng)
        assert np.sqrt(np.mean(piece**2)) == pytest.approx(mixtures.LEVEL, rel=1e-3)


def test_ends_of_pieces_do_not_click():
    joined = mixtures._joined([np.full(1_600, 0.5), np.full(1_600, -0.5)], RATE)
    assert len(joined) == 3_200
    assert np.abs(np.diff(joined)).max() < 0.01
    assert joined[800] == 0.5


@pytest.mark.parametrize("n_samples", [1, 30, 400, 1_000])
def test_very_short_clips_are_mixed(n_samples):
    clips = [np.full(n_samples, 0.1, np.float32) for _ in range(4)]
    found = made(clips, [0, 1, 2, 3], [""] * 4)
    assert all(np.isfinite(clip).all() and len(clip) >= n_samples for clip in found)


def test_silence_stays_silent(clips):
    found = made([np.zeros(16_000, np.float32) for _ in range(4)], [0, 1, 2, 3], [""] * 4)
    assert not any(clip.any() for clip in found)


def test_one_clip_or_one_intent_will_do(clips):
    assert len(made(clips[:1], [0], ["a"])) == 8
    assert len(made(clips[:3], [0, 0, 0], ["a"] * 3)) == 8
