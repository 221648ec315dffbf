"""What fastproxy adds to every configuration of its own: the provider `internal`, its routers and services.

Source: "Internal routers" of Traefik v3. The one server of an internal service is a socket of the supervisor;
`control` listens there.
"""

from collections.abc import Iterator, Mapping

from .dynamic import Configuration
from .http import HttpConfiguration, HttpRouter, HttpService, LoadBalancer, Server
from .middlewares import HttpMiddleware, RedirectScheme
from .static import INTERNAL_ENTRY_POINT, RedirectEntryPoint, StaticConfiguration

PROVIDER = "internal"
"""What the names end in: `api@internal`."""

NAMES = ("api", "dashboard", "ping", "prometheus", "rest", "acme-http", "noop")
"""The services that Traefik has under this provider."""

BUILT = ("api", "ping", "noop")
"""Those that are there when something in the static configuration asks for them."""

HIGHEST = 2**63 - 1
"""Priority of the routers that nothing goes before."""


def services_of(static: StaticConfiguration) -> tuple[str, ...]:
    """Return the internal services that are switched on, without their provider."""
    wanted = {"api": static.api, "ping": static.ping, "noop": dict(redirections_of(static)) or None}
    return tuple(name for name in BUILT if wanted[name] is not None)


def redirections_of(static: StaticConfiguration) -> Iterator[tuple[str, RedirectEntryPoint]]:
    """Yield the entry points that send every request elsewhere, and how."""
    for name, point in static.entry_points.items():
        if point.http.redirections.entry_point is not None:
            yield name, point.http.redirections.entry_point


def refusal(name: str) -> str:
    """Say why an internal service that is not there cannot be used."""
    if name in BUILT:
        return f"{name} is not enabled"  # Traefik's words
    return f'the service "{name}@{PROVIDER}" is not supported yet'


def internal_configuration(static: StaticConfiguration, sockets: Mapping[str, str]) -> Configuration:
    """Return the document of the provider `internal`. sockets: internal service -> path of its socket."""
    services = {
        name: HttpService(load_balancer=LoadBalancer(servers=(Server(url=f"unix://{path}"),)))
        for name, path in sockets.items()
    }
    routers, middlewares = _routers(static), {}
    for name, redirection in redirections_of(static):
        way = f"{name}-to-{redirection.to.removeprefix(':')}"
        middlewares[f"redirect-{way}"] = HttpMiddleware(redirect_scheme=_redirect(redirection, static))
        routers[way] = HttpRouter(
            rule="HostRegexp(`^.+$`)",
            entry_points=(name,),
            middlewares=(f"redirect-{way}",),
            service="noop",
            priority=redirection.priority,
        )
    made = HttpConfiguration(routers=routers, services=services, middlewares=middlewares)
    return Configuration(http=made)


def _redirect(redirection: RedirectEntryPoint, static: StaticConfiguration) -> RedirectScheme:
    point = static.entry_points.get(redirection.to)
    port = redirection.to.removeprefix(":") if point is None else str(point.location.port)
    return RedirectScheme(scheme=redirection.scheme, port=port, permanent=redirection.permanent)


def _routers(static: StaticConfiguration) -> dict[str, HttpRouter]:
    """Return the routers that lead to internal services without the user's doing."""
    routers = {}
    if static.api is not None and static.api.insecure:
        prefix = f"{static.api.prefix()}/api"
        routers["api"] = _router("api", prefix, INTERNAL_ENTRY_POINT, HIGHEST - 1)
    if static.ping is not None and not static.ping.manual_routing:
        routers["ping"] = _router("ping", "/ping", static.ping.entry_point, HIGHEST)
    return routers


def _router(service: str, prefix: str, entry_point: str, priority: int) -> HttpRouter:
    rule = f"PathPrefix(`{prefix}`)"
    return HttpRouter(rule=rule, entry_points=(entry_point,), service=service, priority=priority)
