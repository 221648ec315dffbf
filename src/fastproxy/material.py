"""What certificates, keys, authorities and options of TLS are worth, before anybody serves with them.

Asked of the code that loads them later.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import structs

from . import x509
from .build.certificates import terms_of
from .build.pem import add_authorities, content_of, load_pair
from .build.runtime import Broken
from .build.transports import make_context, stream_tls_of, tls_of
from .config.dynamic import ServersTransport
from .config.tcp import TcpServersTLS
from .config.tls import ClientAuth, Options, cipher_suite

_OPTION = re.compile(r"[\w.\[\]]+")


class Fault(NamedTuple):
    """Something wrong."""

    option: str
    """In which option: `certFile`, `rootCAs[1]`; '': in what was looked at itself."""

    message: str
    is_warning: bool = False


def faults_of_pair(cert_file: str, key_file: str) -> Iterator[Fault]:
    """Look at a certificate and its key: files or PEM texts."""
    try:
        chain = content_of(cert_file, "certFile")
        facts = _facts(chain)
        yield from _expired(facts)
    except Broken as broken:
        yield _fault(broken)
        chain = b""
    try:
        key = content_of(key_file, "keyFile")
    except Broken as broken:
        yield _fault(broken)
        return
    if chain:
        try:
            load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), chain, key)
        except Broken as broken:
            yield Fault("keyFile", str(broken))


def names_of(cert_file: str) -> tuple[str, ...]:
    """Return the names that a certificate is for; () if it cannot be read."""
    try:
        return _facts(content_of(cert_file, "certFile")).names
    except Broken:
        return ()


def _facts(chain: bytes) -> x509.Certificate:
    try:
        first, *_ = x509.certificates_in(chain) or [b""]
        return x509.read(first)
    except ValueError as error:
        raise Broken(f"certFile: {error}") from None


def _expired(facts: x509.Certificate) -> Iterator[Fault]:
    now = datetime.now(UTC)
    if facts.not_after < now:
        yield Fault("certFile", f"the certificate has expired on {facts.not_after:%Y-%m-%d}", True)
    if facts.not_before > now:
        yield Fault("certFile", f"the certificate is not valid before {facts.not_before:%Y-%m-%d}", True)


def faults_of_authority(text: str) -> Iterator[Fault]:
    """Look at a certificate, or several, of an authority."""
    try:
        content = content_of(text, "authority")
        add_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), (content,), "authority")
    except Broken as broken:
        yield Fault("", _fault(broken).message)


def faults_of_options(name: str, options: Options) -> Iterator[Fault]:
    """Look at what the OpenSSL here can do of `tls.options`, without the files."""
    rest = structs.replace(options, client_auth=ClientAuth())
    for part in (structs.replace(rest, curve_preferences=()), structs.replace(rest, cipher_suites=())):
        yield from _faults_in(lambda part=part: terms_of(name, part))  # type: ignore[misc]


def faults_of_transport(transport: ServersTransport | TcpServersTLS) -> Iterator[Fault]:
    """Look at the TLS options of a transport, without the files."""
    if len(transport.certificates) > 1:
        yield from _faults_in(lambda: stream_tls_of(TcpServersTLS(certificates=transport.certificates)))
    if isinstance(transport, TcpServersTLS):
        return
    known = []
    for at, suite in enumerate(transport.cipher_suites):
        try:
            known.append(cipher_suite(suite))
        except ValueError as error:
            yield Fault(f"cipherSuites[{at}]", str(error))
    # The system's authorities are not looked at: to read them takes a while.
    rest = structs.replace(
        transport, root_cas=(), certificates=(), cipher_suites=tuple(known), insecure_skip_verify=True
    )
    yield from _faults_in(lambda: make_context(tls_of(rest)))


def _faults_in(make: Callable[[], object]) -> Iterator[Fault]:
    try:
        make()
    except Broken as broken:
        yield _fault(broken)


def _fault(broken: Broken) -> Fault:
    """Return what was raised, which tells the option first, if it is one: `certFile: cannot read ...`."""
    option, _, message = str(broken).partition(": ")
    return Fault(option, message) if _OPTION.fullmatch(option) else Fault("", str(broken))
