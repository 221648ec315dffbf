"""An explanation as text."""

from collections.abc import Iterable, Iterator

from .told import Explanation, Other, Passed, Routed, Way


def lines_of(explanation: Explanation) -> Iterator[str]:
    """Yield an explanation as text."""
    yield f"{explanation.method} {explanation.url} from {explanation.client or 'nowhere'}"
    for way in explanation.ways:
        yield ""
        yield f"entry point {way.entry_point} ({explanation.chosen})"
        for line in _lines_of_way(way):
            yield f"  {line}"


def _lines_of_way(way: Way) -> Iterator[str]:
    if way.asked_before:
        yield f"TCP routers are asked before, and may take the connection: {', '.join(way.asked_before)}"
    yield from _lines_of_router(way)
    for passed in way.middlewares:
        yield from _lines_of_passed(passed)
    if way.service is not None:
        yield f"service {way.service.name}" + (f", {way.service.type}" if way.service.type else "")
        for server in way.service.servers:
            target = f", is sent {server.target}" if server.target else ""
            yield f"  {server.url}, weight {server.weight}, {server.status}{target}"
    if way.status:
        yield f"the answer is {way.status}: {way.reason}"
    elif way.request is not None:
        host = "the server's own" if way.service and way.service.names_host else way.request.host
        yield f"the server is sent {way.request.method} {way.request.target}, Host: {host}"
        yield from (f"  {change}" for change in way.request.changes)
    yield from _lines_of_all_others(way)


def _lines_of_router(way: Routed) -> Iterator[str]:
    if way.router:
        yield f"router {way.router} takes it"
        yield f"  {way.rule}"
        yield f"  priority {way.priority}, {'the length of its rule' if way.is_computed else 'as given'}"


def _lines_of_passed(passed: Passed) -> Iterator[str]:
    first, *rest = passed.does
    yield f"middleware {passed.name}, {passed.type}: {first}"
    yield from (f"  {line}" for line in rest)


def _lines_of_all_others(way: Routed) -> Iterator[str]:
    yield from _lines_of_others("also matches", way.beaten, way.more.get("beaten", 0))
    yield from _lines_of_others("would match, but is disabled", way.disabled, way.more.get("disabled", 0))
    yield from _lines_of_others("came close", way.near, 0)
    for other in way.unreadable:
        yield f"cannot be read: {other.name}: {'; '.join(other.why)}"


def _lines_of_others(what: str, others: Iterable[Other], more: int) -> Iterator[str]:
    for other in others:
        priority = f" (priority {other.priority})" if other.priority else ""
        yield f"{what}: {other.name}{priority}"
        if other.rule:
            yield f"  {other.rule}"
        yield from (f"  {why}" for why in other.why)
    if more:
        yield f"{what}: {more} more"
