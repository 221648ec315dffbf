"""`tls` of a document, of a router and of an entry point: what is read, what is refused, and whose it is."""

import msgspec
import pytest

from fastproxy.config.document import read_whole
from fastproxy.config.dynamic import Configuration
from fastproxy.config.internal import internal_configuration
from fastproxy.config.merge import Merger
from fastproxy.config.middlewares import RedirectScheme
from fastproxy.config.static import (
    EntryPoint,
    EntryPointHTTP,
    RedirectEntryPoint,
    Redirections,
    StaticConfiguration,
)
from fastproxy.config.tls import Certificate, ClientAuth, Options, RouterTLS
from fastproxy.conflicts import WARNING, Conflicts
from fastproxy.shown import shown

DOCUMENT = """\
http:
  routers:
    bare: {rule: Host(`a`), service: s, tls: {}}
    also: {rule: Host(`a`), service: s, tls: true}
    plain: {rule: Host(`p`), service: s, tls: false}
    strict: {rule: Host(`b`), service: s, tls: {options: strict, domains: [{main: b, sans: [c]}]}}
  services:
    s: {loadBalancer: {servers: []}}
tls:
  certificates:
  - {certFile: /c/a.pem, keyFile: /c/a.key}
  - certFile: "-----BEGIN\\nX"
    keyFile: "-----BEGIN\\nY"
    stores: [default]
  stores:
    default: {defaultCertificate: {certFile: d.pem, keyFile: d.key}}
  options:
    default: {}
    strict:
      minVersion: VersionTLS13
      curvePreferences: [secp384r1, x25519, CurveP256]
      cipherSuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
      clientAuth: {caFiles: [ca.pem]}
      sniStrict: true
      alpnProtocols: [http/1.1]
      disableSessionTickets: true
"""


def made(text):
    reading = read_whole(text, "d.yml")
    assert [str(problem) for problem in reading.problems] == []
    return reading.configuration


def test_everything_is_read():
    configuration = made(DOCUMENT)
    routers = configuration.http.routers
    assert routers["bare"].tls == routers["also"].tls == RouterTLS()
    assert routers["plain"].tls is None
    assert routers["strict"].tls.options == "strict"
    tls = configuration.tls
    assert tls.certificates["/c/a.pem"] == Certificate("/c/a.pem", "/c/a.key")
    assert [name.partition("-")[0] for name in tls.certificates] == ["/c/a.pem", "inline"]
    assert tls.stores["default"].default_certificate.key_file == "d.key"
    assert tls.options["default"] == Options()
    assert tls.options["strict"] == Options(
        min_version="VersionTLS13",
        curve_preferences=("P-384", "X25519", "P-256"),
        cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        client_auth=ClientAuth(ca_files=("ca.pem",)),
        sni_strict=True,
        alpn_protocols=("http/1.1",),
        disable_session_tickets=True,
    )
    assert tls.options["strict"].client_auth.mode == "RequireAndVerifyClientCert"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(configuration), type=Configuration) == configuration


@pytest.mark.parametrize(
    ("kind", "body", "place", "reason"),
    [
        ("options", "{minVersion: TLS12}", "4:20", 'minVersion: "TLS12" is not one of VersionTLS10'),
        (
            "options",
            "{minVersion: VersionTLS13, maxVersion: VersionTLS12}",
            "4:20",
            "minVersion: VersionTLS13 is above maxVersion, VersionTLS12",
        ),
        ("options", "{maxVersion: VersionTLS11}", "3:5", "minVersion: VersionTLS12 is above maxVersion"),
        (
            "options",
            "{minVersion: VersionTLS14}",
            "4:20",
            "VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13; did you mean VersionTLS1",
        ),
        (
            "options",
            "{cipherSuites: [AES128-SHA]}",
            "4:23",
            "not a cipher suite that is supported; did you mean TLS_RSA_WITH_AES_128_CBC_SHA?",
        ),
        (
            "options",
            "{cipherSuites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_CGM_SHA384]}",
            "4:47",
            "did you mean TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384?",
        ),
        ("options", "{cipherSuites: [HIGH]}", "4:23", "write one such as TLS_AES_128_GCM_SHA256"),
        (
            "options",
            "{cipherSuites: [TLS_AES_128_GCM_SHA256], maxVersion: VersionTLS12}",
            "4:22",
            "cipherSuites: all of them are of TLS 1.3, and maxVersion is VersionTLS12",
        ),
        ("options", "{cipherSuites: [TLS_RSA_WITH_RC4_128_SHA]}", "4:23", "OpenSSL has no RC4"),
        (
            "options",
            "{curvePreferences: [P-256]}",
            "4:27",
            '"P-256" is not the name of a curve; did you mean CurveP256?',
        ),
        ("options", "{curvePreferences: [X25591]}", "4:27", "did you mean X25519?"),
        ("options", "{curvePreferences: [brainpool]}", "4:27", "there are CurveP256, CurveP384"),
        ("options", "{clientAuth: {clientAuthType: Any}}", "4:37", '"Any" is not one of'),
        (
            "options",
            "{clientAuth: {clientAuthType: VerifyClientCertIfGiven}}",
            "4:37",
            "VerifyClientCertIfGiven needs caFiles",
        ),
        ("options", "{sniStrickt: true}", "4:8", "did you mean sniStrict?"),
        ("stores", "{defaultCertificate: {certFile: a}}", "4:28", "needs certFile and keyFile"),
        ("stores", "{defaultGeneratedCert: {resolver: x}}", "4:8", "not supported yet"),
    ],
)
def test_what_breaks_an_object(kind, body, place, reason):
    reading = read_whole(f"tls:\n  {kind}:\n    it:\n      {body}\n", "d.yml")
    assert "it" not in reading.configuration.table(f"tls.{kind}")
    assert reason in reading.configuration.broken[f"tls.{kind}"]["it"]
    (problem,) = reading.problems
    assert f"{problem.line}:{problem.column}" == place


