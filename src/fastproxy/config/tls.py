"""The `tls` part of a dynamic document: certificates, stores and options; and the `tls` section of a router.

Source of names, types and defaults: TLS of Traefik v3. The list of certificates becomes a mapping, as all is
that a document declares: each certificate goes by the name of its file.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from msgspec import field

from .findings import nearest
from .schema import Mistake, Reads, Section

DEFAULT = "default"
"""The options of routers that name none, and the store that serves. The name gets no provider."""

TLSVersion = Literal["", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"]

LEAST: TLSVersion = "VersionTLS12"
MOST: TLSVersion = "VersionTLS13"
"""The versions where an option says nothing, as in Go."""

CIPHER_SUITES = {
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA": "DES-CBC3-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA": "ECDHE-RSA-DES-CBC3-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""The names of Go's crypto/tls, and OpenSSL's for the same suite. RC4 is left out: OpenSSL 3 has none."""

CIPHER_SUITES_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Those of TLS 1.3 cannot be chosen, as in Go: all of them are offered."""

HTTP = "http/1.1"
"""What is spoken with clients, as ALPN calls it."""

CURVES = {
    "CurveP256": "P-256",
    "CurveP384": "P-384",
    "CurveP521": "P-521",
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "X25519": "X25519",
    "X25519MLKEM768": "X25519MLKEM768",
    "SecP256r1MLKEM768": "SecP256r1MLKEM768",
    "SecP384r1MLKEM1024": "SecP384r1MLKEM1024",
}
"""The names that Traefik takes, also in small letters, and OpenSSL's for the same group."""

_CURVES = {name.lower(): group for name, group in CURVES.items()}


def cipher_suite(text: str) -> str:
    """Check the name of a cipher suite, as Go spells it."""
    if text not in CIPHER_SUITES and text not in CIPHER_SUITES_13:
        known = [*CIPHER_SUITES, *CIPHER_SUITES_13]
        meant = _by_openssl(text, CIPHER_SUITES) or nearest(text, known)
        if "_RC4_" in text:
            advice = "OpenSSL has no RC4"
        else:
            advice = f"did you mean {meant}?" if meant else f"write one such as {CIPHER_SUITES_13[0]}"
        raise ValueError(f'"{text}" is not a cipher suite that is supported; {advice}')
    return text


def curve(text: str) -> str:
    """Check the name of a curve, and return that of OpenSSL."""
    if text.lower() not in _CURVES:
        meant = _by_openssl(text, CURVES) or nearest(text, CURVES)
        advice = f"did you mean {meant}?" if meant else f"there are {', '.join(CURVES)}"
        raise ValueError(f'"{text}" is not the name of a curve; {advice}')
    return _CURVES[text.lower()]


def _by_openssl(text: str, names: Mapping[str, str]) -> str:
    """Return what somebody means who writes OpenSSL's name, or ''."""
    return next((ours for ours, theirs in names.items() if theirs.lower() == text.lower()), "")


def fault_of_protocols(offered: Collection[str]) -> str:
    """Say why HTTP cannot be served with an `alpnProtocols`; '' if it can."""
    if not offered or HTTP in offered:
        return ""
    return f"alpnProtocols has no {HTTP}, and nothing else is spoken yet"


# --- in a router, in an entry point ----------------------------------------------------------------


class Domain(Section, frozen=True):
    """`tls.domains[]`: names to ask a certificate for. Nobody asks without a certResolver."""

    main: str = ""
    sans: tuple[str, ...] = ()


class RouterTLS(Section, frozen=True):
    """`tls` of a router: it serves TLS connections, and no others. `{}` means this too."""

    MAY_BE_EMPTY = True
    NOT_YET = "certResolver"
    HIDDEN = "conflicting"

    options: str = ""
    """Name of `tls.options`. Empty: `default`, which `merge` fills in."""

    domains: tuple[Domain, ...] = ()

    conflicting: bool = False
    """Said by `conflicts`, not by documents: the options are not those that the router asked for."""


# --- certificates, stores --------------------------------------------------------------------------


