"""Certificates that a transport names by file become their content, when the configuration is read.

So a worker needs no file, and a file that was renewed is noticed with the next reading.
"""

from pathlib import Path
from typing import TypeVar

from msgspec import structs

from .http import ServersTransport
from .tcp import TcpServersTLS, TcpServersTransport
from .tls import CertificatePair


def with_contents(transport: ServersTransport) -> ServersTransport:
    """Return the transport with the content of every file that it names; itself, when it names none.

    A text that is no existing file stays: it is PEM already, or whoever uses it tells that it is not.
    """
    return _filled(transport)


def with_tcp_contents(transport: TcpServersTransport) -> TcpServersTransport:
    """Return a TCP transport likewise."""
    return structs.replace(transport, tls=_filled(transport.tls)) if transport.tls is not None else transport


Files = TypeVar("Files", ServersTransport, TcpServersTLS)


def _filled(section: Files) -> Files:
    return structs.replace(
        section,
        root_cas=tuple(content_of(each) for each in section.root_cas),
        certificates=tuple(
            CertificatePair(content_of(each.cert_file), content_of(each.key_file))
            for each in section.certificates
        ),
    )


def content_of(text: str) -> str:
    """Return the content of a file if `text` is the path of one that can be read, else `text`."""
    if "\n" in text or not text:
        return text
    try:
        return Path(text).read_text()
    except (OSError, ValueError):
        return text
