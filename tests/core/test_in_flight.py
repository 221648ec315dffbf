"""Counts and buckets that several processes share: exact, and nothing is counted for the dead."""

import itertools
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.shared import Buckets, InFlight, row_width
from fastproxy.shared import CELLS, Shared
from tests.core.forks import hanging, run

SECOND = 1_000_000_000


@pytest.fixture
def counts(shared):
    """Return a function that gives the counts as a worker sees them."""
    views = []

    def of(worker):
        views.append(shared.in_flight())
        return InFlight(views[-1], CELLS, shared.slots, worker)

    yield of
    for each in views:
        each.release()


# --- in-flight counts ---------------------------------------------------------------------------------------


def test_a_limit_holds_for_all_workers_together(counts):
    one, two = counts(0), counts(1)
    assert [one.enter(7, 3), two.enter(7, 3), one.enter(7, 3), two.enter(7, 3)] == [True, True, True, False]
    assert one.count(7) == two.count(7) == 3
    one.end(7)
    assert two.enter(7, 3)
    assert [one.count(6), one.count(8)] == [0, 0]


def test_the_supervisor_sees_the_same(counts, shared):
    one, two = counts(0), counts(2)
    for each in (one, two, two):
        assert each.enter(CELLS - 1, 10)
    assert shared.under_way(CELLS - 1) == 3
    assert shared.under_way(0) == 0


@pytest.mark.parametrize("cell", [-1, CELLS])
def test_no_cell_outside(counts, shared, cell):
    for ask in (counts(0).count, counts(0).end, shared.under_way):
        with pytest.raises(IndexError, match=f"no cell {cell}; there are {CELLS}"):
            ask(cell)


@pytest.mark.parametrize("slots", [1, 8, 9, 20])
def test_a_dead_worker_is_forgotten_and_nobody_else(slots):
    shared = Shared.make(slots)
    cells = (0, 1, 500, 40_000, CELLS - 1)
    memory = shared.in_flight()
    workers = [InFlight(memory, CELLS, slots, worker) for worker in range(slots)]
    for worker, cell in itertools.product(workers, cells):
        assert worker.enter(cell, 1000)
    shared.forget(slots - 1)
    assert [shared.under_way(cell) for cell in cells] == [slots - 1] * len(cells)
    del workers, worker
    memory.release()
    shared.close()


def test_memory_that_nobody_touched_takes_no_room(shared):
    shared.forget(1)
    assert os.fstat(shared.descriptor).st_blocks * 512 <= 2 * 4096


def test_the_width_of_a_row_is_whole_cache_lines():
    assert [row_width(workers) for workers in (1, 8, 9, 16, 17)] == [8, 8, 16, 16, 24]


@pytest.mark.parametrize(
    ("memory", "told"), [(bytearray(8), "words are needed"), (memoryview(bytearray(4096))[1:], "aligned")]
)
def test_memory_that_does_not_fit_is_refused(memory, told):
    with pytest.raises(ValueError, match=told):
        InFlight(memory, 8, 2, 0)
    with pytest.raises(ValueError, match=told):
        Buckets(memory, 511 if len(memory) > 8 else 8, 0)


def test_a_worker_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no worker 2 among 2"):
        InFlight(bytearray(64), 1, 2, 2)


def come_and_go(shared, worker, limit, rounds):
    """Take and leave, and see that there are never more than there may be."""
    counts = InFlight(shared.in_flight(), CELLS, shared.slots, worker)
    blocks = [shared.block(each).cast("q") for each in range(shared.slots)]
    seen = blocks[worker]

    def stays():
        return [(block[0], block[1]) for block in blocks]

    for _ in range(rounds):
        if counts.enter(5, limit):
            # Those that are inside for good: more than the limit may be counted while somebody steps back.
            seen[1] += 1
            seen[0] = 1
            inside = stays()
            # Not looked at in one moment: whose stay is the same at a second look was there in between.
            assert sum(is_in for is_in, _ in inside) <= limit or stays() != inside
            seen[0] = 0
            counts.end(5)


def test_processes_never_pass_a_limit_and_leave_nothing(shared):
    run(*((come_and_go, shared, worker, 2, 20_000) for worker in range(3)))
    assert shared.under_way(5) == 0
    assert shared.totals(2)[1] > 1_000  # and it was no lock-out; how many get in is up to the machine


def take(shared, worker, many):
    counts = InFlight(shared.in_flight(), CELLS, shared.slots, worker)
    for cell in range(many):
        assert counts.enter(cell, 1000)
    return counts