class CertificatePair(Section, frozen=True):
    """A certificate, with those that lead to its authority behind it, and its key. Files or PEM texts."""

    cert_file: str = ""
    key_file: str = ""


class Certificate(Section, frozen=True):
    """`tls.certificates[]`: a certificate for clients that ask for one of its names."""

    cert_file: str = ""
    key_file: str = ""

    stores: tuple[str, ...] = ()
    """There is one store that serves, `default`, and every certificate is in it."""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.cert_file:
            yield "certFile", "missing; a certificate is a file or a PEM text"
        if not self.key_file:
            yield "keyFile", "missing; a certificate needs its key, a file or a PEM text"

    @property
    def pair(self) -> CertificatePair:
        return CertificatePair(self.cert_file, self.key_file)


def name_of(cert_file: str) -> str:
    """Return the name of a certificate: its file, or for a PEM text a digest of it."""
    if "\n" not in cert_file:
        return cert_file
    return f"inline-{hashlib.sha256(cert_file.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


class Store(Section, frozen=True):
    """`tls.stores.<name>`: what clients get that ask for no name, or for one that no certificate has."""

    NOT_YET = "defaultGeneratedCert"

    default_certificate: CertificatePair | None = None

    def mistakes(self) -> Iterator[Mistake]:
        pair = self.default_certificate
        if pair is not None and not (pair.cert_file and pair.key_file):
            yield "defaultCertificate", "needs certFile and keyFile"


# --- options ---------------------------------------------------------------------------------------

AuthType = Literal[
    "",
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
]


class ClientAuth(Section, frozen=True):
    """`clientAuth`: whether clients show a certificate, and who must have signed it."""

    ca_files: tuple[str, ...] = ()
    """Files or PEM texts: the authorities."""

    client_auth_type: AuthType = ""
    """Empty: RequireAndVerifyClientCert with caFiles, else NoClientCert."""

    @property
    def mode(self) -> AuthType:
        """What holds."""
        return self.client_auth_type or ("RequireAndVerifyClientCert" if self.ca_files else "NoClientCert")

    def mistakes(self) -> Iterator[Mistake]:
        if "Verify" in self.mode and not self.ca_files:
            yield "clientAuthType", f"{self.client_auth_type} needs caFiles"


class Options(Section, frozen=True):
    """`tls.options.<name>`: the terms on which TLS connections of routers are accepted."""

    MAY_BE_EMPTY = True
    WITHOUT_EFFECT = "preferServerCipherSuites"

    min_version: TLSVersion = LEAST
    max_version: TLSVersion = MOST

    cipher_suites: tuple[Annotated[str, Reads(cipher_suite)], ...] = ()
    """In the names of Go; for TLS 1.2 and older. Empty: ECDHE with AES-GCM, ChaCha20 and AES-CBC."""

    curve_preferences: tuple[Annotated[str, Reads(curve)], ...] = ()
    """OpenSSL's names. Empty: those that OpenSSL has by default."""

    client_auth: ClientAuth = ClientAuth()

    sni_strict: bool = False
    """Refuse clients that ask for a name that no certificate has."""

    alpn_protocols: tuple[str, ...] = field(default=("h2", "http/1.1", "acme-tls/1"), name="alpnProtocols")
    """What is offered, as far as it is spoken. Empty: nothing is agreed on, and no client refused for it."""

    disable_session_tickets: bool = False

    def mistakes(self) -> Iterator[Mistake]:
        if (self.min_version or LEAST) > (self.max_version or MOST):
            yield "minVersion", f"{self.min_version or LEAST} is above maxVersion, {self.max_version or MOST}"
        is_new = self.cipher_suites and all(each in CIPHER_SUITES_13 for each in self.cipher_suites)
        if is_new and (self.max_version or MOST) != MOST:
            yield "cipherSuites", f"all of them are of TLS 1.3, and maxVersion is {self.max_version}"


class TLSConfiguration(Section, frozen=True):
    """`tls`: the objects of a document by name."""

    certificates: dict[str, Certificate] = {}
    stores: dict[str, Store] = {}
    options: dict[str, Options] = {}
