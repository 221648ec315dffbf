"""What somebody wants to know: a request that might be sent, and where it comes in."""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from ..build.trial import Sent
from ..config.findings import unknown
from ..config.static import StaticConfiguration

PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?i)(https?)://(?:[^/?#]*@)?([^/?#]*)([^#]*)")
_PORT = re.compile(r":([0-9]{0,5})$")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
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


class Wanted(NamedTuple):
    """A question taken apart."""

    received: Sent
    port: int
    is_tls: bool


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
    return Wanted(received, number, scheme == "https")


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


def asked_for(name: str, points: Iterable[str]) -> Chosen:
    """Return the entry point that was asked for, which is one of `points`. Raises WrongQuestion."""
    points = sorted(points)
    if name not in points:
        raise WrongQuestion(f"{unknown('entry point', name, points)}; there is {', '.join(points)}")
    return Chosen((name,), "as asked for")
