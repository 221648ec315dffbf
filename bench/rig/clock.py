"""Time that is this thread's own: what it had a processor for, or chose to wait.

Where others want the processor, seconds of the wall say nothing about us. The kernel knows how long a thread
was ready and was not let (/proc/thread-self/schedstat, the second number, in ns); that is left out here.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

BEAT = 0.1     # seconds


def kept_waiting() -> float:
    """Return the seconds in which this thread was ready to run and was not let; 0 if nobody counts."""
    try:
        with open("/proc/thread-self/schedstat") as told:
            return int(told.read().split()[1]) / 1e9
    except OSError:
        return 0.0


def own() -> float:
    """Return the seconds of a clock that stands while this thread is kept waiting."""
    return time.monotonic() - kept_waiting()


async def within(seconds: float, work: Awaitable[Any]) -> bool:
    """Wait for something, so many seconds of our own at most; it is cancelled then. Raises what it raises."""
    task = asyncio.ensure_future(work)
    end = own() + seconds
    while not task.done() and own() < end:
        await asyncio.wait([task], timeout=max(end - own(), 0.01))
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.wait([task])
    return False


class Beat:
    """Notices how long the turns of a loop are, in seconds of our own."""

    longest = 0.0
    where = ""
    """What is known of the longest: how much of it was work, and how much was waiting for something."""

    async def __aenter__(self) -> "Beat":
        self._task = asyncio.ensure_future(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _listen(self) -> None:
        while True:
            before, worked = own(), time.thread_time()
            await asyncio.sleep(BEAT)
            took, worked = own() - before - BEAT, time.thread_time() - worked
            if took > self.longest:
                self.longest = took
                self.where = f"{worked:.1f} s of it was work"
