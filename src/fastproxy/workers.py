"""The worker processes: one for each slot, started, replaced when they die, drained.

A worker is a program of its own (`python -m fastproxy.worker`), not a fork: it has imported nothing that
it does not need, and inherits the descriptors it is given and no others.
"""

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from .config.dynamic import Configuration
from .config.static import StaticConfiguration
from .feed import Feed
from .launch import ending_of, start_program
from .lending import Lending
from .observe.log import fields
from .pipe import (
    Abort,
    Applied,
    Asked,
    CannotBorrow,
    Closed,
    Drain,
    Drained,
    Message,
    Pipe,
    Pong,
    Ready,
    Reopen,
    Setup,
    ToSupervisor,
)
from .shared import Shared
from .slot import Slot
from .sockets import Listeners
from .usage import held_by

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "fastproxy.worker")
"""How a worker is started; the number of its end of the pipe is added."""

EXIT_SECONDS = 1.0
"""How long a process may live on after it has closed its pipe."""

STEADY_SECONDS = 30.0
"""A worker that lived that long is replaced at once when it dies."""

LONELY_SECONDS = 1.0
"""How long the start of a worker is put off at most while none accepts."""


class Refused(Exception):
    """A worker more or fewer that cannot be. The message says why."""


class StartError(Exception):
    """A worker that ended before it was ready for the first time. The message says which and how."""


class Delays:
    """How long to wait before a worker is started again: 0 s, 0.5 s, then half as much again, up to 60 s."""

    FIRST, FACTOR, LONGEST = 0.5, 1.5, 60.0

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived: float) -> float:
        """Return the wait in seconds after a life of `lived` seconds."""
        if lived >= STEADY_SECONDS:
            self._next = 0.0
        wait = self._next
        self._next = min(max(self.FIRST, wait * self.FACTOR), self.LONGEST)
        return wait


