"""Routers that want different TLS options for one name: each gets the default options, and a warning.

The name that a client asks for is known before its request is, and so decides the options of the connection.
Two routers that want different ones cannot both have them; a router without Host has no name to want any for.
Source: "TLS versus plain routers" of Traefik v3.
"""

from collections.abc import Iterable, Iterator, Mapping
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


class Conflicts:
    """Looks over one configuration after another; a rule that stays is read once."""

    def __init__(self) -> None:
        self._hosts: dict[str, tuple[str, ...] | None] = {}

    def settle(self, merged: Merged) -> Merged:
        """Return the configuration in which no two routers want different options for one name."""
        routers = merged.configuration.http.routers
        claims = list(self._claims(routers))
        moved = _moved(claims)
        if not moved:
            return merged
        table = dict(routers)
        for name, points in moved.items():
            _move(table, name, points)
        http = structs.replace(merged.configuration.http, routers=table)
        configuration: Configuration = structs.replace(merged.configuration, http=http)
        return merged._replace(configuration=configuration)

    def _claims(self, routers: Mapping[str, HttpRouter]) -> Iterator[Claim]:
        known: dict[str, tuple[str, ...] | None] = {}
        for name, router in routers.items():
            if router.tls is None:
                continue
            rule = router.rule
            hosts = known[rule] = self._hosts[rule] if rule in self._hosts else hosts_of(rule)
            if hosts is not None:
                for point in router.entry_points:
                    yield Claim(name, point, hosts, router.tls.options)
        self._hosts = known


def _moved(claims: Iterable[Claim]) -> dict[str, set[str]]:
    """Return the entry points on which each router gets the default options, by router.

    Who is moved wants something else than before for its other names too, so others may follow.
    """
    claims = list(claims)
    moved: dict[str, set[str]] = {}
    again = True
    while again:
        wanted: dict[tuple[str, str], str | None] = {}  # None: several
        for claim in claims:
            options = DEFAULT if claim.point in moved.get(claim.router, ()) else claim.options
            for host in claim.hosts:
                key = (claim.point, host)
                wanted[key] = options if wanted.get(key, options) == options else None
        again = False
        for claim in claims:
            if claim.options == DEFAULT or claim.point in moved.get(claim.router, ()):
                continue
            if not claim.hosts or any(wanted[claim.point, host] is None for host in claim.hosts):
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
