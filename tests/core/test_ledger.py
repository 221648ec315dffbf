"""Counts by name that several processes share: exact at the limit, and nothing is counted for the dead."""

import contextlib
import logging
import os
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastproxy._core.ledger import SET_SIZE, Ledger
from fastproxy._core.murmur import Murmur
from fastproxy._core.shared import row_width
from fastproxy.shared import SET, SETS, WORD, Shared
from tests.core.forks import hanging, run

NAMES = SET_SIZE
"""That one set has room for."""


@pytest.fixture
def ledger(shared):
    """Return a function that gives the counts as a worker sees them."""
    seats = []

    def of(worker):
        seats.append(shared.seat(worker))
        return of_seat(seats[-1])

    yield of
    for each in seats:
        leave(each)


def leave(seat):
    """Let the memory be closed."""
    seat.counts.release()
    seat.signs.release()


def of_seat(seat):
    return Ledger(seat.counts, SETS, seat.workers, seat.worker)


def alone(sets=1, workers=1):
    """Return the ledgers of workers that share a small memory."""
    memory = bytearray((row_width(workers) + sets * SET_SIZE * (1 + row_width(workers))) * WORD)
    return [Ledger(memory, sets, workers, worker) for worker in range(workers)]


def in_set(number, at=0, sets=1):
    """Return names that lie in the same set."""
    return [at + sets * each for each in range(1, number + 1)]


# --- the limit ----------------------------------------------------------------------------------------------


def test_a_limit_holds_for_all_workers_together(ledger):
    one, two = ledger(0), ledger(2)
    held = [one.take(7, 3), two.take(7, 3), one.take(7, 3)]
    assert all(held)
    assert two.take(7, 3) is None
    assert (one.count(7), two.count(7), one.count(8)) == (3, 3, 0)
    held.pop()
    assert two.count(7) == 2
    last = two.take(7, 3)
    assert last is not None
    assert one.take(7, 3) is None


def test_a_place_is_given_back_with_its_last_reference():
    (ledger,) = alone()
    held = ledger.take(5, 9)
    other = held
    del held
    assert ledger.count(5) == 1
    del other
    assert ledger.count(5) == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_no_amount_lets_nobody_in_and_takes_no_room(limit):
    (ledger,) = alone()
    assert ledger.take(5, limit) is None
    assert all(ledger.take(name, 1) for name in in_set(NAMES))


@pytest.mark.parametrize("name", [0, 1, 2**63, 2**64 - 1])
def test_every_name_can_be_counted(name):
    (ledger,) = alone()
    held = ledger.take(name, 1)
    assert held is not None
    assert ledger.count(name) == 1
    assert ledger.take(name, 1) is None


# --- what is full -------------------------------------------------------------------------------------------


def test_a_full_set_takes_no_new_name_until_one_is_gone():
    (ledger,) = alone()
    held = {name: ledger.take(name, 2) for name in in_set(NAMES)}
    assert all(held.values())
    assert ledger.take(1000, 2) is None
    second = ledger.take(1, 2)
    assert second is not None, "whoever is known finds its place"
    del held[1]
    assert ledger.take(1000, 2) is None, "one of two is still there"
    del second
    assert ledger.take(1000, 2) is not None


class Loop:
    """A loop in which no time passes."""

    def call_later(self, seconds, call):
        pass


def test_a_full_set_is_told(caplog):
    (ledger,) = alone()
    ledger.full = Murmur(Loop(), logging.getLogger("test"), "%d of %d")
    held = [ledger.take(name, 1) for name in in_set(NAMES)]
    assert ledger.take(1, 1) is None, "the limit is no lack of room"
    assert caplog.messages == []
    assert ledger.take(1000, 1) is None
    assert caplog.messages == ["1 of 32"]
    del held


def test_other_sets_have_room():
    (ledger,) = alone(sets=2)
    held = [ledger.take(name, 1) for name in in_set(NAMES, 0, 2)]
    assert ledger.take(2000, 1) is None
    assert ledger.take(2001, 1) is not None
    del held


def test_as_many_clients_as_are_promised():
    (ledger,) = alone(sets=64)
    held = [ledger.take(name, 1) for name in range(1, 64 * NAMES + 1)]
    assert all(held)
    assert ledger.take(64 * NAMES + 1, 1) is None


# --- against a twin -----------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 2), st.integers(1, 40), st.integers(1, 3)),
        st.tuples(st.just("leave"), st.integers(0, 2), st.integers(0, 100), st.just(0)),
        st.tuples(st.just("die"), st.integers(0, 2), st.just(0), st.just(0)),
    ),
    max_size=200,
)


