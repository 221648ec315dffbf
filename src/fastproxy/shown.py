"""Sections of the configuration as Traefik's API shows them: Go's JSON, in which what is zero is left out."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec

from .config.http import HttpRouter, LoadBalancer, Server
from .config.merge import DEFAULT_TRANSPORT
from .config.middlewares import IPAllowList
from .config.schema import Section
from .config.tcp import TcpLoadBalancer, TcpRouter
from .config.values import Nanoseconds, text_of_duration

ALWAYS = {(LoadBalancer, "pass_host_header")}
"""Shown also when they are zero: what is a pointer in Go and has a default."""

SILENT: Mapping[tuple[type[Section], str], Any] = {
    (Server, "weight"): 1,
    (HttpRouter, "rule_syntax"): "v3",
    (LoadBalancer, "servers_transport"): DEFAULT_TRANSPORT,
    (IPAllowList, "reject_status_code"): 403,
    (TcpRouter, "rule_syntax"): "v3",
    (TcpLoadBalancer, "servers_transport"): DEFAULT_TRANSPORT,
}
"""Values that are left out: what stands there when nobody wrote anything, and is zero in Go."""


class Field(NamedTuple):
    """How one option is shown."""

    attribute: str
    name: str
    is_duration: bool
    is_optional: bool
    """Whether None, and not zero, stands for what nobody wrote."""

    is_always: bool
    silent: Any


@cache
def _fields(section: type[Section]) -> tuple[Field, ...]:
    return tuple(
        Field(
            each.name,
            each.encode_name,
            each.type in (Nanoseconds, Nanoseconds | None),
            each.default is None,
            (section, each.name) in ALWAYS,
            SILENT.get((section, each.name)),
        )
        for each in msgspec.structs.fields(section)
        if each.name not in section.HIDDEN.split()
    )


def shown(value: Any) -> Any:
    """Return a section, or a value in one, in types that JSON has."""
    if isinstance(value, Section):
        found = ((field, getattr(value, field.attribute)) for field in _fields(type(value)))
        return {field.name: _shown_field(field, each) for field, each in found if _is_shown(field, each)}
    if isinstance(value, (tuple, list)):
        return [shown(each) for each in value]
    if isinstance(value, dict):
        return {name: shown(each) for name, each in value.items()}
    return value


def _is_shown(field: Field, value: Any) -> bool:
    if value is None or (field.silent is not None and value == field.silent):
        return False
    return field.is_always or field.is_optional or isinstance(value, Section) or bool(value)


def _shown_field(field: Field, value: Any) -> Any:
    return text_of_duration(value) if field.is_duration else shown(value)
