"""`serversTransports`: how servers are reached, from the options of a document to limits and TLS contexts.

Where Traefik falls back to default TLS settings when those of a transport are invalid, the transport is
disabled here, and with it the services that reach a server by https: nobody is verified less than the
document says.
"""

import os
import ssl
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..config.dynamic import ServersTransport
from ..config.static import ForwardingTimeouts
from ..config.tcp import TcpServersTLS
from ..config.tls import CIPHER_SUITES, CIPHER_SUITES_13, LEAST, MOST, CertificatePair
from ..config.values import SECOND
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
    roots = tuple(_content(text, f"rootCAs[{at}]") for at, text in enumerate(configured.root_cas))
    tls = TLS(insecure=configured.insecure_skip_verify, roots=roots)
    certificate, key = _own_certificate(configured.certificates)
    tls = tls._replace(
        certificate=certificate,
        key=key,
        ciphers=_cipher_names(configured.cipher_suites),
        least=configured.min_version,
        most=configured.max_version,
    )
    _check_versions(tls)
    return tls


def stream_tls_of(configured: TcpServersTLS) -> TLS:
    """Read the TLS options of a TCP transport, and the files that they name. Raises Broken."""
    roots = tuple(_content(text, f"tls.rootCAs[{at}]") for at, text in enumerate(configured.root_cas))
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


# --- files and PEM texts ----------------------------------------------------------------------------


def _content(text: str, option: str) -> bytes:
    """Return the content of a file, or the text itself if there is no such file and it is PEM."""
    try:
        if os.path.exists(text):
            return Path(text).read_bytes()
    except (OSError, ValueError) as error:
        raise Broken(f"{option}: cannot read {_shown(text)}: {_reason(error)}") from None
    if "-----BEGIN " not in text:
        raise Broken(f"{option}: {_shown(text)} is neither a file nor a PEM text")
    return text.encode()


def _own_certificate(pairs: tuple[CertificatePair, ...]) -> tuple[bytes, bytes]:
    if not pairs:
        return b"", b""
    if len(pairs) > 1:
        raise Broken(f"certificates: {len(pairs)} pairs; more than one is not supported yet")
    return (
        _content(pairs[0].cert_file, "certificates[0].certFile"),
        _content(pairs[0].key_file, "certificates[0].keyFile"),
    )


def _shown(text: str) -> str:
    line = text.partition("\n")[0]
    return f'"{line[:60]}..."' if len(line) > 60 or line != text else f'"{line}"'


def _reason(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return str(reason).partition("\n")[0].lower().removesuffix(".")


# --- versions and ciphers ---------------------------------------------------------------------------

_VERSIONS = {
    "VersionTLS10": ssl.TLSVersion.TLSv1,
    "VersionTLS11": ssl.TLSVersion.TLSv1_1,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}


def _check_versions(tls: TLS) -> None:
    least, most = tls.least or LEAST, tls.most or MOST
    if _VERSIONS[least] > _VERSIONS[most] and tls.least:
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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.alpn:
        context.set_alpn_protocols(list(tls.alpn))
    _set_versions(context, tls)
    _set_ciphers(context, tls)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _set_roots(context, tls)
    if tls.certificate:
        _set_certificate(context, tls)
    return context


def _set_versions(context: ssl.SSLContext, tls: TLS) -> None:
    most = _VERSIONS[tls.most or MOST]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # who writes an old version knows that it is old
        context.minimum_version = min(_VERSIONS[tls.least or LEAST], most)
        context.maximum_version = most


def _set_ciphers(context: ssl.SSLContext, tls: TLS) -> None:
    # What is older than TLS 1.2 signs with SHA-1, which OpenSSL does on its lowest level only. Whoever writes
    # that version, or a suite that is weak, has asked for it.
    is_old = context.minimum_version < ssl.TLSVersion.TLSv1_2
    if not tls.ciphers and not is_old:
        return
    try:
        context.set_ciphers(":".join(tls.ciphers or ("DEFAULT",)) + (":@SECLEVEL=0" if is_old else ""))
    except ssl.SSLError:
        raise Broken(f"cipherSuites: OpenSSL here has none of {', '.join(tls.ciphers)}") from None


def _set_roots(context: ssl.SSLContext, tls: TLS) -> None:
    if not tls.roots and not tls.insecure:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    for at, root in enumerate(tls.roots):
        try:
            context.load_verify_locations(cadata=root.decode("ascii", "ignore"))
        except ssl.SSLError as error:
            raise Broken(f"rootCAs[{at}]: no certificate can be read: {_reason(error)}") from None


def _set_certificate(context: ssl.SSLContext, tls: TLS) -> None:
    try:
        with _as_file(tls.certificate) as certificate, _as_file(tls.key) as key:
            context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise Broken(f"certificates[0]: certificate and key cannot be used: {_reason(error)}") from None


def _no_password() -> str:
    # Without this OpenSSL asks on the terminal.
    raise ValueError("the key is encrypted")


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give a path under which OpenSSL reads `content`. It is in memory: a key reaches no disk."""
    descriptor = os.memfd_create("fastproxy-pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
