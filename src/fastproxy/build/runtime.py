"""What became of each configured object: enabled, warning or disabled, why, and who uses it.

The builder writes here when a generation is whole; the API and the log read. Nothing is copied: a record is
put together when somebody asks for it, so that 10 000 routers cost no second table.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from ..config.dynamic import Configuration, HttpRouter
from ..config.tcp import CATCH_ALL, TcpRouter, is_catch_all

ROUTERS, SERVICES, MIDDLEWARES, TRANSPORTS = (
    "http.routers",
    "http.services",
    "http.middlewares",
    "http.serversTransports",
)
"""The kinds of objects, named as the sections in which they stand."""

TCP_ROUTERS, TCP_SERVICES, TCP_MIDDLEWARES, TCP_TRANSPORTS = (
    "tcp.routers",
    "tcp.services",
    "tcp.middlewares",
    "tcp.serversTransports",
)

UDP_ROUTERS, UDP_SERVICES = "udp.routers", "udp.services"
OPTIONS, CERTIFICATES, STORES = "tls.options", "tls.certificates", "tls.stores"

KINDS = (
    *(OPTIONS, CERTIFICATES, STORES),
    *(TRANSPORTS, MIDDLEWARES, SERVICES, ROUTERS),
    *(TCP_TRANSPORTS, TCP_MIDDLEWARES, TCP_SERVICES, TCP_ROUTERS),
    *(UDP_SERVICES, UDP_ROUTERS),
)
"""In the order in which they are built: whoever is used comes before whoever uses it."""

NOUNS = {
    ROUTERS: "router",
    SERVICES: "service",
    MIDDLEWARES: "middleware",
    TRANSPORTS: "serversTransport",
    TCP_ROUTERS: "TCP router",
    TCP_SERVICES: "TCP service",
    TCP_MIDDLEWARES: "TCP middleware",
    TCP_TRANSPORTS: "TCP serversTransport",
    UDP_ROUTERS: "UDP router",
    UDP_SERVICES: "UDP service",
    OPTIONS: "TLS options",
    CERTIFICATES: "certificate",
    STORES: "TLS store",
}
"""What one of a kind is called."""

NESTING = (MIDDLEWARES, TCP_SERVICES, UDP_SERVICES)
"""Kinds of which one object may be made of others: chains of middlewares, weighted services of services."""

USERS = (
    (OPTIONS, ROUTERS),
    (OPTIONS, TCP_ROUTERS),
    (MIDDLEWARES, MIDDLEWARES),
    (TRANSPORTS, SERVICES),
    (SERVICES, ROUTERS),
    (MIDDLEWARES, ROUTERS),
    (TCP_TRANSPORTS, TCP_SERVICES),
    (TCP_SERVICES, TCP_SERVICES),
    (TCP_SERVICES, TCP_ROUTERS),
    (TCP_MIDDLEWARES, TCP_ROUTERS),
    (UDP_SERVICES, UDP_SERVICES),
    (UDP_SERVICES, UDP_ROUTERS),
)
"""Who is used, and by whom, in an order in which a change spreads."""

Warnings = dict[str, dict[str, tuple[str, ...]]]
"""Kind -> name -> what is to be warned of."""

Status = Literal["enabled", "warning", "disabled"]


class Broken(Exception):
    """An object that cannot be built; the text is the reason, one line. Disables the object, nothing else."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One configured object and what became of it. `status`, `error` and `used_by` are what the API shows."""

    kind: str
    name: str
    """With its provider: `shop@file`."""

    configured: Any
    """The section of the document: an `HttpRouter` and so on; None when it could not be read."""

    status: Status
    error: tuple[str, ...] = ()
    """Why it is disabled, or what is to be warned of."""

    used_by: tuple[str, ...] = ()
    """Who refers to it, sorted: routers to services and middlewares, chains to middlewares, and so on."""

    down: tuple[str, ...] = ()
    """Of a TCP service: the servers that a health check has found to be down."""

    using: tuple[str, ...] = ()
    """Of a router: the entry points that it is on, sorted."""

    @property
    def provider(self) -> str:
        return provider_of(self.name)

    @property
    def priority(self) -> int:
        """Of a router: the one that counts."""
        return priority_of(self.configured) if self.configured is not None else 0


class Uses:
    """Who refers to whom: name -> names, for one pair of kinds. One user, the usual case, costs no set."""

    def __init__(self) -> None:
        self._users: dict[str, str | set[str]] = {}

    def of(self, name: str) -> Iterable[str]:
        """Return who refers to `name`, also when nothing of that name exists."""
        users = self._users.get(name, ())
        return (users,) if isinstance(users, str) else users

    def add(self, user: str, names: Iterable[str]) -> None:
        for name in names:
            users = self._users.setdefault(name, user)
            if isinstance(users, set):
                users.add(user)
            elif users != user:
                self._users[name] = {users, user}

    def remove(self, user: str, names: Iterable[str]) -> None:
        for name in names:
            users = self._users.get(name)
            if users == user:
                del self._users[name]
            elif isinstance(users, set):
                users.discard(user)
                if not users:
                    del self._users[name]


