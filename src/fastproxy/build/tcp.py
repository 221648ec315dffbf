"""`tcp`: transports, services, middlewares and routers of whole connections, configured -> compiled."""

import hashlib
import random
import ssl
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .._core.balance import Balancer, Turns
from .._core.ledger import Ledger
from .._core.netset import NetSet
from .._core.pool import Pool
from .._core.rule import Rule
from .._core.signs import Signs
from .._core.step import Pipeline, Step
from .._core.steps_gate import InFlightConn, IPAllowList
from .._core.table import Route
from .._core.target import StreamTarget, Target
from ..config.merge import DEFAULT_TRANSPORT
from ..config.tcp import (
    TcpAllowList,
    TcpLoadBalancer,
    TcpMiddleware,
    TcpRouter,
    TcpServer,
    TcpServersTransport,
    Weighted,
)
from ..config.values import MILLISECOND, SECOND, split_server_address
from ..rules.syntax import TCP
from .estate import Estate
from .routers import Places, assembled
from .rules import program_of
from .runtime import Broken
from .transports import TLS, Shelf, context_of, stream_tls_of
from .work import Work

KEEP_ALIVE = 15
"""Seconds that `dialKeepAlive: 0` means, as in Go."""

MOST_KEEP_ALIVE = 32767
"""Seconds that the kernel takes (tcp(7)): nine hours."""


# --- transports -----------------------------------------------------------------------------------------


class StreamTransport(NamedTuple):
    """A TCP transport as services use it."""

    dial_timeout: float
    keep_alive: int
    """Seconds; 0: none."""

    termination: float
    """Seconds; negative: no limit."""

    proxy: int
    """Version of the PROXY protocol; 0: none."""

    tls: TLS
    server_name: str
    context: ssl.SSLContext | None
    """None: made by the first service that needs it, or not at all because of `fault`."""

    fault: str
    """Why TLS cannot be used; empty when it can."""


def stream_transport_of(configured: TcpServersTransport, contexts: Shelf) -> Work[StreamTransport]:
    """Build a transport. Its TLS context is made when a server needs it, or when the document has a `tls`."""
    made = StreamTransport(
        dial_timeout=max(configured.dial_timeout, 0) / SECOND,
        keep_alive=_keep_alive(configured.dial_keep_alive),
        termination=configured.termination_delay / SECOND,
        proxy=configured.proxy_protocol.version if configured.proxy_protocol is not None else 0,
        tls=TLS(alpn=()),
        server_name=configured.tls.server_name if configured.tls is not None else "",
        context=None,
        fault="",
    )
    section = configured.tls
    if section is None:
        return made
    try:
        tls = yield lambda: stream_tls_of(section)
        return made._replace(tls=tls, context=(yield from context_of(tls, contexts)))
    except Broken as fault:
        return made._replace(fault=str(fault))


