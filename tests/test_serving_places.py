"""All by hand: a clip costs 0.25 s, nobody may wait above 1 s, and the clock stands at 1,000 s."""

import contextlib

import pytest

from speech_intent.serving.places import HELD_BYTES, Busy, Places


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def places(clock):
    places = Places(max_wait=1.0, clock=clock)
    places.cost = 0.25
    return places


@pytest.fixture
def inside(places):
    """Four clips, which will take the second that one may wait."""
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(places.reserve(100))
        yield stack


def retry_after(places, n_bytes: int = 0, n_clips: int = 1) -> int:
    with pytest.raises(Busy) as error, places.reserve(n_bytes, n_clips):
        pytest.fail("let in")
    return error.value.retry_after


def test_places_are_counted_and_given_back(places, inside):
    assert (places.waiting, places.held) == (4, 400)
    inside.close()
    assert (places.waiting, places.held) == (0, 0)


def test_places_are_given_back_after_a_failure(places):
    with pytest.raises(RuntimeError), places.reserve(100, 3):
        raise RuntimeError
    assert (places.waiting, places.held) == (0, 0)


def test_each_one_turned_away_is_told_a_time_of_its_own(places, inside):
    # The four inside take until second 1; from then on one can be answered each quarter: at 1,
    # 1.25, 1.5, 1.75, 2 and 2.25 s. Headers hold whole seconds, rounded up.
    assert [retry_after(places) for _ in range(6)] == [1, 2, 2, 2, 2, 3]
    assert (places.waiting, places.held) == (4, 400)


def test_times_told_pass(places, inside, clock):
    assert [retry_after(places) for _ in range(5)][-1] == 2
    clock.now += 10
    assert retry_after(places) == 1


def test_a_batch_moves_the_next_time_by_all_its_clips(places, inside):
    # 1 s; 8 clips of 0.25 s after that, 3 s; one clip more, 3.25 s.
    assert [retry_after(places), retry_after(places, n_clips=8), retry_after(places)] == [1, 3, 4]


def test_nobody_is_sent_away_for_more_than_a_minute(places, inside):
    assert [retry_after(places, n_clips=10_000) for _ in range(2)] == [1, 60]
    assert retry_after(places) == 60


def test_a_batch_needs_as_many_places_as_it_has_clips(places):
    with places.reserve(0):
        assert retry_after(places, n_clips=4) == 1
        with places.reserve(0, 3):
            assert places.waiting == 4


def test_the_first_is_let_in_whatever_it_costs(places):
    with places.reserve(2 * HELD_BYTES, 100):
        assert places.waiting == 100
        assert retry_after(places) == 25


def test_bodies_in_memory_are_bounded(places):
    with places.reserve(HELD_BYTES - 10):
        assert retry_after(places, n_bytes=11) == 1
        with places.reserve(10):
            assert places.held == HELD_BYTES


def test_while_nobody_knows_the_cost_only_memory_is_bounded():
    places = Places(max_wait=1.0)
    with places.reserve(HELD_BYTES, 10_000), places.reserve(0, 10_000):
        assert places.waiting == 20_000
        retry_after(places, n_bytes=1)


def test_the_cost_is_a_moving_average_that_begins_with_the_first():
    places = Places(max_wait=1.0)
    places.learn(2.0)
    assert places.cost == 2.0
    places.learn(4.0)
    assert places.cost == pytest.approx(2.1)  # 2 + 5 % of what it is off
    places.learn(0.1)
    assert places.cost == pytest.approx(2.0)


@pytest.mark.parametrize(("seconds", "whole"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2)])
def test_seconds_are_rounded_up_and_at_least_one(seconds, whole):
    assert Busy(seconds).retry_after == whole
