"""`tls`: certificates, stores and options become contexts of TLS, chosen by the name that a client asks for.

A context is made for a certificate and a set of options when the first client needs it, and belongs to the
certificate: so it lives on through reloads that change neither. Its ticket keys come of a secret that all
workers share, of the certificate and of the options; so a session may be resumed with any worker, and never
on other terms than those it began under.
"""

import hashlib
import ssl
from collections.abc import Container, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from .. import x509
from .._core import openssl
from .._core.arrival import ServeHTTP
from ..config.tls import CIPHER_SUITES, HTTP, LEAST, MOST, CertificatePair, Options, fault_of_protocols
from .pages import Pages
from .pem import add_authorities, content_of, load_pair, new_context, set_ciphers, set_versions
from .runtime import Broken
from .work import Work

MOST_CONTEXTS = 64
"""Contexts that one certificate has; more are only there when options change again and again."""

DEFAULT_CIPHERS = tuple(
    CIPHER_SUITES[name]
    for name in (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    )
)
"""Go's default list for TLS 1.2."""

_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert")
_OPTIONAL = ("RequestClientCert", "VerifyClientCertIfGiven")


class Settings(NamedTuple):
    """What a context is made of beside its certificate. Equal ones make equal contexts."""

    least: str = LEAST
    most: str = MOST
    ciphers: tuple[str, ...] = DEFAULT_CIPHERS
    groups: tuple[str, ...] = ()
    auth: str = "NoClientCert"
    authorities: tuple[bytes, ...] = ()
    protocols: tuple[str, ...] = (HTTP,)
    has_tickets: bool = True


class Terms(NamedTuple):
    """`tls.options.<name>`, ready for connections."""

    name: str
    settings: Settings
    protocols: frozenset[bytes]
    """What the options offer by ALPN, spoken here or not. Empty: there is no ALPN, and everybody fits."""

    is_strict: bool

    offers: tuple[str, ...] = ()
    """The same in their order: what is offered where TLS ends in front of a TCP service."""

    @property
    def fault(self) -> str:
        """Why HTTP cannot be served on these terms; empty: it can."""
        return fault_of_protocols(self.offers)


def terms_of(name: str, configured: Options) -> Terms:
    """Build options. Raises Broken with what OpenSSL cannot do; nothing is left out in silence."""
    least, most = configured.min_version or LEAST, configured.max_version or MOST
    ciphers = tuple(CIPHER_SUITES[each] for each in configured.cipher_suites if each in CIPHER_SUITES)
    if configured.cipher_suites and not ciphers:
        least = "VersionTLS13"
    auth = configured.client_auth
    settings = Settings(
        least=least,
        most=most,
        ciphers=ciphers or DEFAULT_CIPHERS,
        groups=tuple(dict.fromkeys(configured.curve_preferences)),
        auth=auth.mode,
        authorities=tuple(
            content_of(text, f"clientAuth.caFiles[{at}]") for at, text in enumerate(auth.ca_files)
        ),
        protocols=(HTTP,) if configured.alpn_protocols else (),
        has_tickets=not configured.disable_session_tickets,
    )
    _context(settings)  # what is wrong about it is known now, and not when a client comes
    offered = frozenset(each.encode() for each in configured.alpn_protocols)
    return Terms(name, settings, offered, configured.sni_strict, configured.alpn_protocols)


def _context(settings: Settings) -> ssl.SSLContext:
    """Make a context that lacks its certificate. Raises Broken."""
    context = new_context(ssl.PROTOCOL_TLS_SERVER)
    is_old = set_versions(context, settings.least, settings.most)
    set_ciphers(context, settings.ciphers, is_old, needs_all=settings.ciphers != DEFAULT_CIPHERS)
    if settings.protocols:
        context.set_alpn_protocols(list(settings.protocols))
    context.num_tickets = 1 if settings.has_tickets else 0
    if not settings.has_tickets:
        context.options |= ssl.OP_NO_TICKET
    if settings.groups:
        _set_groups(context, settings.groups)
    _ask_for_certificate(context, settings)
    openssl.keep_no_sessions(context)
    return context


def _set_groups(context: ssl.SSLContext, groups: tuple[str, ...]) -> None:
    try:
        openssl.set_groups(context, ":".join(groups))
    except ValueError as error:
        raise Broken(f"curvePreferences: {error}") from None


def _ask_for_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """Ask clients for a certificate, as `clientAuthType` says."""
    if settings.auth == "NoClientCert":
        return
    context.verify_mode = ssl.CERT_OPTIONAL if settings.auth in _OPTIONAL else ssl.CERT_REQUIRED
    if settings.auth in _UNVERIFIED:
        openssl.take_any_certificate(context)
        return
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as in Go, whoever is listed is believed
    add_authorities(context, settings.authorities, "clientAuth.caFiles")
    openssl.name_authorities(context, context.get_ca_certs(binary_form=True))  # as Go does