def _keep_alive(nanoseconds: int) -> int:
    if nanoseconds < 0:
        return 0
    return min(max(-(-nanoseconds // SECOND), 1), MOST_KEEP_ALIVE) if nanoseconds else KEEP_ALIVE


# --- services -------------------------------------------------------------------------------------------


def load_balancer_of(
    name: str,
    configured: TcpLoadBalancer,
    transport: StreamTransport,
    estate: Estate,
    old: Turns | None,
) -> Work[Turns]:
    """Build a service of servers. Raises Broken. old: that of this name before, whose place is kept."""
    if configured.servers_transport == DEFAULT_TRANSPORT:
        transport = _with_legacy(transport, configured)
    if any(server.tls for server in configured.servers):
        if transport.fault:
            raise Broken(
                f'the servers transport "{configured.servers_transport}" is disabled: {transport.fault}'
            )
        if transport.context is None:
            transport = transport._replace(context=(yield from context_of(transport.tls, estate.contexts)))
    members = [(_target(server, transport, estate.signs), 1, server.address) for server in configured.servers]
    return turns_of(name, members, old)


def _with_legacy(transport: StreamTransport, configured: TcpLoadBalancer) -> StreamTransport:
    """Apply the deprecated options of a service that names no transport."""
    if configured.proxy_protocol is not None:
        transport = transport._replace(proxy=configured.proxy_protocol.version)
    if configured.termination_delay is not None:
        transport = transport._replace(termination=configured.termination_delay * MILLISECOND / SECOND)
    return transport


def _target(server: TcpServer, transport: StreamTransport, signs: Signs) -> StreamTarget:
    host, port = split_server_address(server.address)
    pool = Pool(
        scheme="tls" if server.tls else "tcp",
        host=host,
        port=port,
        ssl=transport.context if server.tls else None,
        server_name=transport.server_name if server.tls else "",
        max_idle=0,
        dial_timeout=transport.dial_timeout,
    )
    target = StreamTarget(
        server.address,
        pool,
        termination=transport.termination,
        keep_alive=transport.keep_alive,
        proxy=transport.proxy,
    )
    if server.sign >= 0:
        target.heed(signs, server.sign)
    return target


def weighted_of(
    name: str,
    configured: Weighted,
    member: Callable[[str], Balancer],
    old: Turns | None,
    is_checked: Callable[[str], bool] | None = None,
) -> Turns:
    """Build a service of services. Raises Broken. member: gives the balancer of a service or raises it.

    is_checked: whether a service has a healthCheck, as every member needs; None: their health does not count.
    """
    members = [(member(each.name), each.weight, each.name) for each in configured.services if each.weight > 0]
    blind = [label for _, _, label in members if is_checked is not None and not is_checked(label)]
    if blind:
        raise Broken(f'healthCheck: the service "{blind[0]}" has none, and its health is to count here')
    return turns_of(name, members, old, heeds=is_checked is not None)


def turns_of(
    name: str, members: list[tuple[Target | Balancer, int, str]], old: Turns | None, *, heeds: bool = False
) -> Turns:
    """Return members with weights and labels in an order by chance; in that of `old` if it has the same.

    heeds: services without a server that is up are passed over.

    By chance as in Traefik, so that many proxies with one document do not all begin with the same server.
    """
    random.shuffle(members)
    told = sorted((label, weight) for _, weight, label in members)
    if old is None or told != sorted(zip(old.labels, old.weights, strict=True)):
        return _turns(name, members, heeds)
    ordered = sorted(members, key=lambda member: (member[2], member[1]))
    places = sorted(range(len(members)), key=lambda at: (old.labels[at], old.weights[at]))
    by_place = dict(zip(places, ordered, strict=True))
    made = _turns(name, [by_place[at] for at in range(len(members))], heeds)
    made.go_on_from(old)
    return made


def _turns(name: str, members: Iterable[tuple[Target | Balancer, int, str]], heeds: bool) -> Turns:
    made, weights, labels = zip(*members, strict=True) if members else ((), (), ())
    return Turns(name, made, weights, labels, heeds=heeds)


# --- middlewares, routers -------------------------------------------------------------------------------


def stream_steps_of(
    name: str, configured: TcpMiddleware, ledger: Ledger, secret: bytes
) -> tuple[Step, ...]:
    """Build a TCP middleware: the steps that look at a connection and let it pass, or close it.

    ledger: what all workers count; secret: of the instance. Under which name a client is counted comes of the
    secret and of the middleware's name, so counts go on when its amount changes.
    """
    settings = configured.settings
    if isinstance(settings, TcpAllowList):
        return (IPAllowList(name, NetSet(settings.source_range)),)
    key = hashlib.blake2b(f"inFlightConn {name}".encode(), digest_size=16, key=secret).digest()
    return (InFlightConn(name, ledger, key, settings.amount),)


def stream_route_of(
    name: str,
    configured: TcpRouter,
    places: Places,
    *,
    old: Route | None,
    pipeline: Callable[[], Pipeline],
    balancer: Callable[[], Balancer],
) -> Route:
    """Build one route of connections. Raises Broken with everything that is wrong about it.

    As `routers.route_of`, with the rules of TCP. If TLS ends here the route has the name of its TLS options,
    which may be broken: then its doorman closes who comes, so that nobody else serves them with weaker ones.
    """
    tls = configured.tls
    return assembled(
        name,
        configured,
        places,
        rule=lambda: _rule(configured, old, places),
        pipeline=pipeline,
        balancer=balancer,
        terms=lambda: tls.options if tls is not None and not tls.passthrough else None,
    )


def _rule(configured: TcpRouter, old: Route | None, places: Places) -> Rule:
    """Compile the rule of a router, or take it over. Raises Broken."""
    text = configured.rule
    if old is not None and old.rule.text == text:
        indexes: Any = old.extra
        was_plain = all(at < places.size for at in indexes)  # and so was looked at for names
        if was_plain or configured.tls is not None:
            return old.rule
    program = program_of(text, TCP)
    if configured.tls is None and any(host != "*" for host in program.hosts):
        raise Broken(f'invalid rule: "{text}" , has HostSNI matcher, but no TLS on router')
    return Rule(text, program.tests, program.keys)
