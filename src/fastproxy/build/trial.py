"""A request on trial: taken in as an entry point does, led through middlewares, and served by nobody.

What it becomes is decided by the code that serves. For `explain`, in a process that has no connections.
"""

import socket
from collections.abc import Sequence
from typing import NamedTuple

from .._core.forwarded import Forwarding
from .._core.message import Request, Response
from .._core.netset import NetSet
from .._core.step import Step
from ..config.middlewares import HttpMiddleware
from ..config.static import StaticConfiguration
from ..plugins.load import Plugins
from .middlewares import steps_of

PURE = frozenset(
    (
        "addPrefix",
        "headers",
        "ipAllowList",
        "ipWhiteList",
        "redirectRegex",
        "redirectScheme",
        "replacePath",
        "replacePathRegex",
        "stripPrefix",
        "stripPrefixRegex",
    )
)
"""The middlewares that look at the request in hand and at nothing else; no other one is tried."""

_BLANK = b"HTTP/1.1 200 OK\r\n\r\n"
_NO_PLUGINS = Plugins({})

Fields = Sequence[tuple[str, str]]


class Refused(Exception):
    """A request that no router sees. `status` is what it is answered, the text is the reason."""

    def __init__(self, text: str) -> None:
        """text: as the core has it, "400: the Host field is missing"; anything else is no head."""
        status, _, reason = text.partition(": ")
        super().__init__(reason or text)
        self.status = int(status) if status.isdecimal() else 400


class Sent(NamedTuple):
    """What is sent on of a request, at some point on its way."""

    method: str
    path: str
    """Escaped. Empty is sent as `/`."""

    query: str | None
    """None: there is no question mark."""

    fields: tuple[tuple[str, str], ...]

    @property
    def target(self) -> str:
        """Path and query."""
        return (self.path or "/") + (f"?{self.query}" if self.query is not None else "")

    @property
    def host(self) -> str:
        return next((value for name, value in self.fields if name.lower() == "host"), "")


class Answered(NamedTuple):
    """What a middleware answers in place of a server."""

    status: int
    fields: tuple[tuple[str, str], ...] = ()


class Met(NamedTuple):
    """What a middleware did."""

    before: Sent
    after: Sent
    answer: Answered | None
    """None: the request goes on."""

    adds: Fields
    """The fields that an answer without any gets from it."""


class Trial:
    """One request."""

    def __init__(
        self, received: Sent, client: str, is_tls: bool, static: StaticConfiguration, entry_point: str
    ) -> None:
        """received: as a client sends it. client: its address, or ''. Raises Refused."""
        settings = static.entry_points[entry_point]
        self._has_query = received.query is not None
        self._denied = settings.http.encoded_characters.denied
        self._forwarding = _forwarding(static, entry_point)
        try:
            self.request = Request.of(
                _head(received),
                client=client,
                is_tls=is_tls,
                sanitize=settings.http.sanitize_path,
                encode_semicolons=settings.http.encode_query_semicolons,
            )
            self._forwarding.entered(self.request)
        except ValueError as error:
            raise Refused(str(error)) from None

    @property
    def sent(self) -> Sent:
        """What would be sent on now."""
        request = self.request
        query = request.query_string if self._has_query else None
        return Sent(request.method_name, request.escaped_path, query, tuple(request.headers()))

    def denied_escape(self) -> str:
        """Return an escape in the path that the entry point does not let through to a router, or ''."""
        path = self.sent.path
        return next((escape for escape in sorted(self._denied) if escape in path), "")

    def meet(self, name: str, configured: HttpMiddleware) -> Met:
        """Lead the request through a middleware of a kind that is PURE."""
        before, answer = self.sent, None
        adds: list[tuple[str, str]] = []
        for step in steps_of(name, configured, _NO_PLUGINS):
            if step.wants_request and answer is None:
                answer = _answer(step, self.request)
            if step.wants_response:
                response = Response.of(_BLANK)
                step.run_response(self.request, response)
                adds += response.headers()
        return Met(before, self.sent, answer, adds)

    def leave(self) -> Sent:
        """Make of it what a server is sent, and return that."""
        self._forwarding.left(self.request)
        return self.sent


def _head(request: Sent) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.fields]
    return "\r\n".join([*lines, "", ""]).encode(errors="surrogateescape")


def _answer(step: Step, request: Request) -> Answered | None:
    try:
        verdict, answer = step.run_request(request)
    except Exception:  # whatever a step raises, the client gets 500
        return Answered(500)
    if verdict != "answer" or answer is None:
        return None
    fields = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers)
    return Answered(answer.status, tuple(fields))


def _forwarding(static: StaticConfiguration, entry_point: str) -> Forwarding:
    settings = static.entry_points[entry_point]
    forwarded = settings.forwarded_headers
    return Forwarding(
        insecure=forwarded.insecure,
        trusted=NetSet(forwarded.trusted_ips) if forwarded.trusted_ips else None,
        kept=forwarded.connection,
        appends=not (forwarded.not_append_x_forwarded_for or static.global_.not_append_x_forwarded_for),
        underscores=settings.http.underscore_headers_strategy,
        server=socket.gethostname(),
    )