def test_a_worker_that_is_killed_leaks_no_count(shared):
    with hanging((take, shared, 0, 300), (take, shared, 1, 300)) as (victim, _):
        assert [shared.under_way(cell) for cell in range(300)] == [2] * 300
        victim.kill()
        victim.join()
        assert shared.under_way(0) == 2
        shared.forget(0)
        assert [shared.under_way(cell) for cell in range(300)] == [1] * 300


# --- token buckets ------------------------------------------------------------------------------------------


class Bucket:
    """What the reference says: tokens come at a rate, up to a burst; a part of one may be waited for."""

    def __init__(self, rate, burst):
        self.rate, self.burst = rate, max(1, burst)
        self.tokens, self.last = float(self.burst), 0.0

    def ask(self, now):
        patience = 0.5 if self.rate < 1 else 1 / (2 * int(self.rate))
        tokens = min(self.burst, self.tokens + max(0.0, now - self.last) * self.rate)
        wait = max(0.0, (1 - tokens) / self.rate)
        if wait > patience:
            return False, wait
        self.tokens, self.last = tokens - 1, now
        return True, wait


def bucket():
    return Buckets(bytearray(8), 1, 0)


@given(
    rate=st.sampled_from([0.01, 0.3, 1.0, 2.5, 10.0, 1000.0, 123_456.0]),
    burst=st.integers(0, 50),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_a_bucket_is_that_of_the_reference(rate, burst, gaps):
    expected, found, now = Bucket(rate, burst), bucket(), 10 * SECOND
    expected.last = 10.0
    for gap in gaps:
        now += int(gap * SECOND / rate)
        taken, wait = found.ask(0, rate, burst, now)
        should, should_wait = expected.ask(now / SECOND)
        if abs(should_wait - (0.5 if rate < 1 else 1 / (2 * int(rate)))) < 1e-6:
            return  # on the border the two may differ by a rounding
        assert taken == should
        assert wait == pytest.approx(should_wait, abs=1e-6)


def test_a_burst_then_the_rate():
    found = bucket()
    assert [found.ask(0, 10, 3, SECOND) for _ in range(3)] == [(True, 0.0)] * 3
    assert found.ask(0, 10, 3, SECOND) == (False, pytest.approx(0.1))
    assert found.ask(0, 10, 3, SECOND + SECOND // 20) == (True, pytest.approx(0.05))  # waits for its token
    assert found.ask(0, 10, 3, SECOND + SECOND // 20) == (False, pytest.approx(0.15))
    assert found.ask(0, 10, 3, 3 * SECOND) == (True, 0.0)


def test_no_rate_is_no_limit():
    assert {bucket().ask(0, 0, 1) for _ in range(1000)} == {(True, 0.0)}


@pytest.mark.parametrize(("rate", "burst"), [(1e-12, 10**18), (1e9, 10**18), (1e-9, 1)])
def test_what_no_word_can_hold_is_the_longest_that_it_can(rate, burst):
    found = bucket()
    assert found.ask(0, rate, burst, SECOND) == (True, 0.0)


def test_a_clock_that_another_core_reads_a_little_earlier_gives_nothing_away():
    found = bucket()
    assert found.ask(0, 1, 1, 10 * SECOND)[0]
    assert not found.ask(0, 1, 1, 10 * SECOND - 1000)[0]


def ask_as_often_as_possible(shared, worker, until):
    buckets = Buckets(shared.buckets(), CELLS, shared.began)
    seen = shared.block(worker).cast("q")
    while time.monotonic_ns() < until:
        seen[0] += buckets.ask(3, 2000.0, 100)[0]


def test_processes_share_one_rate(shared):
    began = time.monotonic_ns()
    until = began + SECOND // 2
    run(*((ask_as_often_as_possible, shared, worker, until) for worker in range(3)))
    passed = (time.monotonic_ns() - began) / SECOND
    (taken,) = shared.totals(1)
    assert 100 <= taken <= 100 + 2000 * passed + 1


def test_a_bucket_for_a_new_owner_is_full(shared):
    view = shared.buckets()
    buckets = Buckets(view, CELLS, shared.began)
    assert buckets.ask(9, 0.01, 1)[0]
    assert not buckets.ask(9, 0.01, 1)[0]
    shared.empty(9)
    assert buckets.ask(9, 0.01, 1)[0]
    del buckets
    view.release()