@settings(deadline=None)
@given(STEPS)
def test_it_counts_as_a_dictionary_would(steps):
    """Three workers come, go and die. A name is in the table while it counts; 32 are as many as there are."""
    shared = Shared.make(3)
    seats = [shared.seat(each) for each in range(3)]
    ledgers = [of_seat(each) for each in seats]
    held = [[], [], []]
    counts, graves = Counter(), []  # places of the dead, who give nothing back
    for what, worker, number, limit in steps:
        name = number * SETS  # all of them in the first set
        if what == "take":
            place = ledgers[worker].take(name, limit)
            has_room = counts[name] > 0 or sum(count > 0 for count in counts.values()) < NAMES
            assert (place is not None) == (counts[name] < limit and has_room)
            if place is not None:
                held[worker].append((name, place))
                counts[name] += 1
        elif what == "leave" and held[worker]:
            name, place = held[worker].pop(number % len(held[worker]))
            del place
            counts[name] -= 1
        elif what == "die":
            for name, place in held[worker]:
                counts[name] -= 1
                graves.append(place)
            held[worker] = []
            shared.forget(worker)
            ledgers[worker] = of_seat(seats[worker])
        assert [ledgers[0].count(each * SETS) for each in range(1, 41)] == [
            counts[each * SETS] for each in range(1, 41)
        ]


# --- processes ----------------------------------------------------------------------------------------------


def come_and_go(shared, worker, rounds):
    """Take and leave the one place that there is, and see that nobody else has it meanwhile."""
    ledger = of_seat(shared.seat(worker))
    blocks = [shared.block(each).cast("q") for each in range(shared.slots)]
    for number in range(rounds):
        name = 5 + SETS * (number % 40)  # more names than the set has room for
        place = ledger.take(name, 1)
        if place is not None:
            blocks[worker][1] += 1
            blocks[worker][0] = name
            inside = [block[0] for block in blocks]
            assert inside.count(name) == 1
            blocks[worker][0] = 0
            del place


def test_processes_never_pass_a_limit_and_leave_nothing(shared):
    run(*((come_and_go, shared, worker, 20_000) for worker in range(3)))
    assert shared.totals(2)[1] > 1_000
    seat = shared.seat(0)
    assert [of_seat(seat).count(5 + SETS * each) for each in range(40)] == [0] * 40
    leave(seat)


def take(shared, worker):
    ledger = of_seat(shared.seat(worker))
    held = [ledger.take(name, 9) for name in range(1, 300)]
    assert all(held)
    return held


def test_a_worker_that_is_killed_leaves_no_count_behind(shared, ledger):
    mine = ledger(2)
    with hanging((take, shared, 0), (take, shared, 1)) as (victim, _):
        assert {mine.count(name) for name in range(1, 300)} == {2}
        victim.kill()
        victim.join()
        assert {mine.count(name) for name in range(1, 300)} == {2}
        shared.forget(0)
        assert {mine.count(name) for name in range(1, 300)} == {1}


def test_a_claim_of_the_dead_is_given_up_and_no_other(shared, ledger):
    """A name that a worker marked as claimed, and died."""
    mine, row = ledger(2), 7 * SET
    with shared.seat(0).counts as counts, counts.cast("q") as words:
        names = words[row_width(3) :]
        for each in in_set(NAMES, 7, SETS):
            assert mine.take(each, 1) is not None
        names[row] |= -(2**63)
        words[1] = row + 1
        held = [mine.take(each, 1) for each in in_set(NAMES - 1, 7 + 100 * SETS, SETS)]
        assert all(held)
        assert mine.take(7 + 999 * SETS, 1) is None, "of 32 places one is claimed"
        shared.forget(0)
        assert mine.take(7 + 999 * SETS, 1) is None
        shared.forget(1)
        assert mine.take(7 + 999 * SETS, 1) is not None
        assert words[1] == 0
        names.release()


def test_what_is_claimed_counts_still(shared, ledger):
    """The worker that claims it may find that it is in use, and then gives it back."""
    mine, row = ledger(2), 7 * SET
    with shared.seat(0).counts as counts, counts.cast("q") as words:
        names = words[row_width(3) :]
        held = mine.take(7, 1)
        names[row] |= -(2**63)
        assert mine.take(7, 1) is None
        second = mine.take(7, 2)
        assert second is not None, "in a row of its own"
        assert mine.count(7) == 2
        assert mine.take(7, 2) is None
        names[row] &= 2**63 - 1
        del held
        assert mine.count(7) == 1
        names.release()


# --- memory -------------------------------------------------------------------------------------------------


def test_memory_that_nobody_touched_takes_no_room(shared):
    shared.forget(1)
    assert os.fstat(shared.descriptor).st_blocks * 512 <= 2 * 4096


@pytest.mark.parametrize("sets", [0, 3, -2])
def test_sets_are_a_power_of_two(sets):
    with pytest.raises(ValueError, match="power of two"):
        Ledger(bytearray(65536), sets, 1, 0)


def test_memory_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="words are needed"):
        Ledger(bytearray((row_width(1) + SET_SIZE * (1 + row_width(1))) * WORD - WORD), 1, 1, 0)
    with pytest.raises(ValueError, match="no worker 1 among 1"):
        Ledger(bytearray((row_width(1) + SET_SIZE * (1 + row_width(1))) * WORD), 1, 1, 1)


def test_both_halves_mean_the_same_set():
    assert SET == SET_SIZE
    with contextlib.closing(Shared.make(1)) as shared, shared.seat(0).counts as counts:
        assert counts.nbytes == (row_width(1) + SETS * SET * (1 + row_width(1))) * WORD