class Pair:
    """A certificate and its key, and what was made of them."""

    def __init__(self, chain: bytes, key: bytes, secret: bytes) -> None:
        """chain, key: PEM. secret: of the instance. Raises Broken if they cannot be used."""
        self._chain, self._key, self._secret = chain, key, secret
        try:
            first, *_ = x509.certificates_in(chain) or [b""]
            self.facts = x509.read(first)
        except ValueError as error:
            raise Broken(f"certFile: {error}") from None
        self.names = self.facts.names
        self.label = ",".join(self.names)
        self.rank = 0
        """Its place among all: of two with the same names the first one serves."""

        self._digest = hashlib.sha256(chain).digest()
        self._contexts: dict[Settings, ssl.SSLContext] = {}
        self._handlings: dict[str, tuple[Settings, ServeHTTP]] = {}
        self.context(Settings())

    def context(self, settings: Settings) -> ssl.SSLContext:
        """Return the context on these terms, made if there is none yet. Raises Broken."""
        context = self._contexts.get(settings)
        if context is None:
            if len(self._contexts) >= MOST_CONTEXTS:
                self._contexts.clear()
                self._handlings.clear()
            context = _context(settings)
            load_pair(context, self._chain, self._key)
            self._share_tickets(context, settings)
            self._contexts[settings] = context
        return context

    def made(self, context: ssl.SSLContext) -> bool:
        """Tell whether a context is one of those that show this certificate."""
        return any(each is context for each in self._contexts.values())

    def handling(self, terms: Terms) -> ServeHTTP:
        """Return how a connection is served that has this certificate and these terms."""
        settings, made = self._handlings.get(terms.name, (None, None))
        if made is None or settings is not terms.settings:  # to compare them takes longer than all the rest
            context = self.context(terms.settings)
            if made is None or made.context is not context:
                made = ServeHTTP(context, terms.name)
            if len(self._handlings) >= MOST_CONTEXTS:
                self._handlings.clear()
            self._handlings[terms.name] = terms.settings, made
        return made

    def _share_tickets(self, context: ssl.SSLContext, settings: Settings) -> None:
        if settings.has_tickets:
            seed = b"".join((self._secret, self._digest, repr(settings).encode()))
            keys = hashlib.shake_256(seed).digest(openssl.ticket_key_size(context))
            openssl.set_ticket_keys(context, keys)


class Store(NamedTuple):
    """`tls.stores.<name>`."""

    default: Pair | None


def pair_of(configured: CertificatePair, secret: bytes) -> Pair:
    """Build a certificate. Raises Broken."""
    return Pair(
        content_of(configured.cert_file, "certFile"), content_of(configured.key_file, "keyFile"), secret
    )


BATCH = 64
"""Certificates that are put on the shelf between two turns of the loop."""

Rivals = tuple[tuple[str, Pair], ...]
"""The certificates for one name, each with the name of the object that declares it, the best first."""


class Shelf:
    """The certificates of one generation, found by the name that a client asks for.

    Where several fit, the one whose names, sorted and with commas between them, come last in the alphabet
    counts: so an exact name goes before a wildcard. Source: "Certificates" of Traefik v3.
    """

    def __init__(self, rivals: Pages[Rivals] | None = None, default: Pair | None = None) -> None:
        """Empty unless it comes of `updated`."""
        self.default = default
        self._rivals: Pages[Rivals] = rivals if rivals is not None else Pages()

    def updated(
        self, gone: Mapping[str, Pair], come: Mapping[str, Pair], default: Pair | None
    ) -> Work["Shelf"]:
        """Return the shelf after a change: without these, with those, each by the name of its object."""
        lost: dict[str, set[str]] = {}
        for declared, pair in gone.items():
            for name in pair.names:
                lost.setdefault(name, set()).add(declared)
        gained: dict[str, list[tuple[str, Pair]]] = {}
        for declared, pair in come.items():
            for name in dict.fromkeys(pair.names):
                gained.setdefault(name, []).append((declared, pair))
        yield None
        rivals = self._rivals
        left = iter(dict.fromkeys((*lost, *gained)))
        while names := list(islice(left, BATCH)):
            rivals = rivals.updated(
                {
                    name: _rivals(rivals.get(name) or (), lost.get(name, ()), gained.get(name, ())) or None
                    for name in names
                }
            )
            yield None
        return Shelf(rivals, default)

    def find(self, name: str) -> Pair | None:
        """Return the certificate for a name in small letters, or for an address; None: there is none."""
        exact = self._rivals.get(name)
        below = self._rivals.get(f"*.{name.partition('.')[2]}")
        if exact is None or (below is not None and below[0][1].label > exact[0][1].label):
            exact = below
        return exact[0][1] if exact is not None else None

    def twins(self, names: tuple[str, ...]) -> list[str]:
        """Return who declares certificates with exactly these names, at least one; the first one serves."""
        rivals = self._rivals.get(names[0]) or ()
        return [declared for declared, pair in rivals if pair.names == names]


def _rivals(before: Rivals, gone: Container[str], come: Iterable[tuple[str, Pair]]) -> Rivals:
    left = [*(each for each in before if each[0] not in gone), *come]
    left.sort(key=lambda each: each[1].rank)
    left.sort(key=lambda each: each[1].label, reverse=True)  # those that are equal stay in their order
    return tuple(left)
