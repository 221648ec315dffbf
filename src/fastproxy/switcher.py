"""Applies a configuration: builds the next generation between the turns of the loop, swaps it in, says what
changed.

A request sees the generation that was current when its head was whole, until it ends; the next one on the
same connection sees the new one.
"""

import asyncio
import gc
import logging
import sys
import weakref
from time import perf_counter
from typing import NamedTuple

from ._core.murmur import Murmur
from ._core.snapshot import Snapshot, Switch
from .build.changes import Counts
from .build.draft import Failure
from .build.runtime import KINDS, NOUNS, Runtime
from .build.snapshot import Builder, Generation
from .build.work import run_in_turns
from .collector import quiet_collector
from .config.delta import Delta
from .config.dynamic import Configuration
from .config.static import StaticConfiguration
from .observe.log import about
from .shared import Seat

log = logging.getLogger(__name__)

MANY = 1000
"""Objects that changed at once from which on it pays to take what is there out of the collector's sight."""

LINGER_SECONDS = 10.0
"""After this the log says who still holds a generation that was replaced."""


FULL = "%d clients were refused that inFlightConn cannot count: there is room for %d at a time"


class Applied(NamedTuple):
    """A configuration that serves."""

    generation: int
    counts: Counts
    milliseconds: float
    """From the call to the swap, the turns of the loop in between included."""

    failures: tuple[Failure, ...]
    """What is disabled since this generation, or for another reason than before."""

    disabled: tuple[Failure, ...]
    """Everything that is disabled."""


class Switcher:
    """The switch of one event loop, and the only one who turns it.

    owns_process: the process is there for the proxy alone, so that the garbage collector may be told what to
    leave alone; in somebody else's process it is not.
    """

    def __init__(
        self,
        static: StaticConfiguration,
        *,
        owns_process: bool = False,
        secret: bytes = b"",
        seat: Seat | None = None,
    ) -> None:
        """secret, seat: see `Builder`."""
        self.switch = Switch()
        self._builder = Builder(static, secret, seat)
        self._builder.ledger.full = Murmur(asyncio.get_running_loop(), log, FULL)
        self._owns_process = owns_process
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[Applied]] = set()

    @property
    def runtime(self) -> Runtime:
        """What became of each object of the generation that serves."""
        return self._builder.runtime

    async def apply(self, news: Configuration | Delta, generation: int | None = None) -> Applied:
        """Make a merged configuration serve, or what differs from the one that serves.

        Calls are served in their order, each to its end even if its caller is cancelled. generation: by
        default the next number. What cannot be built is disabled. If anything is raised, nothing has changed.
        """
        task = asyncio.get_running_loop().create_task(self._apply(news, generation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _apply(self, news: Configuration | Delta, generation: int | None) -> Applied:
        begun = perf_counter()
        async with self._one_at_a_time:
            number = self.runtime.generation + 1 if generation is None else generation
            with quiet_collector():
                made = await run_in_turns(self._builder.build(number, news))
                # From here to the swap nothing awaits: what the runtime view says is what serves.
                _watch(self.switch.swap(made.snapshot))
                milliseconds = (perf_counter() - begun) * 1000
                await asyncio.sleep(0)
                await self._settle(made)
                if self._owns_process and sum(made.counts) >= MANY:
                    gc.freeze()  # before the collector is back: it would look at all that is new at once
        return Applied(number, made.counts, milliseconds, made.failures, self._disabled())

    async def _settle(self, made: Generation) -> None:
        """Let go of what only the generation before needed; whatever this raises, the new one serves."""
        try:
            await run_in_turns(made.settle)
        except Exception:
            log.exception(
                "what generation %d does not need any more could not be let go", self.runtime.generation
            )

    def _disabled(self) -> tuple[Failure, ...]:
        failures = self.runtime.failures
        return tuple(Failure(kind, name, reason) for kind in KINDS for name, reason in failures[kind].items())


def tell(applied: Applied) -> None:
    """Log what a change did: one line, and one for each object that is disabled since."""
    added, changed, removed = applied.counts
    log.info(
        "generation %d serves: %d added, %d changed, %d removed, %d disabled, in %.0f ms",
        applied.generation,
        added,
        changed,
        removed,
        len(applied.disabled),
        applied.milliseconds,
    )
    for failure in applied.failures:
        kind, name = NOUNS[failure.kind], failure.name
        log.error("%s %s is disabled: %s", kind, name, failure.reason, extra=about(kind, name))


def _watch(replaced: Snapshot) -> None:
    """Say later who still holds a generation that was replaced."""
    asyncio.get_running_loop().call_later(LINGER_SECONDS, _tell_lingering, weakref.ref(replaced))


def _tell_lingering(reference: "weakref.ref[Snapshot]") -> None:
    snapshot = reference()
    if snapshot is not None:
        holders = sys.getrefcount(snapshot) - 2  # the name above and the argument
        log.debug("generation %d is still used by %d requests", snapshot.generation, holders)
