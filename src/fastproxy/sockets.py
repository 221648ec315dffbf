"""Listening sockets, and those for datagrams: one for each entry point and worker, made by the supervisor and
kept for its whole life.

All sockets of one address have SO_REUSEPORT, so the kernel spreads new connections over the workers. A socket
stays open when its worker dies, and somebody else accepts on it: closing one loses what waits in its backlog.
Sockets may also be given: by the program that we follow in place, or by systemd.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Mapping

from .config.static import EntryPoint

BACKLOG = 4096
"""Connections that may wait to be accepted; the system cuts it to net.core.somaxconn."""


class Bound(list[socket.socket]):
    """The listening sockets of one entry point, by the number of their slot."""

    def __init__(
        self, sockets: Iterable[socket.socket] = (), *, is_one: bool = False, is_kept: bool = False
    ) -> None:
        """is_one, is_kept: as the fields."""
        super().__init__(sockets)
        self.is_one = is_one
        """There is one socket for all slots: somebody gave it, and no other can be bound beside it."""

        self.is_kept = is_kept
        """Somebody else has the sockets too. They may be closed here, but not shut down, which is for all."""

    @property
    def is_for_all(self) -> bool:
        """Whether every slot has the same socket.

        Not where it is for datagrams: those of one client would come to whichever worker is the first to ask,
        and each would open a session.
        """
        return self.is_one and self[0].type == socket.SOCK_STREAM

    def of(self, slot: int) -> socket.socket | None:
        """Return the socket of a slot, from 0; None: it has none, for the only one there is is another's."""
        if self.is_for_all:
            return self[0]
        return self[slot] if slot < len(self) else None

    def grow(self, slots: int) -> None:
        """Listen for that many slots. OSError."""
        while not self.is_one and len(self) < slots:
            made = _bound(self[0].family, self[0].type, self[0].getsockname())
            try:
                _listen(made)
            except BaseException:
                made.close()
                raise
            self.append(made)

    def shrink(self, slots: int) -> None:
        """Listen for no more than that many slots again, before anybody has accepted for the others."""
        while not self.is_one and len(self) > slots:
            self.pop().close()

    def refuse(self, slot: int) -> None:
        """Let the kernel refuse who connects to this slot's socket from now on."""
        if self.is_one:
            return  # other slots accept on it, and who gave it has it still
        if not self.is_kept and self[slot].type == socket.SOCK_STREAM:
            with contextlib.suppress(OSError):
                self[slot].shutdown(socket.SHUT_RDWR)
        self[slot].close()

    def close(self) -> None:
        """Close every socket; what waits in a backlog is reset, unless somebody else has it."""
        for each in self:
            each.close()


Listeners = dict[str, Bound]
"""Entry point -> its listening sockets."""


class BindError(Exception):
    """An entry point that cannot listen. The message names it, its address and the reason."""


def bind_all(
    entry_points: Mapping[str, EntryPoint], slots: int, given: Mapping[str, Bound] | None = None
) -> Listeners:
    """Listen on every entry point, once for each slot. BindError if one cannot; then none is left open.

    given: sockets that listen already, by the name of an entry point. One that asks for their address gets
    them, first of all the one with their name; what nobody asks for stays the caller's.
    """
    bound: Listeners = {}
    left = dict(given or {})
    try:
        for name, point in sorted(entry_points.items(), key=lambda each: each[0] not in left):
            taken = _taken(name, point, left)
            bound[name] = left.pop(taken) if taken else Bound()
            _bind(name, point, slots, bound[name])
    except BaseException:
        close_all(bound)
        raise
    return {name: bound[name] for name in entry_points}


def close_all(listeners: Listeners) -> None:
    """Close every socket; what waits in a backlog is reset."""
    for sockets in listeners.values():
        sockets.close()


def shown_address(listener: socket.socket) -> str:
    """Return where a socket listens, `127.0.0.1:8080` or `[::]:8080`: with the port that the system chose."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listens_for(listener: socket.socket, point: EntryPoint) -> bool:
    """Say whether a socket listens where an entry point asks for: port 0 is any port, no host any family."""
    host, port = point.location.host, point.location.port
    if listener.type != _type_of(point):
        return False
    try:
        wanted = {_resolved(host, port)[1][0]} if host else {"::", "0.0.0.0"}
    except OSError:
        return False
    found = listener.getsockname()
    return found[0] in wanted and port in (0, found[1])


def _taken(name: str, point: EntryPoint, given: Mapping[str, Bound]) -> str:
    """Return under which name the sockets are given that an entry point asks for; '' if none are."""
    for each in (name, *given) if name in given else given:
        if given[each] and listens_for(given[each][0], point):
            return each
    return ""


def _bind(name: str, point: EntryPoint, slots: int, into: Bound) -> None:
    """Have `slots` listening sockets of one entry point in `into`."""
    try:
        if into:
            into.grow(slots)
            return
        family, address = _resolved(point.location.host, point.location.port)
        if address[1] and not point.reuse_port:
            _refuse_company(family, _type_of(point), address)
        for _ in range(slots):
            into.append(_bound(family, _type_of(point), address))
            address = into[0].getsockname()  # port 0 is chosen once, by the first
        for each in into:
            _listen(each)
    except OSError as error:
        where = f"entryPoints.{name}.address: cannot listen on {point.address}"
        raise BindError(f"{where}: {_reason(error)}") from None


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple]:
    """Return family and address to bind. An empty host: all addresses, of both families if there are both."""
    if not host:
        return (socket.AF_INET6, ("::", port)) if _has_ipv6() else (socket.AF_INET, ("0.0.0.0", port))
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # As in Go: a name is bound at one of its addresses, the IPv4 one if there is one.
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _type_of(point: EntryPoint) -> socket.SocketKind:
    return socket.SOCK_DGRAM if point.is_udp else socket.SOCK_STREAM


def _listen(bound: socket.socket) -> None:
    if bound.type == socket.SOCK_STREAM:
        bound.listen(BACKLOG)


def _refuse_company(family: socket.AddressFamily, kind: socket.SocketKind, address: tuple) -> None:
    """Raise OSError if anybody listens there, even a second fastproxy, which SO_REUSEPORT would let in."""
    with socket.socket(family, kind) as probe:
        _prepare(probe)
        probe.bind(address)


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, address: tuple) -> socket.socket:
    made = socket.socket(family, kind)
    try:
        _prepare(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _prepare(made: socket.socket) -> None:
    if made.type == socket.SOCK_STREAM:  # for datagrams it would let everybody in
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if made.family == socket.AF_INET6:
        # The system's default differs from machine to machine; [::] takes IPv4 too, as in Go.
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


def _reason(error: OSError) -> str:
    """Say why, and what to do about the two usual reasons."""
    if error.errno == errno.EADDRINUSE:
        return "the address is in use; stop who has it, choose another port, or set reusePort in both"
    if error.errno == errno.EACCES:
        return f"permission denied; user {os.getuid()} needs CAP_NET_BIND_SERVICE for a port below 1024"
    if isinstance(error, socket.gaierror):
        return "the host cannot be resolved"
    return (error.strerror or str(error)).lower()
