"""`routers`: rule, middlewares and service become a route, and routes the tables of the entry points."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from .._core.balance import Balancer
from .._core.rule import Rule
from .._core.step import Pipeline
from .._core.table import Route, Table
from ..config import internal
from ..config.dynamic import HttpRouter
from ..config.static import StaticConfiguration
from ..config.tcp import TcpRouter
from ..conflicts import WARNING, hosts_of
from .doormen import Claim
from .rules import rule_of
from .runtime import Broken, priority_of, provider_of
from .work import Work

BATCH = 128
"""Routes that go into a table, or out of it, between two turns of the loop: about a millisecond."""


class Places(NamedTuple):
    """What the static configuration says about routers."""

    entry_points: dict[str, int]
    """Name -> index of its table, in the order of the names; those for UDP are counted, but not in it."""

    udp_entry_points: dict[str, int]

    precedence: dict[str, int]
    """Provider -> place among the providers; who is not listed comes behind all of them."""

    secure: frozenset[int] = frozenset()
    """Indexes of the entry points that take TLS whatever routers say."""

    logs_internals: bool = False
    """Whether the access log tells also of requests to `api@internal` and its kind."""

    @property
    def size(self) -> int:
        """How many entry points there are, those for UDP too."""
        return len(self.entry_points) + len(self.udp_entry_points)

    def count_of_tables(self) -> int:
        """Return how many tables a kind of routers has: two for each entry point, those for plain connections
        first, then those for TLS."""
        return self.size * 2


def places_of(static: StaticConfiguration) -> Places:
    """Read from the static configuration what building routers needs."""
    points = {name: at for at, name in enumerate(sorted(static.entry_points))}
    return Places(
        entry_points={name: at for name, at in points.items() if not static.entry_points[name].is_udp},
        udp_entry_points={name: points[name] for name in static.udp_entry_points()},
        precedence={provider: at for at, provider in enumerate(static.providers.precedence)},
        secure=frozenset(
            at
            for at, name in enumerate(sorted(static.entry_points))
            if static.entry_points[name].http.tls is not None
        ),
        logs_internals=static.access_log is not None and static.access_log.add_internals,
    )


def route_of(
    name: str,
    configured: HttpRouter,
    places: Places,
    *,
    old: Route | None,
    pipeline: Callable[[], Pipeline],
    balancer: Callable[[], Balancer],
    terms: Callable[[], str],
) -> Route:
    """Build one route. Raises Broken with everything that is wrong about it.

    old: the route of that name in the generation before; its rule is taken over if the text is the same.
    pipeline, balancer and terms (the name of the TLS options) give what the route needs or raise Broken.
    `extra` holds the indexes of its tables.
    """
    text = configured.rule
    return assembled(
        name,
        configured,
        places,
        rule=lambda: old.rule if old is not None and old.rule.text == text else rule_of(text),
        pipeline=pipeline,
        balancer=balancer,
        terms=terms if configured.tls is not None else lambda: None,
        is_logged=_is_logged(configured, places),
    )


def _is_logged(configured: HttpRouter, places: Places) -> bool:
    """Say whether the access log, if there is one, tells of this router's requests."""
    if provider_of(configured.service) == internal.PROVIDER and not places.logs_internals:
        return False
    return configured.observability.access_logs is not False


def assembled(
    name: str,
    configured: HttpRouter | TcpRouter,
    places: Places,
    *,
    rule: Callable[[], Rule],
    pipeline: Callable[[], Pipeline],
    balancer: Callable[[], Balancer],
    terms: Callable[[], str | None],
    is_logged: bool = True,
) -> Route:
    """Make a route of what gives its parts, or raises Broken. Raises Broken with everything that is wrong."""
    wrong: list[str] = []
    test = _attempt(wrong, rule)
    tables = _attempt(wrong, lambda: _tables_on(configured, places))
    steps = _attempt(wrong, pipeline)
    service = _attempt(wrong, balancer)
    options = _attempt(wrong, terms)
    if test is None or tables is None or steps is None or service is None or wrong:
        raise Broken("; ".join(wrong))
    return Route(
        name,
        test,
        steps,
        service,
        priority=priority_of(configured),
        order=places.precedence.get(provider_of(name), len(places.precedence)),
        service=configured.service,
        terms=options,
        is_logged=is_logged,
        extra=tables,
    )


Made = TypeVar("Made")


def _attempt(wrong: list[str], make: Callable[[], Made]) -> Made | None:
    """Return what is made, or None, and add to `wrong` why it cannot be."""
    try:
        return make()
    except Broken as broken:
        wrong.append(str(broken))
        return None


def _tables_on(configured: HttpRouter | TcpRouter, places: Places) -> tuple[int, ...]:
    """Return the indexes of a router's tables. Raises Broken when it has none."""
    points = places.entry_points
    first = places.size if configured.tls is not None else 0
    tables = {first + points[each] for each in configured.entry_points if each in points}
    if not tables:
        raise Broken("no valid entryPoint for this router")
    return tuple(sorted(tables))


def warnings_of(entry_points: Iterable[str], known: Mapping[str, int]) -> tuple[str, ...]:
    """Return what is wrong about a router that may serve all the same. known: entry points of its kind."""
    return tuple(
        f'entryPoint "{each}" doesn\'t exist'
        for each in entry_points
        if each not in known
    )


def conflicts_of(configured: HttpRouter | TcpRouter) -> tuple[str, ...]:
    """Return what is to be told of a router whose TLS options are not those that it asked for."""
    if isinstance(configured, HttpRouter) and configured.tls is not None and configured.tls.conflicting:
        return (WARNING,)
    return ()


def claim_of(configured: HttpRouter | TcpRouter, places: Places) -> Claim | None:
    """Return what a router with `tls` says about connections, whether it can serve or not; None: nothing."""
    points = places.entry_points
    tables = tuple(points[each] for each in configured.entry_points if each in points)
    if configured.tls is None:
        return None
    if isinstance(configured, TcpRouter):
        return Claim(tables, (), configured.tls.options, is_stream=True)
    hosts = hosts_of(configured.rule)
    return None if hosts is None else Claim(tables, hosts, configured.tls.options)


def tables_of(
    tables: Sequence[Table], removed: Iterable[Route], added: Iterable[Route]
) -> Work[tuple[Table, ...]]:
    """Return the tables of all entry points after a change; those that it does not touch are the same."""
    lost = yield from _by_table(len(tables), removed)
    gained = yield from _by_table(len(tables), added)
    made = list(tables)
    for at in range(len(made)):
        for begin in range(0, max(len(lost[at]), len(gained[at])), BATCH):
            end = begin + BATCH
            made[at] = made[at].updated(lost[at][begin:end], gained[at][begin:end])
            yield None
    return tuple(made)


def _by_table(count: int, routes: Iterable[Route]) -> Work[list[list[Route]]]:
    by_table: list[list[Route]] = [[] for _ in range(count)]
    indexes: Any
    for done, route in enumerate(routes):
        indexes = route.extra
        for at in indexes:
            by_table[at].append(route)
        if not done % BATCH:
            yield None
    return by_table
