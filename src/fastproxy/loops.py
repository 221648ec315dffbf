"""The event loop. Only this module imports uvloop."""

import asyncio
import logging  # noqa: F401  (whoever takes a WeakValueDictionary at its own import has the usual one)
import ssl  # noqa: F401
import subprocess  # noqa: F401
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar


class _Transports(dict[int, Any]):
    """What uvloop asks of the WeakValueDictionary in which a loop notes each transport under its descriptor.

    Noting one takes three Python frames and forgetting it another two, which together is a seventh of all
    instructions that a new connection costs. Here a dead reference stays until its descriptor is used again.
    """

    __slots__ = ()

    def __setitem__(self, fd: int, transport: Any) -> None:
        super().__setitem__(fd, weakref.ref(transport))

    def __getitem__(self, fd: int) -> Any:
        transport = super().__getitem__(fd)()
        if transport is None:
            raise KeyError(fd)
        return transport


# uvloop takes the class once, when it is imported. Where a program imported it before us, nothing changes.
_usual, weakref.WeakValueDictionary = weakref.WeakValueDictionary, _Transports  # type: ignore[assignment,misc]
try:
    import uvloop
finally:
    weakref.WeakValueDictionary = _usual  # type: ignore[misc]

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
