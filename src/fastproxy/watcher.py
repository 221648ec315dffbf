"""Gathers what providers publish, waits for quiet, drops what did not change, merges, and has it applied.

Source: "Configuration pipeline" of Traefik v3: per provider the first message goes through at once and the
next not before the throttle is over (the newest wins); while one configuration is applied, the newest state
gathers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from .config.dynamic import Configuration
from .config.merge import Merged

logger = logging.getLogger(__name__)


class Gathering:
    """The newest configuration of each provider, let through by the throttle. It is told the time.

    throttle: least time between two configurations of one provider, in the unit of the clock; 0: none.
    """

    def __init__(self, throttle: float) -> None:
        self._throttle = throttle
        self._current: dict[str, Configuration] = {}
        self._waiting: dict[str, Configuration] = {}
        self._open_at: dict[str, float] = {}

    def put(self, provider: str, configuration: Configuration) -> None:
        """Take a message; one that says what its provider said last only takes back what waits."""
        if configuration == self._current.get(provider):
            self._waiting.pop(provider, None)
        else:
            self._waiting[provider] = configuration

    def take(self, now: float) -> Mapping[str, Configuration] | None:
        """Return the state of all providers if it changed and may go through now, else None."""
        ready = [provider for provider in self._waiting if self._open_at.get(provider, now) <= now]
        for provider in ready:
            self._current[provider] = self._waiting.pop(provider)
            self._open_at[provider] = now + self._throttle
        return dict(self._current) if ready else None

    def next_at(self) -> float | None:
        """Return when `take` has something to give; None: not before another `put`."""
        return min((self._open_at.get(provider, 0.0) for provider in self._waiting), default=None)


class Watcher:
    """Between the providers and whoever applies a configuration. Lives on one event loop."""

    def __init__(
        self,
        merge: Callable[[Mapping[str, Configuration]], Merged],
        apply: Callable[[Configuration], Awaitable[None]],
        throttle: float,
    ) -> None:
        """merge: as `Merger.merge`. apply: awaited, one call at a time; what it raises is logged.

        throttle: `providers.providersThrottleDuration`, in seconds.
        """
        self._merge, self._apply = merge, apply
        self._gathering = Gathering(throttle)
        self._applied: Configuration | None = None
        self._warned: set[str] = set()
        self._published = asyncio.Event()

    def publish(self, provider: str, configuration: Configuration) -> None:
        """Take a message of a provider; what providers are given to call."""
        self._gathering.put(provider, configuration)
        self._published.set()

    async def run(self) -> None:
        """Apply what is published, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._quiet(clock)
            state = self._gathering.take(clock())
            if state is not None:
                await self._apply_state(state)

    async def _quiet(self, clock: Callable[[], float]) -> None:
        """Wait until there may be something to take."""
        at = self._gathering.next_at()
        self._published.clear()
        try:
            async with asyncio.timeout(None if at is None else max(at - clock(), 0)):
                await self._published.wait()
        except TimeoutError:
            pass

    async def _apply_state(self, state: Mapping[str, Configuration]) -> None:
        """Merge and apply, unless nothing came of the change."""
        try:
            merged = self._merge(state)
            self._warn(merged.warnings)
            if merged.configuration != self._applied:
                await self._apply(merged.configuration)
                self._applied = merged.configuration
        except Exception:
            logger.exception("a configuration could not be applied; the last one stays")

    def _warn(self, warnings: tuple[str, ...]) -> None:
        """Log the warnings that were not there before."""
        for warning in warnings:
            if warning not in self._warned:
                logger.warning("%s", warning)
        self._warned = set(warnings)
