"""The static configuration: what is read once, at start. A change of it needs a restart.

Source of names, types and defaults: the static configuration of Traefik v3; `core` holds our own extensions.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import field, structs

from .observability import AccessLog, EntryPointObservability
from .schema import Choice, Mistake, Reads, Section
from .tls import RouterTLS
from .values import (
    MILLISECOND,
    SECOND,
    Address,
    Bytes,
    ListenAddress,
    Nanoseconds,
    Network,
    NotNegative,
    integer,
    positive,
    split_address,
)

# --- entryPoints.<name> ----------------------------------------------------------------------------


class RespondingTimeouts(Section, frozen=True):
    """`transport.respondingTimeouts`: how long a client may take."""

    read_timeout: Nanoseconds = 60 * SECOND
    """To send a whole request, body included. 0: no limit."""

    write_timeout: Nanoseconds = 0
    """From the end of the request's head to the end of the answer. 0: no limit."""

    idle_timeout: Nanoseconds = 180 * SECOND
    """Between two requests of one connection. 0: no limit."""


class LifeCycle(Section, frozen=True):
    """`transport.lifeCycle`: how an entry point stops."""

    request_accept_grace_timeout: Nanoseconds = 0
    """Time in which it goes on accepting after the signal."""

    grace_time_out: Nanoseconds = 10 * SECOND
    """Time that requests under way get after that."""


class Transport(Section, frozen=True):
    """`transport`: the connections of clients."""

    responding_timeouts: RespondingTimeouts = RespondingTimeouts()
    life_cycle: LifeCycle = LifeCycle()

    keep_alive_max_requests: NotNegative = 0
    """Requests after which a connection is closed. 0: no limit."""

    keep_alive_max_time: Nanoseconds = 0
    """Age after which a connection is closed with its next answer. 0: no limit."""


class ProxyProtocol(Section, frozen=True):
    """`proxyProtocol`: whose headers of the PROXY protocol, version 1 or 2, are read. None is required."""

    MAY_BE_EMPTY = True

    insecure: bool = False
    """Those of everybody."""

    trusted_ips: tuple[Network, ...] = field(default=(), name="trustedIPs")
    """Those of peers with these addresses (addresses or CIDR networks)."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.insecure and not self.trusted_ips:
            yield "trustedIPs", "missing; list the proxies whose headers are believed, or set insecure"


class ForwardedHeaders(Section, frozen=True):
    """`forwardedHeaders`: whose X-Forwarded-* fields are believed."""

    NOT_YET = "addXForwardedSchemeHeaders"

    insecure: bool = False
    """Believe everybody."""

    trusted_ips: tuple[Network, ...] = field(default=(), name="trustedIPs")
    """Believe peers with these addresses (addresses or CIDR networks)."""

    connection: tuple[str, ...] = ()
    """Names of fields that middlewares may read although the client's Connection field lists them."""

    not_append_x_forwarded_for: bool = False
    """Do not append the client's address to X-Forwarded-For."""


class EncodedCharacters(Section, frozen=True):
    """`http.encodedCharacters`: which percent-encoded characters a path may hold; False answers 400."""

    allow_encoded_slash: bool = True
    allow_encoded_back_slash: bool = True
    allow_encoded_null_character: bool = True
    allow_encoded_semicolon: bool = True
    allow_encoded_percent: bool = True
    allow_encoded_question_mark: bool = True
    allow_encoded_hash: bool = True

    @property
    def denied(self) -> frozenset[str]:
        """The escapes that a path may not hold, as a normalised path has them: `%2F`."""
        return frozenset(escape for option, escape in _ESCAPES.items() if not getattr(self, option))


_ESCAPES = {
    "allow_encoded_slash": "%2F",
    "allow_encoded_back_slash": "%5C",
    "allow_encoded_null_character": "%00",
    "allow_encoded_semicolon": "%3B",
    "allow_encoded_percent": "%25",
    "allow_encoded_question_mark": "%3F",
    "allow_encoded_hash": "%23",
}


