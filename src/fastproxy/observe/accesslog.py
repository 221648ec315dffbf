"""The access log: what its settings mean for a line, and where lines go.

Source: "Access log" of Traefik v3. A line is made by the core (`_core.record`), which is given a program: for
each thing that a line tells the text before it, the name of the thing, and the form in which it is told.
"""

import os
import stat
from collections.abc import Iterator
from typing import Protocol

from .. import x509
from ..config.observability import FIELDS, AccessLog, HeaderFields
from ..config.tls import CIPHER_SUITES
from .log import folder_made

Step = tuple[bytes, str, str]
"""Text before, what is told ("" for nothing more), in which form: `plain`, `quoted`, `redacted` or `json`."""

Program = tuple[Step, ...]

COMMON = (
    (b"", "ClientHost", "plain"),
    (b" - ", "ClientUsername", "plain"),
    (b" [", "StartUTC", "plain"),
    (b'] "', "RequestMethod", "plain"),
    (b" ", "RequestPath", "plain"),
    (b" ", "RequestProtocol", "plain"),
    (b'" ', "DownstreamStatus", "plain"),
    (b" ", "DownstreamContentSize", "plain"),
    (b" ", "Referer", "quoted"),
    (b" ", "User-Agent", "quoted"),
)
"""The common log format, as all know it, with Referer and User-Agent."""

OURS = (
    (b" ", "RequestCount", "plain"),
    (b" ", "RouterName", "quoted"),
    (b" ", "ServiceURL", "quoted"),
    (b" ", "Duration", "plain"),
)
"""What Traefik adds to it."""

NOTHING = {"plain": b"-", "quoted": b'"-"'}
"""What stands in the place of something that is not to be told."""

LEVEL = (b'"level":"info","msg":"",', "", "json")
"""What Traefik's logger adds to every line."""

HEADERS = ("downstream_", "origin_", "request_")


def program_of(settings: AccessLog) -> Program:
    """Return the program of a line."""
    if settings.format == "json":
        return ((b"{", "", "json"), *_json(settings), (b'"time":', "time", "json"), (b"}\n", "", "json"))
    parts = [_common(settings, each) for each in COMMON]
    if settings.format == "common":
        parts += [_common(settings, each) for each in OURS]
        parts.append((b"ms", "", "plain"))
    return (*parts, (b"\n", "", "plain"))


def _common(settings: AccessLog, step: Step) -> Step:
    """Return the step of something in a line of common logs, or one that says that it is not told."""
    before, name, form = step
    fields = settings.fields
    if name in ("Referer", "User-Agent"):
        mode = mode_of(fields.headers, name)
        form = "redacted" if mode == "redact" else form
        return (before + NOTHING["quoted"], "", form) if mode == "drop" else (before, f"request_{name}", form)
    if name == "StartUTC" and not fields.keeps(name):
        name = "StartLocal"  # who drops the one wants the other: so Traefik is told to use its time zone
    if fields.keeps(name):
        return before, name, form
    return before + (b"0" if name == "Duration" else NOTHING[form]), "", form


def _json(settings: AccessLog) -> Iterator[Step]:
    """Yield the members of a line of JSON, but the last, in the order of their names, each with its comma."""
    names = [name for name in FIELDS if settings.fields.keeps(name)]
    for name in sorted((*names, *_headers(settings.fields.headers), "level")):
        if name == "level":
            yield LEVEL
        elif name in HEADERS:
            yield b"", name, "json"  # members of their own
        else:
            yield f'"{name}":'.encode(), name, "json"


def _headers(settings: HeaderFields) -> tuple[str, ...]:
    """Return whose header fields are told."""
    modes = {settings.default_mode, *settings.names.values()}
    return () if modes == {"drop"} else HEADERS


def mode_of(settings: HeaderFields, name: str) -> str:
    """Return what is done with a header field."""
    modes = {known.lower(): mode for known, mode in settings.names.items()}
    return modes.get(name.lower(), settings.default_mode)


def ranges_of(settings: AccessLog) -> list[tuple[int, int]]:
    """Return the lowest and highest status of each range that is kept."""
    ends = (text.partition("-") for text in settings.filters.status_codes)
    return [(int(low), int(high or low)) for low, _, high in ends]


# --- what is told of a connection -------------------------------------------------------------------

_SUITES = {theirs: name for name, theirs in CIPHER_SUITES.items()}
"""Cipher suites as IANA calls them, by their names in OpenSSL; those of TLS 1.3 are called the same."""


class Session(Protocol):
    """TLS of a connection, as the core tells of it."""

    version: str
    cipher: str
    certificate: bytes | None


def tls_of(session: Session) -> tuple[bytes, bytes, bytes]:
    """Return version, cipher suite and subject of the client's certificate, b"" where none can be read."""
    version = session.version.removeprefix("TLSv")
    name, der = session.cipher, session.certificate
    try:
        subject = x509.distinguished(x509.read(der).subject) if der else ""
    except ValueError:
        subject = ""
    return version.encode(), _SUITES.get(name, name).encode(), subject.encode(errors="replace")


# --- where lines go ---------------------------------------------------------------------------------


def opened(settings: AccessLog) -> int:
    """Return a descriptor of our own for the file, or for standard output. OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
    if settings.file_path:
        folder_made(settings.file_path)
        return os.open(settings.file_path, flags | os.O_CREAT, 0o664)
    mode = os.fstat(1).st_mode
    if stat.S_ISREG(mode) or stat.S_ISSOCK(mode):
        return os.dup(1)
    try:
        # Others write to the same pipe or terminal and may wait for it; we must not: it is opened once more.
        return os.open("/proc/self/fd/1", flags)
    except OSError:
        return os.dup(1)


def check(settings: AccessLog) -> None:
    """See whether lines can go where they are to go. OSError."""
    os.close(opened(settings))
