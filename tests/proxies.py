"""Proxies in the loop of a test, which end with it."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastproxy import Proxy


@contextlib.asynccontextmanager
async def proxies(static: dict[str, Any]) -> AsyncIterator[Callable[..., Any]]:
    """Give a function that starts one: `await proxy(dynamic)`, or with another static configuration."""
    started = []

    async def make(dynamic: dict[str, Any] | None = None, static: dict[str, Any] = static) -> Proxy:
        made = Proxy({**static, **(dynamic or {})})
        await made.start()
        started.append(made)
        return made

    yield make
    for each in started:
        await each.stop(grace=0)
