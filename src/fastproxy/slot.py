"""A place for a worker: the process that has it, and what is known of that. Who minds workers looks here."""

import asyncio
import subprocess
from collections.abc import Sequence

from .config.dynamic import Configuration
from .pipe import Message, Pipe, ToSupervisor


class Slot:
    """One place for a worker, and the process that has it at the moment."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.pipe: Pipe[ToSupervisor] | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.deaths = 0
        self.left = asyncio.Event()
        """Set: nobody follows the worker that is here now."""

        self.borrower: Slot | None = None
        """Who accepts on the sockets of this slot while it has no worker that does."""

        self.successor: Slot | None = None
        """At whose coming the worker here goes."""

        self.clear()

    def clear(self) -> None:
        """Forget the process that was there."""
        self.base: Configuration | None = None
        """What the worker has, or will have when it has applied what it was sent; None: nobody can say."""

        self.sent = 0
        self.applied = 0
        self.is_ready = False
        self.is_leaving = False
        self.unanswered = 0
        """How often it was looked whether the worker answers, since it did. See `pulse`."""

        self.is_silent = False
        """It has not answered for so long that others accept in its place."""

        self.cannot_borrow = False
        self.held_at_start = 0
        """Memory of its own, in bytes, when it began to serve."""

        self.ended = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether the worker has applied what it was sent."""
        return self.is_ready and self.sent == self.applied

    @property
    def accepts(self) -> bool:
        """Whether the worker takes new connections."""
        return self.is_ready and not self.is_leaving and not self.is_silent

    @property
    def is_free(self) -> bool:
        """Whether nobody is here and nobody is to come."""
        return self.left.is_set() and (self.keeper is None or self.keeper.done())

    @property
    def place(self) -> str:
        """How the log calls the slot, whoever is in it: `worker 2`. People count from 1."""
        return f"worker {self.number + 1}"

    @property
    def name(self) -> str:
        """How the log calls the worker that is in the slot: `worker 2 (pid 4711)`."""
        return f"{self.place} (pid {self.process.pid if self.process else '-'})"

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        if self.pipe is not None:
            self.pipe.send(message, descriptors)
