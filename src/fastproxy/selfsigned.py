"""The certificate for clients whom no other one fits: self-signed, made when it is first needed, gone with
the process. As Traefik's it says by its name that somebody has forgotten to configure one.
"""

import secrets
from datetime import UTC, datetime, timedelta

from msgspec import structs

from .config.dynamic import Configuration
from .config.internal import PROVIDER
from .config.static import StaticConfiguration
from .config.tls import DEFAULT, CertificatePair, Store

NAME = f"generated@{PROVIDER}"
"""The store in which it lies."""

COMMON_NAME = "FASTPROXY DEFAULT CERT"


class Fallback:
    """Adds the certificate to configurations that may need it."""

    def __init__(self, static: StaticConfiguration) -> None:
        self._always = any(point.http.tls is not None for point in static.entry_points.values())
        self._store: Store | None = None

    def added(self, configuration: Configuration) -> Configuration:
        """Return the configuration with the certificate, if there is TLS and no default certificate."""
        stores = configuration.tls.stores
        default = stores.get(DEFAULT)
        if default is not None and default.default_certificate is not None:
            return configuration
        if not self._always and not _has_tls(configuration):
            return configuration
        if self._store is None:
            self._store = Store(default_certificate=make())
        tls = structs.replace(configuration.tls, stores={**stores, NAME: self._store})
        made: Configuration = structs.replace(configuration, tls=tls)
        return made


def _has_tls(configuration: Configuration) -> bool:
    """Tell whether some router takes connections of TLS. Whom none takes ends here, with a 404."""
    streams = configuration.tcp.routers.values()
    return any(router.tls is not None for router in configuration.http.routers.values()) or any(
        router.tls is not None for router in streams
    )


def make() -> CertificatePair:
    """Make a key and a certificate of it, for a year and a name that nobody asks for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, COMMON_NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(f"{secrets.token_hex(16)}.fastproxy.default")]), False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return CertificatePair(made.public_bytes(Encoding.PEM).decode(), secret.decode())
