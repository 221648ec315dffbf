"""The API: what was configured and what became of it, as JSON. Read only; served as `api@internal`.

Source: "API" of Traefik v3: paths, fields, queries and the texts of errors are those of its handlers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, unquote

import msgspec

from . import support
from .build.runtime import (
    MIDDLEWARES,
    ROUTERS,
    SERVICES,
    TCP_MIDDLEWARES,
    TCP_ROUTERS,
    TCP_SERVICES,
    UDP_ROUTERS,
    UDP_SERVICES,
    Record,
    Runtime,
    server_status,
)
from .certificates import Shown as Certificate
from .certificates import certificates_of
from .config.internal import PROVIDER as INTERNAL
from .config.static import StaticConfiguration
from .control import Answer
from .shown import shown

CODENAME = "first light"

JSON = (("Content-Type", "application/json"),)
ERROR = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
"""Of http.Error, with which Traefik writes its errors, JSON or not."""

PER_PAGE = 100

OBSERVABILITY = {"accessLogs": True, "metrics": True, "tracing": True, "traceVerbosity": "minimal"}
"""What holds for a router when neither it nor its entry point says anything."""


class View(NamedTuple):
    """What the API tells of."""

    static: StaticConfiguration
    runtime: Runtime
    version: str
    started: str
    """When the instance did, RFC 3339."""


class Refused(Exception):
    """A request that gets an error. `status` and the message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


Query = Mapping[str, list[str]]
Shown = dict[str, Any]


class Endpoint(Protocol):
    """What answers a path: the rest of the path, the query, the view -> body, and perhaps the next page."""

    def __call__(self, rest: Sequence[str], query: Query, view: View) -> "Told": ...


class Told(NamedTuple):
    """What an endpoint says."""

    body: Any
    next_page: int = 0
    """0: it is no list."""

    attachment: str = ""
    """The name under which a client keeps the body, which is bytes then; '': the body goes as JSON."""


def answer(method: str, path: str, query: str, view: View) -> Answer:
    """Answer a request. path: escaped, with the base path; query: without its question mark."""
    prefix = (view.static.api.prefix() if view.static.api else "") + "/api/"
    found = _find(path.removeprefix(prefix).split("/")) if path.startswith(prefix) else None
    if found is None:
        return Answer(404, ERROR, b"404 page not found\n")
    if method != "GET":
        return Answer(405, (("Allow", "GET"),))
    endpoint, rest = found
    try:
        told = endpoint(rest, parse_qs(query, keep_blank_values=True), view)
    except Refused as refused:
        return Answer(refused.status, ERROR, msgspec.json.encode({"message": refused.message}) + b"\n")
    if told.attachment:
        named = ("Content-Disposition", f"attachment; filename={told.attachment}")
        return Answer(200, (("Content-Type", "application/gzip"), named), told.body)
    headers = (*JSON, ("X-Next-Page", str(told.next_page))) if told.next_page else JSON
    return Answer(200, headers, msgspec.json.encode(told.body) + b"\n")


def _find(parts: list[str]) -> tuple[Endpoint, list[str]] | None:
    """Return the endpoint of a path and the names in it, unescaped. None: there is none."""
    for length in (len(parts), len(parts) - 1):
        endpoint = ENDPOINTS.get(("/".join(parts[:length]), len(parts) - length))
        if endpoint is not None and all(parts):
            return endpoint, [unquote(each) for each in parts[length:]]
    return None


# --- the instance -------------------------------------------------------------------------------------------


def _version(rest: Sequence[str], query: Query, view: View) -> Told:
    body: Shown = {"Version": view.version, "Codename": CODENAME, "startDate": view.started}
    settings = view.static.api
    if settings is not None and settings.disable_dashboard_ad:
        body["disableDashboardAd"] = True
    if settings is not None and settings.dashboard_name:
        body["dashboardName"] = settings.dashboard_name
    return Told(body)


