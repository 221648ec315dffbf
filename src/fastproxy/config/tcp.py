"""The `tcp` part of a dynamic document: routers, services, middlewares and transports of plain connections.

Source of names, types and defaults: TCP routers, services, middlewares and serversTransports of Traefik v3.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import field

from .http import HIGHEST_PRIORITY
from .schema import Choice, Mistake, Reads, Section
from .static import TCP_DIAL_KEEP_ALIVE, TCP_DIAL_TIMEOUT, TCP_TERMINATION_DELAY
from .tls import CertificatePair, Domain
from .values import SECOND, Nanoseconds, Network, integer, server_address

HEALTH_INTERVAL = 30 * SECOND
HEALTH_TIMEOUT = 5 * SECOND

MOST_PAYLOAD = 65535
"""Bytes that a health check may send or expect."""

CATCH_ALL = -1
"""The priority of a router whose rule is a bare HostSNI(`*`) and that gives none."""

_BARE_CATCH_ALL = re.compile(
    r"""[\s(]*(HostSNI|hostsni|HOSTSNI|Hostsni)\s*\(\s*(`\*`|"\*")\s*,?\s*\)[\s)]*"""
)


def proxy_version(text: str) -> int:
    """Read the version of a PROXY protocol: 1 or 2."""
    version = integer(text)
    if version not in (1, 2):
        raise ValueError(f"{text} is no version of the PROXY protocol; there are 1, as text, and 2, binary")
    return version


def is_catch_all(rule: str) -> bool:
    """Tell whether a rule is a bare HostSNI(`*`), in parentheses or not, which every connection matches."""
    return _BARE_CATCH_ALL.fullmatch(rule) is not None


class TcpRouterTLS(Section, frozen=True):
    """`tls` of a router: it takes connections of TLS, and no others. `{}` means this too: TLS ends here."""

    MAY_BE_EMPTY = True
    NOT_YET = "certResolver"

    passthrough: bool = False
    """The server speaks TLS with the client: its bytes pass as they are."""

    options: str = ""
    """Name of `tls.options`. Empty: `default`, which `merge` fills in. Does not count with passthrough."""

    domains: tuple[Domain, ...] = ()


class TcpRouter(Section, frozen=True):
    """`tcp.routers.<name>`: connections that a rule matches go through middlewares to a service."""

    rule: str = ""
    """As written; its length in bytes is the priority of a router that gives none, see `CATCH_ALL`."""

    rule_syntax: Annotated[Literal["v3"], Choice(not_yet="v2")] = "v3"

    entry_points: tuple[str, ...] = ()
    """Empty in a document: the default entry points, which `merge` fills in."""

    middlewares: tuple[str, ...] = ()
    """In the order in which they see a connection."""

    service: str = ""
    priority: int = 0
    """0: the length of the rule in bytes. May be negative."""

    tls: TcpRouterTLS | None = None
    """None: it takes connections without TLS, and no others."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.rule:
            yield "rule", "missing; a router needs a rule, such as HostSNI(`*`)"
        if not self.service:
            yield "service", "missing; a router needs the name of a service"
        if self.priority > HIGHEST_PRIORITY:
            yield "priority", f"{self.priority} is too high; the greatest is {HIGHEST_PRIORITY}"


class TcpServer(Section, frozen=True):
    """`loadBalancer.servers[]`: one server."""

    HIDDEN = "sign"

    address: Annotated[str, Reads(server_address)] = ""
    """host:port, [IPv6]:port."""

    tls: bool = False
    """Speak TLS to it, as the `tls` section of the transport says."""

    sign: int = -1
    """Under which health checks tell how it does: a number that `health` gives; negative: they do not."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.address:
            yield "address", "missing; a server needs one, such as 10.0.0.7:5432"


class ProxyProtocol(Section, frozen=True):
    """`proxyProtocol`: tell servers who the client is, in front of everything else."""

    MAY_BE_EMPTY = True

    version: Annotated[int, Reads(proxy_version)] = 2
    """1: a line of text; 2: binary."""


class TcpHealthCheck(Section, frozen=True):
    """`loadBalancer.healthCheck`: a server that fails gets no connections until it passes.

    `{}` asks whether it can be reached.
    """

    MAY_BE_EMPTY = True

    port: int = 0
    """0: the server's own."""

    send: str = ""
    """What is sent first, as UTF-8. Empty: nothing."""

    expect: str = ""
    """What has to come then, before anything else, as UTF-8. Empty: a connection is enough."""

    interval: Nanoseconds = HEALTH_INTERVAL
    """From one check to the next, and to the first one."""

    unhealthy_interval: Nanoseconds | None = None
    """The same of a server that is down. None: as `interval`."""

    timeout: Nanoseconds = HEALTH_TIMEOUT
    """Of a whole check."""

    def mistakes(self) -> Iterator[Mistake]:
        if not 0 <= self.port <= 65535:
            yield "port", f"{self.port} is no port; there are 1 to 65535, and 0 for the server's own"
        for option in ("send", "expect"):
            size = len(getattr(self, option).encode("utf-8", "surrogateescape"))
            if size > MOST_PAYLOAD:
                yield option, f"{size} bytes are too many; at most {MOST_PAYLOAD} can be used"
        for option, time in (
            ("interval", self.interval),
            ("unhealthyInterval", self.unhealthy_interval),
            ("timeout", self.timeout),
        ):
            if time is not None and time <= 0:
                yield option, "has to be more than 0"


