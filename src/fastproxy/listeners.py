"""Entry points on their sockets: accepts connections, and goes on accepting whatever happens.

The sockets are bound by `sockets` and belong to whoever bound them. When a listener stops, it closes its own
copy only, and what waits in the backlog stays for a successor that has the same socket.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from ._core.acceptor import Acceptor
from ._core.datagram import Sessions
from ._core.engine import Engine
from ._core.entrypoint import EntryPoint
from ._core.journal import Journal
from ._core.netset import NetSet
from ._core.record import AccessLog
from ._core.shared import InFlight, row_width
from ._core.snapshot import Switch
from ._core.tally import NAMES as COUNTERS
from ._core.tally import SIZE as COUNTERS_SIZE
from ._core.tally import Tally
from .config.static import LifeCycle, StaticConfiguration
from .config.values import SECOND
from .observe import accesslog
from .sockets import BACKLOG
from .succession import Told

log = logging.getLogger(__name__)
connections_log = logging.getLogger("fastproxy.connections")

__all__ = [
    "COUNTERS",
    "COUNTERS_SIZE",
    "AccessLog",
    "Listener",
    "access_log_of",
    "listeners_of",
    "reopen",
]

KEEP_ALIVE = 180
"""Seconds of silence after which the kernel asks whether a client is still there, as in Traefik."""

AGAIN_SECONDS = 0.1
"""How long accepting rests after the system refused to go on."""

REST_SECONDS = 0.02
"""How often it is asked whether there is a place again, while a limit is reached."""

LATE_TURNS = 2
"""Turns of the loop after the end of accepting in which one is still made that was accepted before."""

SPARE = 16
"""Descriptors that no connection gets: for name resolution, the log, and whatever plugins open."""

CONNECTIONS = 0
"""The cell of all connections of clients; those of each entry point follow, by index. See `shared`."""


class Listener:
    """One entry point and the sockets that it accepts on."""

    def __init__(self, entry: EntryPoint, life_cycle: LifeCycle, sockets: Iterable[socket.socket]) -> None:
        self.entry = entry
        self.life_cycle = life_cycle
        self._sockets = list(sockets)
        self._acceptors = [_Acceptor(entry, bound) for bound in self._sockets]
        self._resting: asyncio.Handle | None = None
        entry.rest = self._rest

    @property
    def name(self) -> str:
        return self.entry.name

    async def start(self) -> None:
        """Accept connections from now on. OSError if a socket cannot be listened on; then none is."""
        try:
            for acceptor in self._acceptors:
                acceptor.start()
        except BaseException:
            self.stop_accepting()
            raise

    def borrow(self, bound: socket.socket) -> None:
        """Accept on a further socket too."""
        made = _Acceptor(self.entry, bound)
        self._sockets.append(bound)
        self._acceptors.append(made)
        if self._resting is None:
            made.go_on()

    def give_back(self, bound: socket.socket) -> None:
        """Accept no more on a socket that was borrowed; what was accepted on it stays."""
        self._sockets.remove(bound)
        for acceptor in [each for each in self._acceptors if each.bound is bound]:
            acceptor.stop()
            self._acceptors.remove(acceptor)

    def stop_accepting(self) -> None:
        """Accept no more; connections that are there go on."""
        self.entry.rest = None
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        for acceptor in self._acceptors:
            acceptor.stop()

    def _rest(self) -> None:
        """Accept nobody until there is a place again: who comes meanwhile waits in the kernel.

        Called while somebody is accepted.
        """
        if self._resting is None:
            self._resting = asyncio.get_running_loop().call_soon(self._begin_rest)

    def _begin_rest(self) -> None:
        for acceptor in self._acceptors:
            acceptor.stop()
        self._resting = asyncio.get_running_loop().call_later(REST_SECONDS, self._look_for_room)

    def _look_for_room(self) -> None:
        if self.entry.has_room():
            self._resting = None
            for acceptor in self._acceptors:
                acceptor.go_on()
        else:
            self._resting = asyncio.get_running_loop().call_later(REST_SECONDS, self._look_for_room)

    async def drain(
        self, told: Callable[[str], None], *, grace: float | None = None, handed_over: bool = False
    ) -> int:
        """Stop as `transport.lifeCycle` says: accept for a while still, finish what runs, cut the rest.

        told: called with the name when nothing is accepted any more. grace: seconds for what runs, in place
        of those times. handed_over: somebody else accepts on the sockets, so we stop at once and leave who
        waits. Returns how many connections were cut.
        """
        if grace is None:
            if self.life_cycle.request_accept_grace_timeout > 0 and not handed_over:
                await asyncio.sleep(self.life_cycle.request_accept_grace_timeout / SECOND)
            grace = max(self.life_cycle.grace_time_out, 0) / SECOND
        self.stop_accepting()
        if not handed_over:
            for acceptor in self._acceptors:
                acceptor.take_waiting()
        told(self.name)
        for _ in range(LATE_TURNS):
            await asyncio.sleep(0)
        self.entry.drain(grace)
        left = await self.entry.wait_drained(grace)
        self.entry.abort()
        return left

    def abort(self) -> None:
        """Accept no more and close every connection now."""
        self.stop_accepting()
        self.entry.abort()


class DatagramListener:
    """One UDP entry point and the sockets that it takes datagrams from."""

    def __init__(self, entry: Sessions, life_cycle: LifeCycle, sockets: Iterable[socket.socket]) -> None:
        self.entry = entry
        self.life_cycle = life_cycle
        self._sockets = list(sockets)

    @property
    def name(self) -> str:
        return self.entry.name

    async def start(self) -> None:
        """Take datagrams from now on. OSError if that cannot be."""
        for bound in self._sockets:
            self.entry.listen(bound)

    def stand_by(self) -> None:
        """Make ready for datagrams, and for sessions of the program before. OSError if that cannot be."""
        for bound in self._sockets:
            self.entry.stand_by(bound)

    def adopt(self, told: Told, descriptor: int) -> None:
        """Go on with a session of the program before this one; it ends if there is no room for it."""
        if not self._sockets:
            os.close(descriptor)
            return
        self.entry.adopt(
            self._sockets[0], told.client, told.control, told.url, told.host, told.port, descriptor
        )

    def handing_over(self) -> Iterator[tuple[Told, int, Callable[[], None]]]:
        """Yield each session as `succession.Old` has it."""
        while fresh := self.entry.staying():
            for session in fresh:
                if (told := self.entry.tell(session)) is not None:
                    *known, descriptor = told
                    yield Told(self.name, *known), descriptor, partial(self.entry.hand_over, session)

    def let_go(self) -> None:
        """Take no more datagrams, and forget the sessions that were handed over."""
        for bound in self._sockets:
            self.entry.leave(bound)
        self.entry.forget()

    def borrow(self, bound: socket.socket) -> None:
        """Take datagrams from a further socket too."""
        self._sockets.append(bound)
        self.entry.listen(bound)

    def give_back(self, bound: socket.socket) -> None:
        """Take no more from a socket that was borrowed; sessions that came by it can answer still."""
        self._sockets.remove(bound)
        self.entry.leave(bound)

    def stop_accepting(self) -> None:
        """Open no more sessions; those that are there go on."""
        self.entry.drain()

    async def drain(
        self, told: Callable[[str], None], *, grace: float | None = None, handed_over: bool = False
    ) -> int:
        """Stop as `transport.lifeCycle` says, and as `Listener.drain`. Returns how many sessions were cut.

        handed_over: the datagrams of all sessions go to somebody else from now on; of those that were not
        handed over too, answers are passed on.
        """
        if grace is None:
            if self.life_cycle.request_accept_grace_timeout > 0 and not handed_over:
                await asyncio.sleep(self.life_cycle.request_accept_grace_timeout / SECOND)
            grace = max(self.life_cycle.grace_time_out, 0) / SECOND
        self.stop_accepting()
        if handed_over:
            for bound in self._sockets:
                self.entry.leave(bound)
        told(self.name)
        left: int = await self.entry.wait_drained(grace)
        self.abort()
        return left

    def abort(self) -> None:
        """End every session now."""
        self.entry.drain()
        self.entry.abort()
        self._sockets.clear()


AnyListener = Listener | DatagramListener


class _Acceptor:
    """One socket that is accepted on, whatever happens."""

    def __init__(self, entry: EntryPoint, bound: socket.socket) -> None:
        self._entry = entry
        self.bound = bound
        self._acceptor: Acceptor | None = None
        self._again: asyncio.Handle | None = None

    def start(self) -> None:
        """Begin to accept. OSError."""
        _prepare(self.bound)
        if self._acceptor is None:
            self.bound.setblocking(False)
            self.bound.listen(BACKLOG)
            acceptor = Acceptor(self._entry, self.bound.fileno(), self._on_short)
            acceptor.start()
            self._acceptor = acceptor

    def go_on(self) -> None:
        """Accept again after a stop."""
        self._again = None
        try:
            self.start()
        except OSError as error:
            log.error(
                "entry point %s cannot accept: %s", self._entry.name, error, extra=_about(self._entry)
            )
            self._wait()

    def take_waiting(self) -> None:
        """Accept who waits in the kernel now; to be called after a stop."""
        with contextlib.suppress(OSError):
            self.bound.setblocking(False)
            Acceptor(self._entry, self.bound.fileno(), self._on_short).take_waiting(BACKLOG)

    def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._acceptor is not None:
            self._acceptor.stop()
            self._acceptor = None

    def _on_short(self, number: int) -> None:
        """Rest for a moment: the system has no descriptors or no memory."""
        log.error(
            "entry point %s: the system refused a connection (%s); accepting begins again",
            self._entry.name,
            os.strerror(number),
            extra=_about(self._entry),
        )
        self.stop()
        self._wait()

    def _wait(self) -> None:
        self._again = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.go_on)


def _about(entry: EntryPoint) -> dict[str, dict[str, str]]:
    """Return the fields of a log line about an entry point."""
    return {"fields": {"entryPointName": entry.name}}


def _prepare(bound: socket.socket) -> None:
    """Set options of a listening socket: Linux hands them on to what is accepted, at no cost for each."""
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_ALIVE)


# --- from the static configuration ------------------------------------------------------------------

def in_flight_of(memory: Any, cells: int, workers: int, worker: int) -> InFlight:
    """Return the counts of all workers as one of them sees them. memory: as `shared` lays it out."""
    return InFlight(memory, cells, workers, worker)


def limit_descriptors(listeners: Iterable[AnyListener], most: int) -> int:
    """Let connections have no more descriptors than are left of the `most` that this process may open.

    An eighth of them, from 8 to 1024, is for servers only. Returns how many clients may have.
    """
    for listener in listeners:
        engine = listener.entry.engine
        engine.most = max(most - _open_descriptors() - SPARE, SPARE)
        engine.kept = min(max(engine.most // 8, 8), 1024)
        left: int = engine.most - engine.kept
    return left


def _open_descriptors() -> int:
    """Return how many descriptors are open; before connections are."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 2 * SPARE