def _overview(rest: Sequence[str], query: Query, view: View) -> Told:
    certificates = [each.status for each in certificates_of(view.runtime)]
    return Told(
        {
            "http": _totals_of(view, ROUTERS, SERVICES, MIDDLEWARES),
            "tcp": _totals_of(view, TCP_ROUTERS, TCP_SERVICES, TCP_MIDDLEWARES),
            "udp": _totals_of(view, UDP_ROUTERS, UDP_SERVICES),
            "certificates": {
                "total": len(certificates),
                "warnings": certificates.count("warning"),
                "errors": certificates.count("expired"),
            },
            "features": {"tracing": "", "metrics": "", "accessLog": view.static.access_log is not None},
            "providers": ["File"] if view.static.providers.file is not None else [],
        }
    )


def _totals_of(view: View, *kinds: str) -> Shown:
    return {kind.rpartition(".")[2]: _totals(view.runtime.records(kind)) for kind in kinds}


def _totals(records: Iterable[Record]) -> dict[str, int]:
    statuses = [record.status for record in records]
    return {
        "total": len(statuses),
        "warnings": statuses.count("warning"),
        "errors": statuses.count("disabled"),
    }


def _raw(rest: Sequence[str], query: Query, view: View) -> Told:
    body: Shown = {}
    for name, kind, show in (
        ("routers", ROUTERS, _shown_router),
        ("middlewares", MIDDLEWARES, _shown_middleware),
        ("services", SERVICES, _shown_service),
        ("tcpRouters", TCP_ROUTERS, _shown_router),
        ("tcpMiddlewares", TCP_MIDDLEWARES, _shown_middleware),
        ("tcpServices", TCP_SERVICES, _shown_stream_service),
        ("udpRouters", UDP_ROUTERS, _shown_udp_router),
        ("udpServices", UDP_SERVICES, _shown_udp_service),
    ):
        objects = {record.name: show(record) for record in view.runtime.records(kind)}
        if objects:
            body[name] = {each: objects[each] for each in sorted(objects)}
    return Told(body)


def _support_dump(rest: Sequence[str], query: Query, view: View) -> Told:
    version, runtime = _version(rest, query, view).body, _raw(rest, query, view).body
    return Told(support.archive(version, view.static, runtime), attachment=support.NAME)


def _certificates(rest: Sequence[str], query: Query, view: View) -> Told:
    wanted = [each for each in certificates_of(view.runtime) if _is_wanted_certificate(each, query)]
    key = {"status": "status", "issuer": "issuerCN", "validUntil": "notAfter"}.get(_first(query, "sortBy"))
    if key:
        wanted.sort(key=lambda each: str(each.body.get(key, "")))
    if _first(query, "direction") not in ("", "asc"):
        wanted.reverse()
    start, end, following = _page(query, len(wanted))
    return Told([each.body for each in wanted[start:end]], following)


def _is_wanted_certificate(each: Certificate, query: Query) -> bool:
    status, search = _first(query, "status"), _first(query, "search").lower()
    names = (each.body.get("commonName", ""), *each.body.get("sans", ()), each.body.get("issuerCN", ""))
    return (not status or each.status == status.lower()) and any(search in name.lower() for name in names)


def _one_certificate(rest: Sequence[str], query: Query, view: View) -> Told:
    for each in certificates_of(view.runtime):
        if each.fingerprint == rest[0].lower():
            return Told(each.body)
    raise Refused(404, f"certificate not found: {rest[0]}")


def _entry_points(rest: Sequence[str], query: Query, view: View) -> Told:
    names = sorted(view.static.entry_points)
    start, end, following = _page(query, len(names))
    return Told([_entry_point(name, view) for name in names[start:end]], following)


def _one_entry_point(rest: Sequence[str], query: Query, view: View) -> Told:
    if rest[0] not in view.static.entry_points:
        raise Refused(404, f"entry point not found: {rest[0]}")
    return Told(_entry_point(rest[0], view))


def _entry_point(name: str, view: View) -> Shown:
    return {**shown(view.static.entry_points[name]), "name": name}


