"""Every name has terms of its own on one port, and every client gets those of the name that it asks for.

Whoever chose the context while TLS begins, in a callback for the server name, would keep the rules about
versions and client certificates of the first one; whoever took the context of another name would be as wrong.
What must come of a client is said by `wanted`, in plain words, and is asked again after names have changed
their terms.
"""

import random
import ssl
from itertools import product
from typing import NamedTuple

import pytest
import trustme

from tests.tls.test_https import document, pair

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
STRONG = ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
MODES = (
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
)
OTHERS = trustme.CA()


class Terms(NamedTuple):
    auth: str
    least: ssl.TLSVersion
    is_strict: bool
    protocols: tuple[str, ...]
    ciphers: tuple[str, ...]

    def options(self, authority):
        auth = {"clientAuthType": self.auth}
        if "Verify" in self.auth:
            auth["caFiles"] = [authority.cert_pem.bytes().decode()]
        return {
            "clientAuth": auth,
            "minVersion": "VersionTLS13" if self.least == V13 else "VersionTLS12",
            "sniStrict": self.is_strict,
            **({"alpnProtocols": list(self.protocols)} if self.protocols else {}),
            **({"cipherSuites": list(self.ciphers)} if self.ciphers else {}),
        }


class Asking(NamedTuple):
    version: ssl.TLSVersion
    shows: str
    """A certificate of whom: of the `authority`, of `others`, or none."""

    offers: tuple[str, ...]
    cipher: str
    """The only one, of TLS 1.2."""


ALL_TERMS = [
    Terms(*each)
    for each in product(MODES, (V12, V13), (False, True), ((), ("http/1.1", "x")), ((), STRONG))
    if not (each[1] is V13 and each[4])  # there is nothing to choose in TLS 1.3
]
ALL_ASKING = [
    Asking(*each)
    for each in product(
        (V12, V13),
        ("", "authority", "others"),
        ((), ("http/1.1",), ("x",), ("unknown",)),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    )
    if not (each[0] is V13 and "128" in each[3])
]


def wanted(terms: Terms, has_certificate: bool, asking: Asking) -> bool:
    """Say whether a client is served that asks for a name with these terms."""
    if asking.version < terms.least or (terms.is_strict and not has_certificate):
        return False
    if asking.version is V12 and terms.ciphers and "AES128" in asking.cipher:
        return False
    if asking.offers and "http/1.1" not in asking.offers:
        return False  # nothing else is spoken, whatever else is offered
    if not asking.shows:
        return not terms.auth.startswith("Require")
    return asking.shows == "authority" or "Verify" not in terms.auth


def drawn(seed: int) -> dict[str, Terms]:
    """Return names and their terms; every second has a certificate."""
    terms = list(ALL_TERMS)
    random.Random(seed).shuffle(terms)
    return {f"n{at}.{'example' if at % 2 else 'nowhere'}": each for at, each in enumerate(terms)}


async def served(house, name, asking, certificates):
    """Ask; return whether that was answered, after a look at what was agreed on."""
    context = house.context(minimum_version=asking.version, maximum_version=asking.version)
    context.set_ciphers(asking.cipher)
    try:
        told = await house.get(
            name,
            alpn=asking.offers,
            context=context,
            insecure=name.endswith("nowhere"),
            certificate=certificates.get(asking.shows),
        )
    except (ssl.SSLError, ConnectionError):
        return False
    assert told.status == 200
    assert told.version == ("TLSv1.2" if asking.version is V12 else "TLSv1.3")
    assert told.protocol == ("http/1.1" if asking.offers else None)
    return True


@pytest.mark.parametrize("default", [ALL_TERMS[0], ALL_TERMS[-1]], ids=["lax", "strict"])
async def test_every_name_has_its_terms(house, issue, authority, default):
    def filled(url, named):
        routers = {
            name: {"rule": f"Host(`{name}`)", "tls": {"options": f"o{at}"}}
            for at, name in enumerate(sorted(named))
        }
        options = {f"o{at}": named[name].options(authority) for at, name in enumerate(sorted(named))}
        options["default"] = default.options(authority)
        return document(url, routers, {"options": options, "certificates": [pair(issue("*.example"))]})

    named = drawn(1)
    here = await house(lambda url: filled(url, named))
    certificates = {
        "authority": authority.issue_cert("client.example"),
        "others": OTHERS.issue_cert("client.example"),
    }
    dice = random.Random(str(default))
    for seed in (1, 2):
        named = drawn(seed)
        await here.proxy.apply(filled(here.backend.url, named))
        served_ones = 0
        for name, terms in named.items():
            for asking in dice.sample(ALL_ASKING, 3):
                found = await served(here, name, asking, certificates)
                assert found is wanted(terms, name.endswith("example"), asking), (name, terms, asking)
                served_ones += found
        assert 20 < served_ones < 100  # neither everybody nor nobody
