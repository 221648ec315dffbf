"""Puts everything together: a change of the configuration becomes a Snapshot, and costs what changed.

The builder keeps what it built. A change names the objects that are new, different or gone; those are built
again, and whoever uses them, directly or not; all others are taken over as the same objects. An exception,
whatever it is, leaves the builder and the runtime view as they were.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from .._core.ledger import Ledger
from .._core.snapshot import Snapshot
from ..config.delta import Delta
from ..config.dynamic import Configuration
from ..config.static import StaticConfiguration
from ..plugins.load import Plugins
from ..shared import Seat
from .certificates import Pair
from .changes import Counts, changes_of, counts_of, difference
from .draft import Draft, Failure
from .estate import Estate
from .routers import places_of
from .runtime import CERTIFICATES, ROUTERS, STORES, TCP_ROUTERS, Runtime
from .state import State
from .work import Work


class Generation(NamedTuple):
    """What came of a change."""

    snapshot: Snapshot
    counts: Counts
    failures: tuple[Failure, ...]
    settle: Work[None]
    """To be done when the snapshot is in its place: lets go of what only the one before needed."""


class Builder:
    """Builds the generations of one worker, each out of the one before and a change.

    One change at a time: its work and what it leaves to settle end before the next begins.
    """

    def __init__(
        self, static: StaticConfiguration, secret: bytes = b"", seat: Seat | None = None
    ) -> None:
        """secret: what the workers of an instance share, for tickets of TLS and hashes; made here if empty.
        seat: of the worker in the shared memory; by default it shares with nobody."""
        estate = Estate(static.core.limits.pending_per_server, seat)
        plugins = Plugins(static.core.plugins)
        self._state = State(places_of(static), plugins, estate, secret or os.urandom(32))

    @property
    def ledger(self) -> Ledger:
        """What is counted under way by name."""
        return self._state.estate.ledger

    @property
    def runtime(self) -> Runtime:
        """What became of each object."""
        return self._state.runtime

    def pairs(self) -> Iterator[tuple[str, str, Pair]]:
        """Yield the certificates that serve, with the kind and the name of the object that declares each."""
        built = self._state.built
        for name, pair in built[CERTIFICATES].items():
            yield CERTIFICATES, name, pair
        for name, store in built[STORES].items():
            if store.default is not None:
                yield STORES, name, store.default

    def build(self, generation: int, news: Configuration | Delta) -> Work[Generation]:
        """Build a generation out of a merged configuration, or of what differs from the one that serves.

        What cannot be built is disabled and told; raises only what nobody thought of.
        """
        if isinstance(news, Delta):
            changes = changes_of(self.runtime.configured, news)
        else:
            changes = yield from difference(self.runtime.configured, news)
        counts = counts_of(self.runtime.configured, changes)
        draft = Draft(self._state, changes)
        yield from draft.build()
        tables, streams = draft.tables[ROUTERS], draft.tables[TCP_ROUTERS]
        count = len(streams) // 2
        snapshot = Snapshot(
            generation,
            tables[:count],
            streams[:count],
            tables[count:],
            draft.doormen,
            draft.flows,
            streams[count:],
        )
        made = Generation(snapshot, counts, draft.new_failures(), draft.settle())
        draft.land()
        self.runtime.generation = generation
        return made
