"""`services`: a load balancer of a document becomes a balancer with its targets."""

import random
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from .._core.balance import RoundRobin
from .._core.pool import Pool
from .._core.target import Target
from ..config.dynamic import HttpService
from ..config.http import LoadBalancer, Server
from .estate import Estate
from .runtime import Broken
from .transports import Transport, context_of
from .work import Work

PORTS = {"http": 80, "https": 443, "unix": 0}

# What may stand in an escaped path as it is (RFC 3986, 3.3), and the brackets that Go leaves alone.
_PATH_SAFE = "/%:@!$&'()*+,;=~[]"


class Service(NamedTuple):
    """A service as routers use it."""

    balancer: RoundRobin
    pools: tuple[Pool, ...]
    """Those of its targets, each once."""


class Place(NamedTuple):
    """Where a server is."""

    scheme: str
    host: str
    """Without brackets; of a unix server the path of its socket."""

    port: int
    authority: bytes
    """The Host header of services that do not pass the client's on: host and port as the URL has them."""

    path: bytes
    """Escaped, without a slash at the end: what preservePath puts before the request's own."""


def service_of(name: str, configured: HttpService, transport: Transport, estate: Estate) -> Work[Service]:
    """Build one service. Raises Broken."""
    balancer = configured.load_balancer
    if balancer is None:
        raise Broken(f'the service "{name}" does not have any type defined')
    places = [place_of(server.url) for server in balancer.servers]
    if any(place.scheme == "https" for place in places):
        transport = yield from _with_context(transport, balancer, estate)
    targets = [
        _target(server, place, _pool(place, transport, estate))
        for server, place in zip(balancer.servers, places, strict=True)
        if server.weight > 0
    ]
    # As in Traefik, so that many proxies with one document do not all begin with the same server.
    random.shuffle(targets)
    pools = {id(target.pool): target.pool for target in targets}
    made = RoundRobin(name, targets, pass_host=balancer.pass_host_header)
    return Service(made, tuple(pools.values()))


def _with_context(transport: Transport, balancer: LoadBalancer, estate: Estate) -> Work[Transport]:
    if transport.fault:
        raise Broken(f'the servers transport "{balancer.servers_transport}" is disabled: {transport.fault}')
    if transport.context is not None:
        return transport
    return transport._replace(context=(yield from context_of(transport.tls, estate.contexts)))


def _pool(place: Place, transport: Transport, estate: Estate) -> Pool:
    if place.scheme != "https":
        return estate.pool(place.scheme, place.host, place.port, transport.limits)
    return estate.pool(
        "https",
        place.host,
        place.port,
        transport.limits,
        tls=transport.tls,
        context=transport.context,
        server_name=transport.server_name or place.host,
    )


def _target(server: Server, place: Place, pool: Pool) -> Target:
    prefix = place.path if server.preserve_path else b""
    return Target(server.url, pool, weight=float(server.weight), host=place.authority, path_prefix=prefix)


def place_of(url: str) -> Place:
    """Take the URL of a server apart. Raises Broken; `config` has refused most of what can be wrong."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path:
            return Place("unix", parts.path, 0, b"localhost", b"")
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in PORTS or not host:
            raise ValueError("it is not http://host:port, https://host:port or unix:///path")
        host, authority = _host_and_authority(host, port)
    except ValueError as error:
        raise Broken(f'the URL of the server "{url}" cannot be used: {error}') from None
    path = quote(parts.path, safe=_PATH_SAFE).removesuffix("/")
    return Place(parts.scheme, host, port or PORTS[parts.scheme], authority, path.encode())


def _host_and_authority(host: str, port: int | None) -> tuple[str, bytes]:
    """Return the host to dial, and host and port as they are sent: ASCII, an IPv6 address without zone."""
    if ":" in host:
        host = host.replace("%25", "%", 1)
        shown = f"[{host.partition('%')[0]}]"
    else:
        host = shown = host if host.isascii() else host.encode("idna").decode()
    return host, (shown if port is None else f"{shown}:{port}").encode()