def listeners_of(
    static: StaticConfiguration,
    sockets: Mapping[str, Iterable[socket.socket]],
    switch: Switch,
    counters: Any,
    in_flight: InFlight | None = None,
    on_unrouted: Callable[..., None] | None = None,
    access_log: AccessLog | None = None,
) -> dict[str, AnyListener]:
    """Return the listeners of the running loop by the name of their entry point; none accepts yet.

    sockets: bound ones by entry point; one for UDP may have none. counters: a writable buffer of at least
    `COUNTERS_SIZE` bytes, or None. in_flight: what all workers count; None: there is only this one.
    on_unrouted: called with the name of the entry point, the request and its table when no router takes one.
    access_log: see `access_log_of`.
    """
    tally = Tally() if counters is None else Tally(counters)
    made = _listeners(static, sockets, switch, tally, access_log)
    entries = [listener.entry for listener in made.values()]
    limits = static.core.limits
    if limits.connections or limits.connections_per_entry_point:
        cells = CONNECTIONS + 1 + len(entries)
        counts = in_flight or InFlight(bytearray(cells * row_width(1) * 8), cells, 1, 0)
        for entry in entries:
            here, in_all = limits.connections_per_entry_point, limits.connections
            entry.limit(counts, CONNECTIONS + 1 + entry.index, CONNECTIONS, here, in_all)
    doors = [entry for entry in entries if isinstance(entry, EntryPoint)]
    for door in doors:
        door.stand_beside(doors)
        door.on_unrouted = on_unrouted
    return made


