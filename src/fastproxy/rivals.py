"""Routers that get in each other's way: none of them is wrong by itself, and one of them does not serve.

Looked for in what all documents of a provider come to together, as `merge` and `conflicts` make it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .build.runtime import ROUTERS, TCP_ROUTERS, UDP_ROUTERS, priority_of
from .config.dynamic import Configuration
from .config.merge import Merged, Merger
from .config.static import StaticConfiguration
from .config.tcp import is_catch_all
from .config.tls import Options, fault_of_protocols
from .conflicts import WARNING, Conflicts, hosts_of


class Rival(NamedTuple):
    """A router that does not get what it asks for."""

    kind: str
    name: str
    """As its document declares it."""

    option: tuple[str, ...]
    """What it is about; (): the whole router."""

    message: str
    is_error: bool = False


class Seat(NamedTuple):
    """A router on one of its entry points."""

    point: str
    name: str
    """As it is after the merge: `shop@file`; a copy for an entry point is `web-shop@file`."""

    router: Any

    @property
    def is_tls(self) -> bool:
        return self.router.tls is not None

    @property
    def rank(self) -> tuple[int, str]:
        """What it is asked by, the least first; all are of one provider."""
        return -priority_of(self.router), self.name


Seats = Mapping[str, list[Seat]]
"""By the names of a document."""


def rivals_of(configuration: Configuration, provider: str, static: StaticConfiguration) -> Iterator[Rival]:
    """Look over the documents of a provider, which were merged into one."""
    merged = Merger(static).merge({provider: configuration})
    seats = {
        kind: _seats(configuration.table(kind), merged.configuration.table(kind), provider)
        for kind in (ROUTERS, TCP_ROUTERS, UDP_ROUTERS)
    }
    yield from _unspoken(seats[ROUTERS], merged.configuration.tls.options)
    yield from _conflicting(seats[ROUTERS], merged)
    yield from _shadowed(ROUTERS, "request", seats[ROUTERS])
    yield from _shadowed(TCP_ROUTERS, "connection", seats[TCP_ROUTERS])
    yield from _swallowed(seats[ROUTERS], seats[TCP_ROUTERS])
    yield from _passed_over(seats[UDP_ROUTERS])


def _seats(declared: Mapping[str, Any], merged: Mapping[str, Any], provider: str) -> Seats:
    """Return where each router of a document is."""
    made: dict[str, list[Seat]] = {name: [] for name in declared}
    for name, router in merged.items():
        bare = name.removesuffix(f"@{provider}")
        if bare not in declared:
            bare = bare.removeprefix(f"{router.entry_points[0]}-")
        if bare in declared:
            made[bare] += [Seat(point, name, router) for point in router.entry_points]
    return {name: found for name, found in made.items() if found}


def _first(kind: str) -> str:
    return "router" if kind == ROUTERS else "TCP router"


# --- TLS options ----------------------------------------------------------------------------------------


def _unspoken(seats: Seats, options: Mapping[str, Options]) -> Iterator[Rival]:
    """Find routers whose TLS options offer nothing that HTTP is spoken by."""
    faults = {name: fault_of_protocols(each.alpn_protocols) for name, each in options.items()}
    for name, found in seats.items():
        for used in {each.router.tls.options for each in found if each.is_tls}:
            if fault := faults.get(used):
                yield Rival(ROUTERS, name, ("tls", "options"), f'TLS options "{used}": {fault}', True)


def _conflicting(seats: Seats, merged: Merged) -> Iterator[Rival]:
    """Find routers that get the default options, because others want different ones for their names."""
    settled = Conflicts().settle(merged).configuration.http.routers
    if settled is merged.configuration.http.routers:
        return
    wanted: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, found in seats.items():
        for seat in found:
            for host in (hosts_of(seat.router.rule) or ()) if seat.is_tls else ():
                wanted.setdefault((seat.point, host), []).append((name, seat.router.tls.options))
    for name, found in seats.items():
        for seat in found:
            if f"{seat.point}-conflicted-{seat.name}" in settled:
                yield Rival(ROUTERS, name, ("tls", "options"), f"{WARNING}: {_why(name, seat, wanted)}")
                break


def _why(name: str, seat: Seat, wanted: Mapping[tuple[str, str], list[tuple[str, str]]]) -> str:
    """Say which other router is in the way."""
    for host in hosts_of(seat.router.rule) or ():
        for other, options in wanted[seat.point, host]:
            if other != name and options != seat.router.tls.options:
                return f"{other} has {options} for {host}"
    return "it has no Host, whose name would choose them"


# --- who never serves -----------------------------------------------------------------------------------


def _shadowed(kind: str, what: str, seats: Seats) -> Iterator[Rival]:
    """Find routers whose rule is that of another one, which is asked first wherever they are."""
    first: dict[tuple[str, bool, str], tuple[str, Seat]] = {}
    for name, found in seats.items():
        for seat in found:
            key = (seat.point, seat.is_tls, seat.router.rule.strip())
            if key not in first or seat.rank < first[key][1].rank:
                first[key] = name, seat
    for name, found in seats.items():
        keys = [(seat.point, seat.is_tls, seat.router.rule.strip()) for seat in found]
        if all(first[key][0] != name for key in keys):
            other, winner = first[keys[0]]
            mine, winning = priority_of(found[0].router), priority_of(winner.router)
            why = f"priority {winning} above {mine}" if winning != mine else "by its name"
            same = f"{_first(kind)} {other} has the same rule and goes before it, {why}"
            yield Rival(kind, name, ("rule",), f"no {what} comes here: {same}")


def _swallowed(seats: Seats, streams: Seats) -> Iterator[Rival]:
    """Find HTTP routers behind a TCP router that takes every connection without TLS."""
    taken = {
        seat.point: name
        for name, found in streams.items()
        for seat in found
        if not seat.is_tls and is_catch_all(seat.router.rule)
    }
    for name, found in seats.items():
        if all(not seat.is_tls and seat.point in taken for seat in found):
            point = found[0].point
            takes = f"on {point} TCP router {taken[point]} takes all connections without TLS"
            yield Rival(ROUTERS, name, (), f"no request comes here: {takes}")


def _passed_over(seats: Seats) -> Iterator[Rival]:
    """Find UDP routers that serve on none of their entry points."""
    last: dict[str, str] = {}
    for name, found in sorted(seats.items()):
        last |= {seat.point: name for seat in found}
    for name, found in seats.items():
        if all(last[seat.point] != name for seat in found):
            point = found[0].point
            told = f"{last[point]} serves on {point}, of several routers the last by name"
            yield Rival(UDP_ROUTERS, name, (), f"no datagram comes here: {told}")
