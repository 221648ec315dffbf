"""`udp`: services of datagrams, configured -> compiled, and which of them each entry point has."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .._core.balance import Balancer, Turns
from .._core.datagram import DatagramTarget
from .._core.pool import Pool
from ..config.udp import UdpLoadBalancer, UdpRouter
from ..config.values import split_server_address
from .routers import Places, warnings_of
from .runtime import Broken
from .tcp import turns_of


class Flow(NamedTuple):
    """A UDP router, built."""

    balancer: Balancer
    entry_points: tuple[str, ...]


def datagram_balancer_of(name: str, configured: UdpLoadBalancer, old: Turns | None) -> Turns:
    """Build a service of servers. old: that of this name before, whose place is kept."""
    return turns_of(name, [(_target(each.address), 1, each.address) for each in configured.servers], old)


def _target(address: str) -> DatagramTarget:
    host, port = split_server_address(address)
    return DatagramTarget(address, Pool(scheme="udp", host=host, port=port, max_idle=0))


def flow_of(configured: UdpRouter, places: Places, balancer: Balancer) -> Flow:
    """Build a router. Raises Broken."""
    points = tuple(each for each in configured.entry_points if each in places.udp_entry_points)
    if not points:
        raise Broken("no valid entryPoint for this router")
    return Flow(balancer, points)


class Queue(NamedTuple):
    """The routers of one entry point: of several the last by name serves."""

    names: frozenset[str] = frozenset()
    last: str = ""


Queues = Mapping[str, Queue]
"""By the name of the entry point; those without routers may be left out."""


def queues_after(before: Queues, gone: Mapping[str, Flow], come: Mapping[str, Flow]) -> Queues:
    """Return the queues after a change of routers; those that it does not touch are the same."""
    lost, gained = _by_point(gone), _by_point(come)
    after = dict(before)
    for point in {**lost, **gained}:
        names = (before.get(point, Queue()).names - lost.get(point, set())) | gained.get(point, set())
        after[point] = Queue(names, max(names, default=""))
    return after


def _by_point(flows: Mapping[str, Flow]) -> dict[str, set[str]]:
    by_point: dict[str, set[str]] = {}
    for name, flow in flows.items():
        for point in flow.entry_points:
            by_point.setdefault(point, set()).add(name)
    return by_point


def flows_after(
    before: Sequence[Balancer | None], queues: Queues, flow: Callable[[str], Flow | None], places: Places
) -> tuple[Balancer | None, ...]:
    """Return the service of each entry point, by its number."""
    after = list(before)
    for point, queue in queues.items():
        chosen = flow(queue.last)
        after[places.udp_entry_points[point]] = chosen.balancer if chosen is not None else None
    return tuple(after)


def warned_of(
    name: str, configured: UdpRouter, flow: Flow | None, queues: Queues, places: Places
) -> tuple[str, ...]:
    """Return what is to be told of a router: entry points that are not there, or that others serve."""
    points = flow.entry_points if flow is not None else ()
    taken = [(point, queues[point].last) for point in points if queues[point].last != name]
    return (
        *warnings_of(configured.entry_points, places.udp_entry_points),
        *(
            f'entryPoint "{point}" is served by router {last}: of several the last by name'
            for point, last in taken
        ),
    )
