"""A row for one more label: the others stay, and what was left out was never seen."""

import numpy as np
import pytest

from speech_intent import added_rows
from speech_intent.added_rows import Addition, HeldOut, Rows, fit_row, parts

SIZE = 8


def points(rng, centre, n, spread=1.0):
    return centre + spread * rng.standard_normal((n, SIZE))


@pytest.fixture
def world():
    """Three labels, of which the head knows the first two; held-out clips of those."""
    rng = np.random.default_rng(0)
    centres = 4 * np.eye(3, SIZE)
    train = np.concatenate([points(rng, centres[i], 40) for i in (0, 1)])
    labels = np.repeat([0, 1], 40)
    weight = np.concatenate([centres[:2], np.zeros((1, SIZE))])
    bias = np.array([-8.0, -8.0, -np.inf])
    outputs = np.concatenate([points(rng, centres[i], 20) for i in (0, 1)])
    held_out = HeldOut(outputs, np.repeat([0, 1], 20), np.ones(40), 20.0)
    addition = Addition(2, points(rng, centres[2], 5), [""] * 5)
    unseen = points(rng, centres[2], 100)
    precision = added_rows.precision_within(train, labels)
    return Rows(weight, bias), addition, precision, held_out, unseen


def test_a_new_label_is_answered_and_the_old_rows_stay(world):
    rows, addition, precision, held_out, unseen = world
    fitted = fit_row(rows, addition, precision, held_out)
    assert np.array_equal(fitted.weight[:2], rows.weight[:2])
    assert np.array_equal(fitted.bias[:2], rows.bias[:2])
    assert np.isneginf(rows.bias[2])  # what was given is not changed
    assert (fitted.logits(unseen).argmax(axis=1) == 2).mean() > 0.9
    right = fitted.logits(held_out.outputs).argmax(axis=1) == held_out.labels
    assert right.mean() > 0.9


def test_an_unknown_label_is_never_answered(world):
    rows, _, _, held_out, unseen = world
    assert (rows.logits(np.concatenate([unseen, held_out.outputs])).argmax(axis=1) < 2).all()


def test_clips_that_look_like_an_old_label_hardly_move_it(world):
    """Where the new cannot be told from the old, held-out clips of the old hold against it."""
    rows, _, precision, held_out, _ = world
    rng = np.random.default_rng(1)
    same = Addition(2, points(rng, 4 * np.eye(3, SIZE)[0], 5), [""] * 5)
    fitted = fit_row(rows, same, precision, held_out)
    of_other = held_out.outputs[held_out.labels == 1]
    assert (fitted.logits(of_other).argmax(axis=1) == 1).mean() > 0.9


def test_more_clips_of_a_known_label_are_added_to_its_row(world):
    rows, _, precision, held_out, _ = world
    rng = np.random.default_rng(2)
    centre = np.zeros(SIZE)
    centre[5] = 4.0  # another way of saying what label 1 means
    centre[0] = 2.0  # which so far is taken for label 0
    known = fit_row(rows, Addition(2, points(rng, -centre, 5), [""] * 5), precision, held_out)
    unseen = points(rng, centre, 100)
    assert (known.logits(unseen).argmax(axis=1) == 1).mean() < 0.5
    more = Addition(1, points(rng, centre, 8), [""] * 8)
    moved = fit_row(known, more, precision, held_out)
    assert (moved.logits(unseen).argmax(axis=1) == 1).mean() > 0.8
    assert np.array_equal(moved.weight[[0, 2]], known.weight[[0, 2]])
    right = moved.logits(held_out.outputs).argmax(axis=1) == held_out.labels
    assert right.mean() > 0.9


def test_precision_is_the_inverse_of_the_shrunken_covariance_within_labels():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((30, 3)) * [1, 2, 3]
    labels = np.arange(30) % 2
    outputs[labels == 1] += 50  # between labels: does not count
    within = sum(15 * np.cov(outputs[labels == i].T, bias=True) for i in (0, 1)) / 30
    shrunk = 0.2 * within + 0.8 * np.eye(3)
    product = added_rows.precision_within(outputs, labels) @ shrunk
    np.testing.assert_allclose(product, np.eye(3), atol=1e-9)


