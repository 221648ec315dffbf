"""What fastproxy adds to every configuration of its own: the provider `internal`, its routers and services.

Source: "Internal routers" of Traefik v3. The one server of an internal service is a socket of the supervisor;
`control` listens there.
"""

from collections.abc import Mapping

from .dynamic import Configuration
from .http import HttpConfiguration, HttpRouter, HttpService, LoadBalancer, Server
from .static import INTERNAL_ENTRY_POINT, StaticConfiguration

PROVIDER = "internal"
"""What the names end in: `api@internal`."""

NAMES = ("api", "dashboard", "ping", "prometheus", "rest", "acme-http", "noop")
"""The services that Traefik has under this provider."""

BUILT = ("api", "ping")
"""Those that are there when their section of the static configuration is."""

HIGHEST = 2**63 - 1
"""Priority of the routers that nothing goes before."""


def services_of(static: StaticConfiguration) -> tuple[str, ...]:
    """Return the internal services that are switched on, without their provider."""
    return tuple(name for name in BUILT if getattr(static, name) is not None)


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
    return Configuration(http=HttpConfiguration(routers=_routers(static), services=services))


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
