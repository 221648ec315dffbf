"""Workers that live and do not answer: somebody stopped them, or a plugin keeps the loop to itself.

Such a worker looks well from outside, and whoever connects to it waits for ever. So each is asked once a
second. One that is silent for ten seconds gets no new clients, since others accept on its sockets; when it
answers it goes on as if nothing had been. After `core.limits.workerSilence` it is ended by SIGABRT, at which
it writes to its standard error where it was, and a new one starts.
"""

import asyncio
import logging
import signal

from .pipe import Ping
from .slot import Slot
from .workers import Workers

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds from one look to the next."""

SILENT = 10
"""Looks without an answer after which others accept in its place.

Not seconds: where we were held up ourselves answers wait in the pipe, and that is one look only.
"""

GRACE = 5
"""Looks after SIGABRT at which it is killed if it is still there: one that is stopped hears SIGKILL only."""


class Pulse:
    """Asks all workers of an instance whether they are there."""

    def __init__(self, workers: Workers, most: float, every: float = EVERY) -> None:
        """most: seconds after which one that does not answer is ended, 0 for never; at least SILENT looks."""
        self._workers = workers
        self._every = every
        self._hopeless = max(round(most / every), SILENT + 1) if most > 0 else 0

    async def run(self) -> None:
        """Ask, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            for slot in self._workers.living:
                self._look(slot)

    def _look(self, slot: Slot) -> None:
        if slot.unanswered == 0:
            slot.send(Ping())
        slot.unanswered += 1
        silent = slot.unanswered * self._every
        if slot.unanswered == SILENT:
            log.error("%s has not answered for %g s; others accept in its place", slot.name, silent)
            self._workers.note_silence(slot)
        elif self._hopeless and slot.unanswered == self._hopeless:
            text = "%s has not answered for %g s and is ended; core.limits.workerSilence"
            log.error(text, slot.name, silent)
            self._signal(slot, signal.SIGABRT)
        elif self._hopeless and slot.unanswered == self._hopeless + GRACE:
            self._signal(slot, signal.SIGKILL)

    def _signal(self, slot: Slot, number: int) -> None:
        if slot.process is not None and slot.process.poll() is None:
            slot.process.send_signal(number)
