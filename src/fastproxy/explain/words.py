"""An explanation as text."""

from collections.abc import Iterable, Iterator

from .told import (
    AnyExplanation,
    CertificateTold,
    Contacted,
    Explanation,
    Flow,
    OfDatagram,
    Other,
    Passed,
    Routed,
    StreamService,
    TLSTold,
    Way,
)


def lines_of(explanation: AnyExplanation) -> Iterator[str]:
    """Yield an explanation as text."""
    yield _asked(explanation)
    for way in explanation.ways:
        yield ""
        yield f"entry point {way.entry_point} ({explanation.chosen})"
        for line in _lines_of(way):
            yield f"  {line}"


def _asked(explanation: AnyExplanation) -> str:
    if isinstance(explanation, OfDatagram):
        return "datagrams"
    client = explanation.client or "nowhere"
    if isinstance(explanation, Explanation):
        return f"{explanation.method} {explanation.url} from {client}"
    kind = "PostgreSQL with TLS" if explanation.postgres else "TLS" if explanation.tls else "a connection"
    name = f" for {explanation.sni}" if explanation.sni else ""
    offers = f", offering {', '.join(explanation.alpn)}" if explanation.alpn else ""
    return f"{kind}{name}{offers} from {client}"


def _lines_of(way: Way | Contacted | Flow) -> Iterator[str]:
    if isinstance(way, Way):
        return _lines_of_way(way)
    return _lines_of_contacted(way) if isinstance(way, Contacted) else _lines_of_flow(way)


# --- connections, datagrams ---------------------------------------------------------------------------------


def _lines_of_contacted(way: Contacted) -> Iterator[str]:
    yield f"row {way.row}: {way.decided}"
    yield from _lines_of_router(way)
    for passed in way.middlewares:
        yield from _lines_of_passed(passed)
    if way.tls is not None:
        yield from _lines_of_tls(way.tls)
    if way.service is not None:
        yield from _lines_of_service(way.service)
    if way.is_http:
        yield "HTTP reads its requests"
    if way.closed:
        yield f"it is closed: {way.closed}" + (f" (alert {way.alert})" if way.alert else "")
    yield from _lines_of_all_others(way)


def _lines_of_tls(tls: TLSTold) -> Iterator[str]:
    if tls.passes:
        yield "TLS passes through to the server"
        return
    versions = (
        tls.min_version if tls.min_version == tls.max_version else f"{tls.min_version} to {tls.max_version}"
    )
    strict = ", sniStrict" if tls.sni_strict else ""
    yield f"TLS ends here, with the options {tls.options}: {versions}, {tls.client_auth}{strict}"
    if tls.certificate is not None:
        yield f"  {_certificate(tls.certificate)}"


def _certificate(told: CertificateTold) -> str:
    """Say which certificate is shown."""
    if told.is_default and not told.names:
        return "no certificate has the name, and there is no default one: a self-signed one is shown"
    until = "EXPIRED" if told.is_expired else "until"
    facts = f"for {', '.join(told.names)}, {until} {told.not_after}"
    if told.is_default:
        return f"no certificate has the name: that of the store {told.name} is shown, {facts}"
    return f"certificate {told.name}, {facts}"


def _lines_of_service(service: StreamService, share: str = "") -> Iterator[str]:
    yield f"service {service.name}, {service.type}{share}"
    for server in service.servers:
        yield f"  {server.address}{', by TLS' if server.tls else ''}"
    for each in service.services:
        yield from (f"  {line}" for line in _lines_of_service(each, f", weight {each.weight}"))


def _lines_of_flow(way: Flow) -> Iterator[str]:
    if way.router:
        yield f"router {way.router} takes them"
    if way.service is not None:
        yield from _lines_of_service(way.service)
    if way.dropped:
        yield f"they are dropped: {way.dropped}"
    yield from _lines_of_others("is here too", way.beaten, way.more.get("beaten", 0))
    yield from _lines_of_others("is disabled", way.disabled, way.more.get("disabled", 0))
    yield from _lines_of_others("is elsewhere", way.near, way.more.get("near", 0))
    yield from _lines_of_unreadable(way)


# --- requests -----------------------------------------------------------------------------------------------


def _lines_of_way(way: Way) -> Iterator[str]:
    if way.connection is not None:
        yield from _lines_of_connection(way.connection)
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


def _lines_of_connection(connection: Contacted) -> Iterator[str]:
    """Yield what is told of a connection before its request: of those who do not take it only if one does."""
    if not connection.is_http:
        yield from _lines_of_contacted(connection)
        return
    yield f"row {connection.row}: {connection.decided}"
    if connection.tls is not None:
        yield from _lines_of_tls(connection.tls)


def _lines_of_router(way: Routed) -> Iterator[str]:
    if way.router:
        yield f"router {way.router} takes it"
        yield f"  {way.rule}"
        yield f"  priority {way.priority}, {_whose(way)}"
        yield from (f"  warning: {warning}" for warning in way.warnings)


def _whose(way: Routed) -> str:
    """Say where a priority comes from."""
    if not way.is_computed:
        return "as given"
    return "the length of its rule" if way.priority >= 0 else "behind all others, because it takes every name"


def _lines_of_passed(passed: Passed) -> Iterator[str]:
    first, *rest = passed.does
    yield f"middleware {passed.name}, {passed.type}: {first}"
    yield from (f"  {line}" for line in rest)


def _lines_of_all_others(way: Routed) -> Iterator[str]:
    yield from _lines_of_others("also matches", way.beaten, way.more.get("beaten", 0))
    yield from _lines_of_others("would match, but is disabled", way.disabled, way.more.get("disabled", 0))
    yield from _lines_of_others("came close", way.near, 0)
    yield from _lines_of_unreadable(way)


def _lines_of_unreadable(way: Routed) -> Iterator[str]:
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
