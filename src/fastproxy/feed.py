"""The newest configuration on its way to every worker, and what they say they have made of it.

A worker is sent the next one when it has applied the last: one that comes meanwhile is passed over for the
newest. It gets what differs from what it has, and all of it where nobody can say what that is.
"""

import asyncio
import logging
from collections.abc import Sequence

from .config import delta
from .config.dynamic import Configuration
from .observe.log import fields
from .pipe import Applied, Change, State, frame
from .reloads import Reloads
from .slot import Slot

log = logging.getLogger(__name__)

SLOW_SECONDS = 10.0
"""After this the log says that a worker has not applied a configuration yet."""


class Feed:
    """Keeps the workers in all slots of one instance at the newest configuration."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        """slots: the caller's own, which may grow."""
        self._slots = slots
        self._newest: tuple[int, Configuration] = (0, Configuration())
        self._frames: dict[int, bytes] = {}
        """What workers are sent, by the generation that they have; 0: nobody can say which."""

        self._reloads = Reloads()

    def begin(self, configuration: Configuration) -> None:
        """Have a newer configuration for whoever is sent one from now on."""
        self._newest = (self._newest[0] + 1, configuration)
        self._frames.clear()
        self._reloads.begin(self._newest[0])

    def apply(self, configuration: Configuration) -> None:
        """Send a newer configuration to every worker. A busy one gets the newest when it is done."""
        self.begin(configuration)
        for slot in self._slots:
            if slot.is_idle:
                self.send(slot)
        asyncio.get_running_loop().call_later(SLOW_SECONDS, self._tell_slow, self._newest[0])

    def go_on(self, slot: Slot) -> None:
        """Send the newest configuration to a worker that has done with another."""
        if slot.is_idle and slot.applied != self._newest[0]:
            self.send(slot)
        elif all(each.is_idle for each in self._slots if each.pipe is not None):
            self._frames.clear()  # a large configuration is not kept twice; a successor's is made anew

    def send(self, slot: Slot) -> None:
        """Send the newest configuration: whole to a new worker, else what differs from what it has."""
        assert slot.pipe is not None
        known = slot.sent if slot.base is not None else 0
        if known not in self._frames:
            self._frames[known] = self._frame_from(slot.base)
        slot.sent, slot.base = self._newest
        slot.pipe.send_frame(self._frames[known])

    def _frame_from(self, base: Configuration | None) -> bytes:
        generation, configuration = self._newest
        if base is None:
            return frame(State(generation, configuration))
        return frame(Change(generation, delta.difference(base, configuration)))

    def on_applied(self, slot: Slot, message: Applied, *, is_reload: bool) -> None:
        """Take what a worker has made of a configuration, and send it the next one if there is any.

        is_reload: False for the first one of a successor, which reports everything as added.
        """
        slot.applied = message.generation
        if is_reload:
            self._reloads.report(message)
        if message.error:
            slot.base = None
        self.tell()
        self.go_on(slot)

    def tell(self) -> None:
        """Log every reload that all workers which live have come to."""
        applied = [slot.applied for slot in self._slots if slot.pipe is not None]
        if applied:
            self._reloads.tell(min(applied), len(applied))

    def _tell_slow(self, generation: int) -> None:
        for slot in self._slots:
            if slot.is_ready and slot.applied < generation <= self._newest[0]:
                told = fields(generation=generation)
                log.warning("%s has not applied the configuration yet", slot.name, extra=told)
