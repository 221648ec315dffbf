"""Building in small steps, so that the loop which serves connections is never kept waiting for long.

The same work runs at once (`run_now`: checks, tests, a loop that serves nobody yet) or between the turns of a
running loop (`run_in_turns`).
"""

import asyncio
from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any, TypeVar

Result = TypeVar("Result")

Work = Generator[Callable[[], Any] | None, Any, Result]
"""Yields None where the loop may run meanwhile, or a function that takes long and releases the interpreter:
it is called in a thread, if there is a loop, and what it returns or raises comes back from the yield."""

SLICE = 0.002
"""Seconds of work between two turns of the loop. A connection that waits meanwhile waits this much longer."""


def run_now(work: Work[Result]) -> Result:
    """Do all of the work at once and return its result."""
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            asked = work.send(answer) if error is None else work.throw(error)
        except StopIteration as end:
            return end.value
        answer = error = None
        if asked is not None:
            try:
                answer = asked()
            except Exception as raised:
                error = raised


async def run_in_turns(work: Work[Result]) -> Result:
    """Do the work in slices, letting the running loop have a turn after each."""
    answer: Any = None
    error: Exception | None = None
    until = perf_counter() + SLICE
    try:
        while True:
            try:
                asked = work.send(answer) if error is None else work.throw(error)
            except StopIteration as end:
                return end.value
            answer = error = None
            if asked is not None:
                try:
                    answer = await asyncio.to_thread(asked)
                except Exception as raised:
                    error = raised
            elif perf_counter() < until:
                continue
            else:
                await asyncio.sleep(0)
            until = perf_counter() + SLICE
    finally:
        work.close()
