"""The dynamic configuration as one frozen value: what a provider publishes, what a worker is sent."""

from collections.abc import Mapping
from typing import Any

from .http import HttpConfiguration, HttpMiddleware, HttpRouter, HttpService, ServersTransport
from .schema import Section
from .tcp import TcpConfiguration
from .tls import TLSConfiguration
from .udp import UdpConfiguration

__all__ = ["KINDS", "Configuration", "HttpMiddleware", "HttpRouter", "HttpService", "ServersTransport"]

SECTIONS: dict[str, type[Section]] = {
    "http": HttpConfiguration,
    "tcp": TcpConfiguration,
    "udp": UdpConfiguration,
    "tls": TLSConfiguration,
}
"""The sections of a document, in each of which objects stand by kind and name."""

_ATTRIBUTES = {
    f"{section}.{name}": (section, attribute)
    for section, model in SECTIONS.items()
    for name, attribute in zip(model.__struct_encode_fields__, model.__struct_fields__, strict=True)
}

KINDS = tuple(_ATTRIBUTES)
"""Kinds of named objects: `http.routers`, `http.services`, ... `tls.options`."""


class Configuration(Section, frozen=True):
    """All objects by name. From a provider the names are bare; after `merge` they are `name@provider`.

    Treat the mappings as frozen. Goes through msgpack and back unchanged (the pipe to the workers).
    """

    http: HttpConfiguration = HttpConfiguration()
    tcp: TcpConfiguration = TcpConfiguration()
    udp: UdpConfiguration = UdpConfiguration()
    tls: TLSConfiguration = TLSConfiguration()

    broken: dict[str, dict[str, str]] = {}
    """Objects that the document declares and that cannot be used: kind (see KINDS) -> name -> reason, one
    line (several are joined with "; "). They stand in no other table; whatever refers to one is disabled with
    its reason."""

    def table(self, kind: str) -> dict[str, Any]:
        """Return the objects of one kind by name."""
        section, attribute = _ATTRIBUTES[kind]
        objects: dict[str, Any] = getattr(getattr(self, section), attribute)
        return objects

    def names(self, kind: str) -> list[str]:
        """Return the names of all objects of one kind, the broken ones too."""
        return [*self.table(kind), *self.broken.get(kind, ())]

    @classmethod
    def of(
        cls, tables: Mapping[str, dict[str, Any]], broken: Mapping[str, dict[str, str]]
    ) -> "Configuration":
        """Make a configuration of tables by kind; those that are left out are empty."""
        by_section: dict[str, dict[str, Any]] = {}
        for kind, table in tables.items():
            section, attribute = _ATTRIBUTES[kind]
            by_section.setdefault(section, {})[attribute] = table
        made: dict[str, Any] = {name: SECTIONS[name](**values) for name, values in by_section.items()}
        return cls(**made, broken={kind: table for kind, table in broken.items() if table})
