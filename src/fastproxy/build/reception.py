"""A connection on trial: its first words are put to who decides about them, and nobody is connected.

What becomes of it is decided by the code that serves: a generation is built of the routers, the certificates
and the options that may have a part in it. For `explain`, in a process that has no connections.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import structs

from .. import x509
from .._core.arrival import Handling, PassOn, Refusal, ServeHTTP
from .._core.message import Request
from .._core.table import Route, Table
from ..config.dynamic import Configuration
from ..config.merge import DEFAULT_TRANSPORT
from ..config.static import StaticConfiguration
from ..config.tcp import TcpLoadBalancer, TcpRouter, TcpServersTransport, TcpService, is_catch_all
from ..config.tls import CertificatePair
from .pem import content_of
from .routers import places_of
from .runtime import (
    CERTIFICATES,
    OPTIONS,
    ROUTERS,
    STORES,
    TCP_MIDDLEWARES,
    TCP_ROUTERS,
    TCP_SERVICES,
    TCP_TRANSPORTS,
    Broken,
    Runtime,
)
from .snapshot import Builder
from .work import run_now

PURE = frozenset(("ipAllowList", "ipWhiteList"))
"""The TCP middlewares that look at the connection in hand and at nothing else; no other one is tried."""

_STAND_IN = TcpService(load_balancer=TcpLoadBalancer(servers_transport=DEFAULT_TRANSPORT))


class Contact(NamedTuple):
    """How a client begins."""

    client: str
    """Its address, or ''."""

    is_tls: bool = False
    is_postgres: bool = False
    """It asks for TLS as PostgreSQL's clients do."""

    name: str = ""
    """Which it asks for by TLS."""

    protocols: tuple[bytes, ...] = ()
    """Which it offers by ALPN."""


class CertificateSeen(NamedTuple):
    """The certificate that a client gets."""

    kind: str
    """Of the object that declares it: a certificate or a store."""

    name: str
    facts: x509.Certificate


class Received(NamedTuple):
    """What becomes of a connection."""

    row: str
    """Of the decision table: 3, 4, 7, or 9a to 9e."""

    router: str = ""
    """The TCP router that takes it; ''. HTTP does, or nobody."""

    refused_by: str = ""
    """The middleware that closes it, or ''."""

    closed: str = ""
    """Why it is closed before TLS begins; '' if it is not."""

    alert: int = 0
    """Of TLS, with which it is (RFC 8446, 6); 0: none."""

    terms: str = ""
    """The name of the options on which TLS ends here; '' if it does not."""

    certificate: CertificateSeen | None = None

    @property
    def is_http(self) -> bool:
        """Tell whether requests of it are read."""
        return not self.router and not self.closed


class Reception:
    """The entry points of a runtime view, for connections that ask for one name."""

    def __init__(
        self,
        static: StaticConfiguration,
        runtime: Runtime,
        name: str,
        is_elsewhere: Callable[[str], bool],
    ) -> None:
        """name: '' if none is asked for. is_elsewhere: tells at once of some rules that they need another."""
        self._static = static
        self._places = places_of(static).entry_points
        builder = Builder(static)
        self._snapshot = run_now(builder.build(1, _reduced(runtime, name.lower(), is_elsewhere))).snapshot
        self._pairs = builder.pairs

    def receive(self, entry_point: str, contact: Contact) -> Received:
        """Take a connection in. An entry point for UDP takes none: KeyError."""
        at = self._places[entry_point]
        doorman = self._snapshot.doormen[at]
        address = self._static.entry_points[entry_point].location.host
        caller = _Caller(self._snapshot.sealed[at], contact, address)
        if doorman is None or not (contact.is_tls or contact.is_postgres):
            return self._plain("3" if doorman is None else "7", self._snapshot.streams[at], contact, caller)
        decide = doorman.postgres if contact.is_postgres else doorman.secure
        handling = decide(caller, contact.name, contact.protocols)
        return self._told(_row(contact, caller, doorman), handling, caller)

    def _plain(self, row: str, table: Table, contact: Contact, caller: "_Caller") -> Received:
        """Decide as `_core.client` does, of whose business TLS is none here."""
        route = table.match(Request.of_connection(client=contact.client))
        if route is None:
            return Received(row)
        refusing = caller.refused_by(route) or ""
        closed = f"refused by {refusing}" if refusing else ""
        return Received(row, router=route.name, refused_by=refusing, closed=closed)

    def _told(self, row: str, handling: Handling, caller: "_Caller") -> Received:
        router = caller.entered.name if caller.entered is not None else ""
        if isinstance(handling, Refusal):
            return Received(
                row,
                router=router,
                refused_by=caller.refusing,
                closed=handling.reason,
                alert=handling.alert,
            )
        assert isinstance(handling, PassOn | ServeHTTP)
        if handling.context is None:
            return Received(row, router=router)
        pairs = ((kind, name, pair) for kind, name, pair in self._pairs() if pair.made(handling.context))
        seen = next((CertificateSeen(kind, name, pair.facts) for kind, name, pair in pairs), None)
        terms = handling.route.terms if isinstance(handling, PassOn) else handling.terms
        return Received(row, router=router, terms=terms or "", certificate=seen)


