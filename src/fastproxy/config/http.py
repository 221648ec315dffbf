"""The `http` part of a dynamic document: routers, services, transports; middlewares have a file of their own.

Source of names, types and defaults: HTTP routers, services and serversTransports of Traefik v3.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import field

from .middlewares import HttpMiddleware
from .observability import RouterObservability
from .schema import Choice, Mistake, Section
from .static import FLUSH_INTERVAL, ForwardingTimeouts
from .tls import CertificatePair, RouterTLS, TLSVersion
from .values import Nanoseconds, ServerURL

HIGHEST_PRIORITY = 2**63 - 1 - 1000
"""The greatest priority a user may give; those above belong to internal routers."""


class HttpRouter(Section, frozen=True):
    """`http.routers.<name>`: requests that a rule matches go through middlewares to a service."""

    NOT_YET = "parentRefs"

    rule: str = ""
    """As written; its length in bytes is the priority of a router that gives none."""

    rule_syntax: Annotated[Literal["v3"], Choice(not_yet="v2")] = "v3"

    entry_points: tuple[str, ...] = ()
    """Empty in a document: the default entry points, which `merge` fills in."""

    middlewares: tuple[str, ...] = ()
    """In the order in which they see a request."""

    service: str = ""
    priority: int = 0
    """0: the length of the rule in bytes. May be negative."""

    tls: RouterTLS | None = None
    """There: it serves TLS connections only. None: plain ones only."""

    observability: RouterObservability = RouterObservability()

    def mistakes(self) -> Iterator[Mistake]:
        if not self.rule:
            yield "rule", "missing; a router needs a rule, such as Host(`shop.example`)"
        if not self.service:
            yield "service", "missing; a router needs the name of a service"
        if self.priority > HIGHEST_PRIORITY:
            yield "priority", f"{self.priority} is too high; the greatest is {HIGHEST_PRIORITY}"


class Server(Section, frozen=True):
    """`loadBalancer.servers[]`: one server."""

    NOT_YET = "scheme port"

    url: ServerURL = ""
    """http://host:port, https://host:port, or our own unix:///path. The path of an http URL counts only with
    preservePath; a user in it is ignored."""

    weight: int = 1
    """Share of the requests; 0 and less: none at all."""

    preserve_path: bool = False
    """Put the path of the URL before the path of the request."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.url:
            yield "url", "missing; a server needs one, such as http://10.0.0.7:8080"


class ResponseForwarding(Section, frozen=True):
    """`responseForwarding`: how an answer is passed on."""

    flush_interval: Nanoseconds = FLUSH_INTERVAL
    """Longest time a part of an answer is held back. Negative: none is."""


class LoadBalancer(Section, frozen=True):
    """`loadBalancer`: servers that do the same work."""

    NOT_YET = "sticky healthCheck passiveHealthCheck"

    servers: tuple[Server, ...] = ()
    """Empty: every request is answered 503."""

    strategy: Annotated[Literal["wrr"], Choice(not_yet="p2c hrw leasttime")] = "wrr"
    pass_host_header: bool = True
    """False: the server gets its own host and port as Host."""

    servers_transport: str = ""
    """Empty: `default@internal`, which `merge` fills in."""

    response_forwarding: ResponseForwarding = ResponseForwarding()


class HttpService(Section, frozen=True):
    """`http.services.<name>`: exactly one type; this release knows one."""

    NOT_YET = "weighted highestRandomWeight mirroring failover middlewares"

    load_balancer: LoadBalancer | None = None

    def mistakes(self) -> Iterator[Mistake]:
        if self.load_balancer is None:
            yield "", "the service does not have any type defined; give it a loadBalancer"


class ServersTransport(Section, frozen=True):
    """`http.serversTransports.<name>`: how servers are reached."""

    NOT_YET = "peerCertURI peerCertSANs spiffe"

    server_name: str = ""
    """Name asked for and verified in TLS. Empty: the server's host."""

    insecure_skip_verify: bool = False
    root_cas: tuple[str, ...] = field(default=(), name="rootCAs")
    """Files or PEM texts; replace the system's authorities."""

    certificates: tuple[CertificatePair, ...] = ()
    """Shown to servers that ask for one."""

    cipher_suites: tuple[str, ...] = ()
    """In the names of Go: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256."""

    min_version: TLSVersion = ""
    max_version: TLSVersion = ""
    max_idle_conns_per_host: int = 0
    """Idle connections kept for one server. 0: 2, as in Go. Negative: none."""

    forwarding_timeouts: ForwardingTimeouts = ForwardingTimeouts()

    disable_http2: bool = field(default=False, name="disableHTTP2")
    """Servers are spoken to in HTTP/1.1 in any case so far."""


class HttpConfiguration(Section, frozen=True):
    """`http`: the objects of a document by name."""

    routers: dict[str, HttpRouter] = {}
    services: dict[str, HttpService] = {}
    middlewares: dict[str, HttpMiddleware] = {}
    servers_transports: dict[str, ServersTransport] = {}
