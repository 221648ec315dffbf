"""All that the author of a plugin imports.

A plugin is a class on Middleware. It says with `on_request` what becomes of a request, with `on_response`
what becomes of an answer, and finds its settings in `self.settings`. docs/plugins.md tells the whole story.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

__all__ = ["Middleware", "Request", "Response", "ResponseHead", "Wants"]


class Wants(enum.Flag):
    """What a middleware has to see."""

    REQUEST_HEAD = enum.auto()
    """Call on_request when the head of a request is there."""

    RESPONSE_HEAD = enum.auto()
    """Call on_response when the head of an answer is there."""

    REQUEST_BODY = enum.auto()
    """Not supported yet: a middleware that wants it is refused."""

    RESPONSE_BODY = enum.auto()
    """Not supported yet: a middleware that wants it is refused."""


class Request(Protocol):
    """What `on_request` is given: the head of a request with all edits so far.

    Belongs to the middleware for as long as its exchange lasts; afterwards every member raises RuntimeError.
    """

    @property
    def method_name(self) -> str:
        """As sent: "GET"."""

    @property
    def scheme(self) -> str:
        """How the client's connection came in: "http" or "https"."""

    @property
    def host_name(self) -> str:
        """The host asked for: lower case, without port; "" when an HTTP/1.0 client named none."""

    @property
    def escaped_path(self) -> str:
        """The path as it will be sent on: normalised, escaped."""

    @property
    def query_string(self) -> str:
        """The query without its question mark; "" without one."""

    @property
    def client_ip(self) -> str:
        """Address of whoever is connected to us; "" on a unix socket."""

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""

    def headers(self) -> list[tuple[str, str]]:
        """All fields in order: (name in canonical spelling, value)."""

    def header(self, name: str) -> str | None:
        """The first value of a field, whatever the case of its name; None when it is not there."""

    def set_header(self, name: str, value: str) -> None:
        """Put one field in the place of all of its name; "" removes it.

        Raises ValueError for text that cannot be sent, for a Host that is none, and for Content-Length and
        Transfer-Encoding, which are the proxy's.
        """

    def set_escaped_path(self, path: str) -> None:
        """Send another path on; it is absolute and escaped, without a query. Raises ValueError otherwise."""


class ResponseHead(Protocol):
    """What `on_response` is given: the head of an answer, a server's or ours, with all edits so far."""

    @property
    def status(self) -> int:
        """100..999."""

    def headers(self) -> list[tuple[str, str]]:
        """All fields in order: (name in canonical spelling, value)."""

    def header(self, name: str) -> str | None:
        """The first value of a field, whatever the case of its name; None when it is not there."""

    def set_header(self, name: str, value: str) -> None:
        """Put one field in the place of all of its name; "" removes it. ValueError as for a request."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer given in place of a server's."""

    status: int = 200
    """200..999."""

    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    """Pairs where a name comes twice. Date and Content-Length are added."""

    body: bytes | str = b""
    """Text is sent as UTF-8; say so in Content-Type."""


class Middleware:
    """The base of a plugin. Override on_request, on_response, or both, as coroutines.

    One object serves many requests at a time, interleaved wherever it awaits: what belongs to one request
    lives in local variables. There is one in every worker process, made again when the configuration changes.
    """

    Settings: ClassVar[type | None] = None
    """A msgspec Struct or a dataclass: settings are checked against it and handed over as one. None: any
    mapping, handed over as it is."""

    wants: ClassVar[Wants | None] = None
    """What to call it with. None: whatever methods it has."""

    timeout: ClassVar[float] = 30.0
    """Seconds that one call of a method may take; then the client gets 500."""

    def __init__(self, settings: Any) -> None:
        """Take over the settings. Whatever is raised here disables the routers that name the middleware."""
        self.settings = settings

    async def on_request(self, request: Request) -> Response | None:
        """Look at a request before it goes on, and change it. A Response is the answer; None: go on.

        What is raised is answered 500 and logged with its traceback. Cancelled when the client goes away.
        """
        return None

    async def on_response(self, request: Request, response: ResponseHead) -> None:
        """Look at an answer before it goes out, and change its fields."""