class _Caller:
    """Answers a doorman in the place of an `Arrival`, and notes what it was asked."""

    def __init__(self, sealed: Table, contact: Contact, address: str) -> None:
        """sealed: the TCP routers for TLS. address: the host of the entry point's address."""
        self._sealed = sealed
        self._contact = contact
        self._address = address
        self.found: Route | None = None
        """The TCP router that matches, if the doorman has asked."""

        self.has_asked = False
        self.entered: Route | None = None
        """The TCP router to which it was to go."""

        self.refusing = ""

    def local(self) -> str:
        try:
            address = ipaddress.ip_address(self._address)
        except ValueError:
            return ""
        return "" if address.is_unspecified else str(address)

    def route_of(self, name: str, protocols: tuple[bytes, ...]) -> Route | None:
        self.has_asked = True
        asked = Request.of_connection(name.encode(), protocols=protocols, client=self._contact.client)
        self.found = self._sealed.match(asked)
        return self.found

    def refused_by(self, route: Route) -> str | None:
        self.entered = route
        for step in route.pipeline.on_request:
            verdict, _ = step.run_request(Request.of_connection(client=self._contact.client))
            if verdict != "next":
                self.refusing = step.name
                return step.name
        return None


def _row(contact: Contact, caller: _Caller, doorman: Any) -> str:
    """Return the row of the decision table by which a doorman has decided."""
    if contact.is_postgres:
        return "4"
    if not caller.has_asked:
        return "9a"
    if caller.entered is not None:
        return "9d" if is_catch_all(caller.entered.rule.text) else "9b"
    return "9c" if doorman.has_rest else "9e"


# --- what is built --------------------------------------------------------------------------------------


def _reduced(runtime: Runtime, name: str, is_elsewhere: Callable[[str], bool]) -> Configuration:
    """Return what has a part in the decision about a name: no servers, and no routers that need another."""
    configured = runtime.configured
    tables: dict[str, dict[str, Any]] = {
        OPTIONS: dict(_good(configured[OPTIONS])),
        CERTIFICATES: {
            at: each for at, each in _good(configured[CERTIFICATES]) if _may_serve(each.pair, name)
        },
        STORES: dict(_good(configured[STORES])),
        ROUTERS: dict(_http_routers(configured[ROUTERS], is_elsewhere)),
        TCP_TRANSPORTS: {DEFAULT_TRANSPORT: TcpServersTransport()},
        TCP_SERVICES: dict.fromkeys(_enabled(runtime, TCP_SERVICES), _STAND_IN),
        TCP_MIDDLEWARES: {at: each for at, each in _good(configured[TCP_MIDDLEWARES]) if each.kind in PURE},
        TCP_ROUTERS: dict(_tcp_routers(runtime, is_elsewhere)),
    }
    broken = {
        kind: {at: each for at, each in configured[kind].items() if isinstance(each, str)} for kind in tables
    }
    return Configuration.of(tables, broken)


def _good(objects: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, each) for name, each in objects.items() if not isinstance(each, str))


def _enabled(runtime: Runtime, kind: str) -> set[str]:
    return {name for name, _ in _good(runtime.configured[kind]) if name not in runtime.failures[kind]}


def _may_serve(pair: CertificatePair, name: str) -> bool:
    """Tell whether a certificate can be for a name; without one an address counts, which is not known."""
    try:
        first, *_ = x509.certificates_in(content_of(pair.cert_file, "certFile"))
        names = x509.read(first).names
    except (Broken, ValueError):
        return False
    return not name or name in names or f"*.{name.partition('.')[2]}" in names


def _http_routers(
    routers: Mapping[str, Any], is_elsewhere: Callable[[str], bool]
) -> Iterator[tuple[str, Any]]:
    """Yield the routers with tls, without what they do with requests. One for each entry point stays also if
    it needs another name: that it is there makes the entry point look at first bytes."""
    looking: set[str] = set()
    for name, router in _good(routers):
        points = set(router.entry_points)
        if router.tls is not None and not (points <= looking and is_elsewhere(router.rule)):
            looking |= points
            yield name, structs.replace(router, middlewares=(), service="")


def _tcp_routers(runtime: Runtime, is_elsewhere: Callable[[str], bool]) -> Iterator[tuple[str, TcpRouter]]:
    """Yield the TCP routers, without middlewares that are not tried."""
    enabled = _enabled(runtime, TCP_MIDDLEWARES)
    untried = {name for name in enabled if runtime.configured[TCP_MIDDLEWARES][name].kind not in PURE}
    looking: set[str] = set()
    for name, router in _good(runtime.configured[TCP_ROUTERS]):
        points = set(router.entry_points)
        if router.tls is not None and points <= looking and is_elsewhere(router.rule):
            continue
        if router.tls is not None:
            looking |= points
        kept = tuple(each for each in router.middlewares if each not in untried)
        yield name, structs.replace(router, middlewares=kept)