def references_of(kind: str, configured: Any) -> dict[str, tuple[str, ...]]:
    """Return whom an object refers to, by kind."""
    if configured is None or isinstance(configured, str):
        return {}
    if kind == ROUTERS:
        found = {SERVICES: (configured.service,), MIDDLEWARES: configured.middlewares}
        return found if configured.tls is None else {**found, OPTIONS: (configured.tls.options,)}
    if kind == SERVICES and configured.load_balancer is not None:
        return {TRANSPORTS: (configured.load_balancer.servers_transport,)}
    if kind == MIDDLEWARES and configured.chain is not None:
        return {MIDDLEWARES: configured.chain.middlewares}
    if kind == TCP_ROUTERS:
        found = {TCP_SERVICES: (configured.service,), TCP_MIDDLEWARES: configured.middlewares}
        ends = configured.tls is not None and not configured.tls.passthrough
        return {**found, OPTIONS: (configured.tls.options,)} if ends else found
    if kind == TCP_SERVICES and configured.load_balancer is not None:
        return {TCP_TRANSPORTS: (configured.load_balancer.servers_transport,)}
    if kind == UDP_ROUTERS:
        return {UDP_SERVICES: (configured.service,)}
    if kind in (TCP_SERVICES, UDP_SERVICES) and configured.weighted is not None:
        return {kind: tuple(each.name for each in configured.weighted.services)}
    return {}


class Runtime:
    """The objects of the current generation by kind and name. Read it between two changes, not across."""

    def __init__(self, entry_points: Iterable[str] = ()) -> None:
        self.generation = 0
        self.entry_points = frozenset(entry_points)
        self.is_down: Callable[[int], bool] = _never
        """What health checks say of the server with a sign. Whoever makes checks puts a better one here."""

        self.configured: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        """What the configuration holds, as it holds it; of an object that could not be read the reason."""

        self.failures: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        """Those that are disabled, with the reason."""

        self.warnings: Warnings = {kind: {} for kind in KINDS}
        """What is wrong about each beside what disables it."""

        self.uses: dict[str, Uses] = {kind: Uses() for kind in KINDS}
        """By the kind of what is used: routers use services and middlewares, services use transports."""

        self.tcp_options = Uses()
        """TCP routers that use TLS options: their names may be those of HTTP routers too."""

        self.nests: dict[str, Uses] = {kind: Uses() for kind in NESTING}
        """Who uses others of its own kind."""

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        entry_points: Iterable[str],
        generation: int,
        failures: Mapping[str, dict[str, str]],
        warnings: Mapping[str, dict[str, tuple[str, ...]]],
    ) -> "Runtime":
        """Put together what a builder in another process has: its configuration, and what it tells of it."""
        made = cls(entry_points)
        made.generation = generation
        made.failures.update(failures)
        made.warnings.update(warnings)
        for kind in KINDS:
            objects = configuration.table(kind)
            made.configured[kind] = {**objects, **configuration.broken.get(kind, {})}
            for name, each in objects.items():
                for used, names in references_of(kind, each).items():
                    made.users_of(kind, used).add(name, names)
        return made

    def users_of(self, user: str, used: str) -> Uses:
        """Return who of the kind `user` refers to whom of the kind `used`."""
        if (user, used) == (TCP_ROUTERS, OPTIONS):
            return self.tcp_options
        return self.nests[used] if user == used else self.uses[used]

    def record(self, kind: str, name: str) -> Record | None:
        """Return what is known of one object; None when there is none of that name."""
        configured = self.configured[kind].get(name)
        if configured is None:
            return None
        reason = self.failures[kind].get(name)
        warnings = self.warnings[kind].get(name, ())
        return Record(
            kind=kind,
            name=name,
            configured=None if isinstance(configured, str) else configured,
            status="disabled" if reason is not None else "warning" if warnings else "enabled",
            error=(*((reason,) if reason is not None else ()), *warnings),
            used_by=self._used_by(kind, name),
            down=self._down(configured) if kind == TCP_SERVICES else (),
            using=self._using(configured) if kind in (ROUTERS, TCP_ROUTERS, UDP_ROUTERS) else (),
        )

    def records(self, kind: str) -> Iterator[Record]:
        """Give the records of all objects of a kind."""
        return (self.record(kind, name) for name in self.configured[kind])  # type: ignore[misc]

    def disabled(self) -> Iterator[Record]:
        """Give the records of what is disabled, those first that others are disabled because of."""
        for kind in KINDS:
            for name in sorted(self.failures[kind]):
                yield self.record(kind, name)  # type: ignore[misc]

    def _used_by(self, kind: str, name: str) -> tuple[str, ...]:
        users = set(self.uses[kind].of(name))
        if kind in self.nests:
            users.update(self.nests[kind].of(name))
        return tuple(sorted(users))

    def _down(self, configured: Any) -> tuple[str, ...]:
        if isinstance(configured, str) or configured.load_balancer is None:
            return ()
        servers = configured.load_balancer.servers
        return tuple(each.address for each in servers if each.sign >= 0 and self.is_down(each.sign))

    def _using(self, configured: Any) -> tuple[str, ...]:
        if isinstance(configured, str):
            return ()
        return tuple(sorted(self.entry_points.intersection(configured.entry_points)))


def _never(sign: int) -> bool:
    return False


def priority_of(router: HttpRouter | TcpRouter) -> int:
    """Return the priority of a router: the one given, else the length of its rule in bytes.

    A TCP router whose rule is a bare HostSNI(`*`) and that gives none is asked behind all others.
    """
    if not router.priority and isinstance(router, TcpRouter) and is_catch_all(router.rule):
        return CATCH_ALL
    return router.priority or len(router.rule.encode("utf-8", "surrogateescape"))


def server_status(service: Record) -> dict[str, str]:
    """Return how each server of a load balancer does: URL -> `UP` or `DOWN`; nothing of a disabled one."""
    balancer = service.configured and service.configured.load_balancer
    if not balancer or service.status == "disabled":
        return {}
    return {server.url: "UP" for server in balancer.servers}


def provider_of(name: str) -> str:
    """Return the provider in a qualified name: `file` of `shop@file`."""
    return name.rpartition("@")[2]