class Workers:
    """All worker processes of one instance. Lives in the supervisor's event loop."""

    def __init__(
        self,
        static: StaticConfiguration,
        listeners: Listeners,
        shared: Shared,
        command: Sequence[str] = COMMAND,
        count: int = 0,
        links: Sequence[socket.socket] = (),
    ) -> None:
        """listeners, shared: stay the caller's, and stay open while workers run.

        count: of the workers at the start; 0 for as many as there is shared memory for. links: by which the
        workers of the program before this one hand their sessions over, one for each slot; closed by this.
        """
        self._static = static
        self._listeners = listeners
        self._shared = shared
        self._secret = os.urandom(32)
        self._command = command
        self._links = dict(enumerate(links))
        count = count or shared.slots
        # There may be sockets of more slots than there are workers: those that were given to us.
        self._slots = [Slot(number) for number in range(max(count, *map(len, listeners.values())))]
        for slot in self._slots[count:]:
            slot.left.set()
        self._seeing_off: set[asyncio.Task[None]] = set()
        self._started: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()
        self._last_word: Message = Drain()
        self._lending = Lending(self._slots, listeners)
        self._feed = Feed(self._slots)
        self.counters: tuple[str, ...] = ()
        """Names of the words that each worker counts in the shared memory."""
        self.may_grow = True
        """False while our sockets are handed over: those bound later would not be among them."""

        self.aborted = 0
        """Connections that were cut at the end because the grace time was over."""

        self.on_applied: Callable[[Configuration, Applied], None] = _nobody
        """Called with each configuration that a worker has come to, and what it tells of it."""

    # -- the life of all -------------------------------------------------------------------------------------

    async def start(self, configuration: Configuration) -> None:
        """Start every worker and wait until all are ready. StartError if one ends before; none is left."""
        self._feed.begin(configuration)
        self._started = asyncio.get_running_loop().create_future()
        for slot in self._slots:
            if not slot.left.is_set():
                slot.keeper = asyncio.create_task(self._keep(slot))
        try:
            await self._started
        except StartError:
            await self.abort()
            raise
        finally:
            self._close_links()
        self._lending.is_on = not self._stopping.is_set()
        self._lending.lend()

    def _close_links(self) -> None:
        while self._links:
            self._links.popitem()[1].close()

    def apply(self, configuration: Configuration) -> None:
        """Send a configuration to every worker. A busy one gets the newest when it is done."""
        self._feed.apply(configuration)

    def reopen_logs(self) -> None:
        """Let every worker open its log again."""
        for slot in self._slots:
            slot.send(Reopen())

    async def drain(self, handed_over: Sequence[str] = (), links: Sequence[socket.socket] = ()) -> None:
        """Let every worker finish what it is doing, within the grace times, and wait for their end.

        handed_over: entry points on which somebody else accepts from now on. links: by which the workers hand
        their sessions over, one for each slot.
        """
        for slot, link in zip(self._slots, links, strict=False):
            if slot.pipe is None:
                link.close()
                continue
            slot.send(Drain(tuple(handed_over), has_link=True), [link.fileno()])
        await self._stop(Drain(tuple(handed_over)), self._grace())

    async def abort(self) -> None:
        """End every worker now."""
        await self._stop(Abort(), EXIT_SECONDS)

    async def _stop(self, message: Message, seconds: float) -> None:
        self._last_word = message
        self._stopping.set()
        self._lending.is_on = False
        for slot in self._slots:
            slot.left.set()
            slot.send(message)
        keepers = [slot.keeper for slot in self._slots if slot.keeper is not None]
        late = keepers and (await asyncio.wait(keepers, timeout=seconds))[1]
        if late:
            self._kill(self._slots)
            await asyncio.wait(late)

    def _grace(self) -> float:
        """Return the seconds that the slowest entry point may take to drain, and some for the way."""
        cycles = [point.transport.life_cycle for point in self._static.entry_points.values()]
        longest = max((each.request_accept_grace_timeout + each.grace_time_out for each in cycles), default=0)
        return longest / 1e9 + 5.0

    def _kill(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            if slot.process is not None and slot.process.poll() is None:
                log.error("%s does not end and is killed", slot.name)
                slot.process.kill()

    @property
    def _has_started(self) -> bool:
        return self._started is not None and self._started.done()

    # -- one more, one fewer ---------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many workers there are, or are to be."""
        return sum(not slot.left.is_set() for slot in self._slots)

    @property
    def serving(self) -> list[Slot]:
        """The slots whose workers take new connections."""
        return [slot for slot in self._slots if slot.accepts]

    @property
    def living(self) -> list[Slot]:
        """The slots whose workers have served, and are not told to end."""
        return [slot for slot in self._slots if slot.is_ready and not slot.is_leaving]

    def add(self) -> Slot:
        """Start one more; returns its slot. Refused if it cannot be."""
        if not self._has_started or self._stopping.is_set():
            raise Refused("it is not the time")
        if not self.may_grow:
            raise Refused("an upgrade is under way")
        slot = next((each for each in self._slots if each.is_free), None)
        if slot is None:
            slot = self._new_slot()
        slot.left.clear()
        slot.clear()
        slot.deaths = 0
        slot.keeper = asyncio.create_task(self._keep(slot))
        self._lending.lend()
        return slot

    def _new_slot(self) -> Slot:
        number = len(self._slots)
        if number >= self._shared.slots:
            raise Refused(f"there is room for {self._shared.slots} workers; core.workers at the next start")
        for name, sockets in self._listeners.items():
            try:
                sockets.grow(number + 1)
            except OSError as error:
                for each in self._listeners.values():  # the kernel would give them connections all the same
                    each.shrink(number)
                raise Refused(f"entry point {name} cannot listen once more: {error.strerror}") from None
        self._slots.append(Slot(number))
        self._slots[-1].left.set()
        return self._slots[-1]

    def remove(self, slot: Slot | None = None) -> Slot:
        """Let a worker finish what it does, and nobody follow it; returns its slot.

        By default the last one of those that do not serve, if there is any, else of all. Refused if it is the
        only one. Others accept on its sockets from now on.
        """
        if not self._has_started or self._stopping.is_set():
            raise Refused("it is not the time")
        if self.count == 1:
            raise Refused("there is one worker only")
        if slot is None:
            staying = [each for each in self._slots if not each.left.is_set()]
            slot = ([each for each in staying if not each.accepts] or staying)[-1]
        slot.left.set()
        self._let_go(slot)
        task = asyncio.create_task(self._see_off(slot))
        self._seeing_off.add(task)
        task.add_done_callback(self._seeing_off.discard)
        return slot

    def _let_go(self, slot: Slot) -> None:
        """Let a worker finish what it does, while others accept in its place."""
        slot.is_leaving = True
        self._lending.lend()
        slot.send(Drain(tuple(self._listeners)))

    async def _see_off(self, slot: Slot) -> None:
        assert slot.keeper is not None
        if (await asyncio.wait([slot.keeper], timeout=self._grace()))[1]:
            self._kill([slot])

    def note_silence(self, slot: Slot) -> None:
        """Let others accept in the place of a worker that does not answer."""
        slot.is_silent = True
        self._lending.lend()

    def _on_pong(self, slot: Slot) -> None:
        slot.unanswered = 0
        if slot.is_silent:
            slot.is_silent = False
            log.warning("%s answers again", slot.name)
            if slot.accepts:
                self._lending.take_back(slot)
            self._lending.lend()

    # -- the life of one -------------------------------------------------------------------------------------

    async def _keep(self, slot: Slot) -> None:
        """Keep a worker in the slot until nobody is to follow."""
        delays = Delays()
        while not slot.left.is_set():
            slot.clear()
            begun = time.monotonic()
            ending = await self._live(slot)
            if slot.left.is_set():
                _tell_end(slot, ending)
            elif not self._gave_up(slot, ending):
                slot.deaths += 1
                wait = delays.after(time.monotonic() - begun)
                if not any(each.accepts for each in self._slots):
                    wait = min(wait, LONELY_SECONDS)
                _tell_death(slot, ending, wait)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(slot.left.wait(), wait)
        slot.process = None

    async def _live(self, slot: Slot) -> str:
        """Start a process and wait for its end; returns how it ended."""
        try:
            await self._launch(slot)
        except OSError as error:
            return f"it cannot be started: {error.strerror}"
        await slot.ended.wait()
        return await self._reap(slot)

    async def _launch(self, slot: Slot) -> None:
        """Start a process, and send it what it needs to know. OSError if the system has no room for one."""
        own = {name: bound.of(slot.number) for name, bound in self._listeners.items()}
        listeners = {name: each.fileno() for name, each in own.items() if each is not None}
        ours, theirs = socket.socketpair()
        link = self._links.pop(slot.number, None)
        link_number = link.fileno() if link is not None else -1
        try:
            with theirs, link or contextlib.nullcontext():
                end = theirs.fileno()
                given = [end, self._shared.descriptor, *listeners.values()]
                if link is not None:
                    given.append(link_number)
                command = (*self._command, str(end))
                slot.process = start_program(command, given, _environment(), subprocess.DEVNULL)
        except OSError:
            ours.close()
            raise
        slot.pipe = Pipe[ToSupervisor](ToSupervisor, partial(self._on_message, slot), slot.ended.set)
        slot.pipe.start(ours)
        shared = self._shared.descriptor
        slot.send(Setup(slot.number, self._static, listeners, shared, self._secret, link_number))
        self._feed.send(slot)
        if self._stopping.is_set():
            slot.send(self._last_word)
        elif slot.left.is_set():
            slot.send(Drain(tuple(self._listeners)))

    async def _reap(self, slot: Slot) -> str:
        """Wait for the process whose pipe has ended; returns how it ended."""
        process, slot.pipe, slot.is_ready = slot.process, None, False
        assert process is not None
        self._lending.on_gone(slot)
        try:
            await asyncio.to_thread(process.wait, EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        self._shared.forget(slot.number)
        self._feed.tell()
        return ending_of(process.returncode)

    def _gave_up(self, slot: Slot, ending: str) -> bool:
        """Tell whether this end is the end of the whole start."""
        if self._started is None or self._has_started:
            return False
        self._started.set_exception(StartError(f"{slot.name} ended before it was ready: {ending}"))
        self._stopping.set()
        for each in self._slots:
            each.left.set()
        return True

    def _on_message(self, slot: Slot, message: ToSupervisor) -> None:
        match message:
            case Applied():
                self._on_applied(slot, message)
            case Ready():
                self._on_ready(slot, message)
            case Asked():
                self._on_asked(slot)
            case Closed():
                self._on_closed(slot, message)
            case Drained():
                self.aborted += message.aborted
            case Pong():
                self._on_pong(slot)
            case CannotBorrow():
                self._lending.on_cannot_borrow(slot, message.slot)

    def _on_applied(self, slot: Slot, message: Applied) -> None:
        if slot.base is not None and not message.error:
            self.on_applied(slot.base, message)
        self._feed.on_applied(slot, message, is_reload=slot.is_ready or not self._has_started)

    def _on_ready(self, slot: Slot, message: Ready) -> None:
        slot.is_ready = True
        slot.held_at_start = held_by(slot.process.pid) if slot.process else 0
        self.counters = message.counters
        if self._started is not None and not self._has_started:
            if all(each.is_ready for each in self._slots if not each.left.is_set()):
                self._started.set_result(None)
        else:
            told = fields(generation=slot.applied)
            instead = " in place of the one that died" if slot.deaths else ""
            log.info("%s serves%s", slot.name, instead, extra=told)
        self._lending.take_back(slot)
        self._lending.lend()
        self._feed.go_on(slot)
        for each in self._slots:
            if each.successor is slot:
                each.successor = None
                with contextlib.suppress(Refused):  # the end has come for all
                    self.remove(each)

    def _on_asked(self, slot: Slot) -> None:
        """Tell a worker that got a SIGTERM of its own how to end."""
        if self._stopping.is_set():
            slot.send(self._last_word)
        elif not slot.is_leaving and slot.successor is None:
            log.warning("%s was told to end by somebody else", slot.name)
            with contextlib.suppress(Refused):
                if self.serving == [slot]:  # nobody would accept until it has ended
                    slot.successor = self.add()
                    return
            self._let_go(slot)

    def _on_closed(self, slot: Slot, message: Closed) -> None:
        """Close a socket on which nobody accepts any more, so that new clients are refused at once."""
        if self._stopping.is_set():
            for each in self._slots:
                if each is slot or each.borrower is slot:
                    self._listeners[message.entry_point].refuse(each.number)


def _nobody(configuration: Configuration, message: Applied) -> None:
    """Nobody has to be told."""


def _environment() -> dict[str, str]:
    """Return our own environment; what we can import, plugins above all, a worker can import too."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def _tell_death(slot: Slot, reason: str, wait: float) -> None:
    log.error(
        "%s died: %s; it is the %s of this place, a new one starts %s",
        slot.name,
        reason,
        _ordinal(slot.deaths),
        f"in {wait:.1f} s" if wait else "now",
    )


def _tell_end(slot: Slot, ending: str) -> None:
    if ending != "exit status 0":
        log.warning("%s ended while it was to stop: %s", slot.name, ending)


def _ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th ..."""
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{last}"