def _explain(rest: Sequence[str], query: Query, view: View) -> Told:
    """Say what would become of a request; source: ours."""
    # Imported late, as below, because a supervisor needs the core for nothing else.
    from .explain.questions import Question
    from .explain.requests import explain

    if not _first(query, "url"):
        raise Refused(400, "invalid request: url: missing; write one like url=https://shop.example/path")
    headers = tuple((name.strip(), value.strip()) for name, value in _split_headers(query))
    question = Question(
        _first(query, "method") or "GET",
        _first(query, "url"),
        headers,
        _first(query, "entryPoint"),
        _client(query),
        query["sni"][-1] if "sni" in query else None,
        tuple(query.get("alpn", Question._field_defaults["alpn"])),
    )
    return _explained(lambda: explain(question, view.static, view.runtime))


def _explain_connection(rest: Sequence[str], query: Query, view: View) -> Told:
    """Say what would become of a connection; source: ours."""
    from .explain.connections import explain
    from .explain.questions import ConnectionQuestion

    question = ConnectionQuestion(
        _first(query, "sni"),
        tuple(query.get("alpn", ())),
        _flag(query, "tls") or "sni" in query,
        _flag(query, "postgres"),
        _first(query, "entryPoint"),
        _client(query),
    )
    return _explained(lambda: explain(question, view.static, view.runtime))


def _explain_datagram(rest: Sequence[str], query: Query, view: View) -> Told:
    """Say what would become of datagrams; source: ours."""
    from .explain.datagrams import explain
    from .explain.questions import DatagramQuestion

    question = DatagramQuestion(_first(query, "entryPoint"))
    return _explained(lambda: explain(question, view.static, view.runtime))


def _explained(explain: Callable[[], Any]) -> Told:
    from .explain.questions import WrongQuestion

    try:
        return Told(explain())
    except WrongQuestion as wrong:
        raise Refused(400, f"invalid request: {wrong}") from None


def _client(query: Query) -> str:
    return _first(query, "clientIP") or "127.0.0.1"


def _flag(query: Query, name: str) -> bool:
    """Return a switch of the query, `true` or `false`."""
    text = _first(query, name) or "false"
    if text not in ("true", "false"):
        raise Refused(400, f'invalid request: {name}: "{text}" is not true or false')
    return text == "true"


def _split_headers(query: Query) -> Iterable[tuple[str, str]]:
    for text in query.get("header", ()):
        name, colon, value = text.partition(":")
        if not colon:
            raise Refused(400, f'invalid request: header: "{text}" has no colon; write one like X-User: me')
        yield name, value


# --- objects as they are shown ------------------------------------------------------------------------------


def _shown_router(record: Record) -> Shown:
    """Return a router as `rawdata` has it."""
    body = {**_configured(record), **_status(record)}
    if record.configured is not None:
        body["service"] = _bare(record.configured.service, record.provider)
        body["priority"] = record.priority
        if record.kind == ROUTERS:
            told = record.configured.observability.access_logs
            body["observability"] = {**OBSERVABILITY, **({} if told is None else {"accessLogs": told})}
    if record.using:
        body["using"] = record.using
    return body


def _bare(reference: str, provider: str) -> str:
    """Return a reference as its router wrote it: without the provider if that is its own."""
    name, _, other = reference.rpartition("@")
    return name if other == provider and other != INTERNAL else reference


def _shown_service(record: Record) -> Shown:
    """Return a service as `rawdata` has it. How internal ones are reached is nobody's business."""
    if record.provider == INTERNAL:
        return {**_status(record), **_used_by(record)}
    body = {**_configured(record), **_status(record), **_used_by(record)}
    if status := server_status(record):
        body["serverStatus"] = status
    return body


def _shown_stream_service(record: Record) -> Shown:
    """Return a TCP service as `rawdata` has it."""
    body = {**_configured(record), **_status(record), **_used_by(record)}
    balancer = record.configured and record.configured.load_balancer
    if balancer and balancer.servers and record.status != "disabled":
        body["serverStatus"] = {
            server.address: "DOWN" if server.address in record.down else "UP" for server in balancer.servers
        }
    return body


def _shown_udp_router(record: Record) -> Shown:
    """Return a UDP router as `rawdata` has it."""
    body = {**_configured(record), **_status(record)}
    if record.configured is not None:
        body["service"] = _bare(record.configured.service, record.provider)
    return {**body, "using": record.using} if record.using else body


