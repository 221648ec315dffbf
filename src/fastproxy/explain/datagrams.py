"""Where datagrams go: the router of each UDP entry point, and its service."""

from collections.abc import Iterator
from typing import Any

from msgspec import structs

from ..build.runtime import UDP_ROUTERS, UDP_SERVICES, Runtime
from ..config.static import StaticConfiguration
from .candidates import MOST
from .questions import DatagramQuestion, points_of_datagram
from .streams import service_of
from .told import Flow, OfDatagram, Other


def explain(question: DatagramQuestion, static: StaticConfiguration, runtime: Runtime) -> OfDatagram:
    """Say what would become of datagrams. Raises WrongQuestion."""
    points, chosen = points_of_datagram(question.entry_point, static)
    return OfDatagram(protocol="udp", chosen=chosen, ways=tuple(_flow(point, runtime) for point in points))


def _flow(point: str, runtime: Runtime) -> Flow:
    routers, failures = runtime.configured[UDP_ROUTERS], runtime.failures[UDP_ROUTERS]
    here = sorted(
        name for name, each in routers.items() if not isinstance(each, str) and point in each.entry_points
    )
    serving = [name for name in here if name not in failures]
    chosen = serving[-1] if serving else ""
    others = {
        "beaten": [Other(name=name, why=(f"its name comes before {chosen}",)) for name in serving[:-1]],
        "disabled": [Other(name=name, why=(failures[name],)) for name in here if name in failures],
        "near": list(_elsewhere(point, runtime)),
        "unreadable": [
            Other(name=name, why=(each,)) for name, each in routers.items() if isinstance(each, str)
        ],
    }
    shown: dict[str, Any] = {name: tuple(found[:MOST]) for name, found in others.items()}
    more = {name: len(found) - MOST for name, found in others.items() if len(found) > MOST}
    flow = Flow(entry_point=point, dropped="no router takes them", more=more, **shown)
    if not chosen:
        return flow
    service = service_of(UDP_SERVICES, routers[chosen].service, runtime)
    dropped = f"the service {service.name} has no server" if service.is_empty else ""
    return structs.replace(flow, router=chosen, service=service, dropped=dropped)


def _elsewhere(point: str, runtime: Runtime) -> Iterator[Other]:
    """Yield the routers of other entry points."""
    for name, each in sorted(runtime.configured[UDP_ROUTERS].items()):
        if not isinstance(each, str) and point not in each.entry_points:
            yield Other(name=name, why=(f"it is on {', '.join(each.entry_points)}, not on {point}",))
