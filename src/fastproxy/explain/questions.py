"""What somebody wants to know: a request, a connection or datagrams that might come, and where they do."""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from ..build.reception import Contact
from ..build.trial import Sent
from ..config.findings import unknown
from ..config.static import INTERNAL_ENTRY_POINT, StaticConfiguration

PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?i)(https?)://(?:[^/?#]*@)?([^/?#]*)([^#]*)")
_PORT = re.compile(r":([0-9]{0,5})$")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAME = re.compile(r"(?!.*\.\Z)[!-~]{1,255}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class WrongQuestion(ValueError):
    """A question that is none; the text says what to write."""


class Question(NamedTuple):
    """A request that somebody might send."""

    method: str
    url: str
    """http://host:port/path?query, or https."""

    headers: tuple[tuple[str, str], ...] = ()
    entry_point: str = ""
    """Empty: the one that listens on the URL's port, else those that are the default."""

    client: str = "127.0.0.1"
    """The address that it comes from."""

    sni: str | None = None
    """Of https: the name that is asked for by TLS; None: the host of the URL."""

    alpn: tuple[str, ...] = ("h2", "http/1.1")
    """Of https: what is offered by TLS; as browsers do, if nothing else is said."""


class ConnectionQuestion(NamedTuple):
    """A connection that somebody might make."""

    sni: str = ""
    """The name that is asked for by TLS; empty: none."""

    alpn: tuple[str, ...] = ()
    """What is offered by TLS."""

    is_tls: bool = False
    """It begins with TLS; a name and protocols say so too."""

    is_postgres: bool = False
    """It asks for TLS as PostgreSQL's clients do."""

    entry_point: str = ""
    """Empty: each of them."""

    client: str = "127.0.0.1"

    @property
    def contact(self) -> Contact:
        """Return how the client begins. Raises WrongQuestion."""
        _check_name(self.sni)
        if self.client:
            check_address(self.client)
        is_tls = self.is_tls or bool(self.sni or self.alpn)
        return Contact(self.client, is_tls, self.is_postgres, self.sni, _offered(self.alpn))


class DatagramQuestion(NamedTuple):
    """Datagrams that somebody might send."""

    entry_point: str = ""
    """Empty: each of those for UDP."""


class Wanted(NamedTuple):
    """A question taken apart."""

    received: Sent
    port: int
    contact: Contact

    @property
    def is_tls(self) -> bool:
        return self.contact.is_tls


def wanted_of(question: Question) -> Wanted:
    """Take a question apart. Raises WrongQuestion."""
    if not _TOKEN.fullmatch(question.method):
        raise WrongQuestion(f'"{question.method}" is not a method; write one like GET')
    url = _URL.fullmatch(question.url.partition("#")[0])
    if url is None or not url[2] or _CONTROL.search(question.url) or " " in question.url:
        raise WrongQuestion(
            f'"{question.url}" is not a URL; write one like https://shop.example/path?query=1'
        )
    scheme, authority, target = url[1].lower(), url[2], url[3]
    port = _PORT.search(authority) if not authority.endswith("]") else None
    fields = [*question.headers]
    if not any(name.lower() == "host" for name, _ in fields):
        fields.insert(0, ("Host", authority))
    for name, value in fields:
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise WrongQuestion(f'"{name}: {value}" is not a header field; write one like "X-User: me"')
    if question.client:
        check_address(question.client)
    path, mark, query = target.partition("?")
    received = Sent(question.method, path or "/", query if mark else None, tuple(fields))
    number = int(port[1]) if port and port[1] else PORTS[scheme]
    contact = Contact(question.client)
    if scheme == "https":
        name = _name_in(authority) if question.sni is None else question.sni
        _check_name(name)
        contact = Contact(question.client, True, name=name, protocols=_offered(question.alpn))
    return Wanted(received, number, contact)


def _name_in(authority: str) -> str:
    """Return what a client asks for by TLS that has a URL: its host, and nothing for an address."""
    host = authority if authority.endswith("]") else _PORT.sub("", authority)
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.removesuffix(".")
    return ""


def _check_name(name: str) -> None:
    """Raise WrongQuestion if a text is no name that TLS lets a client ask for (RFC 6066, 3)."""
    if name and not _NAME.fullmatch(name):
        told = f'"{name}" is not the name of a server'
        raise WrongQuestion(f"{told}; write one like db.example.com, without a dot at its end")


def _offered(protocols: Iterable[str]) -> tuple[bytes, ...]:
    """Return protocols as TLS has them. Raises WrongQuestion."""
    offered = tuple(each.encode("utf-8", "surrogateescape") for each in protocols)
    if any(not 0 < len(each) < 256 for each in offered) or sum(len(each) + 1 for each in offered) > 65535:
        raise WrongQuestion("a protocol of ALPN has 1 to 255 bytes; write one like h2")
    return offered


def check_address(text: str) -> None:
    """Raise WrongQuestion if a text is no address of a client."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise WrongQuestion(f'"{text}" is not an address; write one like 203.0.113.9') from None


class Chosen(NamedTuple):
    """The entry points by which it may come in, and why these."""

    points: tuple[str, ...]
    why: str


def points_of_request(question: Question, wanted: Wanted, static: StaticConfiguration) -> Chosen:
    """Return where a request may come in. Raises WrongQuestion."""
    points = {name: point for name, point in static.entry_points.items() if not point.is_udp}
    if question.entry_point:
        return asked_for(question.entry_point, points)
    listening = sorted(name for name, point in points.items() if point.location.port == wanted.port)
    if listening:
        return Chosen(tuple(listening), f"listens on port {wanted.port}")
    none = f"none listens on port {wanted.port}: a default entry point"
    return Chosen(static.default_entry_points(), none)


def points_of_connection(entry_point: str, static: StaticConfiguration) -> Chosen:
    """Return where a connection may come in. Raises WrongQuestion."""
    points = [name for name, point in static.entry_points.items() if not point.is_udp]
    if entry_point:
        return asked_for(entry_point, points)
    found = sorted(name for name in points if name != INTERNAL_ENTRY_POINT or len(points) == 1)
    return Chosen(tuple(found), "none was named, so each is told of")


def points_of_datagram(entry_point: str, static: StaticConfiguration) -> Chosen:
    """Return where a datagram may come in. Raises WrongQuestion."""
    points = static.udp_entry_points()
    if not points:
        raise WrongQuestion("there is no entry point for UDP; one has an address like :53/udp")
    return (
        asked_for(entry_point, points)
        if entry_point
        else Chosen(points, "none was named, so each is told of")
    )


def asked_for(name: str, points: Iterable[str]) -> Chosen:
    """Return the entry point that was asked for, which is one of `points`. Raises WrongQuestion."""
    points = sorted(points)
    if name not in points:
        raise WrongQuestion(f"{unknown('entry point', name, points)}; there is {', '.join(points)}")
    return Chosen((name,), "as asked for")