def _shown_udp_service(record: Record) -> Shown:
    """Return a UDP service as `rawdata` has it."""
    return {**_configured(record), **_status(record), **_used_by(record)}


def _named_udp_router(record: Record) -> Shown:
    return {**_shown_udp_router(record), "name": record.name, "provider": record.provider}


def _named_udp_service(record: Record) -> Shown:
    body = {**_shown_udp_service(record), "name": record.name, "provider": record.provider}
    kind = _service_type(record)
    return {**body, "type": kind} if kind else body


def _shown_middleware(record: Record) -> Shown:
    """Return a middleware as `rawdata` has it."""
    return {**_configured(record), **_status(record), **_used_by(record)}


def _configured(record: Record) -> Shown:
    return {} if record.configured is None else shown(record.configured)


def _status(record: Record) -> Shown:
    return {"status": record.status, **({"error": record.error} if record.error else {})}


def _used_by(record: Record) -> Shown:
    return {"usedBy": record.used_by} if record.used_by else {}


def _named_router(record: Record) -> Shown:
    body = {**_shown_router(record), "name": record.name, "provider": record.provider}
    if record.configured is not None:
        body["priorityStr"] = str(record.priority)
    return body


def _named_service(record: Record) -> Shown:
    body = {**_shown_service(record), "name": record.name, "provider": record.provider}
    kind = _service_type(record)
    return {**body, "type": kind} if kind else body


def _named_stream_service(record: Record) -> Shown:
    body = {**_shown_stream_service(record), "name": record.name, "provider": record.provider}
    kind = _service_type(record)
    return {**body, "type": kind} if kind else body


def _named_middleware(record: Record) -> Shown:
    body = {**_shown_middleware(record), "name": record.name, "provider": record.provider}
    kind = _middleware_type(record)
    return {**body, "type": kind} if kind else body


def _service_type(record: Record) -> str:
    if record.provider == INTERNAL or record.configured is None:
        return ""
    if record.configured.load_balancer is not None:
        return "loadbalancer"
    return "weighted" if getattr(record.configured, "weighted", None) is not None else ""


def _middleware_type(record: Record) -> str:
    """Return the type in lower case; of a plugin its name."""
    if record.configured is None:
        return ""
    if record.kind == MIDDLEWARES and record.configured.plugin is not None:
        return next(iter(record.configured.plugin), "")
    return str(record.configured.kind).lower()


# --- lists --------------------------------------------------------------------------------------------------

Key = Callable[[Record], Any]


def _option(name: str) -> Key:
    """Return a key that sorts by an option of what was configured; what could not be read goes first."""
    return lambda record: "" if record.configured is None else getattr(record.configured, name)


def _server_count(record: Record) -> int:
    balancer = record.configured and record.configured.load_balancer
    return len(balancer.servers) if balancer else 0


class Listing(NamedTuple):
    """How one kind of objects is listed."""

    kind: str
    noun: str
    show: Callable[[Record], Shown]
    sort_by: Mapping[str, Key]
    """What the query `sortBy` may name, beside the name."""


_EVERY: Mapping[str, Key] = {
    "provider": lambda record: record.provider,
    "status": lambda record: record.status,
}

_OF_ROUTERS: Mapping[str, Key] = {
    **_EVERY,
    "priority": lambda record: record.priority,
    "rule": _option("rule"),
    "service": _option("service"),
    "entryPoints": lambda record: "".join(_option("entry_points")(record)),
}

LISTINGS = {
    "http/routers": Listing(ROUTERS, "router", _named_router, _OF_ROUTERS),
    "http/services": Listing(
        SERVICES,
        "service",
        _named_service,
        {**_EVERY, "type": _service_type, "servers": _server_count},
    ),
    "http/middlewares": Listing(
        MIDDLEWARES, "middleware", _named_middleware, {**_EVERY, "type": _middleware_type}
    ),
    "tcp/routers": Listing(TCP_ROUTERS, "router", _named_router, _OF_ROUTERS),
    "tcp/services": Listing(
        TCP_SERVICES,
        "service",
        _named_stream_service,
        {**_EVERY, "type": _service_type, "servers": _server_count},
    ),
    "tcp/middlewares": Listing(
        TCP_MIDDLEWARES, "middleware", _named_middleware, {**_EVERY, "type": _middleware_type}
    ),
    "udp/routers": Listing(
        UDP_ROUTERS,
        "router",
        _named_udp_router,
        {each: _OF_ROUTERS[each] for each in ("provider", "status", "service", "entryPoints")},
    ),
    "udp/services": Listing(
        UDP_SERVICES,
        "service",
        _named_udp_service,
        {**_EVERY, "type": _service_type, "servers": _server_count},
    ),
}


