"""Certificates as Traefik's API shows them: those that clients may get, with what they say of themselves."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from . import x509
from .build.runtime import CERTIFICATES, STORES, Record, Runtime
from .config.tls import CertificatePair

SOON = timedelta(days=30)
"""A certificate that ends within this is a warning."""

_COUNTRY, _ORGANIZATION = "2.5.4.6", "2.5.4.10"


class Shown(NamedTuple):
    """One certificate."""

    fingerprint: str
    """SHA-256 of the whole, in hexadecimal digits: its name in the paths of the API."""

    status: str
    """`enabled`, `warning` (it ends soon) or `expired`."""

    body: dict[str, Any]


def certificates_of(runtime: Runtime, now: datetime | None = None) -> list[Shown]:
    """Return what can be read of all certificates, each once; broken ones stand in the log."""
    found = {each.fingerprint: each for each in _found(runtime, now or datetime.now(UTC))}
    return sorted(found.values(), key=lambda each: (each.body["name"], each.fingerprint))


def _found(runtime: Runtime, now: datetime) -> Iterator[Shown]:
    for record in runtime.records(CERTIFICATES):
        yield from _shown(record, record.configured and record.configured.pair, now)
    for record in runtime.records(STORES):
        yield from _shown(record, record.configured and record.configured.default_certificate, now)


def _shown(record: Record, pair: CertificatePair | None, now: datetime) -> Iterator[Shown]:
    if pair is None or record.status == "disabled":
        return
    try:
        text = pair.cert_file
        pem = text.encode() if "-----BEGIN " in text else Path(text).read_bytes()
        der = x509.certificates_in(pem)[0]
        facts = x509.read(der)
    except (OSError, ValueError, IndexError):
        return
    status = "expired" if facts.not_after < now else "warning" if facts.not_after < now + SOON else "enabled"
    fingerprint = hashlib.sha256(der).hexdigest()
    yield Shown(fingerprint, status, _body(facts, fingerprint, status))


def _body(facts: x509.Certificate, fingerprint: str, status: str) -> dict[str, Any]:
    subject, issuer = dict(reversed(facts.subject)), dict(reversed(facts.issuer))
    body = {
        "name": fingerprint,
        "sans": [*facts.dns, *facts.addresses],
        "notAfter": facts.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "notBefore": facts.not_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "serialNumber": f"{facts.serial:x}",
        "commonName": facts.common_name,
        "issuerOrg": issuer.get(_ORGANIZATION, ""),
        "issuerCN": issuer.get(x509.COMMON_NAME, ""),
        "issuerCountry": issuer.get(_COUNTRY, ""),
        "organization": subject.get(_ORGANIZATION, ""),
        "country": subject.get(_COUNTRY, ""),
        "version": f"v{facts.version}",
        "keyType": facts.key_type,
        "keySize": facts.key_size,
        "signatureAlgorithm": facts.signature,
        "certFingerprint": fingerprint,
        "publicKeyFingerprint": facts.key_digest.hex(),
        "status": status,
    }
    return {name: value for name, value in body.items() if value}
