"""The services of TCP and UDP, as an explanation tells of them."""

from ..build.runtime import Runtime
from ..config.tcp import TcpServer
from .told import StreamServer, StreamService


def service_of(kind: str, name: str, runtime: Runtime, weight: int = 1) -> StreamService:
    """Tell of a service whose user is enabled, and of those that it is made of."""
    configured = runtime.configured[kind][name]
    if configured.weighted is not None:
        members = tuple(
            service_of(kind, each.name, runtime, each.weight)
            for each in configured.weighted.services
            if each.weight > 0
        )
        return StreamService(name=name, type="weighted", weight=weight, services=members)
    servers = tuple(
        StreamServer(address=each.address, tls=isinstance(each, TcpServer) and each.tls)
        for each in configured.load_balancer.servers
    )
    return StreamService(name=name, type="loadbalancer", weight=weight, servers=servers)
