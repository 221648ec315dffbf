"""Sockets whose own worker does not accept, lent to workers that do.

A listening socket is never closed while its entry point is served, for that loses what waits in its backlog.
So while a slot has no worker that accepts, its sockets go to the least burdened of the others (SCM_RIGHTS
over the pipe), and are taken back when its own is ready.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from .pipe import MOST_DESCRIPTORS, Lend, TakeBack
from .slot import Slot
from .sockets import Listeners

LEND_AGAIN_SECONDS = 0.5
"""After this somebody else is asked to accept on sockets that could not be lent."""


class Lending:
    """Who accepts in whose place, for the slots of one instance."""

    def __init__(self, slots: Sequence[Slot], listeners: Listeners) -> None:
        """slots, listeners: the caller's own, which may grow."""
        self._slots = slots
        self._listeners = listeners
        self.is_on = False
        """False before all workers have started, and when all are to end."""

    def lend(self) -> None:
        """See to it that somebody accepts on the sockets of every slot."""
        able = [slot for slot in self._slots if slot.accepts]
        able = [slot for slot in able if not slot.cannot_borrow] or able
        if not self.is_on or not able:
            return
        for slot in self._slots:
            if slot.accepts or slot.borrower in able:
                continue
            load = Counter(each.borrower for each in self._slots)
            slot.borrower = min(able, key=load.__getitem__)
            self._send(slot, slot.borrower)

    def _send(self, slot: Slot, borrower: Slot) -> None:
        """Send the sockets of a slot to who is to accept on them."""
        own = {
            name: bound.of(slot.number) for name, bound in self._listeners.items() if not bound.is_for_all
        }
        lent = {name: each.fileno() for name, each in own.items() if each is not None}
        names, sockets = tuple(lent), list(lent.values())
        for at in range(0, len(names), MOST_DESCRIPTORS):
            part = slice(at, at + MOST_DESCRIPTORS)
            borrower.send(Lend(slot.number, names[part]), sockets[part])

    def take_back(self, slot: Slot) -> None:
        """Let nobody else accept on the sockets of a slot any more."""
        borrower, slot.borrower = slot.borrower, None
        if borrower is not None:
            borrower.send(TakeBack(slot.number))

    def on_gone(self, slot: Slot) -> None:
        """Lend anew what a worker had that has ended, and what was its own."""
        for each in self._slots:
            if each.borrower is slot:
                each.borrower = None
        self.lend()

    def on_cannot_borrow(self, slot: Slot, of: int) -> None:
        """Let somebody else accept on sockets that a worker could not take, or it a little later."""
        if self._slots[of].borrower is slot:
            self._slots[of].borrower = None
            slot.cannot_borrow = True
            asyncio.get_running_loop().call_later(LEND_AGAIN_SECONDS, self.lend)
