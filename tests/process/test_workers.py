"""Workers as the supervisor keeps them. The processes are real, their work is not."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from fastproxy.config.dynamic import Configuration, HttpRouter
from fastproxy.config.http import HttpConfiguration
from fastproxy.config.static import EntryPoint, StaticConfiguration
from fastproxy.shared import Shared
from fastproxy.sockets import bind_all, close_all
from fastproxy.workers import Delays, StartError, Workers

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
        return [record.getMessage() for record in self.caplog.records if part in record.getMessage()]

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

        def make(slots=2, **static):
            points = {"web": EntryPoint(address="127.0.0.1:0")}
            listeners = bind_all(points, slots)
            stack.callback(close_all, listeners)
            shared = Shared.make(slots)
            stack.callback(shared.close)
            made.append(
                Workers(StaticConfiguration(entry_points=points, **static), listeners, shared, STAND_IN)
            )
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
    await logged.until("a new one starts in 60.0 s")
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


def test_delays():
    delays = Delays()
    assert [delays.after(1.0) for _ in range(5)] == [0.0, 0.5, 0.75, 1.125, 1.6875]
    for _ in range(20):
        delays.after(1.0)
    assert delays.after(1.0) == 60.0
    assert delays.after(31.0) == 0.0
    assert delays.after(1.0) == 0.5
