"""The dynamic configuration as one frozen value: what a provider publishes, what a worker is sent."""

from .http import HttpConfiguration, HttpMiddleware, HttpRouter, HttpService, ServersTransport
from .schema import Section

__all__ = ["Configuration", "HttpMiddleware", "HttpRouter", "HttpService", "ServersTransport"]


class Configuration(Section, frozen=True):
    """All objects by name. From a provider the names are bare; after `merge` they are `name@provider`.

    Treat the mappings as frozen. Goes through msgpack and back unchanged (the pipe to the workers).
    """

    http: HttpConfiguration = HttpConfiguration()

    broken: dict[str, dict[str, str]] = {}
    """Objects that the document declares and that cannot be used: section ("http.routers", "http.services",
    "http.middlewares", "http.serversTransports") -> name -> reason, one line, several joined with "; ".
    They stand in no other table; whatever refers to one is disabled with its reason."""