def test_the_discriminant_is_fishers(world):
    _, addition, precision, _, _ = world
    mean = addition.outputs.mean(axis=0)
    direction, offset = added_rows._discriminant(addition.outputs, precision)
    np.testing.assert_allclose(direction, precision @ mean)
    assert offset == pytest.approx(-0.5 * mean @ precision @ mean)


# What is left out


@pytest.mark.parametrize(
    ("speakers", "n_parts"),
    [(["", ""], 2), ([""] * 25, 10), (["ann"] * 3, 3), (["ann", "ann", "ben"], 2)],
)
def test_each_clip_is_left_out_once(speakers, n_parts):
    divided = list(parts(speakers))
    assert len(divided) == n_parts
    assert sorted(np.concatenate([left for _, left in divided])) == list(range(len(speakers)))
    for kept, left in divided:
        assert sorted([*kept, *left]) == list(range(len(speakers)))


def test_known_speakers_are_left_out_whole():
    speakers = [f"speaker {i % 12}" for i in range(60)]
    for kept, left in parts(speakers):
        assert not {speakers[i] for i in kept} & {speakers[i] for i in left}


def test_one_speaker_who_is_not_named_leaves_clips_to_be_divided():
    assert not added_rows.by_speaker(["ann", "", "ben"])
    assert len(list(parts(["ann", "ann", ""]))) == 3


def test_a_clip_that_is_left_out_is_answered_by_a_head_that_never_saw_it(world):
    rows, addition, precision, held_out, _ = world
    logits = added_rows.left_out_logits(rows, addition, precision, held_out)
    first = fit_row(rows, addition.only(np.arange(1, 5)), precision, held_out)
    np.testing.assert_allclose(logits[0], first.logits(addition.outputs[:1])[0])
    moved = addition.outputs.copy()
    moved[0] += 100.0
    other = Addition(2, moved, [""] * 5)
    again = added_rows.left_out_logits(rows, other, precision, held_out)
    np.testing.assert_allclose(again[0], first.logits(moved[:1])[0])


def test_slope_and_shift_are_learned_from_scores_by_other_clips(world):
    _, addition, precision, _, _ = world
    scores = added_rows._left_out_scores(addition, precision)
    for i, clip in enumerate(addition.outputs):
        others = np.delete(addition.outputs, i, axis=0)
        direction, offset = added_rows._discriminant(others, precision)
        assert scores[i] == pytest.approx(clip @ direction + offset)


def test_clips_that_sound_like_two_old_labels_are_not_recognised(world):
    rows, _, precision, held_out, _ = world
    rng = np.random.default_rng(3)
    mixed = np.concatenate([points(rng, axis, 4) for axis in 4 * np.eye(SIZE)[:2]])
    addition = Addition(2, mixed, [""] * 8)
    logits = added_rows.left_out_logits(rows, addition, precision, held_out)
    assert (logits.argmax(axis=1) == 2).mean() <= 0.5


def test_all_clips_of_an_addition_weigh_as_much_as_an_intent(world):
    rows, _, precision, held_out, _ = world
    rng = np.random.default_rng(1)
    near = points(rng, 3 * np.eye(SIZE)[0], 5)
    twice = Addition(2, np.repeat(near, 2, axis=0), [str(i // 2) for i in range(10)])
    once = Addition(2, near, [str(i) for i in range(5)])
    biases = [fit_row(rows, each, precision, held_out).bias[2] for each in (once, twice)]
    assert biases[0] == pytest.approx(biases[1], rel=0.02)


def test_clips_of_a_known_label_weigh_one_each(world):
    """It has held-out clips of its own, against which a few new ones do not outweigh the rest."""
    rows, addition, precision, held_out, _ = world
    known = fit_row(rows, addition, precision, held_out)
    strange = Addition(1, points(np.random.default_rng(5), np.zeros(SIZE), 3), [""] * 3)
    heavier = HeldOut(held_out.outputs, held_out.labels, held_out.weights, 1e3)
    fitted = [fit_row(known, strange, precision, each).bias[1] for each in (held_out, heavier)]
    assert fitted[0] == fitted[1]


def test_points_without_any_spread_are_no_fault(world):
    rows, _, precision, held_out, _ = world
    still = Addition(2, np.zeros((3, SIZE)), [""] * 3)
    fitted = fit_row(rows, still, precision, held_out)
    assert np.isfinite(fitted.weight).all() and np.isfinite(fitted.bias).all()
