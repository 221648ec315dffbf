"""`udp`: services of datagrams, configured -> compiled, and which of them each entry point has."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .._core.balance import Balancer, Turns
from .._core.datagram import DatagramTarget
from .._core.pool import Pool
from ..config.udp import UdpLoadBalancer, UdpRouter
from ..config.values import split_server_address
from .routers import Places
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


def flows_of(flows: Mapping[str, Flow], places: Places) -> tuple[Balancer | None, ...]:
    """Return the service of each entry point, by its number: that of the last router by name."""
    chosen: list[Balancer | None] = [None] * places.size
    for name in sorted(flows):
        for point in flows[name].entry_points:
            chosen[places.udp_entry_points[point]] = flows[name].balancer
    return tuple(chosen)


def passed_over(flows: Mapping[str, Flow]) -> Iterator[tuple[str, str]]:
    """Yield routers that do not serve an entry point that they are on, and who does instead."""
    last = {point: name for name in sorted(flows) for point in flows[name].entry_points}
    for name, flow in flows.items():
        for point in flow.entry_points:
            if last[point] != name:
                told = f'entryPoint "{point}" is served by router {last[point]}: of several the last by name'
                yield name, told