class RedirectEntryPoint(Section, frozen=True):
    """`http.redirections.entryPoint`: send every request to another entry point."""

    to: str = ""
    """The name of an entry point, or `:port`."""

    scheme: str = "https"
    permanent: bool = True
    priority: int = 2**63 - 2
    """Of the router that redirects."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.to:
            yield "to", "missing; write the name of an entry point, or :port"


class Redirections(Section, frozen=True):
    """`http.redirections`."""

    entry_point: RedirectEntryPoint | None = None


class EntryPointHTTP(Section, frozen=True):
    """`http`: what holds for every HTTP router of the entry point."""

    redirections: Redirections = Redirections()

    tls: RouterTLS | None = None
    """For the routers of the entry point that say nothing about TLS."""

    middlewares: tuple[str, ...] = ()
    """Run before the middlewares of each router; the names need `@provider`."""

    encode_query_semicolons: bool = False
    """True: `;` in a query goes on as %3B. False: it separates parameters like `&`."""

    sanitize_path: bool = True
    """Merge slashes and resolve dot segments before routing."""

    max_header_bytes: Annotated[int, Reads(positive)] = 1_048_576
    """Bytes that the head of a request may have; more is answered 431."""

    underscore_headers_strategy: Literal["keep", "delete", "reject"] = "keep"
    """What happens to fields with `_` in their name; reject answers 400."""

    encoded_characters: EncodedCharacters = EncodedCharacters()


class EntryPointUDP(Section, frozen=True):
    """`udp`: the sessions of an entry point for UDP."""

    timeout: Nanoseconds = 3 * SECOND
    """Time without a datagram in either direction after which a session is over."""

    def mistakes(self) -> Iterator[Mistake]:
        if self.timeout <= 0:
            yield "timeout", "it is not above 0; without an end, sessions would gather"


class EntryPoint(Section, frozen=True):
    """`entryPoints.<name>`: an address to listen on, and how."""

    NOT_YET = "allowACMEByPass http2 http3"

    address: ListenAddress = ""
    """`[host]:port[/tcp|/udp]`; see `location` for its parts. Of the options below, one for UDP has `udp`,
    `transport.lifeCycle` and nothing else."""

    as_default: bool = False
    """One of those of routers that name none; see `StaticConfiguration.default_entry_points`."""

    reuse_port: bool = False
    """Let other processes listen on the same port too (SO_REUSEPORT)."""

    transport: Transport = Transport()

    proxy_protocol: ProxyProtocol | None = None
    """None: a header of the PROXY protocol is data like any other."""

    forwarded_headers: ForwardedHeaders = ForwardedHeaders()
    http: EntryPointHTTP = EntryPointHTTP()
    observability: EntryPointObservability = EntryPointObservability()
    udp: EntryPointUDP = EntryPointUDP()

    @property
    def is_udp(self) -> bool:
        """Whether it takes datagrams, and no connections."""
        return self.location.protocol == "udp"

    @property
    def location(self) -> Address:
        """The address in parts: host (empty means all), port, protocol."""
        return split_address(self.address)

    def mistakes(self) -> Iterator[Mistake]:
        if not self.address:
            yield "address", 'missing; an entry point needs one, such as ":8080"'

    def idle(self) -> Iterator[tuple[str, str]]:
        if self.address and self.is_udp:
            for option in ("asDefault", "proxyProtocol", "forwardedHeaders", "http", "observability"):
                yield option, "has no effect on an entry point for UDP"
            if self.transport != Transport(life_cycle=self.transport.life_cycle):
                yield "transport", "has no effect on an entry point for UDP but for lifeCycle"
        elif self.address:
            yield "udp", "has no effect on an entry point for TCP"


# --- providers -------------------------------------------------------------------------------------


class FileProvider(Section, frozen=True):
    """`providers.file`: the dynamic configuration in a file, or in all files of a directory."""

    NOT_YET = "debugLogGeneratedTemplate"

    filename: str = ""
    """One file: .yml, .yaml, .json or .toml."""

    directory: str = ""
    """All such files in it and below; wins over filename when both are set."""

    watch: bool = True
    """Read again when something changes."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.filename and not self.directory:
            yield "", "needs a filename or a directory"


PROVIDER_NAMES = (
    "kubernetesgateway kubernetescrd kubernetes kubernetesingressnginx swarm docker file redis knative "
    "consul consulcatalog nomad etcd ecs http zookeeper rest"
)
"""The providers of Traefik in the order in which they win a tie between routers of equal priority."""


