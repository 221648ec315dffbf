"""Files that a document names for certificates, keys and authorities become their content when it is read.

So a worker needs no file; and whoever reads the document knows which files to look at again: one that was
renewed is a change like any other.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from msgspec import structs

from .http import ServersTransport
from .tcp import TcpServersTLS, TcpServersTransport
from .tls import Certificate, CertificatePair, Options, Store
from .values import SECOND

Mark = tuple[int, int, int, int]
"""What tells a file from its successor: device, inode, time of change in nanoseconds, size."""

REST = 2 * SECOND
"""Nanoseconds for which a file has to have been left alone before it was read. One that changes twice within
one tick of its file system's clock, 2 s on the coarsest, may keep its mark."""


def mark_of(path: str) -> Mark | None:
    """Return the mark of a file; None for one that cannot be looked at."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    # Not the time of modification, which whoever writes a file may set: a copy has that of its original.
    return found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size


class Content(NamedTuple):
    """A file that was read."""

    mark: Mark | None
    text: str
    is_settled: bool
    """As long as it has this mark it has this text."""


class Contents:
    """Reads files for one reading of a document, and remembers which; those that stay are not read again."""

    def __init__(self, before: "Contents | None" = None) -> None:
        """before: that of the last reading."""
        self._before = before._read if before is not None else {}
        self._read: dict[str, Content] = {}
        """By the text of the document."""

    @property
    def files(self) -> dict[str, Mark | None]:
        """The marks of what was read, by absolute path, each taken before it was read."""
        return {os.path.abspath(text): content.mark for text, content in self._read.items()}

    def of(self, text: str) -> str:
        """Return the content of a file if `text` is the path of one that can be read, else `text`.

        What is no such file is PEM already, or whoever uses it tells that it is not.
        """
        if "\n" in text or not text:
            return text
        content = self._read.get(text)
        if content is None:
            content = self._read[text] = self._content(text)
        return content.text

    def _content(self, text: str) -> Content:
        mark, known = mark_of(text), self._before.get(text)
        if known is not None and known.is_settled and known.mark == mark:
            return known
        is_settled = mark is not None and mark[2] + REST < time.time_ns()
        try:
            return Content(mark, Path(text).read_text(), is_settled)
        except (OSError, ValueError):
            return Content(mark, text, is_settled=False)


Authorities = TypeVar("Authorities", ServersTransport, TcpServersTLS)


def _transport(section: Authorities, contents: Contents) -> Authorities:
    return structs.replace(
        section,
        root_cas=tuple(contents.of(each) for each in section.root_cas),
        certificates=tuple(_pair(each, contents) for each in section.certificates),
    )


def _tcp_transport(section: TcpServersTransport, contents: Contents) -> TcpServersTransport:
    if section.tls is None:
        return section
    return structs.replace(section, tls=_transport(section.tls, contents))


def _pair(section: CertificatePair, contents: Contents) -> CertificatePair:
    return CertificatePair(contents.of(section.cert_file), contents.of(section.key_file))


def _certificate(section: Certificate, contents: Contents) -> Certificate:
    certificate, key = contents.of(section.cert_file), contents.of(section.key_file)
    return structs.replace(section, cert_file=certificate, key_file=key)


def _store(section: Store, contents: Contents) -> Store:
    pair = section.default_certificate
    return section if pair is None else structs.replace(section, default_certificate=_pair(pair, contents))


def _options(section: Options, contents: Contents) -> Options:
    files = section.client_auth.ca_files
    if not files:
        return section
    auth = structs.replace(section.client_auth, ca_files=tuple(contents.of(each) for each in files))
    return structs.replace(section, client_auth=auth)


FILLED: Mapping[str, Callable[[Any, Contents], Any]] = {
    "http.serversTransports": _transport,
    "tcp.serversTransports": _tcp_transport,
    "tls.certificates": _certificate,
    "tls.stores": _store,
    "tls.options": _options,
}
"""How the objects of a kind are filled; the others name no files."""
