"""The throttle lets through what it should when it should; the watcher applies it, one at a time."""

import asyncio
import logging

import pytest

from fastproxy.config.dynamic import Configuration
from fastproxy.config.http import HttpConfiguration, HttpRouter
from fastproxy.config.merge import Merged
from fastproxy.watcher import Gathering, Watcher


def saying(rule):
    return Configuration(http=HttpConfiguration(routers={"r": HttpRouter(rule=rule)}))


A, B, C, D = (saying(rule) for rule in "ABCD")


# --- the throttle, which is told the time -------------------------------------------------------------------


def test_the_first_message_goes_through_at_once():
    gathering = Gathering(2.0)
    assert gathering.next_at() is None
    gathering.put("file", A)
    assert gathering.next_at() is not None
    assert gathering.take(100.0) == {"file": A}
    assert gathering.take(100.0) is None
    assert gathering.next_at() is None


def test_later_ones_wait_and_the_newest_wins():
    gathering = Gathering(2.0)
    gathering.put("file", A)
    gathering.take(100.0)
    gathering.put("file", B)
    gathering.put("file", C)
    assert gathering.take(101.9) is None
    assert gathering.next_at() == 102.0
    assert gathering.take(102.0) == {"file": C}
    gathering.put("file", D)
    assert gathering.next_at() == 104.0


def test_after_a_quiet_time_the_next_is_a_first_one():
    gathering = Gathering(2.0)
    gathering.put("file", A)
    gathering.take(100.0)
    gathering.put("file", B)
    assert gathering.take(500.0) == {"file": B}


def test_equal_messages_are_dropped():
    gathering = Gathering(2.0)
    gathering.put("file", A)
    gathering.take(100.0)
    gathering.put("file", saying("A"))
    assert gathering.next_at() is None
    assert gathering.take(200.0) is None


def test_back_to_what_is_there_takes_back_what_waits():
    gathering = Gathering(2.0)
    gathering.put("file", A)
    gathering.take(100.0)
    gathering.put("file", B)
    gathering.put("file", saying("A"))
    assert gathering.next_at() is None
    assert gathering.take(200.0) is None


def test_each_provider_has_its_own_throttle():
    gathering = Gathering(2.0)
    gathering.put("file", A)
    gathering.take(100.0)
    gathering.put("file", B)
    gathering.put("docker", C)
    assert gathering.take(101.0) == {"file": A, "docker": C}
    assert gathering.take(102.0) == {"file": B, "docker": C}


def test_no_throttle():
    gathering = Gathering(0)
    for configuration in (A, B, A):
        gathering.put("file", configuration)
        assert gathering.take(100.0) == {"file": configuration}


# --- the watcher --------------------------------------------------------------------------------------------


class Applied:
    """Takes what the watcher applies; `gate` holds an application back."""

    def __init__(self):
        self.seen = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, configuration):
        self.seen.put_nowait([each.rule for each in configuration.http.routers.values()])
        await self.gate.wait()
        if configuration.http.routers["r"].rule == "D":
            raise RuntimeError("cannot")


def merge(providers, warnings=()):
    tables = {}
    for configuration in providers.values():
        tables |= configuration.http.routers
    return Merged(Configuration(http=HttpConfiguration(routers=tables)), tuple(warnings))


@pytest.fixture
async def running():
    applied = Applied()
    watcher = Watcher(merge, applied, throttle=0)
    task = asyncio.create_task(watcher.run())
    yield watcher, applied
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_applies_what_is_published(running):
    watcher, applied = running
    watcher.publish("file", A)
    assert await applied.seen.get() == ["A"]
    watcher.publish("file", B)
    assert await applied.seen.get() == ["B"]


async def test_what_comes_meanwhile_gathers_and_the_newest_is_applied(running):
    watcher, applied = running
    applied.gate.clear()
    watcher.publish("file", A)
    assert await applied.seen.get() == ["A"]
    for configuration in (B, C, B, C):
        watcher.publish("file", configuration)
        await asyncio.sleep(0)
    assert applied.seen.empty()
    applied.gate.set()
    assert await applied.seen.get() == ["C"]
    watcher.publish("file", A)
    assert await applied.seen.get() == ["A"]


async def test_nothing_is_applied_when_the_whole_stays_the_same(running):
    watcher, applied = running
    watcher.publish("a", A)
    assert await applied.seen.get() == ["A"]
    watcher.publish("b", saying("A"))  # merges into the same
    watcher.publish("c", B)
    assert await applied.seen.get() == ["B"]
    assert applied.seen.empty()


async def test_a_failure_is_logged_and_the_next_one_is_applied(running, caplog):
    watcher, applied = running
    watcher.publish("file", D)
    assert await applied.seen.get() == ["D"]
    watcher.publish("file", A)
    assert await applied.seen.get() == ["A"]
    assert [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR] == [
        "a configuration could not be applied; the last one stays"
    ]


async def test_the_throttle_is_kept_on_the_clock_of_the_loop():
    applied = Applied()
    watcher = Watcher(merge, applied, throttle=0.2)
    task = asyncio.create_task(watcher.run())
    clock = asyncio.get_running_loop().time
    watcher.publish("file", A)
    await applied.seen.get()
    first = clock()
    watcher.publish("file", B)
    watcher.publish("file", C)
    assert await applied.seen.get() == ["C"]
    assert clock() - first >= 0.15
    task.cancel()


async def test_warnings_are_logged_once(caplog):
    applied = Applied()
    watcher = Watcher(lambda providers: merge(providers, ["look"]), applied, throttle=0)
    task = asyncio.create_task(watcher.run())
    for configuration in (A, B):
        watcher.publish("file", configuration)
        await applied.seen.get()
    assert [each.getMessage() for each in caplog.records] == ["look"]
    task.cancel()
