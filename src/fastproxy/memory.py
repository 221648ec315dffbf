"""`core.limits.workerMemory`: a worker that holds more memory than it should makes way for another.

What grows without end in a worker is most likely not ours: a plugin, a library. Better than to let the system
kill something is to begin anew in time, and to lose nobody: another worker starts, and when it serves, the
large one finishes what it does and ends.
"""

import asyncio
import contextlib
import logging

from .slot import Slot
from .usage import held_by, mebibytes
from .workers import Refused, Workers

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds from one look to the next."""

PATIENCE = 60.0
"""Seconds that a successor gets to serve."""

REST = 10.0
"""Seconds after which the next worker may be replaced."""


class MemoryWatch:
    """Looks at the memory of all workers, and has one replaced at a time."""

    def __init__(self, workers: Workers, most: int) -> None:
        """most: bytes."""
        self._workers = workers
        self._most = most
        self._told: set[int] = set()
        """Processes about which nothing can be done, and the log has said so."""

    async def run(self) -> None:
        """Look, again and again, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            for slot, pid, held in self._too_large():
                if await self._replace(slot, pid, held):
                    await asyncio.sleep(REST)
                    break

    def _too_large(self) -> list[tuple[Slot, int, int]]:
        """Return workers that hold more than they may, but did not from the start: slot, process, bytes."""
        found = []
        alive = set()
        for slot in self._workers.serving:
            assert slot.process is not None
            pid = slot.process.pid
            alive.add(pid)
            held = held_by(pid)
            if slot.held_at_start > self._most:
                self._tell(pid, "%s needs %s from the start; core.limits.workerMemory is %s", slot, held)
            elif held > self._most:
                found.append((slot, pid, held))
        self._told &= alive
        return found

    def _tell(self, pid: int, text: str, slot: Slot, held: int, *more: object) -> None:
        if pid not in self._told:
            self._told.add(pid)
            log.warning(text, slot.name, mebibytes(held), mebibytes(self._most), *more)

    async def _replace(self, slot: Slot, pid: int, held: int) -> bool:
        """Start another worker, and let the large one go when it serves. False: it cannot be done now."""
        try:
            successor = self._workers.add()
        except Refused as refused:
            text = "%s holds %s, core.limits.workerMemory is %s; nobody can take its place: %s"
            self._tell(pid, text, slot, held, refused)
            return False
        text = "%s holds %s, core.limits.workerMemory is %s: it ends when its connections have, %s follows"
        log.warning(text, slot.name, mebibytes(held), mebibytes(self._most), successor.place)
        for _ in range(round(PATIENCE / EVERY)):
            if successor.accepts:
                break
            await asyncio.sleep(EVERY)
        is_there = slot.process is not None and slot.process.pid == pid and slot.accepts
        # One that has ended by itself meanwhile was followed by a successor of its own.
        with contextlib.suppress(Refused):
            self._workers.remove(slot if is_there and successor.accepts else successor)
        return True
