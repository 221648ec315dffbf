"""TLS contexts, certificates, keys and versions on their way into one, and why one cannot be used."""

import os
import re
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._core import openssl
from ..config.tls import CIPHER_SUITES
from .runtime import Broken

_PLACE = re.compile(r" \(_ssl\.c:\d+\)$")
"""Where in the source of Python something was raised, which helps nobody."""

VERSIONS = {
    "VersionTLS10": ssl.TLSVersion.TLSv1,
    "VersionTLS11": ssl.TLSVersion.TLSv1_1,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}


def content_of(text: str, option: str) -> bytes:
    """Return the content of a file, or the text if there is no such file and it is PEM. Raises Broken."""
    try:
        if os.path.exists(text):
            return Path(text).read_bytes()
    except (OSError, ValueError) as error:
        raise Broken(f"{option}: cannot read {_shown(text)}: {reason_of(error)}") from None
    if "-----BEGIN " not in text:
        raise Broken(f"{option}: {_shown(text)} is neither a file nor a PEM text")
    return text.encode()


def _shown(text: str) -> str:
    line = text.partition("\n")[0]
    return f'"{line[:60]}..."' if len(line) > 60 or line != text else f'"{line}"'


def reason_of(error: Exception) -> str:
    """Return why something failed, in a few words."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    reason = getattr(error, "strerror", None) or str(error)
    return _PLACE.sub("", str(reason).partition("\n")[0]).lower().removesuffix(".")


def new_context(protocol: int) -> ssl.SSLContext:
    """Make a context with which the core can speak TLS. Raises Broken where it cannot reach OpenSSL.

    It is made with no more than its protocol: what Python adds for convenience, such as SSLKEYLOGFILE, calls
    back into Python and takes every connection for one of its own.
    """
    if not openssl.is_reachable():
        raise Broken(
            f"TLS cannot be spoken here: {ssl.OPENSSL_VERSION} lies hidden in this Python; "
            "one that is linked with the system's libssl is needed"
        )
    context = ssl.SSLContext(protocol)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def set_versions(context: ssl.SSLContext, least: str, most: str) -> bool:
    """Bound the versions that a context speaks; return whether one of them is older than TLS 1.2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # who writes an old version knows that it is old
        context.minimum_version = min(VERSIONS[least], VERSIONS[most])
        context.maximum_version = VERSIONS[most]
    return context.minimum_version < ssl.TLSVersion.TLSv1_2


def set_ciphers(
    context: ssl.SSLContext, ciphers: tuple[str, ...], is_old: bool, *, needs_all: bool = True
) -> None:
    """Choose the suites of TLS 1.2 and older, in OpenSSL's names. Raises Broken.

    needs_all: OpenSSL has to have each of them; else one is enough.

    What is older than TLS 1.2 signs with SHA-1, which OpenSSL does on its lowest level only. Whoever writes
    that version, or a suite that is weak, has asked for it.
    """
    try:
        context.set_ciphers(":".join(ciphers or ("DEFAULT",)) + (":@SECLEVEL=0" if is_old else ""))
        known = {each["name"] for each in context.get_ciphers()}
    except ssl.SSLError:
        known = set()
    missing = [name for name in ciphers if name not in known]
    if missing and (needs_all or len(missing) == len(ciphers)):
        raise Broken(f"cipherSuites: OpenSSL here has no {', '.join(map(_written, missing))}")


def _written(suite: str) -> str:
    """Return the name of a suite as documents have it."""
    return next((ours for ours, theirs in CIPHER_SUITES.items() if theirs == suite), suite)


def add_authorities(context: ssl.SSLContext, roots: tuple[bytes, ...], option: str) -> None:
    """Believe who is signed by one of these. Raises Broken."""
    for at, root in enumerate(roots):
        try:
            context.load_verify_locations(cadata=root.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as error:  # ValueError: it is empty
            raise Broken(f"{option}[{at}]: no certificate can be read: {reason_of(error)}") from None


def load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give a context its certificate and key, PEM both. Raises Broken if they do not go together."""
    try:
        with _as_file(certificate) as first, _as_file(key) as second:
            context.load_cert_chain(first, second, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise Broken(f"certificate and key cannot be used: {reason_of(error)}") from None


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