def _listeners(
    static: StaticConfiguration,
    sockets: Mapping[str, Iterable[socket.socket]],
    switch: Switch,
    tally: Tally,
    access_log: AccessLog | None,
) -> dict[str, AnyListener]:
    made: dict[str, AnyListener] = {}
    for index, name in enumerate(sorted(static.entry_points)):
        life_cycle = static.entry_points[name].transport.life_cycle
        if static.entry_points[name].is_udp:
            sessions = _sessions(static, name, index, switch, tally)
            made[name] = DatagramListener(sessions, life_cycle, sockets.get(name, ()))
        else:
            entry = _entry_point(static, name, index, switch, tally, access_log)
            made[name] = Listener(entry, life_cycle, sockets[name])
    return made


def _sessions(static: StaticConfiguration, name: str, index: int, switch: Switch, tally: Tally) -> Sessions:
    return Sessions(
        asyncio.get_running_loop(),
        switch,
        index,
        name,
        timeout=_seconds(static.entry_points[name].udp.timeout),
        tally=tally,
        log=logging.getLogger("fastproxy.connections"),
    )


def _entry_point(
    static: StaticConfiguration,
    name: str,
    index: int,
    switch: Switch,
    tally: Tally,
    access_log: AccessLog | None,
) -> EntryPoint:
    settings = static.entry_points[name]
    transport, http, forwarded = settings.transport, settings.http, settings.forwarded_headers
    timeouts, proxy = transport.responding_timeouts, settings.proxy_protocol
    appends = not (forwarded.not_append_x_forwarded_for or static.global_.not_append_x_forwarded_for)
    return EntryPoint(
        asyncio.get_running_loop(),
        switch,
        index,
        name,
        server_name=socket.gethostname(),
        read_timeout=_seconds(timeouts.read_timeout),
        write_timeout=_seconds(timeouts.write_timeout),
        idle_timeout=_seconds(timeouts.idle_timeout),
        max_head=http.max_header_bytes,
        max_body=static.core.limits.request_body,
        sanitize=http.sanitize_path,
        encode_semicolons=http.encode_query_semicolons,
        underscore=http.underscore_headers_strategy,
        forwarded_insecure=forwarded.insecure,
        forwarded_trusted=NetSet(forwarded.trusted_ips) if forwarded.trusted_ips else None,
        forwarded_connection=forwarded.connection,
        append_forwarded_for=appends,
        keep_alive_max_requests=transport.keep_alive_max_requests,
        keep_alive_max_time=_seconds(transport.keep_alive_max_time),
        denied_escapes=http.encoded_characters.denied,
        proxy_insecure=proxy is not None and proxy.insecure,
        proxy_trusted=NetSet(proxy.trusted_ips) if proxy is not None and proxy.trusted_ips else None,
        tally=tally,
        log=connections_log,
        access_log=access_log,
        logs_unrouted=settings.observability.access_logs,
    )


