"""The terms of TLS by the name that is asked for: each router's own, and in force from the first byte on.

A context that is swapped while TLS begins keeps the client certificate and version rules of the first one; so
most of these fail if terms were chosen any later than before.
"""

import ssl

import pytest
import trustme

from tests.tls.test_https import document, pair

OTHERS = trustme.CA()
VERSIONS = ssl.TLSVersion


@pytest.fixture
def terms(house, issue, authority):
    """Start a proxy with options by name: the router of `x.example` has the options `x`."""

    async def start(_default=None, **options):
        routers = {
            name: {"rule": f"Host(`{name}.example`)", "tls": {"options": name}} for name in options
        } | {"plain": {"rule": "Host(`default.example`)", "tls": {}}}
        made = {name: _filled(each, authority) for name, each in options.items()}
        if _default is not None:
            made["default"] = _filled(_default, authority)
        tls = {"options": made, "certificates": [pair(issue("*.example", "default.example"))]}
        return await house(lambda url: document(url, routers, tls))

    return start


def _filled(options, authority):
    auth = options.get("clientAuth", {})
    files = {"caFiles": [authority.cert_pem.bytes().decode()]} if auth.pop("ca", False) else {}
    return {**options, **({"clientAuth": {**auth, **files}} if "clientAuth" in options else {})}


async def outcome(house, name, **settings):
    """Return the status, or that TLS was refused."""
    try:
        return (await house.get(f"{name}.example", **settings)).status
    except (ssl.SSLError, ConnectionError) as error:
        return getattr(error, "reason", None) or type(error).__name__


# --- client certificates ------------------------------------------------------------------------------------

REFUSED = "refused"
TABLE = {
    # mode: what comes of no certificate, one of the authority, one of somebody else
    "NoClientCert": (200, 200, 200),
    "RequestClientCert": (200, 200, 200),
    "RequireAnyClientCert": (REFUSED, 200, 200),
    "VerifyClientCertIfGiven": (200, 200, REFUSED),
    "RequireAndVerifyClientCert": (REFUSED, 200, REFUSED),
    "": (REFUSED, 200, REFUSED),  # with caFiles
}


@pytest.mark.parametrize("version", [VERSIONS.TLSv1_2, VERSIONS.TLSv1_3], ids=str)
@pytest.mark.parametrize("mode", TABLE)
async def test_client_certificates(terms, authority, mode, version):
    here = await terms(strange={"clientAuth": {"clientAuthType": mode, "ca": "Verify" in mode or not mode}})
    own, foreign = (each.issue_cert("client.example") for each in (authority, OTHERS))
    bounds = {"minimum_version": version, "maximum_version": version}
    for certificate, wanted in zip((None, own, foreign), TABLE[mode], strict=True):
        # the name beside it, which has other terms, is in nobody's way
        assert await outcome(here, "default", certificate=certificate, **bounds) == 200
        found = await outcome(here, "strange", certificate=certificate, **bounds)
        assert (found if found == 200 else REFUSED) == wanted, found


async def test_who_is_refused_is_told_why(terms, authority):
    here = await terms(strict={"clientAuth": {"ca": True}})
    assert await outcome(here, "strict") == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    foreign = OTHERS.issue_cert("client.example")
    assert await outcome(here, "strict", certificate=foreign) == "TLSV1_ALERT_UNKNOWN_CA"


# --- versions, ciphers, curves ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "spoken"),
    [
        ({}, "23"),
        ({"minVersion": "VersionTLS13"}, "3"),
        ({"maxVersion": "VersionTLS12"}, "2"),
        ({"minVersion": "VersionTLS10"}, "0123"),
        ({"minVersion": "VersionTLS11", "maxVersion": "VersionTLS12"}, "12"),
        ({"cipherSuites": ["TLS_AES_128_GCM_SHA256"]}, "3"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_versions(terms, options, spoken):
    here = await terms(some=options)
    for digit, version in zip(
        "0123", (VERSIONS.TLSv1, VERSIONS.TLSv1_1, VERSIONS.TLSv1_2, VERSIONS.TLSv1_3), strict=True
    ):
        context = here.context()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        found = await outcome(here, "some", context=context)
        assert (found == 200) is (digit in spoken), (digit, found)


@pytest.mark.parametrize(
    ("suite", "taken"),
    [("ECDHE-RSA-AES256-GCM-SHA384", True), ("ECDHE-ECDSA-AES256-GCM-SHA384", True), ("ECDHE", False)],
)
async def test_ciphers(terms, suite, taken):
    here = await terms(
        few={
            "cipherSuites": [
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            ]
        }
    )
    names = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384" if taken else f"{suite}:!AES256"
    context = here.context(maximum_version=VERSIONS.TLSv1_2)
    context.set_ciphers(names)
    assert (await outcome(here, "few", context=context) == 200) is taken
    assert await outcome(here, "default", context=context) == 200


async def test_weak_ciphers_are_not_among_the_default(terms):
    here = await terms()
    context = here.context(maximum_version=VERSIONS.TLSv1_2)
    context.set_ciphers("ALL:!ECDHE:@SECLEVEL=0")
    assert await outcome(here, "default", context=context) != 200


@pytest.mark.parametrize(("curve", "taken"), [("secp384r1", True), ("prime256v1", False)])
async def test_curves(terms, curve, taken):
    here = await terms(narrow={"curvePreferences": ["CurveP384"]})
    context = here.context()
    context.set_ecdh_curve(curve)
    assert (await outcome(here, "narrow", context=context) == 200) is taken
    context = here.context()
    context.set_ecdh_curve(curve)
    assert await outcome(here, "default", context=context) == 200


async def test_what_openssl_cannot_do_is_refused_by_name(terms):
    here = await terms(modern={"curvePreferences": ["X25519MLKEM768"]})
    if ssl.OPENSSL_VERSION_INFO >= (3, 5):
        pytest.skip("this OpenSSL can")
    record = here.proxy.runtime.record("tls.options", "modern@file")
    assert "X25519MLKEM768" in record.error[0]
    router = here.proxy.runtime.record("http.routers", "modern@file")
    assert router.status == "disabled"
    assert "curvePreferences" in router.error[0]
    # its name is closed, and never served on weaker terms
    assert await outcome(here, "modern") != 200
    assert await outcome(here, "default") == 200


# --- ALPN ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), None),
        (("http/1.1",), "http/1.1"),
        (("h2", "http/1.1"), "http/1.1"),
        (("http/1.0", "http/1.1"), "http/1.1"),
    ],
)
async def test_protocols_in_common(terms, offered, chosen):
    here = await terms()
    assert (await here.get("default.example", alpn=offered)).protocol == chosen