def provider_name(text: str) -> str:
    """Read one name of `providers.precedence`; it is lower-cased."""
    if text.lower() not in PROVIDER_NAMES.split():
        raise ValueError(
            f'"{text}" is not the name of a provider; there are {", ".join(PROVIDER_NAMES.split())}'
        )
    return text.lower()


class Providers(Section, frozen=True):
    """`providers`: where the dynamic configuration comes from."""

    NOT_YET = (
        "docker swarm http rest consul etcd zooKeeper redis consulCatalog nomad ecs kubernetesIngress "
        "kubernetesCRD kubernetesGateway knative kubernetesIngressNGINX plugin"
    )

    providers_throttle_duration: Nanoseconds = 2 * SECOND
    """Least time between two applied configurations of one provider. 0: none."""

    precedence: tuple[Annotated[str, Reads(provider_name)], ...] = tuple(PROVIDER_NAMES.split())
    """Who wins among routers of equal priority, the first first; who is not listed comes last."""

    file: FileProvider | None = None


# --- api, ping -------------------------------------------------------------------------------------

INTERNAL_ENTRY_POINT = "traefik"
"""Where `api.insecure` and `ping` are served: on :8080, unless somebody declares it."""

_BASE_PATH = re.compile(r"/[a-zA-Z0-9/_.:~-]*")


def path_prefix(text: str) -> str:
    """Check `api.basePath`: a path of letters, digits and `/ _ . : ~ -`."""
    if not _BASE_PATH.fullmatch(text):
        raise ValueError(f'"{text}" is not a path of letters, digits and /_.:~- ; write one such as /proxy')
    return text


def final_status(text: str) -> int:
    """Read a status that an answer may have: 200 to 999."""
    code = integer(text)
    if not 200 <= code <= 999:
        raise ValueError(f"{text} is not the status of an answer; write one from 200 to 999, such as 503")
    return code


class API(Section, frozen=True):
    """`api`: what runs, as JSON, served by `api@internal`."""

    MAY_BE_EMPTY = True

    insecure: bool = False
    """Serve it on the entry point `traefik`, to everybody who reaches that."""

    base_path: Annotated[str, Reads(path_prefix)] = "/"
    """What stands before `/api` in every path."""

    dashboard: bool = False
    """Traefik's default is True. There is no dashboard yet, so only who asks for it in words is refused."""

    debug: bool = False
    disable_dashboard_ad: bool = False
    dashboard_name: str = ""

    def mistakes(self) -> Iterator[Mistake]:
        for option, wanted in (("dashboard", self.dashboard), ("debug", self.debug)):
            if wanted:
                yield option, "true is not supported yet; leave it out"

    def prefix(self) -> str:
        """The base path without a slash at its end: what is put before `/api`."""
        return self.base_path.rstrip("/")


class Ping(Section, frozen=True):
    """`ping`: whether it runs, served by `ping@internal`."""

    MAY_BE_EMPTY = True

    entry_point: str = INTERNAL_ENTRY_POINT
    manual_routing: bool = False
    """True: only routers of the user lead to `ping@internal`."""

    terminating_status_code: Annotated[int, Reads(final_status)] = 503
    """Answered from the signal to stop on."""


# --- log, serversTransport, global, core -----------------------------------------------------------

LogLevel = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "PANIC"]


class Log(Section, frozen=True):
    """`log`: what fastproxy tells about itself."""

    MAY_BE_EMPTY = True
    NOT_YET = "maxSize maxAge maxBackups compress otlp"

    level: Annotated[LogLevel, Choice(otherwise="ERROR")] = "INFO"
    """Ours is INFO where Traefik's is ERROR: start and every reload are one line each, and worth it."""

    format: Literal["common", "json"] = "common"

    no_color: bool = False
    """No colours; neither are there any in a file or where NO_COLOR is set."""

    file_path: str = ""
    """Empty: standard output."""


class ForwardingTimeouts(Section, frozen=True):
    """`forwardingTimeouts`: how long a server may take."""

    NOT_YET = "readIdleTimeout pingTimeout"

    dial_timeout: Nanoseconds = 30 * SECOND
    """To accept a connection. 0: no limit."""

    response_header_timeout: Nanoseconds = 0
    """From the end of the request to the head of the answer. 0: no limit."""

    idle_conn_timeout: Nanoseconds = 90 * SECOND
    """For which an idle connection is kept. 0: no limit."""


