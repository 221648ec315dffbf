"""Files that a document names for certificates, keys and authorities become their content when it is read.

So a worker needs no file; and whoever reads the document knows which files to look at again: one that was
renewed is a change like any other.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from .http import ServersTransport
from .tcp import TcpServersTLS, TcpServersTransport
from .tls import Certificate, CertificatePair, Options, Store

Mark = tuple[int, int, int, int]
"""What tells a file from its successor: device, inode, time of change in nanoseconds, size."""


def mark_of(path: str) -> Mark | None:
    """Return the mark of a file; None for one that cannot be looked at."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class Contents:
    """Reads files for one reading of a document, and remembers which."""

    def __init__(self) -> None:
        self.files: dict[str, Mark | None] = {}
        """By absolute path, each looked at before it was read."""

    def of(self, text: str) -> str:
        """Return the content of a file if `text` is the path of one that can be read, else `text`.

        What is no such file is PEM already, or whoever uses it tells that it is not.
        """
        if "\n" in text or not text:
            return text
        self.files.setdefault(os.path.abspath(text), mark_of(text))
        try:
            return Path(text).read_text()
        except (OSError, ValueError):
            return text


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