def test_a_broken_certificate_leaves_the_others():
    reading = read_whole(
        "tls:\n  certificates:\n  - {certFile: a.pem}\n  - {certFile: b.pem, keyFile: b.key}\n"
        "  - {certFile: b.pem, keyFile: b.key}\n",
        "d.yml",
    )
    assert list(reading.configuration.tls.certificates) == ["b.pem"]
    assert list(reading.configuration.broken["tls.certificates"]) == ["[0]"]
    assert [problem.message for problem in reading.problems] == [
        "missing; a certificate needs its key, a file or a PEM text",
        '"b.pem" stands in the list already; this one is skipped',
    ]


@pytest.mark.parametrize("text", ["tls: []", "tls: {certificates: {a: b}}", "tls: {options: [a]}"])
def test_what_refuses_the_whole(text):
    reading = read_whole(text, "d.yml")
    assert reading.configuration is None
    assert reading.problems


# --- whose is what ------------------------------------------------------------------------------------------

STATIC = StaticConfiguration(
    entry_points={
        "web": EntryPoint(address=":80"),
        "safe": EntryPoint(address=":443", http=EntryPointHTTP(tls=RouterTLS(options="strict"))),
    }
)


def merge(**providers):
    merger, conflicts = Merger(STATIC), Conflicts()
    documents = {name: made(text) for name, text in providers.items()}
    first = conflicts.settle(merger.merge(documents)).configuration
    assert conflicts.settle(merger.merge(documents)).configuration == first
    return first


def test_names_and_references():
    merged = merge(file=DOCUMENT)
    assert set(merged.tls.options) == {"default", "strict@file"}
    assert set(merged.tls.stores) == {"default"}
    assert "/c/a.pem@file" in merged.tls.certificates
    on_web = {name: each.tls for name, each in merged.http.routers.items() if each.entry_points == ("web",)}
    assert on_web["plain@file"] is None
    assert on_web["bare@file"] == RouterTLS(options="default")
    # an entry point with tls makes a TLS router of every one that says nothing
    assert merged.http.routers["safe-plain@file"].tls.options == "strict@file"


def test_options_of_another_provider_and_default():
    text = "http:\n  routers:\n    r: {rule: Host(`a`), service: s, entryPoints: [web], tls: {options: %s}}\n"
    for written, meant in (("o@other", "o@other"), ("o", "o@file"), ("default", "default")):
        assert merge(file=text % written).http.routers["r@file"].tls.options == meant


def test_a_default_that_two_declare_is_nobodys():
    text = "tls: {options: {default: {sniStrict: true}}, stores: {default: {}}}"
    merged = merge(one=text, two=text)
    for kind in ("tls.options", "tls.stores"):
        assert merged.table(kind) == {}
        assert "one, two" in merged.broken[kind]["default"]


# --- conflicts ----------------------------------------------------------------------------------------------


