"""`serversTransports`: how servers are reached, from the options of a document to limits and TLS contexts.

Where Traefik falls back to default TLS settings when those of a transport are invalid, the transport is
disabled here, and with it the services that reach a server by https: nobody is verified less than the
document says.
"""

import ssl
from collections.abc import MutableMapping
from typing import NamedTuple

from ..config.dynamic import ServersTransport
from ..config.static import ForwardingTimeouts
from ..config.tcp import TcpServersTLS
from ..config.tls import CIPHER_SUITES, CIPHER_SUITES_13, LEAST, MOST, CertificatePair
from ..config.values import SECOND
from .pem import VERSIONS, add_authorities, content_of, load_pair, new_context, set_ciphers, set_versions
from .runtime import Broken
from .work import Work


class Limits(NamedTuple):
    """What a pool of connections is made with besides its address. Equal limits make equal pools."""

    max_idle: int
    idle_timeout: float
    dial_timeout: float
    header_timeout: float


class TLS(NamedTuple):
    """What a TLS context is made of; files are read already, so that equal values make equal contexts."""

    insecure: bool = False
    roots: tuple[bytes, ...] = ()
    certificate: bytes = b""
    key: bytes = b""
    ciphers: tuple[str, ...] = ()
    least: str = ""
    most: str = ""
    alpn: tuple[str, ...] = ("http/1.1",)


class Transport(NamedTuple):
    """A transport as services use it."""

    limits: Limits
    tls: TLS
    server_name: str

    context: ssl.SSLContext | None
    """None: made by the first service that needs it, or not at all because of `fault`."""

    fault: str
    """Why TLS cannot be used; empty when it can."""


Shelf = MutableMapping[TLS, ssl.SSLContext]
"""Contexts that are there already."""


def transport_of(configured: ServersTransport, contexts: Shelf) -> Work[Transport]:
    """Build a transport. A context with settings of its own is made here, so that its faults are known.

    The one with the default settings waits until a server needs it: most documents have none by https, and
    reading the authorities of the system takes as long as building thousands of routers.
    """
    limits = limits_of(configured.max_idle_conns_per_host, configured.forwarding_timeouts)
    name, tls = configured.server_name, TLS()
    reads = bool(configured.root_cas or configured.certificates)
    try:
        tls = (yield lambda: tls_of(configured)) if reads else tls_of(configured)
        context = (yield from context_of(tls, contexts)) if tls != TLS() else None
        return Transport(limits, tls, name, context, "")
    except Broken as fault:
        return Transport(limits, tls, name, None, str(fault))


def context_of(tls: TLS, contexts: Shelf) -> Work[ssl.SSLContext]:
    """Return the context of these settings; it is made if there is none. Raises Broken."""
    context = contexts.get(tls)
    if context is None:
        context = contexts[tls] = yield lambda: make_context(tls)
    return context


def tls_of(configured: ServersTransport) -> TLS:
    """Read the TLS options of a transport, and the files that they name. Raises Broken."""
    roots = tuple(content_of(text, f"rootCAs[{at}]") for at, text in enumerate(configured.root_cas))
    tls = TLS(insecure=configured.insecure_skip_verify, roots=roots)
    certificate, key = _own_certificate(configured.certificates)
    tls = tls._replace(
        certificate=certificate,
        key=key,
        ciphers=_cipher_names(configured.cipher_suites),
        least=configured.min_version,
        most=configured.max_version,
    )
    if configured.cipher_suites and not tls.ciphers:
        # As in Go: who lists suites of TLS 1.3 only speaks nothing older.
        if (tls.most or MOST) != MOST:
            raise Broken(f"cipherSuites: all of them are of TLS 1.3, and maxVersion is {tls.most}")
        tls = tls._replace(least=MOST)
    _check_versions(tls)
    return tls


def stream_tls_of(configured: TcpServersTLS) -> TLS:
    """Read the TLS options of a TCP transport, and the files that they name. Raises Broken."""
    roots = tuple(content_of(text, f"tls.rootCAs[{at}]") for at, text in enumerate(configured.root_cas))
    certificate, key = _own_certificate(configured.certificates)
    insecure = configured.insecure_skip_verify
    return TLS(insecure=insecure, roots=roots, certificate=certificate, key=key, alpn=())


def limits_of(max_idle: int, timeouts: ForwardingTimeouts) -> Limits:
    """Return the limits of a pool. `maxIdleConnsPerHost` 0 means 2, as in Go, and negative none at all."""
    return Limits(
        max_idle=max_idle if max_idle > 0 else 2 if max_idle == 0 else 0,
        idle_timeout=_seconds(timeouts.idle_conn_timeout),
        dial_timeout=_seconds(timeouts.dial_timeout),
        header_timeout=_seconds(timeouts.response_header_timeout),
    )


def _seconds(nanoseconds: int) -> float:
    """0 stays 0, which is no limit; so is what is negative."""
    return max(nanoseconds, 0) / SECOND


# --- options -----------------------------------------------------------------------------------------


def _own_certificate(pairs: tuple[CertificatePair, ...]) -> tuple[bytes, bytes]:
    if not pairs:
        return b"", b""
    if len(pairs) > 1:
        raise Broken(f"certificates: {len(pairs)} pairs; more than one is not supported yet")
    return (
        content_of(pairs[0].cert_file, "certificates[0].certFile"),
        content_of(pairs[0].key_file, "certificates[0].keyFile"),
    )


def _check_versions(tls: TLS) -> None:
    least, most = tls.least or LEAST, tls.most or MOST
    if VERSIONS[least] > VERSIONS[most] and tls.least:
        raise Broken(f"minVersion: {least} is above maxVersion, {most}")


def _cipher_names(suites: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of OpenSSL for the suites of a document."""
    for at, suite in enumerate(suites):
        if suite not in CIPHER_SUITES and suite not in CIPHER_SUITES_13:
            raise Broken(f'cipherSuites[{at}]: "{suite}" is not a cipher suite that is supported')
    return tuple(CIPHER_SUITES[suite] for suite in suites if suite in CIPHER_SUITES)


# --- contexts ---------------------------------------------------------------------------------------


def make_context(tls: TLS) -> ssl.SSLContext:
    """Make the context of connections to servers. Raises Broken. Reads the system's authorities: 20 ms.

    As in Go a certificate in rootCAs is believed whether it signed itself or not, and the common name of a
    certificate is not looked at.
    """
    context = new_context(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.alpn:
        context.set_alpn_protocols(list(tls.alpn))
    is_old = set_versions(context, tls.least or LEAST, tls.most or MOST)
    if tls.ciphers or is_old:
        set_ciphers(context, tls.ciphers, is_old)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _set_roots(context, tls)
    if tls.certificate:
        try:
            load_pair(context, tls.certificate, tls.key)
        except Broken as broken:
            raise Broken(f"certificates[0]: {broken}") from None
    return context


def _set_roots(context: ssl.SSLContext, tls: TLS) -> None:
    if not tls.roots and not tls.insecure:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    add_authorities(context, tls.roots, "rootCAs")
