"""The program of a worker: serves connections, and does what the supervisor says through the pipe.

Started by `workers` and nobody else: `python -m fastproxy.worker <descriptor of its end of the pipe>`. It
imports loop, pipe, regular expressions and the core, and nothing that reads documents.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence

from . import loops
from .build.draft import Failure
from .build.runtime import KINDS, NOUNS
from .config.static import StaticConfiguration
from .listeners import (
    COUNTERS,
    AccessLog,
    AnyListener,
    DatagramListener,
    access_log_of,
    in_flight_of,
    limit_descriptors,
    listeners_of,
    reopen,
)
from .observe import log as process_log
from .observe import unrouted
from .pipe import (
    Abort,
    Applied,
    Asked,
    CannotBorrow,
    Change,
    Closed,
    Drain,
    Drained,
    Lend,
    Message,
    Ping,
    Pipe,
    Pong,
    Ready,
    Reopen,
    Setup,
    State,
    TakeBack,
    ToWorker,
    Trouble,
)
from .shared import CELLS, Shared
from .succession import bequeath, inherit
from .switcher import Switcher

log = logging.getLogger(__name__)

IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
"""Signals for the supervisor, which a terminal or a careless `kill` sends to all its processes."""

GAUGES = ("open",)
"""Counters of what there is now; the successor of a worker begins them at 0."""


def main() -> None:
    """Be a worker until the supervisor says otherwise."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()  # one that does not answer is ended by SIGABRT: then it tells where it was
    status = loops.run(_run(int(sys.argv[1])))
    os._exit(status)  # giving back a large configuration piece by piece would take seconds


async def _run(descriptor: int) -> int:
    """Talk to the supervisor over the pipe until it is over; returns the exit status."""
    loop = asyncio.get_running_loop()
    worker = Worker()
    loop.add_signal_handler(signal.SIGTERM, worker.ask)
    loop.add_signal_handler(signal.SIGUSR1, worker.reopen_logs)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # blocked by the supervisor until now
    os.set_inheritable(descriptor, False)
    worker.pipe.start(socket.socket(fileno=descriptor))
    try:
        return await worker.ended
    finally:
        worker.close_logs()


