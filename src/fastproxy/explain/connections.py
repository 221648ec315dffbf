"""Who takes a connection, and on which terms of TLS: the decision table, its row, and who else came close.

The decision is that of the code that serves, on trial (`build.reception`); why the others are not the ones is
told by their rules, evaluated in Python.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from ..build.reception import PURE, CertificateSeen, Contact, Received, Reception
from ..build.runtime import OPTIONS, ROUTERS, STORES, TCP_MIDDLEWARES, TCP_ROUTERS, TCP_SERVICES, Runtime
from ..config.dynamic import HttpRouter
from ..config.static import StaticConfiguration
from ..config.tcp import TcpRouter
from ..config.tls import LEAST, Options
from ..config.tls import MOST as NEWEST
from ..conflicts import hosts_of
from ..rules.evaluate import Asked, is_elsewhere
from ..selfsigned import NAME as GENERATED
from .candidates import MOST, Candidate, Field, field_of
from .questions import ConnectionQuestion, points_of_connection
from .streams import service_of
from .told import CertificateTold, Contacted, OfConnection, Passed, TLSTold

ALERTS = {
    40: "handshake_failure",
    80: "internal_error",
    112: "unrecognized_name",
    120: "no_application_protocol",
}
"""The names of TLS alerts (RFC 8446, 6) with which connections are closed here."""

DECIDED = {
    "3": "no router here has tls, so no byte is looked at: TCP routers are asked, then HTTP",
    "4": "TLS of PostgreSQL: TCP routers with tls are asked, and nobody else",
    "7": "it does not begin with TLS: TCP routers without tls are asked, then HTTP",
    "9b": "TLS: no HTTP router has the name in a Host, and a TCP router matches",
    "9d": "TLS: a TCP router takes every name, and no HTTP router any host",
    "9e": "TLS: nobody has the name, so HTTP answers, on the default terms",
}
"""What the rows of the decision table say; of 9a and 9c with the names of the routers."""


def explain(question: ConnectionQuestion, static: StaticConfiguration, runtime: Runtime) -> OfConnection:
    """Say what would become of a connection. Raises WrongQuestion."""
    contact = question.contact
    points, chosen = points_of_connection(question.entry_point, static)
    look = look_of(contact, static, runtime)
    return OfConnection(
        protocol="tcp",
        sni=question.sni,
        alpn=question.alpn,
        tls=contact.is_tls,
        postgres=question.is_postgres,
        client=question.client,
        chosen=chosen,
        ways=tuple(look(point)[0] for point in points),
    )


Look = Callable[[str], tuple[Contacted, str]]
"""Entry point -> what becomes of a connection there, and the TLS options on which HTTP serves it, or ''."""


def look_of(contact: Contact, static: StaticConfiguration, runtime: Runtime) -> Look:
    """Prepare to tell of a connection, on any of the entry points."""
    name = contact.name.lower()
    reception = Reception(static, runtime, name, lambda rule: is_elsewhere(rule, name.encode()))

    def look(point: str) -> tuple[Contacted, str]:
        received = reception.receive(point, contact)
        teller = _Teller(contact, static, runtime, point, received)
        return teller.contacted(), received.terms if received.is_http else ""

    return look


class _Teller:
    """What is told of one connection on one entry point."""

    def __init__(
        self, contact: Contact, static: StaticConfiguration, runtime: Runtime, point: str, received: Received
    ) -> None:
        self._contact = contact
        self._static = static
        self._runtime = runtime
        self._point = point
        self._received = received
        self._is_sealed = received.row[0] in "49"  # by routers with tls

    def contacted(self) -> Contacted:
        received = self._received
        field = self._field()
        winner = field.named(received.router) if received.router else None
        closed = self._closed()
        told = Contacted(
            entry_point=self._point,
            row=received.row,
            decided=self._decided(),
            is_http=received.is_http and not closed,
            closed=closed,
            alert=ALERTS.get(received.alert, str(received.alert)) if received.alert else "",
            tls=self._tls(),
            **(winner.taking if winner is not None else {}),
        )
        if winner is not None:
            told = structs.replace(told, **self._led(winner))
        return structs.replace(told, **field.others(winner, "HTTP"))

    def _field(self) -> Field:
        name, protocols = (self._contact.name, self._contact.protocols) if self._is_sealed else ("", ())
        asked = Asked(host=name.lower().encode(), protocols=protocols, client=self._contact.client)
        return field_of(TCP_ROUTERS, asked, self._static, self._runtime, self._point, self._hindrances)

    def _hindrances(self, router: TcpRouter) -> Iterator[str]:
        if router.tls is None and self._is_sealed:
            yield "it has no tls, and so takes connections without TLS only"
        if router.tls is not None and not self._is_sealed:
            yield "it has tls, and so takes connections of TLS only"

    # --- the row ----------------------------------------------------------------------------------------

    def _decided(self) -> str:
        row = self._received.row
        if row == "9a":
            return f"TLS: {_listed(self._with_host())} has the name in a Host"
        if row == "9c":
            return f"TLS: no router has the name, and {_listed(self._with_host(''))} takes any host"
        return DECIDED[row]

    def _with_host(self, name: str | None = None) -> Iterator[str]:
        """Yield the HTTP routers with tls that have a name in a Host; '': those that take any host."""
        name = self._contact.name.lower() if name is None else name
        below = f"*.{name.partition('.')[2]}"
        for each, router in self._runtime.configured[ROUTERS].items():
            if self._is_of_tls(router) and not (name and is_elsewhere(router.rule, name.encode())):
                hosts = hosts_of(router.rule)
                if hosts is not None and ((name in hosts or below in hosts) if name else not hosts):
                    yield each

    def _is_of_tls(self, router: HttpRouter | str) -> bool:
        return not isinstance(router, str) and router.tls is not None and self._point in router.entry_points

    def _closed(self) -> str:
        received = self._received
        if received.refused_by:
            return f"the middleware {received.refused_by} closes it"
        if received.is_http and received.row == "3" and self._contact.is_tls | self._contact.is_postgres:
            return "nobody speaks TLS here: HTTP reads the handshake, and answers 400"
        return received.closed

    # --- the way ----------------------------------------------------------------------------------------

    def _led(self, winner: Candidate) -> dict[str, Any]:
        """Return what the middlewares do, and where it goes."""
        passed = tuple(self._passed(winner))
        if self._received.closed:
            return {"middlewares": passed}
        service = service_of(TCP_SERVICES, winner.router.service, self._runtime)
        closed = f"the service {service.name} has no server" if service.is_empty else ""
        return {"middlewares": passed, "service": service, "closed": closed}

    def _passed(self, winner: Candidate) -> Iterator[Passed]:
        """Yield the middlewares, up to the one that closes the connection."""
        client = self._contact.client or "a client without an address"
        for name in winner.router.middlewares:
            configured = self._runtime.configured[TCP_MIDDLEWARES][name]
            if configured.kind not in PURE:
                yield Passed(name=name, type=configured.kind, does=(UNTRIED,))
                continue
            ranges = ", ".join(configured.settings.source_range)
            if name == self._received.refused_by:
                yield Passed(
                    name=name, type=configured.kind, does=(f"closes it: {client} is in none of {ranges}",)
                )
                return
            yield Passed(name=name, type=configured.kind, does=(f"lets it pass: {client} is in {ranges}",))

    # --- TLS --------------------------------------------------------------------------------------------

    def _tls(self) -> TLSTold | None:
        if not self._is_sealed or self._received.closed:
            return None
        if not self._received.terms:
            return TLSTold(passes=True)
        name = self._received.terms
        options = self._runtime.configured[OPTIONS].get(name) or Options()
        return TLSTold(
            options=name,
            min_version=options.min_version or LEAST,
            max_version=options.max_version or NEWEST,
            client_auth=options.client_auth.mode,
            sni_strict=options.sni_strict,
            alpn=options.alpn_protocols,
            certificate=_certificate(self._received.certificate),
        )


UNTRIED = "what it does hangs on more than this connection; not tried here"


def _certificate(seen: CertificateSeen | None) -> CertificateTold | None:
    if seen is None:
        return None
    if seen.name == GENERATED:
        return CertificateTold(name=seen.name, is_default=True)
    return CertificateTold(
        name=seen.name,
        names=seen.facts.names,
        not_after=seen.facts.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        is_default=seen.kind == STORES,
        is_expired=seen.facts.not_after < datetime.now(UTC),
    )


def _listed(names: Iterator[str]) -> str:
    """Return some names as one text."""
    found = list(names)
    more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
    return ", ".join(found[:MOST]) + more
