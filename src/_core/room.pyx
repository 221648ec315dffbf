"""How many clients an entry point has room for, be they connections or sessions of UDP.

There are three limits: of the entry point and of all together, counted over all workers, and of descriptors, which
are each worker's own. A limit that is not set costs one test a client.
Source: `core.limits.connections`, `core.limits.connectionsPerEntryPoint`.
"""

import asyncio

from .engine cimport Engine
from .shared cimport InFlight


cdef class Room:
    """The clients that an entry point may have. What happens at a limit is up to whoever asks."""

    def __cinit__(self, str name not None, Engine engine not None):
        self.name = name
        self.engine = engine

    cdef void limit(self, InFlight counts, int cell, int cell_of_all, long long most, long long most_in_all) except *:
        """Let there be no more than *most* clients here and *most_in_all* together, 0 for no limit.

        counts: of all workers; cell: that of this entry point, cell_of_all: that of all.
        """
        self.cell = counts.checked(cell)
        self.cell_of_all = counts.checked(cell_of_all)
        self.most = most
        self.most_in_all = most_in_all
        self.counts = counts

    cdef Limit take(self, int coming) noexcept:
        """Count one more client; says which limit is reached if there is no room for it, and counts nothing then.

        coming: descriptors that it will need and that are not among `Engine.open` yet.
        """
        if self.engine.most and self.engine.open + coming > self.engine.most - self.engine.kept:
            return L_DESCRIPTORS
        if self.counts is None:
            return L_NONE
        if self.most_in_all and not self.counts.take(self.cell_of_all, self.most_in_all):
            return L_ALL
        if self.most and not self.counts.take(self.cell, self.most):
            if self.most_in_all:
                self.counts.leave(self.cell_of_all)
            return L_HERE
        return L_NONE

    cdef void leave(self) noexcept:
        """One that was counted is gone."""
        if self.counts is None:
            return
        if self.most_in_all:
            self.counts.leave(self.cell_of_all)
        if self.most:
            self.counts.leave(self.cell)

    cdef void tell_empty(self) noexcept:
        """Nobody is left."""
        if self.empty is not None and not self.empty.done():
            self.empty.set_result(None)

    async def wait_empty(self, double seconds):
        """Wait until it is told that nobody is left, at most *seconds*."""
        self.empty = self.engine.loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                await self.empty
        except TimeoutError:
            pass
        finally:
            self.empty = None

    cdef tuple told(self, Limit limit):
        """What the log says of a limit: the entry point, the limit's name, and how much it is."""
        if limit == L_DESCRIPTORS:
            return (self.name, "descriptors for clients", self.engine.most - self.engine.kept)
        if limit == L_ALL:
            return (self.name, "core.limits.connections", self.most_in_all)
        return (self.name, "core.limits.connectionsPerEntryPoint", self.most)