def _list(listing: Listing) -> Endpoint:
    """Return the endpoint of a list: filtered, sorted, and one page of it."""

    def endpoint(rest: Sequence[str], query: Query, view: View) -> Told:
        wanted = [record for record in view.runtime.records(listing.kind) if _is_wanted(record, query)]
        key = listing.sort_by.get(_first(query, "sortBy"), lambda record: "")
        wanted.sort(key=lambda record: (key(record), record.name))
        if _first(query, "direction") not in ("", "asc"):
            wanted.reverse()
        start, end, following = _page(query, len(wanted))
        return Told([listing.show(record) for record in wanted[start:end]], following)

    return endpoint


def _one(listing: Listing) -> Endpoint:
    """Return the endpoint of one object of a list."""

    def endpoint(rest: Sequence[str], query: Query, view: View) -> Told:
        record = view.runtime.record(listing.kind, rest[0])
        if record is None:
            raise Refused(404, f"{listing.noun} not found: {rest[0]}")
        return Told(listing.show(record))

    return endpoint


def _first(query: Query, name: str) -> str:
    return query.get(name, [""])[0]


def _is_wanted(record: Record, query: Query) -> bool:
    """Tell whether a record passes the filters of a query."""
    status, search = _first(query, "status"), _first(query, "search").lower()
    if status and record.status != status.lower():
        return False
    router = record.configured if record.kind in (ROUTERS, TCP_ROUTERS, UDP_ROUTERS) else None
    if search not in record.name.lower() and not (router and search in getattr(router, "rule", "").lower()):
        return False
    if record.kind not in (ROUTERS, TCP_ROUTERS, UDP_ROUTERS):
        return True
    service, middleware = _first(query, "serviceName"), _first(query, "middlewareName")
    if service and not (router and _is_named(router.service, service)):
        return False
    return not middleware or any(_is_named(each, middleware) for each in getattr(router, "middlewares", ()))


def _is_named(qualified: str, name: str) -> bool:
    """Tell whether a name means an object; one without a provider means that of any."""
    return name == (qualified if "@" in name else qualified.rpartition("@")[0])


def _page(query: Query, size: int) -> tuple[int, int, int]:
    """Return begin and end of the page that is asked for, and the number of the next; 1: there is none."""
    per_page, page = _number(query, "per_page", PER_PAGE), _number(query, "page", 1)
    start = (page - 1) * per_page
    if start and start >= size:
        raise Refused(400, f"invalid request: page: {page}, per_page: {per_page}")
    return start, start + per_page, page + 1 if page * per_page < size else 1


def _number(query: Query, name: str, default: int) -> int:
    text = _first(query, name)
    if not text:
        return default
    digits = text[1:] if text[0] in "+-" else text
    value = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0
    if value <= 0:
        raise Refused(400, f"invalid request: {name}: {value}")
    return value


ENDPOINTS: Mapping[tuple[str, int], Endpoint] = {
    ("version", 0): _version,
    ("overview", 0): _overview,
    ("rawdata", 0): _raw,
    ("support-dump", 0): _support_dump,
    ("explain", 0): _explain,
    ("explain/tcp", 0): _explain_connection,
    ("explain/udp", 0): _explain_datagram,
    ("entrypoints", 0): _entry_points,
    ("entrypoints", 1): _one_entry_point,
    ("certificates", 0): _certificates,
    ("certificates", 1): _one_certificate,
    **{(path, 0): _list(listing) for path, listing in LISTINGS.items()},
    **{(path, 1): _one(listing) for path, listing in LISTINGS.items()},
}
"""By path, and by how many names stand behind it."""