class TcpLoadBalancer(Section, frozen=True):
    """`loadBalancer`: servers that do the same work, each as often as the others."""

    servers: tuple[TcpServer, ...] = ()
    """Empty: every connection is closed."""

    servers_transport: str = ""
    """Empty: `default@internal`, which `merge` fills in."""

    health_check: TcpHealthCheck | None = None
    """None: a server counts as up whatever becomes of its connections."""

    proxy_protocol: ProxyProtocol | None = None
    """Deprecated: counts where no serversTransport is named."""

    termination_delay: int | None = None
    """Deprecated, milliseconds: counts where no serversTransport is named."""

    def idle(self) -> Iterator[tuple[str, str]]:
        if self.servers_transport:
            for option in ("proxyProtocol", "terminationDelay"):
                yield option, "has no effect beside serversTransport, which has the same option"


class WeightedService(Section, frozen=True):
    """`weighted.services[]`: a service, and its share."""

    name: str = ""
    weight: int = 1
    """Share of the connections; 0 and less: none at all."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.name:
            yield "name", "missing; name a service"


class HealthOfServices(Section, frozen=True):
    """`healthCheck` of services that are made of others: pass over those of which no server is up."""

    MAY_BE_EMPTY = True


class Weighted(Section, frozen=True):
    """`weighted`: services that share the work."""

    services: tuple[WeightedService, ...] = ()
    health_check: HealthOfServices | None = None
    """None: a service of which no server is up has its turn, and its clients are closed."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.services:
            yield "services", "missing; list the services that share the work"


class TcpService(Section, frozen=True):
    """`tcp.services.<name>`: exactly one type."""

    load_balancer: TcpLoadBalancer | None = None
    weighted: Weighted | None = None

    def mistakes(self) -> Iterator[Mistake]:
        if self.load_balancer is None and self.weighted is None:
            yield "", "the service does not have any type defined; give it a loadBalancer, or weighted"
        if self.load_balancer is not None and self.weighted is not None:
            yield "", "multi-types service not supported: loadBalancer, weighted; leave one of them"


class TcpAllowList(Section, frozen=True):
    """`ipAllowList`, and by its deprecated name `ipWhiteList`: let in only clients with these addresses."""

    source_range: tuple[Network, ...] = ()

    def mistakes(self) -> Iterator[Mistake]:
        if not self.source_range:
            yield "sourceRange", "missing; list the addresses or networks to let in"


class InFlightConn(Section, frozen=True):
    """`inFlightConn`: so many connections of a client at the same time, and no more."""

    amount: int = 0
    """Of one address, in all workers. 0: nobody is let in."""

    def mistakes(self) -> Iterator[Mistake]:
        if self.amount < 0:
            yield "amount", f"{self.amount} is negative; 0 lets nobody in"


class TcpMiddleware(Section, frozen=True):
    """`tcp.middlewares.<name>`. Exactly one attribute is not None: `kind` names it, `settings` gives it."""

    ip_allow_list: TcpAllowList | None = None
    ip_white_list: TcpAllowList | None = None
    in_flight_conn: InFlightConn | None = None

    def types(self) -> dict[str, TcpAllowList | InFlightConn]:
        """Return the sections that are there, by their type as a document writes it."""
        named = {
            "ipAllowList": self.ip_allow_list,
            "ipWhiteList": self.ip_white_list,
            "inFlightConn": self.in_flight_conn,
        }
        return {kind: settings for kind, settings in named.items() if settings is not None}

    @property
    def kind(self) -> str:
        """The type as a document writes it."""
        return next(iter(self.types()))

    @property
    def settings(self) -> TcpAllowList | InFlightConn:
        """The section of its type."""
        return next(iter(self.types().values()))

    def mistakes(self) -> Iterator[Mistake]:
        types = self.types()
        if not types:
            yield (
                "",
                "invalid middleware type or middleware does not exist; a middleware has exactly one type",
            )
        if len(types) > 1:
            yield (
                "",
                f"cannot create middleware: multi-types middleware not supported: {', '.join(types)}; "
                "give each a middleware of its own",
            )


class TcpServersTLS(Section, frozen=True):
    """`tls` of a transport: how TLS is spoken to servers."""

    MAY_BE_EMPTY = True
    NOT_YET = "peerCertURI peerCertSANs spiffe"

    server_name: str = ""
    """Name asked for and verified. It is not derived from the address of the server."""

    insecure_skip_verify: bool = False
    root_cas: tuple[str, ...] = field(default=(), name="rootCAs")
    """Files or PEM texts; replace the system's authorities."""

    certificates: tuple[CertificatePair, ...] = ()


class TcpServersTransport(Section, frozen=True):
    """`tcp.serversTransports.<name>`: how servers are reached."""

    dial_timeout: Nanoseconds = TCP_DIAL_TIMEOUT
    """To accept a connection. 0: no limit."""

    dial_keep_alive: Nanoseconds = TCP_DIAL_KEEP_ALIVE
    """Silence after which the kernel asks whether a server is still there. 0: 15 s. Negative: never."""

    termination_delay: Nanoseconds = TCP_TERMINATION_DELAY
    """What the other direction may still take after one has ended. Negative: no limit."""

    proxy_protocol: ProxyProtocol | None = None
    """None: none is sent."""

    tls: TcpServersTLS | None = None


class TcpConfiguration(Section, frozen=True):
    """`tcp`: the objects of a document by name."""

    routers: dict[str, TcpRouter] = {}
    services: dict[str, TcpService] = {}
    middlewares: dict[str, TcpMiddleware] = {}
    servers_transports: dict[str, TcpServersTransport] = {}