def options_of(*routers):
    """Return name -> (options, told) of routers given as (name, rule, options)."""
    lines = [
        f"    {name}: {{rule: '{rule}', service: s, entryPoints: [web], tls: {{options: {options}}}}}\n"
        for name, rule, options in routers
    ]
    merged = merge(file="http:\n  routers:\n" + "".join(lines)).http.routers
    return {name: (each.tls.options, each.tls.conflicting) for name, each in merged.items()}


def test_routers_that_agree_keep_their_options():
    assert options_of(("a", "Host(`x`)", "o"), ("b", "Host(`X`) && Path(`/`)", "o")) == {
        "a@file": ("o@file", False),
        "b@file": ("o@file", False),
    }


@pytest.mark.parametrize(
    "rule", ["Host(`x`)", "Path(`/`) || Host(`x`)", "!Host(`x`)", "Host(`y`) || Host(`X`)"]
)
def test_routers_that_do_not_agree_get_the_default(rule):
    assert options_of(("a", "Host(`x`)", "o"), ("b", rule, "p"), ("c", "Host(`z`)", "p")) == {
        "web-conflicted-a@file": ("default", True),
        "web-conflicted-b@file": ("default", True),
        "c@file": ("p@file", False),
    }


def test_a_router_without_a_name_has_none_to_want_options_for():
    assert options_of(
        ("a", "Path(`/`)", "o"), ("b", "Host(`*`)", "o"), ("c", "HostRegexp(`x`)", "default")
    ) == {
        "web-conflicted-a@file": ("default", True),
        "web-conflicted-b@file": ("default", True),
        "c@file": ("default", False),
    }


def test_who_is_moved_takes_others_with_it():
    routers = ("a", "Host(`x`)", "o"), ("b", "Host(`x`) || Host(`y`)", "p"), ("c", "Host(`y`)", "p")
    assert {options for options, _ in options_of(*routers).values()} == {"default"}


def test_only_the_entry_point_of_the_conflict_counts():
    text = (
        "http:\n  routers:\n"
        "    a: {rule: Host(`x`), service: s, entryPoints: [web, safe], tls: {options: o}}\n"
        "    b: {rule: Host(`x`), service: s, entryPoints: [web], tls: {options: p}}\n"
    )
    routers = merge(file=text).http.routers
    assert routers["safe-a@file"].tls.options == "o@file"
    assert routers["web-conflicted-a@file"].tls.options == "default"
    assert "conflicting" in WARNING
    assert shown(routers["web-conflicted-a@file"])["tls"] == {"options": "default"}


# --- redirections -------------------------------------------------------------------------------------------


def static_with(**redirection):
    to = Redirections(entry_point=RedirectEntryPoint(**redirection))
    return StaticConfiguration(
        entry_points={
            "web": EntryPoint(address=":80", http=EntryPointHTTP(redirections=to)),
            "safe": EntryPoint(address=":8443"),
        }
    )


@pytest.mark.parametrize(
    ("redirection", "name", "middleware"),
    [
        ({"to": "safe"}, "web-to-safe", RedirectScheme(scheme="https", port="8443", permanent=True)),
        ({"to": ":443"}, "web-to-443", RedirectScheme(scheme="https", port="443", permanent=True)),
        (
            {"to": "safe", "scheme": "http", "permanent": False, "priority": 7},
            "web-to-safe",
            RedirectScheme(scheme="http", port="8443", permanent=False),
        ),
    ],
)
def test_an_entry_point_that_redirects(redirection, name, middleware):
    made = internal_configuration(static_with(**redirection), {"noop": "/run/noop"}).http
    router = made.routers[name]
    assert (router.rule, router.entry_points, router.service) == ("HostRegexp(`^.+$`)", ("web",), "noop")
    assert router.priority == redirection.get("priority", 2**63 - 2)
    assert router.middlewares == (f"redirect-{name}",)
    assert made.middlewares[f"redirect-{name}"].settings == middleware


@pytest.mark.parametrize("to", ["nowhere", ":0", ":x", ":65536", "443"])
def test_a_redirection_to_nowhere(to):
    """Neither to a name that nobody has, nor to a port that is none."""
    assert any("neither an entry point nor a port" in told for _, told in static_with(to=to).mistakes())


def test_a_redirection_to_a_port_that_is_not_known():
    """The system chooses it, so a Location cannot name it."""
    static = static_with(to="safe")
    static.entry_points["safe"] = EntryPoint(address="127.0.0.1:0")
    [(place, told)] = static.mistakes()
    assert place == ("entryPoints", "web", "http", "redirections", "entryPoint", "to")
    assert told.startswith('"safe" listens on a port that the system chooses')
    assert "entryPoints.safe.address" in told
