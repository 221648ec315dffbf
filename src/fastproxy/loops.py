"""The event loop. Only this module imports uvloop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a new uvloop loop, and return what it returns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def check_running() -> None:
    """Raise RuntimeError if the running loop is none of uvloop: connections need what only its loops do."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, uvloop.Loop):
        kind = type(loop)
        raise RuntimeError(
            f"fastproxy needs an event loop of uvloop, and this is {kind.__module__}.{kind.__qualname__}; "
            "start the program with uvloop.run(main())"
        )
