"""All by hand: a clip costs 0.25 s, nobody may wait above 1 s, and the clock stands at 1,000 s."""

import contextlib
from itertools import count

import pytest

from speech_intent.serving import places as module
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
    places.usual = 1.0
    return places


NAMES = count()


def another() -> str:
    """Name an address that was not there before."""
    return f"address {next(NAMES)}"


@pytest.fixture
def inside(places):
    """Four clips of four addresses, which will take the second that one may wait."""
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(places.waiting(another(), 1.0))
        yield stack


def retry_after(places, work: float = 1.0, address: str | None = None) -> int:
    with pytest.raises(Busy) as error, places.waiting(address or another(), work):
        pytest.fail("let in")
    return error.value.retry_after


def test_places_are_counted_and_given_back(places, inside):
    assert (places.taken.n_clips, places.taken.work) == (4, 4.0)
    inside.close()
    assert (places.taken.n_clips, places.taken.work) == (0, 0.0)


def test_places_and_bytes_are_given_back_after_a_failure(places):
    with pytest.raises(RuntimeError), places.holding("a") as hold, places.waiting("a", 3.0):
        hold(100)
        raise RuntimeError
    assert (places.taken.n_clips, places.taken.work, places.taken.n_bytes) == (0, 0.0, 0)


def test_nothing_is_kept_of_addresses_that_have_left(places):
    for _ in range(100):
        address = another()
        with places.holding(address) as hold, places.waiting(address, 0.1):
            hold(3)
        with places.waiting("stays", 0.1), contextlib.suppress(Busy):
            places.check(another())
    assert dict(places._taken_by) == {}


def test_each_one_turned_away_is_told_a_time_of_its_own(places, inside):
    # The four inside take until second 1; from then on one can be answered each quarter: at 1,
    # 1.25, 1.5, 1.75, 2 and 2.25 s. Headers hold whole seconds, rounded up.
    assert [retry_after(places) for _ in range(6)] == [1, 2, 2, 2, 2, 3]
    assert places.taken.n_clips == 4


def test_times_told_pass(places, inside, clock):
    assert [retry_after(places) for _ in range(5)][-1] == 2
    clock.now += 10
    assert retry_after(places) == 1


def test_a_long_clip_moves_the_next_time_by_all_its_work(places, inside):
    # 1 s; 8 units of 0.25 s after that, 3 s; one more, 3.25 s.
    assert [retry_after(places), retry_after(places, 8.0), retry_after(places)] == [1, 3, 4]


def test_nobody_is_sent_away_for_more_than_a_minute(places, inside):
    assert [retry_after(places, 10_000) for _ in range(2)] == [1, 60]
    assert retry_after(places) == 60


def test_a_clip_needs_as_much_of_the_wait_as_it_costs(places):
    with places.waiting("a", 1.0):
        retry_after(places, 2.5)
        with places.waiting("b", 2.0):
            assert places.taken.work == 3.0


def test_the_first_is_let_in_whatever_it_costs(places):
    with places.waiting("a", 100.0):
        assert retry_after(places) == 25


def test_what_is_inside_has_a_place(places, inside):
    with places.waiting("a", 50.0, is_inside=True):
        assert places.taken.n_clips == 5


def test_one_address_gets_half_of_the_places_and_the_other_half_is_left_to_others(places):
    with places.waiting("greedy", 1.0), places.waiting("greedy", 1.0):
        retry_after(places, 1.0, "greedy")
        with pytest.raises(Busy):
            places.check("greedy")
        places.check("another")
        with places.waiting("another", 1.0), places.waiting("another", 1.0):
            retry_after(places)


def test_a_usual_clip_is_what_the_door_asks_for(places, inside):
    with pytest.raises(Busy):
        places.check("a")
    inside.close()
    places.usual = 100.0
    places.check("a")  # nobody waits
    with places.waiting("a", 1.0), pytest.raises(Busy):
        places.check("b")


def test_bytes_count_as_they_arrive(places):
    with places.holding("slow") as slow, places.holding("a") as a, places.holding("b") as b:
        slow(0)  # has promised a body, and sent nothing of it
        a(HELD_BYTES // 2)
        b(HELD_BYTES // 2)
        assert places.taken.n_bytes == HELD_BYTES
        with places.holding("c") as c, pytest.raises(Busy):
            c(1)
    assert places.taken.n_bytes == 0


def test_one_address_holds_half_of_the_memory(places):
    with places.holding("a") as first, places.holding("a") as second:
        first(HELD_BYTES // 2)
        with pytest.raises(Busy):
            second(1)
        with places.holding("b") as other:
            other(HELD_BYTES // 2 - 1)


def test_while_nobody_knows_the_cost_everybody_is_let_in():
    places = Places(max_wait=1.0)
    with places.waiting("a", 10_000.0), places.waiting("a", 10_000.0):
        assert places.taken.n_clips == 2
        places.check("a")


def test_the_cost_is_a_moving_average_that_begins_with_the_first():
    places = Places(max_wait=1.0)
    places.learn(2.0, work=1.0)
    assert (places.cost, places.usual) == (2.0, 1.0)
    places.learn(8.0, work=2.0)
    assert places.cost == pytest.approx(2.1)  # 2 + 5 % of what it is off
    assert places.usual == pytest.approx(1.05)


def test_a_few_are_refused_at_once_and_many_in_turn(places, clock, monkeypatch):
    monkeypatch.setattr(module, "REFUSALS", 4)
    assert [places.pause() for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]
    pauses = [places.pause() for _ in range(100)]
    assert max(pauses) == pauses[-1] == module.MAX_PAUSE
    clock.now += 60
    assert places.pause() == 0.0


@pytest.mark.parametrize(("seconds", "whole"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2)])
def test_seconds_are_rounded_up_and_at_least_one(seconds, whole):
    assert Busy(seconds).retry_after == whole
