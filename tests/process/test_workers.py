"""Workers as the supervisor keeps them. The processes are real, their work is not."""

import asyncio
import contextlib
import errno
import logging
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from fastproxy.config.dynamic import Configuration, HttpRouter
from fastproxy.config.http import HttpConfiguration
from fastproxy.config.static import EntryPoint, StaticConfiguration
from fastproxy.pipe import Ping
from fastproxy.pulse import Pulse
from fastproxy.shared import Shared
from fastproxy.sockets import Bound, bind_all, close_all
from fastproxy.workers import COMMAND, Delays, Refused, StartError, Workers

STAND_IN = (sys.executable, "-P", str(Path(__file__).parent / "stand_in.py"))


def routers(*names):
    return Configuration(
        http=HttpConfiguration(routers={name: HttpRouter(rule="x", service="x") for name in names})
    )


class Notes:
    """What the stand-ins have written down."""

    def __init__(self, path):
        self.path = path

    def lines(self, kind=""):
        """Return the words of each line, or of those of one kind, without its kind."""
        lines = [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []
        return [[int(slot), int(pid), *rest] for slot, pid, *rest in lines if not kind or rest[0] == kind]

    async def until(self, kind, count):
        """Wait until there are that many lines of a kind."""
        while len(self.lines(kind)) < count:
            await asyncio.sleep(0.002)
        return self.lines(kind)


class Logged:
    """What the log says."""

    def __init__(self, caplog):
        self.caplog = caplog

    def lines(self, part):
        """Return the lines in which something stands, a text or a pattern."""
        lines = [record.getMessage() for record in self.caplog.records]
        return [line for line in lines if part in line or re.search(part, line)]

    async def until(self, part, count=1):
        while len(self.lines(part)) < count:
            await asyncio.sleep(0.002)
        return self.lines(part)


@pytest.fixture
def notes(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return Notes(tmp_path / "notes")


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO)
    return Logged(caplog)


@pytest.fixture
async def workers(notes):
    """Return a function that makes workers; they are ended after the test."""
    with contextlib.ExitStack() as stack:
        made = []

        def make(slots=2, most=0, sockets=0, command=STAND_IN, **static):
            points = {"web": EntryPoint(address="127.0.0.1:0")}
            listeners = bind_all(points, sockets or slots)
            stack.callback(close_all, listeners)
            shared = Shared.make(most or slots)
            stack.callback(shared.close)
            configuration = StaticConfiguration(entry_points=points, **static)
            made.append(Workers(configuration, listeners, shared, command, slots))
            made[-1].sockets = listeners["web"]
            return made[-1]

        yield make
        for each in made:
            await each.abort()


async def test_all_are_ready_after_start(workers, notes, logged):
    await workers(3).start(routers("a"))
    assert sorted(notes.lines("state"))[0:3:2][0][2:] == ["state", "1", "a"]
    assert {slot for slot, *_ in notes.lines("state")} == {0, 1, 2}
    assert logged.lines("configuration serves") == [
        "configuration serves: 1 added, 0 changed, 0 removed, 0 disabled, in 2 ms"
    ]


async def test_a_worker_inherits_what_it_is_given_and_nothing_else(workers, notes):
    stray = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(stray, True)
    await workers(2).start(routers())
    os.close(stray)
    assert [rest for _, _, *rest in notes.lines("setup")] == [["setup"], ["setup"]]


async def test_a_reload_goes_to_all_as_a_change_and_is_one_line(workers, notes, logged):
    made = workers(3)
    await made.start(routers("a"))
    made.apply(routers("a", "b"))
    lines = await logged.until("configuration serves", 2)
    assert len(lines) == 2
    assert sorted(slot for slot, *_ in notes.lines("change")) == [0, 1, 2]
    assert all(rest == ["change", "2", "a", "b"] for _, _, *rest in notes.lines("change"))


async def test_a_busy_worker_gets_the_newest_next(workers, notes, logged, tmp_path):
    made = workers(1)
    await made.start(routers())
    gate = tmp_path / "gate"
    made.apply(routers(f"wait-{gate}"))
    await notes.until("change", 1)
    for name in ("passed-over-1", "passed-over-2", "newest"):
        made.apply(routers(name))
    gate.touch()
    await notes.until("change", 2)
    await logged.until("configuration serves", 3)
    assert [rest[2:] for _, _, *rest in notes.lines("change")] == [[f"wait-{gate}"], ["newest"]]
    assert [rest[1] for _, _, *rest in notes.lines("change")] == ["2", "5"]


async def test_disabled_objects_are_told_once_for_all_workers(workers, logged):
    made = workers(3)
    await made.start(routers("disabled-1", "fine", "disabled-2"))
    assert logged.lines("disabled") == [
        "configuration serves: 3 added, 0 changed, 0 removed, 2 disabled, in 2 ms",
        "router disabled-1 is disabled: no service",
        "router disabled-2 is disabled: no service",
    ]


async def test_a_configuration_that_cannot_be_built_is_told_once(workers, logged):
    made = workers(3)
    await made.start(routers())
    made.apply(routers("break"))
    await logged.until("cannot be used")
    made.apply(routers("fine"))
    await logged.until("configuration serves", 2)
    assert logged.lines("cannot be used") == ["configuration cannot be used, the last one stays: no memory"]


async def test_a_killed_worker_is_replaced_and_gets_everything(workers, notes, logged):
    made = workers(2)
    await made.start(routers("a"))
    made.apply(routers("a", "b"))
    await logged.until("configuration serves", 2)
    (victim,) = (pid for slot, pid, *_ in notes.lines("change") if slot == 1)
    os.kill(victim, signal.SIGKILL)
    await logged.until("in place of the one that died")
    slot, _, *rest = notes.lines("state")[-1]
    assert (slot, rest) == (1, ["state", "2", "a", "b"])
    assert logged.lines("died:") == [
        f"worker 2 (pid {victim}) died: killed by SIGKILL; it is the 1st of this place, a new one starts now"
    ]
    made.apply(routers("c"))
    await logged.until("configuration serves", 3)
    assert len(logged.lines("configuration serves")) == 3


async def test_a_worker_that_dies_again_and_again_is_replaced_ever_later(workers, logged, notes, monkeypatch):
    monkeypatch.setattr(Delays, "FIRST", 0.05)
    made = workers(1)
    await made.start(routers())
    made.apply(routers("die"))
    lines = await logged.until("died:", 4)
    assert [line.partition("died: ")[2] for line in lines[:4]] == [
        "exit status 3; it is the 1st of this place, a new one starts now",
        "exit status 3; it is the 2nd of this place, a new one starts in 0.1 s",
        "exit status 3; it is the 3rd of this place, a new one starts in 0.1 s",
        "exit status 3; it is the 4th of this place, a new one starts in 0.1 s",
    ]
    made.apply(routers("cured"))
    await logged.until("in place of the one that died")


async def test_a_reload_waits_for_nobody_who_is_dead(workers, logged, notes, monkeypatch):
    monkeypatch.setattr(Delays, "FIRST", 60.0)
    made = workers(2)
    await made.start(routers())
    pid = next(pid for slot, pid, *_ in notes.lines("state") if slot == 0)
    os.kill(pid, signal.SIGKILL)
    await logged.until("in place of the one that died")
    pid = [pid for slot, pid, *_ in notes.lines("state") if slot == 0][-1]
    os.kill(pid, signal.SIGKILL)
    await logged.until("died:", 2)
    made.apply(routers("a"))
    await logged.until("configuration serves", 2)


async def test_a_start_that_fails_leaves_nobody_running(workers, notes):
    with pytest.raises(StartError, match=r"worker \d \(pid \d+\) ended before it was ready: exit status 3"):
        await workers(2).start(routers("die"))
    for _, pid, *_ in notes.lines():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_drain_waits_for_all_and_closes_the_sockets(workers, notes):
    made = workers(2)
    await made.start(routers())
    await made.drain()
    assert len(notes.lines("drain")) == 2
    assert made.aborted == 4
    assert all(each.fileno() == -1 for each in made.sockets)


async def test_drain_does_not_wait_for_a_worker_that_is_to_be_started(workers, logged, notes, monkeypatch):
    monkeypatch.setattr(Delays, "FIRST", 60.0)
    made = workers(1)
    await made.start(routers())
    made.apply(routers("die"))
    await logged.until("a new one starts in 1.0 s")
    await asyncio.wait_for(made.drain(), 5)


async def test_a_second_word_ends_a_drain(workers, notes, logged, tmp_path, monkeypatch):
    monkeypatch.setattr("fastproxy.workers.EXIT_SECONDS", 0.2)
    made = workers(1)
    await made.start(routers())
    made.apply(routers(f"wait-{tmp_path / 'never'}"))
    await notes.until("change", 1)
    draining = asyncio.create_task(made.drain())
    await asyncio.sleep(0)
    await made.abort()
    await draining
    assert logged.lines("does not end and is killed")


async def test_logs_are_reopened_by_all(workers, notes):
    made = workers(2)
    await made.start(routers())
    made.reopen_logs()
    assert sorted(slot for slot, *_ in await notes.until("reopen", 2)) == [0, 1]


async def test_a_worker_starts_with_signals_blocked_and_keeps_its_own(workers, notes):
    """Blocked while it starts, so that Ctrl-C at a terminal reaches it only when it knows what that means."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    await workers(1).start(routers())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


# --- sockets of others, one more, one fewer -----------------------------------------------------------------


async def test_sockets_of_a_dead_worker_are_lent_until_its_successor_is_ready(workers, notes, logged):
    made = workers(2)
    await made.start(routers())
    victim, other = (next(pid for slot, pid, *_ in notes.lines("state") if slot == each) for each in (1, 0))
    os.kill(victim, signal.SIGKILL)
    assert await notes.until("lent", 1) == [[0, other, "lent", "1", "web"]]
    assert await notes.until("back", 1) == [[0, other, "back", "1"]]
    assert len(logged.lines("in place of the one that died")) == 1


async def test_what_was_lent_to_a_worker_that_dies_is_lent_anew(workers, notes, logged, monkeypatch):
    monkeypatch.setattr(Delays, "after", lambda self, lived: 60.0)
    made = workers(3)
    await made.start(routers())
    pids = {slot: pid for slot, pid, *_ in notes.lines("state")}
    os.kill(pids[2], signal.SIGKILL)
    ((borrower, *_, lent, _),) = await notes.until("lent", 1)
    assert lent == "2"
    os.kill(pids[borrower], signal.SIGKILL)
    last = ({0, 1} - {borrower}).pop()
    lines = (await notes.until("lent", 3))[1:]
    assert {(slot, number) for slot, _, _, number, _ in lines} == {(last, str(borrower)), (last, "2")}


async def test_a_worker_more_gets_what_is_newest_and_is_told_of(workers, notes, logged):
    made = workers(1, most=2)
    await made.start(routers("a"))
    made.apply(routers("a", "b"))
    await logged.until("configuration serves", 2)
    assert made.add().place == "worker 2"
    assert made.count == 2
    await logged.until("worker 2 .* serves")
    assert notes.lines("state")[-1][2:] == ["state", "2", "a", "b"]
    assert (await notes.until("lent", 1))[0][2:] == ["lent", "1", "web"]  # until it is ready
    assert (await notes.until("back", 1))[0][2:] == ["back", "1"]
    assert len(made.sockets) == 2
    made.apply(routers("c"))
    assert len(await notes.until("change", 3)) == 3
    with pytest.raises(Refused, match="room for 2 workers"):
        made.add()


async def test_a_worker_fewer_hands_its_sockets_over_and_nobody_follows(workers, notes, logged):
    made = workers(2, most=3)
    await made.start(routers())
    assert made.remove().place == "worker 2"
    ((slot, _, *rest),) = await notes.until("drain", 1)
    assert (slot, rest) == (1, ["drain", "web"])
    ((slot, _, *rest),) = await notes.until("lent", 1)
    assert (slot, rest) == (0, ["lent", "1", "web"])
    assert made.count == 1
    assert made.sockets[1].fileno() != -1
    with pytest.raises(Refused, match="one worker only"):
        made.remove()
    made.apply(routers("a"))
    await logged.until("configuration serves", 2)
    # Its place is the first to be filled again.
    while not made._slots[1].is_free:
        await asyncio.sleep(0.002)
    assert made.add().place == "worker 2"
    await notes.until("back", 1)
    assert logged.lines("died") == []


async def test_a_place_whose_worker_has_not_ended_yet_is_not_given_away(workers, notes, tmp_path):
    made = workers(2, most=3)
    await made.start(routers())
    made.apply(routers(f"wait-{tmp_path / 'gate'}"))
    await notes.until("change", 2)
    made.remove()
    assert made.add().place == "worker 3"
    (tmp_path / "gate").touch()


async def test_a_worker_that_dies_again_and_again_can_be_left_out(workers, logged, notes, monkeypatch):
    monkeypatch.setattr(Delays, "after", lambda self, lived: 60.0)
    made = workers(2)
    await made.start(routers())
    os.kill(next(pid for slot, pid, *_ in notes.lines("state") if slot == 1), signal.SIGKILL)
    await logged.until("died:")
    made.remove()
    async with asyncio.timeout(5):
        while not made._slots[1].is_free:
            await asyncio.sleep(0.002)


async def test_of_several_the_one_that_does_not_serve_is_left_out(workers, logged, notes, monkeypatch):
    monkeypatch.setattr(Delays, "after", lambda self, lived: 60.0)
    made = workers(3)
    await made.start(routers())
    os.kill(next(pid for slot, pid, *_ in notes.lines("state") if slot == 1), signal.SIGKILL)
    await logged.until("died:")
    assert made.remove().place == "worker 2"
    assert made.remove().place == "worker 3"
    assert [slot.place for slot in made.serving] == ["worker 1"]


async def test_a_worker_more_that_cannot_listen_everywhere_listens_nowhere(workers, monkeypatch):
    """Else the kernel would give connections to a socket on which nobody accepts."""
    made = workers(2, most=3)
    await made.start(routers())
    full = Bound(made.sockets)
    monkeypatch.setattr(full, "grow", no_descriptor, raising=False)
    monkeypatch.setitem(made._listeners, "more", full)
    with pytest.raises(Refused, match="entry point more cannot listen once more"):
        made.add()
    assert len(made.sockets) == 2
    assert made.count == 2


def no_descriptor(slots):
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_neither_more_nor_fewer_before_the_start(workers):
    made = workers(2, most=3)
    for change in (made.add, made.remove):
        with pytest.raises(Refused):
            change()


async def test_sockets_without_a_worker_are_lent_at_the_start(workers, notes):
    """As when the program that went before had more workers."""
    made = workers(1, most=3, sockets=3)
    await made.start(routers())
    assert {number for _, _, _, number, _ in await notes.until("lent", 2)} == {"1", "2"}
    assert made.count == 1


async def test_a_worker_that_is_told_to_end_leaves_its_sockets_to_others(workers, notes, logged, tmp_path):
    made = workers(2)
    await made.start(routers())
    made.apply(routers(f"ask-{tmp_path / 'asked'}"))
    ((slot, _, *rest),) = await notes.until("drain", 1)
    assert (slot, rest) == (1, ["drain", "web"])
    ((slot, *_),) = await notes.until("lent", 1)
    assert slot == 0
    await logged.until("in place of the one that died")


async def test_the_end_comes_before_the_successor_of_a_worker_that_is_told_to_end(
    workers, notes, logged, tmp_path
):
    """As when a signal goes to all processes at once."""
    made = workers(1, most=2)
    await made.start(routers())
    made.apply(routers(f"wait-{tmp_path / 'gate'}"))
    (slot,) = made.serving
    made._on_asked(slot)
    await notes.until("state", 2)
    ending = asyncio.create_task(made.drain())
    await asyncio.sleep(0)
    (tmp_path / "gate").touch()  # only now it is ready
    await ending
    assert made.aborted == 4
    assert [record for record in logged.caplog.records if record.exc_info] == []


def test_delays():
    delays = Delays()
    assert [delays.after(1.0) for _ in range(5)] == [0.0, 0.5, 0.75, 1.125, 1.6875]
    for _ in range(20):
        delays.after(1.0)
    assert delays.after(1.0) == 60.0
    assert delays.after(31.0) == 0.0
    assert delays.after(1.0) == 0.5


# --- workers that do not answer ---------------------------------------------------------------------------


@pytest.fixture
async def pulse():
    """Return a function that begins to ask workers whether they are there, every few milliseconds."""
    tasks = []

    def begin(made, most):
        tasks.append(asyncio.create_task(Pulse(made, most, every=0.01).run()))

    yield begin
    for task in tasks:
        task.cancel()


async def test_others_accept_for_a_worker_that_does_not_answer_until_it_does(workers, notes, logged, pulse):
    made = workers(2)
    await made.start(routers("a"))
    pulse(made, most=0)
    victim = next(pid for slot, pid, *_ in notes.lines("state") if slot == 1)
    os.kill(victim, signal.SIGSTOP)
    try:
        assert await logged.until("has not answered") == [
            f"worker 2 (pid {victim}) has not answered for 0.1 s; others accept in its place"
        ]
        ((_, _, *lent),) = await notes.until("lent", 1)
        assert lent == ["lent", "1", "web"]
        assert [slot.number for slot in made.serving] == [0]
    finally:
        os.kill(victim, signal.SIGCONT)
    await logged.until("answers again")
    ((slot, _, *rest),) = await notes.until("back", 1)
    assert (slot, rest) == (0, ["back", "1"])
    assert [slot.number for slot in made.serving] == [0, 1]
    assert logged.lines("died:") == []


async def test_a_worker_that_never_answers_is_replaced(workers, notes, logged, pulse):
    made = workers(2)
    await made.start(routers("a"))
    pulse(made, most=0.15)
    victim = next(pid for slot, pid, *_ in notes.lines("state") if slot == 1)
    os.kill(victim, signal.SIGSTOP)
    await logged.until("and is ended; core.limits.workerSilence")
    await logged.until("in place of the one that died")
    assert logged.lines("died: killed by SIG(KILL|ABRT)")
    await notes.until("back", 1)
    assert [slot.number for slot in made.serving] == [0, 1]


async def test_real_workers_answer(workers):
    made = workers(2, command=COMMAND)
    await made.start(routers())
    for slot in made.living:
        slot.unanswered = 5
        slot.send(Ping())
    while any(slot.unanswered for slot in made.living):
        await asyncio.sleep(0.002)
    assert len(made.living) == 2


async def test_one_that_was_slow_to_answer_is_left_alone(workers, notes, logged, pulse):
    """While we are held up ourselves answers wait in the pipe: that says nothing of the workers."""
    made = workers(2)
    await made.start(routers("a"))
    pulse(made, most=0.15)
    for _ in range(3):
        await asyncio.sleep(0.05)      # pulses
        time.sleep(0.3)
    assert logged.lines("answered") == []


async def test_sockets_that_cannot_be_borrowed_are_lent_to_somebody_else(workers, notes, logged, tmp_path):
    made = workers(3)
    await made.start(routers("a"))
    made.apply(routers(f"cannot-{tmp_path / 'has-refused'}"))
    await notes.until("change", 3)
    made.remove()
    first, second = await notes.until("lent", 2)
    assert {first[0], second[0]} == {0, 1}
    assert first[3:] == second[3:] == ["2", "web"]
    assert (tmp_path / "has-refused").exists()