class Worker:
    """One worker, from its first message to its end."""

    def __init__(self) -> None:
        self.pipe: Pipe[ToWorker] = Pipe(ToWorker, self._on_message, self._on_end)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._switcher: Switcher
        self._static: StaticConfiguration
        self._access_log: AccessLog | None = None
        self._listeners: dict[str, AnyListener] = {}
        self._sockets: list[socket.socket] = []
        self._borrowed: dict[int, dict[str, socket.socket]] = {}
        self._warned: dict[tuple[str, str], tuple[str, ...]] = {}
        self._news: asyncio.Queue[State | Change] = asyncio.Queue()
        self._is_serving = False
        self._has_pipe = True
        self._status: int | None = None
        self._link: socket.socket | None = None
        """By which sessions of UDP come, until they have."""

        self._work: list[asyncio.Task[None]] = []
        self._draining: asyncio.Task[None] | None = None

    def _on_message(self, message: ToWorker) -> None:
        try:
            self._take(message)
        except Exception:
            log.critical("the worker cannot go on", exc_info=True)
            self._end(1)

    def _take(self, message: ToWorker) -> None:
        match message:
            case Setup():
                self._set_up(message)
            case State() | Change():
                self._news.put_nowait(message)
            case Lend():
                self._on_lent(message)
            case TakeBack():
                self._give_back(message.slot)
            case Drain():
                self.drain(message.handed_over, self._link_of(message))
            case Abort():
                self._abort()
            case Reopen():
                self.reopen_logs()
            case Ping():
                self._send(Pong())

    def _set_up(self, setup: Setup) -> None:
        """Take what was inherited, and begin to wait for configurations."""
        process_log.start(setup.static.log, always={"worker": setup.slot + 1})
        for descriptor in (setup.shared, *setup.listeners.values()):
            os.set_inheritable(descriptor, False)
        if setup.link >= 0:
            os.set_inheritable(setup.link, False)
            self._link = socket.socket(fileno=setup.link)
        sockets = {name: socket.socket(fileno=each) for name, each in setup.listeners.items()}
        self._sockets = list(sockets.values())
        shared = Shared.open(setup.shared)
        seat = shared.seat(setup.slot)
        self._switcher = Switcher(setup.static, owns_process=True, secret=setup.secret, seat=seat)
        counters = shared.block(setup.slot)
        for gauge in GAUGES:
            counters.cast("q")[COUNTERS.index(gauge)] = 0
        given = {name: [each] for name, each in sockets.items()}
        in_flight = in_flight_of(shared.in_flight(), CELLS, shared.slots, setup.slot)
        self._static = setup.static
        self._access_log = access_log_of(setup.static, shared.told())
        self._listeners = listeners_of(
            setup.static,
            given,
            self._switcher.switch,
            counters,
            in_flight,
            unrouted.hook(),
            self._access_log,
        )
        self._work.append(asyncio.create_task(self._apply_all()))

    def reopen_logs(self) -> None:
        """Open the files of both logs again under their names."""
        process_log.reopen()
        if self._access_log is not None:
            reopen(self._access_log, self._static)

    def close_logs(self) -> None:
        """Write what is left of the access log."""
        if self._access_log is not None:
            self._access_log.journal.close()

    # -- sockets of others -----------------------------------------------------------------------------------

    def _on_lent(self, message: Lend) -> None:
        try:
            came = self.pipe.descriptors(len(message.entry_points))
        except ValueError as error:
            log.error("the sockets of worker %d cannot be borrowed: %s", message.slot + 1, error)
            self._send(CannotBorrow(message.slot))
            return
        sockets = [socket.socket(fileno=each) for each in came]
        if self._draining is not None:
            for each in sockets:
                each.close()
            return
        lent = dict(zip(message.entry_points, sockets, strict=True))
        self._borrowed.setdefault(message.slot, {}).update(lent)
        for name, each in lent.items():
            self._listeners[name].borrow(each)

    def _give_back(self, slot: int) -> None:
        for name, each in self._borrowed.pop(slot, {}).items():
            self._listeners[name].give_back(each)
            each.close()

    # -- configurations --------------------------------------------------------------------------------------

    async def _apply_all(self) -> None:
        """Apply what comes, one after the other; begin to accept after the first. If that fails, end."""
        try:
            while True:
                self._send(await self._applied(await self._news.get()))
                if not self._is_serving and self._draining is None:
                    self._is_serving = True
                    await self._accept()
        except Exception as error:
            log.critical("the worker cannot go on: %s", error, exc_info=not isinstance(error, OSError))
            self._end(1)

    async def _applied(self, message: State | Change) -> Applied:
        """Apply a configuration and return what came of it."""
        news = message.configuration if isinstance(message, State) else message.delta
        begun = time.perf_counter()
        try:
            made = await self._switcher.apply(news, message.generation)
        except Exception as error:
            log.exception("configuration %d cannot be built", message.generation)
            milliseconds = (time.perf_counter() - begun) * 1000
            return Applied(message.generation, milliseconds, error=repr(error))
        failures, warnings = self._failures(made.failures), self._warnings()
        counts = (*made.counts, len(made.disabled))
        runtime = self._switcher.runtime
        return Applied(
            made.generation,
            made.milliseconds,
            *counts,
            failures=failures,
            warnings=warnings,
            broken=runtime.failures,
            warned=runtime.warnings,
        )

    def _failures(self, failures: Iterable[Failure]) -> tuple[Trouble, ...]:
        """Return what is to be told; what cannot be read its provider has told, with file and line."""
        configured = self._switcher.runtime.configured
        return tuple(
            Trouble(NOUNS[kind], name, reason)
            for kind, name, reason in failures
            if not isinstance(configured[kind].get(name), str)
        )

    def _warnings(self) -> tuple[Trouble, ...]:
        """Return the warnings that were not there before."""
        before, warnings = self._warned, self._switcher.runtime.warnings
        self._warned = {(kind, name): told for kind in KINDS for name, told in warnings[kind].items()}
        return tuple(
            Trouble(NOUNS[kind], name, "; ".join(told))
            for (kind, name), told in self._warned.items()
            if before.get((kind, name)) != told
        )

    async def _accept(self) -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if most != resource.RLIM_INFINITY:
            limit_descriptors(self._listeners.values(), most)
        link, self._link = self._link, None
        for listener in self._listeners.values():
            if link is not None and isinstance(listener, DatagramListener):
                listener.stand_by()
            else:
                await listener.start()
        if link is not None:
            self._work.append(asyncio.create_task(self._inherit(link)))
        gc.collect()
        gc.freeze()  # modules and the first configuration stay; no collection needs to look at them again
        # Connections come and go without making garbage that only the collector finds; looking through the
        # young ones every 700 objects was a twentieth of what a new connection cost.
        gc.set_threshold(50_000, 20, 100)
        self._send(Ready(COUNTERS))

    async def _inherit(self, link: socket.socket) -> None:
        """Take the sessions of UDP over from the program before this one, then the datagrams too."""
        listeners = self._datagram_listeners()
        count = await inherit(link, listeners)
        if count:
            log.info("%d sessions of UDP are taken over", count)
        try:
            for listener in listeners.values():
                if self._draining is None:
                    await listener.start()
        except OSError as error:
            log.critical("the worker cannot go on: %s", error)
            self._end(1)

    def _datagram_listeners(self) -> dict[str, DatagramListener]:
        return {
            name: each for name, each in self._listeners.items() if isinstance(each, DatagramListener)
        }

    # -- the end ---------------------------------------------------------------------------------------------

    def _link_of(self, message: Drain) -> socket.socket | None:
        """Return the link that came with a message, if one did."""
        if not message.has_link:
            return None
        try:
            (descriptor,) = self.pipe.descriptors(1)
        except ValueError as error:
            log.error("sessions of UDP cannot be handed over: %s", error)
            return None
        return socket.socket(fileno=descriptor)

    def ask(self) -> None:
        """Somebody wants this worker to end. How it ends, and who accepts in its place, others know."""
        if self._has_pipe:
            self._send(Asked())

    def drain(self, handed_over: Sequence[str] = (), link: socket.socket | None = None) -> None:
        """Stop as the entry points' life cycle says, and end. handed_over: as `Drain` has it.

        link: by which the sessions of UDP are handed over; it is closed.
        """
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(handed_over, link))
        elif link is not None:
            link.close()

    async def _drain(self, handed_over: Sequence[str], link: socket.socket | None) -> None:
        datagrams = self._datagram_listeners()
        leaving = {name: each for name, each in datagrams.items() if name in handed_over}
        handing = asyncio.create_task(bequeath(link, leaving)) if link is not None else None

        async def drained(name: str, listener: AnyListener) -> int:
            if handing is not None and name in leaving:
                await handing
            return await listener.drain(self._on_closed, handed_over=name in handed_over)

        cut = await asyncio.gather(*(drained(name, each) for name, each in self._listeners.items()))
        self._send(Drained(sum(cut)))
        self._end(0)

    def _on_closed(self, entry_point: str) -> None:
        self._send(Closed(entry_point))

    def _abort(self) -> None:
        for listener in self._listeners.values():
            listener.abort()
        self._end(0)

    def _on_end(self) -> None:
        """The pipe is closed: by us, or because the supervisor is gone. Then nobody is to be kept waiting."""
        self._has_pipe = False
        if self._status is not None:
            self.ended.set_result(self._status)
            return
        log.error("the supervisor is gone; what runs may finish, and this worker ends")
        for listener in self._listeners.values():
            listener.stop_accepting()
        for slot in list(self._borrowed):
            self._give_back(slot)
        for each in self._sockets:
            each.close()  # so that another fastproxy can listen there
        self.drain()

    def _end(self, status: int) -> None:
        """End, after what was sent has gone out."""
        if self._status is None:
            self._status = status
            if self._has_pipe:
                self.pipe.close()
            else:
                self.ended.set_result(status)

    def _send(self, message: Message) -> None:
        self.pipe.send(message)


if __name__ == "__main__":
    main()