@pytest.mark.parametrize("offered", ["h2", "acme-tls/1,mqtt"])
async def test_no_protocol_in_common(terms, offered):
    here = await terms()
    said = await here.openssl("-alpn", offered, "-servername", "default.example")
    assert "tlsv1 alert no application protocol" in said
    assert "SSL alert number 120" in said


@pytest.mark.parametrize("offered", [(), ("h2",), ("http/1.1", "mqtt")])
async def test_an_empty_list_is_no_alpn(terms, offered):
    here = await terms(free={"alpnProtocols": []})
    told = await here.get("free.example", alpn=offered)
    assert (told.status, told.protocol) == (200, None)


async def test_of_protocols_without_end_the_log_tells_a_few(terms, caplog):
    caplog.set_level("DEBUG", "fastproxy.connections")
    here = await terms()
    assert await outcome(here, "default", alpn=[f"p{at}" for at in range(2000)]) != 200
    (told,) = [each for each in caplog.messages if "nothing is spoken here" in each]
    assert "of p0, p1, p2, p3, p4, p5, p6, p7 and 1992 more nothing" in told


async def test_options_without_http_serve_no_http(terms):
    here = await terms(queue={"alpnProtocols": ["mqtt"]})
    record = here.proxy.runtime.record("http.routers", "queue@file")
    assert "alpnProtocols has no http/1.1" in record.error[0]
    assert await outcome(here, "queue") != 200


# --- names --------------------------------------------------------------------------------------------------


async def test_sni_strict(house, issue):
    here = await house(
        lambda url: document(
            url,
            {
                "known": {"rule": "Host(`a.example`) || Host(`b.example`)", "tls": {"options": "strict"}},
                "loose": {"rule": "Host(`c.example`)", "tls": {}},
            },
            {"options": {"strict": {"sniStrict": True}}, "certificates": [pair(issue("a.example"))]},
        )
    )
    assert await outcome(here, "a") == 200
    assert await outcome(here, "b") == "TLSV1_UNRECOGNIZED_NAME"
    assert (await here.get("c.example", insecure=True)).status == 200  # the default certificate


async def test_misdirected(house, issue):
    here = await house(
        lambda url: document(
            url,
            {
                "a": {"rule": "Host(`a.example`)", "tls": {"options": "strict"}},
                "b": {"rule": "Host(`b.example`)", "tls": {}},
                "any": {"rule": "PathPrefix(`/any`)", "tls": {}},
            },
            {
                "options": {"strict": {"minVersion": "VersionTLS13"}},
                "certificates": [pair(issue("*.example"))],
            },
        )
    )
    assert (await here.get("a.example")).status == 200
    told = await here.get("b.example", host="a.example")
    assert (told.status, told.body) == (421, b"Misdirected Request\n")
    assert (await here.get("a.example", host="b.example")).status == 421
    assert (await here.get("b.example", host="b.example")).status == 200
    assert (await here.get("other.example", "/any", host="b.example")).status == 200
    assert (await here.get("a.example", "/any", host="nobody.example")).status == 421
    assert (await here.get("nobody.example", host="nobody.example")).status == 404


async def test_options_that_are_not_there_close_their_name(house, issue):
    here = await house(
        lambda url: document(
            url,
            {
                "lost": {"rule": "Host(`a.example`)", "tls": {"options": "gone"}},
                "any": {"rule": "PathPrefix(`/`)", "tls": {}},
            },
            {"certificates": [pair(issue("*.example"))]},
        )
    )
    record = here.proxy.runtime.record("http.routers", "lost@file")
    assert (record.status, record.error) == ("disabled", ("unknown TLS options: gone@file",))
    assert await outcome(here, "a") != 200
    assert await outcome(here, "b") == 200