class DefaultTransport(Section, frozen=True):
    """`serversTransport`: how servers are reached by services that name no transport (`default@internal`)."""

    NOT_YET = "spiffe"

    insecure_skip_verify: bool = False
    root_cas: tuple[str, ...] = field(default=(), name="rootCAs")
    """Files or PEM texts; replace the system's authorities."""

    max_idle_conns_per_host: int = 200
    """Idle connections kept for one server. 0: 2, as in Go. Negative: none."""

    forwarding_timeouts: ForwardingTimeouts = ForwardingTimeouts()


TCP_DIAL_TIMEOUT = 30 * SECOND
TCP_DIAL_KEEP_ALIVE = 15 * SECOND
TCP_TERMINATION_DELAY = 100 * MILLISECOND
"""What the options of TCP transports are when they are not written."""


class DefaultTCPTransportTLS(Section, frozen=True):
    """`tcpServersTransport.tls`: how TLS is spoken to the servers of such services."""

    MAY_BE_EMPTY = True
    NOT_YET = "spiffe"

    insecure_skip_verify: bool = False
    root_cas: tuple[str, ...] = field(default=(), name="rootCAs")
    """Files or PEM texts; replace the system's authorities."""


class DefaultTCPTransport(Section, frozen=True):
    """`tcpServersTransport`: how servers are reached by TCP services that name no transport."""

    dial_timeout: Nanoseconds = TCP_DIAL_TIMEOUT
    """To accept a connection. 0: no limit."""

    dial_keep_alive: Nanoseconds = TCP_DIAL_KEEP_ALIVE
    """Silence after which the kernel asks whether a server is still there. 0: 15 s. Negative: never."""

    termination_delay: Nanoseconds = TCP_TERMINATION_DELAY
    """What the other direction may still take after one has ended. Negative: no limit."""

    tls: DefaultTCPTransportTLS | None = None


class Global(Section, frozen=True):
    """`global`: accepted so that files need no change; fastproxy never calls home."""

    check_new_version: bool = True
    send_anonymous_usage: bool = False
    not_append_x_forwarded_for: bool = False


def worker_count(text: str) -> int:
    """Read `core.workers`: a number of at least 1, or `auto`, which is 0 here."""
    if text.lower() == "auto":
        return 0
    try:
        return positive(text)
    except ValueError:
        raise ValueError(
            f'"{text}" is not a number of workers; write auto, or a whole number from 1'
        ) from None


def plugin_reference(text: str) -> str:
    """Check `module:object`, where a plugin is found."""
    module, colon, name = text.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise ValueError(f'"{text}" names no plugin; write "package.module:ClassName"')
    return text


class Limits(Section, frozen=True):
    """`core.limits`: how much there may be, in all workers together unless it says otherwise. 0: no limit."""

    connections: NotNegative = 0
    """Connections of clients, on all entry points."""

    connections_per_entry_point: NotNegative = 0
    """Connections of clients on each of them."""

    request_body: Bytes = 0
    """What the body of a request may have; more is answered 413."""

    pending_per_server: NotNegative = 0
    """Requests of one worker that one server may have to answer at once; more are answered 503."""

    worker_memory: Bytes = 0
    """Of its own that a worker may hold; one that holds more is replaced."""

    worker_silence: Nanoseconds = 60 * SECOND
    """How long a worker may not answer before it is ended; 0: as long as it likes."""


class Core(Section, frozen=True):
    """`core`: Traefik's section of that name, and the extensions that are our own."""

    default_rule_syntax: Annotated[Literal["v3"], Choice(not_yet="v2")] = "v3"

    workers: Annotated[int, Reads(worker_count)] = 0
    """Worker processes. 0, written `auto`: one for each usable core."""

    limits: Limits = Limits()

    plugins: dict[str, Annotated[str, Reads(plugin_reference)]] = {}
    """Plugins by the name that middlewares use for them: `module:object`."""


# --- the whole -------------------------------------------------------------------------------------


_INTERNAL = EntryPoint(address=":8080")


