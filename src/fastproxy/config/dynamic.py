"""The dynamic configuration as one frozen value: what a provider publishes, what a worker is sent."""

from collections.abc import Mapping
from typing import Any

from .http import HttpConfiguration, HttpMiddleware, HttpRouter, HttpService, ServersTransport
from .schema import Section

__all__ = ["KINDS", "Configuration", "HttpMiddleware", "HttpRouter", "HttpService", "ServersTransport"]

KINDS = tuple(f"http.{name}" for name in HttpConfiguration.__struct_encode_fields__)
"""Kinds of named objects: `http.routers`, `http.services`, `http.middlewares`, `http.serversTransports`."""

_ATTRIBUTES = dict(zip(KINDS, HttpConfiguration.__struct_fields__, strict=True))


class Configuration(Section, frozen=True):
    """All objects by name. From a provider the names are bare; after `merge` they are `name@provider`.

    Treat the mappings as frozen. Goes through msgpack and back unchanged (the pipe to the workers).
    """

    http: HttpConfiguration = HttpConfiguration()

    broken: dict[str, dict[str, str]] = {}
    """Objects that the document declares and that cannot be used: kind (see KINDS) -> name -> reason, one
    line (several are joined with "; "). They stand in no other table; whatever refers to one is disabled with
    its reason."""

    def table(self, kind: str) -> dict[str, Any]:
        """Return the objects of one kind by name."""
        objects: dict[str, Any] = getattr(self.http, _ATTRIBUTES[kind])
        return objects

    def names(self, kind: str) -> list[str]:
        """Return the names of all objects of one kind, the broken ones too."""
        return [*self.table(kind), *self.broken.get(kind, ())]

    @classmethod
    def of(
        cls, tables: Mapping[str, dict[str, Any]], broken: Mapping[str, dict[str, str]]
    ) -> "Configuration":
        """Make a configuration of tables by kind; those that are left out are empty."""
        made = {_ATTRIBUTES[kind]: table for kind, table in tables.items()}
        return cls(
            http=HttpConfiguration(**made), broken={kind: table for kind, table in broken.items() if table}
        )
