"""Routers that want different TLS options for one name: each gets the default options, and a warning.

The name that a client asks for is known before its request is, and so decides the options of the connection.
Two routers that want different ones cannot both have them; a router without Host has no name to want any for.
Source: "TLS versus plain routers" of Traefik v3.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from .config.dynamic import Configuration
from .config.http import HttpRouter
from .config.merge import Merged
from .config.tls import DEFAULT
from .rules.compile import compile_rule
from .rules.syntax import RuleError

WARNING = (
    "router's TLSOptions configuration is conflicting with other routers on the same entrypoint and host, "
    "default TLS options will be used instead"
)
"""Traefik's words."""


class Claim(NamedTuple):
    """What a router wants on one entry point."""

    router: str
    point: str
    hosts: tuple[str, ...]
    options: str


def hosts_of(rule: str) -> tuple[str, ...] | None:
    """Return the names in the Host matchers of a rule; () if some request needs none; None: it is no rule."""
    try:
        hosts = compile_rule(rule).hosts
    except RuleError:
        return None
    return () if "*" in hosts else hosts


class Known(NamedTuple):
    """What a router claimed when it was looked at last."""

    router: HttpRouter
    claims: tuple[Claim, ...]


class Conflicts:
    """Looks over one configuration after another; a router that stays is looked at once."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def settle(self, merged: Merged) -> Merged:
        """Return the configuration in which no two routers want different options for one name."""
        routers = merged.configuration.http.routers
        if not any(router.tls is not None and router.tls.options != DEFAULT for router in routers.values()):
            return merged
        self._known = {name: self._look(name, router) for name, router in routers.items()}
        moved = moved_of([claim for known in self._known.values() for claim in known.claims])
        if not moved:
            return merged
        table = dict(routers)
        for name, points in moved.items():
            _move(table, name, points)
        http = structs.replace(merged.configuration.http, routers=table)
        configuration: Configuration = structs.replace(merged.configuration, http=http)
        return merged._replace(configuration=configuration)

    def _look(self, name: str, router: HttpRouter) -> Known:
        known = self._known.get(name)
        if known is not None and known.router is router:
            return known
        hosts = hosts_of(router.rule) if router.tls is not None else None
        if router.tls is None or hosts is None:
            return Known(router, ())
        return Known(
            router, tuple(Claim(name, point, hosts, router.tls.options) for point in router.entry_points)
        )


def moved_of(claims: Sequence[Claim]) -> dict[str, set[str]]:
    """Return the entry points on which each router gets the default options, by router.

    Who is moved wants something else than before for its other names too, so others may follow. Only names
    for which somebody does not want the default options are looked at.
    """
    wanting = [claim for claim in claims if claim.options != DEFAULT]
    others: dict[tuple[str, str], set[str]] = {
        (claim.point, host): set() for claim in wanting for host in claim.hosts
    }
    for claim in claims:
        if claim.options == DEFAULT:
            for host in claim.hosts:
                if (claim.point, host) in others:
                    others[claim.point, host].add(DEFAULT)
    moved: dict[str, set[str]] = {}
    again = True
    while again:
        wanted = {key: set(options) for key, options in others.items()}
        for claim in wanting:
            is_moved = claim.point in moved.get(claim.router, ())
            for host in claim.hosts:
                wanted[claim.point, host].add(DEFAULT if is_moved else claim.options)
        again = False
        for claim in wanting:
            if claim.point in moved.get(claim.router, ()):
                continue
            if not claim.hosts or any(len(wanted[claim.point, host]) > 1 for host in claim.hosts):
                moved.setdefault(claim.router, set()).add(claim.point)
                again = True
    return moved


def _move(table: dict[str, HttpRouter], name: str, points: set[str]) -> None:
    """Put a copy with the default options in the place of a router where it cannot have its own."""
    router = table.pop(name)
    assert router.tls is not None
    rest = tuple(point for point in router.entry_points if point not in points)
    if rest:
        table[name] = structs.replace(router, entry_points=rest)
    tls = structs.replace(router.tls, options=DEFAULT, conflicting=True)
    for point in sorted(points):
        table[f"{point}-conflicted-{name}"] = structs.replace(router, entry_points=(point,), tls=tls)