class StaticConfiguration(Section, frozen=True):
    """Everything that is read at start."""

    NOT_YET = "metrics tracing hostResolver certificatesResolvers experimental spiffe ocsp"

    entry_points: dict[str, EntryPoint] = {}
    providers: Providers = Providers()
    log: Log = Log()
    access_log: AccessLog | None = None
    servers_transport: DefaultTransport = DefaultTransport()
    tcp_servers_transport: DefaultTCPTransport = DefaultTCPTransport()
    api: API | None = None
    ping: Ping | None = None
    global_: Global = field(default=Global(), name="global")
    core: Core = Core()

    def mistakes(self) -> Iterator[Mistake]:
        seen: dict[Address, str] = {}
        for name, point in self.entry_points.items():
            other = seen.setdefault(point.location, name)
            shared = point.reuse_port and self.entry_points[other].reuse_port
            if other != name and point.location.port and not shared:
                yield ("entryPoints", name, "address"), f'"{point.address}" is the address of {other} already'
        yield from self._redirection_mistakes()
        yield from self._internal_mistakes(seen)

    def _redirection_mistakes(self) -> Iterator[Mistake]:
        for name, point in self.entry_points.items():
            redirection = point.http.redirections.entry_point
            to = redirection.to if redirection is not None else ""
            port = to.removeprefix(":")
            is_port = to.startswith(":") and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536
            if to and to not in self.entry_points and not is_port:
                known = ", ".join(sorted(self.entry_points))
                message = f'"{to}" is neither an entry point nor a port such as :443; there is {known}'
                yield ("entryPoints", name, "http", "redirections", "entryPoint", "to"), message
            if to in self.entry_points and not self.entry_points[to].location.port:
                message = (
                    f'"{to}" listens on a port that the system chooses, and nobody can be sent there; '
                    f"give entryPoints.{to}.address a port, or name one here"
                )
                yield ("entryPoints", name, "http", "redirections", "entryPoint", "to"), message

    def _internal_mistakes(self, taken: dict[Address, str]) -> Iterator[Mistake]:
        """Yield what is wrong with the entry points of `api` and `ping`. taken: who has which address."""
        user = self._user_of_internal()
        if user and INTERNAL_ENTRY_POINT not in self.entry_points and _INTERNAL.location in taken:
            address, other = _INTERNAL.address, taken[_INTERNAL.location]
            yield (
                user,
                (
                    f'needs the entry point {INTERNAL_ENTRY_POINT} on "{address}", which is the address of '
                    f"{other} already; declare entryPoints.{INTERNAL_ENTRY_POINT}.address"
                ),
            )
        if self.ping is not None and not self.ping.manual_routing:
            name, points = self.ping.entry_point, self.with_implicit_entries().entry_points
            if name not in points:
                message = f'unknown entry point "{name}"; there is {", ".join(sorted(points))}'
                yield ("ping", "entryPoint"), message
            elif points[name].is_udp:
                yield ("ping", "entryPoint"), f'"{name}" is an entry point for UDP; ping answers HTTP'

    def _user_of_internal(self) -> tuple[str, ...]:
        """Return the option that needs the entry point `traefik`, or ()."""
        if self.api is not None and self.api.insecure:
            return ("api", "insecure")
        ping = self.ping
        if ping is not None and not ping.manual_routing and ping.entry_point == INTERNAL_ENTRY_POINT:
            return ("ping",)
        return ()

    def with_implicit_entries(self) -> "StaticConfiguration":
        """Return self, or a copy with the entry points that are there without being declared.

        These are `http` on :80 where none is declared, and `traefik` on :8080 where `api` or `ping` needs it.
        """
        points = self.entry_points or {"http": EntryPoint(address=":80")}
        if self._user_of_internal() and INTERNAL_ENTRY_POINT not in points:
            points = {**points, INTERNAL_ENTRY_POINT: _INTERNAL}
        return self if points is self.entry_points else structs.replace(self, entry_points=points)

    def default_entry_points(self) -> tuple[str, ...]:
        """The entry points of HTTP and TCP routers that name none: with asDefault, else all but `traefik`;
        sorted."""
        points = {name: point for name, point in self.entry_points.items() if not point.is_udp}
        chosen = [name for name, point in points.items() if point.as_default]
        return tuple(sorted(chosen or (name for name in points if name != INTERNAL_ENTRY_POINT)))

    def udp_entry_points(self) -> tuple[str, ...]:
        """Those for UDP, which UDP routers have that name none; sorted."""
        return tuple(sorted(name for name, point in self.entry_points.items() if point.is_udp))


FLUSH_INTERVAL = 100 * MILLISECOND
"""What `responseForwarding.flushInterval` is when it is not written."""