# --- the access log ---------------------------------------------------------------------------------


def access_log_of(static: StaticConfiguration, counter: Any = None) -> AccessLog | None:
    """Return the access log of the running loop, its file open; None: there is none.

    counter: eight bytes in which all workers count the requests that are told. If the file cannot be opened
    the process log says so, and lines go nowhere until `reopen`: no request is refused for that.
    """
    settings = static.access_log
    if settings is None:
        return None
    try:
        descriptor = accesslog.opened(settings)
    except OSError as error:
        log.error("the access log cannot be opened, lines are lost: %s", error)
        descriptor = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    loop = asyncio.get_running_loop()
    wheel = Engine.of(loop, connections_log).wheel
    headers = settings.fields.headers
    return AccessLog(
        Journal(loop, wheel, log, descriptor, most_lines=settings.buffering_size),
        accesslog.program_of(settings),
        default=headers.default_mode,
        fields=headers.names,
        statuses=accesslog.ranges_of(settings),
        retried=settings.filters.retry_attempts,
        least=settings.filters.min_duration,
        cuts_query=settings.fields.query_parameters.default_mode == "drop",
        counter=counter,
        tls_of=accesslog.tls_of,
    )


def reopen(access_log: AccessLog | None, static: StaticConfiguration) -> None:
    """Open the file of the access log again under its name, after somebody moved it away."""
    settings = static.access_log
    if access_log is None or settings is None or not settings.file_path:
        return
    try:
        access_log.journal.reopen(accesslog.opened(settings))
    except OSError as error:
        log.error("the access log cannot be opened again, it goes on where it was: %s", error)


def _seconds(nanoseconds: int) -> float:
    """0 and less, as in Go, is no limit."""
    return max(nanoseconds, 0) / SECOND
