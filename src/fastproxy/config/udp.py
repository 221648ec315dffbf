"""The `udp` part of a dynamic document: routers and services of datagrams.

Source of names, types and defaults: UDP routers and services of Traefik v3.
"""

from collections.abc import Iterator
from typing import Annotated

from .schema import Mistake, Reads, Section
from .tcp import WeightedService
from .values import server_address


class UdpRouter(Section, frozen=True):
    """`udp.routers.<name>`: the datagrams of entry points go to a service. An entry point has one router."""

    entry_points: tuple[str, ...] = ()
    """Empty in a document: all UDP entry points, which `merge` fills in."""

    service: str = ""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.service:
            yield "service", "missing; a router needs the name of a service"


class UdpServer(Section, frozen=True):
    """`loadBalancer.servers[]`: one server."""

    address: Annotated[str, Reads(server_address)] = ""
    """host:port, [IPv6]:port."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.address:
            yield "address", "missing; a server needs one, such as 10.0.0.7:53"


class UdpLoadBalancer(Section, frozen=True):
    """`loadBalancer`: servers that do the same work, each as often as the others."""

    servers: tuple[UdpServer, ...] = ()
    """Empty: every datagram is dropped."""


class UdpWeighted(Section, frozen=True):
    """`weighted`: services that share the work."""

    services: tuple[WeightedService, ...] = ()

    def mistakes(self) -> Iterator[Mistake]:
        if not self.services:
            yield "services", "missing; list the services that share the work"


class UdpService(Section, frozen=True):
    """`udp.services.<name>`: exactly one type."""

    load_balancer: UdpLoadBalancer | None = None
    weighted: UdpWeighted | None = None

    def mistakes(self) -> Iterator[Mistake]:
        if self.load_balancer is None and self.weighted is None:
            yield "", "the service does not have any type defined; give it a loadBalancer, or weighted"
        if self.load_balancer is not None and self.weighted is not None:
            yield "", "multi-types service not supported: loadBalancer, weighted; leave one of them"


class UdpConfiguration(Section, frozen=True):
    """`udp`: the objects of a document by name."""

    routers: dict[str, UdpRouter] = {}
    services: dict[str, UdpService] = {}
