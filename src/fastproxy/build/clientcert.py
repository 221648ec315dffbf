"""`passTLSClientCert`: the certificate of a client as fields for servers.

Source: the middleware of that name of Traefik v3.
"""

import base64
from collections.abc import Iterator
from urllib.parse import quote_plus

from .. import x509
from ..config.middlewares import ClientCertInfo, IssuerFields, PassTLSClientCert

PEM, INFO = b"X-Forwarded-Tls-Client-Cert", b"X-Forwarded-Tls-Client-Cert-Info"

_ATTRIBUTES = (
    ("domain_component", "DC", "0.9.2342.19200300.100.1.25"),
    ("country", "C", "2.5.4.6"),
    ("province", "ST", "2.5.4.8"),
    ("locality", "L", "2.5.4.7"),
    ("organization", "O", "2.5.4.10"),
    ("organizational_unit", "OU", "2.5.4.11"),
    ("serial_number", "SN", "2.5.4.5"),
    ("common_name", "CN", x509.COMMON_NAME),
)
"""Option, letters and identifier of each attribute of a name, in the order in which they are told."""


class ClientCert:
    """Writes the fields of one middleware."""

    def __init__(self, settings: PassTLSClientCert) -> None:
        self._settings = settings

    def __call__(self, chain: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the fields for a chain of certificates (DER, the client's own first)."""
        if self._settings.pem:
            yield PEM, b",".join(base64.b64encode(each) for each in chain)
        info = self._settings.info
        if info is not None:
            yield INFO, quote_plus(",".join(_told(x509.read(each), info) for each in chain)).encode()


def _told(facts: x509.Certificate, info: ClientCertInfo) -> str:
    """Tell of one certificate what is wanted."""
    parts = [
        f'{label}="{text}"'
        for label, text in (
            ("Subject", _name(facts.subject, info.subject)),
            ("Issuer", _name(facts.issuer, info.issuer)),
            ("SerialNumber", str(facts.serial) if info.serial_number else ""),
            ("NB", str(int(facts.not_before.timestamp())) if info.not_before else ""),
            ("NA", str(int(facts.not_after.timestamp())) if info.not_after else ""),
            (
                "SAN",
                ",".join((*facts.dns, *facts.emails, *facts.addresses, *facts.uris)) if info.sans else "",
            ),
        )
        if text
    ]
    return ";".join(parts)


def _name(attributes: tuple[tuple[str, str], ...], wanted: IssuerFields | None) -> str:
    return ",".join(
        f"{letters}={text}"
        for option, letters, oid in _ATTRIBUTES
        if wanted is not None and getattr(wanted, option, False)
        for known, text in attributes
        if known == oid
    )
