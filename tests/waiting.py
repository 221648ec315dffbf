"""How tests wait: for what must happen, and until nothing happens any more; not for a time to pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 10.0
"""Seconds after which something that must happen has failed to."""

QUIET = 50
"""Turns of the loop, each a millisecond or more, without a change, after which there will be none."""


async def patient(awaited: Awaitable[Any]) -> Any:
    """Await something that must come to an end."""
    async with asyncio.timeout(PATIENCE):
        return await awaited


async def eventually(met: Callable[[], Any], what: str = "") -> None:
    """Return when *met* holds; fail when it does not within PATIENCE."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not met():
        assert loop.time() < end, f"waited in vain for {what or met}"
        await asyncio.sleep(0.002)


async def becomes(wanted: Any, look: Callable[[], Awaitable[Any]]) -> None:
    """Return when *look* gives what is wanted; fail when it does not within PATIENCE."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while (found := await look()) != wanted:
        assert loop.time() < end, f"{found} and not {wanted}"
        await asyncio.sleep(0.01)


async def stands_still(look: Callable[[], Any]) -> Any:
    """Return what *look* gives when it gives the same again and again.

    For bytes and their kin that pass between sockets of this loop: whatever is ready is served in each turn,
    so that a busy machine makes the turns longer, and not the rest between two changes.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    found, turns = look(), 0
    while turns < QUIET:
        assert loop.time() < end, f"it never rests: {found}"
        await asyncio.sleep(0.001)
        before, found = found, look()
        turns = turns + 1 if found == before else 0
    return found


async def costs_nothing(seconds: float = 0.5) -> None:
    """Fail if the loop goes round and round while nothing happens. Only a time can tell."""
    used = time.process_time()
    await asyncio.sleep(seconds)
    assert time.process_time() - used < 0.3 * seconds
