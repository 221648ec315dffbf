"""`fastproxy check`: every mistake gets its line, with file, line, column, path and what to write instead."""

import json
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import trustme
import yaml

from fastproxy.check import Scope, check_documents, check_files
from fastproxy.cli import main
from tests.explain.documents import static_of

GOOD = """\
http:
  routers:
    shop:
      rule: Host(`shop.example`) && PathPrefix(`/x`)
      service: shop
      middlewares: [strip, all@file]
      entryPoints: [web]
  services:
    shop:
      loadBalancer:
        servers: [{url: "http://127.0.0.1:3000"}]
        serversTransport: slow
  serversTransports:
    slow:
      serverName: shop.internal
  middlewares:
    strip:
      stripPrefix: {prefixes: [/x]}
    all:
      chain: {middlewares: "strip"}
"""

WEB = Scope(("web",))

MISTAKES = """\
http:
  routers:
    shop:
      rule: Host(`shop.example`) && PathPrefx(`/x`)
      service: shp
      middlewares:
        - strip
        - auth
      entrypoints: wbe
      priority: high
    other:
      rule: "PathRegexp(`^/(a`)"
      servise: shop
  services:
    shop:
      loadBalancer:
        servers:
          - url: http://127.0.0.1:3000
  middlewares:
    strip:
      stripPrefix:
        prefixes: [/x]
"""


def found(text, name="dynamic.yml", **known):
    return [str(problem) for problem in check_documents([(name, text.encode())], **known)]


def test_a_good_document_has_no_problem():
    assert found(GOOD, scope=WEB) == []


def test_every_mistake_of_one_document_is_told():
    """More than one mistake in one router, and a broken router beside one that others refer to."""
    assert found(MISTAKES, scope=Scope(("web", "admin"))) == [
        "dynamic.yml:4:37: http.routers.shop.rule: unsupported function: PathPrefx; did you mean PathPrefix?",
        'dynamic.yml:5:16: http.routers.shop.service: unknown service "shp"; did you mean shop?',
        'dynamic.yml:8:11: http.routers.shop.middlewares[1]: unknown middleware "auth"; known: strip',
        'dynamic.yml:9:20: http.routers.shop.entryPoints: unknown entry point "wbe"; known: admin, web',
        'dynamic.yml:10:17: http.routers.shop.priority: "high" is not a whole number',
        'dynamic.yml:12:25: http.routers.other.rule: "^/(a" is not a regular expression: missing ): ^/(a; '
        "write RE2 syntax",
        'dynamic.yml:13:7: http.routers.other.servise: unknown option "servise"; did you mean service?',
    ]


def test_toml_has_the_same_places():
    text = """\
[http.routers.shop]
rule = "Host(`a.example`) && Foo(`x`)"
service = "shp"

[http.services.shop.loadBalancer]
servers = [{url = "http://127.0.0.1:3000"}]
"""
    problems = found(text, "dynamic.toml")
    assert [problem.split(": ")[0] for problem in problems] == ["dynamic.toml:2:30", "dynamic.toml:3:11"]


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("shop", None),
        ("shop@file", None),
        ("shp@file", 'unknown service "shp"; did you mean shop?'),
        ("nothing-like-it", 'unknown service "nothing-like-it"; known: shop'),
        ("shop@docker", '"shop@docker": the provider docker is not supported yet; there is file'),
        ("api@internal", None),
        ("rest@internal", 'the service "rest@internal" is not supported yet'),
        ("apu@internal", 'unknown service "apu@internal"; did you mean api@internal?'),
        ("shop@fiel", '"shop@fiel": unknown provider "fiel"; did you mean file?'),
    ],
)
def test_references(service, message):
    problems = found(GOOD.replace("service: shop", f"service: {service}"))
    assert problems == ([f"dynamic.yml:5:16: http.routers.shop.service: {message}"] if message else [])


@pytest.mark.parametrize(
    ("transport", "message"),
    [
        ("default@internal", None),
        ("slow@file", None),
        ("fast", 'unknown serversTransport "fast"; known: slow'),
        ("fast@internal", 'unknown serversTransport "fast@internal"'),
    ],
)
def test_references_to_transports(transport, message):
    problems = found(GOOD.replace("serversTransport: slow", f"serversTransport: {transport}"))
    where = "dynamic.yml:12:27: http.services.shop.loadBalancer.serversTransport"
    assert problems == ([f"{where}: {message}"] if message else [])


@pytest.mark.parametrize(
    ("scope", "problems"),
    [
        (None, []),
        (Scope(("web",), ("keys",)), []),
        (
            Scope(("web",), ("keyz",)),
            ['dynamic.yml:1:37: http.middlewares.own.plugin.keys: unknown plugin "keys"; did you mean keyz?'],
        ),
    ],
)
def test_references_to_plugins(scope, problems):
    assert found("http: {middlewares: {own: {plugin: {keys: {}}}}}", scope=scope) == problems


def test_entry_points_are_not_checked_when_they_are_not_known():
    assert found(GOOD.replace("[web]", "[nobody-knows]")) == []


def test_a_reference_to_a_broken_object_is_no_mistake_of_its_own():
    text = GOOD.replace("prefixes: [/x]", "prefix: /x")
    assert [problem.split(": ")[1] for problem in found(text)] == [
        "http.middlewares.strip.stripPrefix.prefix"
    ]


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ("Foo(`x`)", "4:13"),
        ("'Foo(`x`)'", "4:14"),
        ('"Host(`a`) && Foo(`x`)"', "4:27"),
        ("|\n        Foo(`x`)", "4:13"),
        ('"Host(`\\u0061`) && Foo(`x`)"', "4:13"),
    ],
)
def test_the_column_in_a_rule_is_told_where_it_stands_as_it_is(rule, place):
    (problem,) = found(GOOD.replace("Host(`shop.example`) && PathPrefix(`/x`)", rule))
    assert problem.startswith(f"dynamic.yml:{place}: http.routers.shop.rule: unsupported function: Foo")


def test_chains_that_run_back_into_themselves():
    text = """\
http:
  middlewares:
    one: {chain: {middlewares: [two]}}
    two: {chain: {middlewares: [three]}}
    three: {chain: {middlewares: [strip, two]}}
    self: {chain: {middlewares: self}}
    strip: {stripPrefix: {prefixes: [/x]}}
"""
    assert found(text) == [
        "dynamic.yml:5:34: http.middlewares.three.chain.middlewares: "
        "the chain runs back into itself: three -> two -> three",
        "dynamic.yml:6:33: http.middlewares.self.chain.middlewares: "
        "the chain runs back into itself: self -> self",
    ]


def test_documents_of_one_provider_know_each_other():
    router = b"http: {routers: {shop: {rule: Host(`a.example`), service: shop}}}"
    service = b"http: {services: {shop: {loadBalancer: {servers: [{url: http://a}]}}}}"
    assert check_documents([("a.yml", router), ("b.yml", service)]) == []
    assert len(check_documents([("a.yml", router)])) == 1


def test_a_name_that_an_earlier_document_has_is_a_warning():
    text = b"http: {middlewares: {strip: {stripPrefix: {prefixes: [/x]}}}}"
    (problem,) = check_documents([("a.yml", text), ("b.yml", text)])
    assert str(problem) == (
        'b.yml:1:22: http.middlewares.strip: warning: middleware "strip" is in a.yml already, which counts; '
        "this one is skipped"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"http:\n  routers: [\n", "dynamic.yml:"),
        (b"http: {routers: {a: \xff}}", "dynamic.yml:1:21: not UTF-8"),
        (b"http:\n  routers:\n    a: {rule: '{{ x }}'}\n", "dynamic.yml:3:16: Go templates"),
        (b"htp: {}", 'dynamic.yml:1:1: htp: unknown section "htp"; did you mean http?'),
        (b"http: 7", "dynamic.yml:1:7: http: "),
        (b"http: {routers: 7, services: [x]}", "dynamic.yml:1:17: http.routers: "),
    ],
)
def test_documents_that_cannot_be_read(data, message):
    problems = check_documents([("dynamic.yml", data)])
    assert str(problems[0]).startswith(message)


# --- files and the command --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, where nothing of this machine's configuration is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


STATIC = "entryPoints: {web: {address: ':0'}}\nproviders: {file: {filename: dynamic.yml}}\n"


def test_the_files_that_the_daemon_would_read(folder, capsys):
    (folder / "fastproxy.yml").write_text(STATIC)
    (folder / "dynamic.yml").write_text(GOOD)
    assert main(["check"]) == 0
    assert capsys.readouterr() == ("", "0 errors, 0 warnings in fastproxy.yml, dynamic.yml\n")


def test_a_named_file_and_its_mistakes(folder, capsys):
    (folder / "my.yml").write_text(STATIC)
    (folder / "dynamic.yml").write_text(MISTAKES)
    assert main(["check", "--configFile=my.yml"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == found(MISTAKES, scope=WEB)
    assert err == "7 errors, 0 warnings in my.yml, dynamic.yml\n"


def test_json(folder, capsys):
    (folder / "my.yml").write_text(STATIC)
    (folder / "dynamic.yml").write_text(GOOD.replace("service: shop", "service: shp"))
    assert main(["check", "--configFile=my.yml", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "source": "dynamic.yml",
            "line": 5,
            "column": 16,
            "path": "http.routers.shop.service",
            "message": 'unknown service "shp"; did you mean shop?',
            "severity": "error",
        }
    ]


def test_dynamic_files_are_checked_even_if_the_static_one_is_wrong(folder, capsys):
    (folder / "fastproxy.yml").write_text(STATIC + "log: {levl: INFO}\n")
    (folder / "dynamic.yml").write_text(GOOD.replace("[web]", "[wbe]"))
    assert main(["check"]) == 1
    assert [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "log.levl",
        "http.routers.shop.entryPoints[0]",
    ]


def test_a_directory_is_read_in_the_order_of_names(folder, capsys):
    (folder / "fastproxy.yml").write_text(STATIC.replace("filename: dynamic.yml", "directory: d"))
    for name in ("b.yml", "a.toml", "c/d.yaml", "note.txt"):
        path = folder / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert main(["check"]) == 0
    assert capsys.readouterr().err.endswith("fastproxy.yml, d/a.toml, d/b.yml, d/c/d.yaml\n")


def test_files_on_the_command_line_are_static_or_dynamic(folder):
    (folder / "static.yml").write_text("entryPoints: {web: {addres: ':0'}}")
    (folder / "dynamic.yml").write_text(GOOD.replace("service: shop", "service: shp"))
    checked = check_files(["static.yml", "dynamic.yml"])
    assert [problem.path for problem in checked.problems] == [
        "entryPoints.web.addres",
        "http.routers.shop.service",
    ]


def test_a_file_that_is_not_there(folder, capsys):
    assert main(["check", "nowhere.yml"]) == 1
    assert capsys.readouterr().out == "nowhere.yml: cannot be read: no such file or directory\n"


def test_middlewares_of_entry_points(folder, capsys):
    static = "entryPoints: {web: {address: ':0', http: {middlewares: [strip@file, strp@file]}}}\n"
    (folder / "fastproxy.yml").write_text(static + "providers: {file: {filename: dynamic.yml}}\n")
    (folder / "dynamic.yml").write_text(GOOD)
    assert main(["check"]) == 1
    assert capsys.readouterr().out == (
        "fastproxy.yml:1:69: entryPoints.web.http.middlewares[1]: "
        'unknown middleware "strp"; did you mean strip?\n'
    )


def test_a_warning_alone_is_no_failure(folder, capsys):
    (folder / "dynamic.yml").write_text("http: {routers: {}}\n")
    assert main(["check", "dynamic.yml"]) == 0
    assert "warning: is empty" in capsys.readouterr().out


def test_no_loop_no_socket_no_core(folder):
    """A document is checked where the compiled core cannot be loaded and no socket opened."""
    (folder / "dynamic.yml").write_text(GOOD)
    script = (
        "import sys; from fastproxy.check import check_files; print(check_files(['dynamic.yml']).problems);"
        "print(*sorted({name.split('.')[0] for name in sys.modules} & {'asyncio', 'uvloop', 'socket'}),"
        "*(name for name in sys.modules if '_core' in name and name.startswith('fastproxy')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("[]\n\n", "")


# --- TLS ----------------------------------------------------------------------------------------------------

SECURE = """\
http:
  routers:
    shop: {rule: Host(`a`), service: shop, tls: {options: OPTIONS}}
  services:
    shop: {loadBalancer: {servers: [{url: "https://a"}], serversTransport: inside}}
  serversTransports:
    inside: {rootCAs: [ca.pem], certificates: [{certFile: c.pem, keyFile: c.key}]}
tcp:
  routers:
    db: {rule: HostSNI(`b`), service: db, tls: {options: OPTIONS}}
    through: {rule: HostSNI(`c`), service: db, tls: {passthrough: true, options: nobody-looks}}
  services:
    db: {loadBalancer: {servers: [{address: "a:1", tls: true}], serversTransport: inside}}
  serversTransports:
    inside: {tls: {rootCAs: [ca.pem], certificates: [{certFile: c.pem, keyFile: c.key}]}}
tls:
  options:
    strict: {clientAuth: {caFiles: [ca.pem]}}
  certificates:
  - {certFile: c.pem, keyFile: c.key}
  stores:
    default: {defaultCertificate: {certFile: d.pem, keyFile: d.key}}
"""

NOW = datetime.now(UTC)


@pytest.fixture
def files(folder):
    """Certificates and keys of several kinds in the current folder."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path("ca.pem")
    for name, names, times in (
        ("c", ("c.test", "*.c.test"), {}),
        ("d", ("d.test",), {}),
        (
            "old",
            ("old.test",),
            {"not_before": NOW - timedelta(9), "not_after": NOW - timedelta(2)},
        ),
        ("new", ("new.test",), {"not_before": NOW + timedelta(10), "not_after": NOW + timedelta(20)}),
        ("twin", ("*.c.test", "c.test"), {}),
    ):
        leaf = authority.issue_cert(*names, **times)
        leaf.cert_chain_pems[0].write_to_path(f"{name}.pem")
        leaf.private_key_pem.write_to_path(f"{name}.key")
    (folder / "empty.pem").touch()
    (folder / "text.pem").write_text("no certificate")
    (folder / "cut.pem").write_text((folder / "c.pem").read_text()[:200] + "\n-----END CERTIFICATE-----\n")
    (folder / "a-folder.pem").mkdir()
    return folder


@pytest.mark.parametrize("options", ["strict", "strict@file", "default", "''"])
def test_tls_that_is_in_order(files, options):
    assert found(SECURE.replace("OPTIONS", options)) == []


def test_tls_options_that_are_not_there(files):
    told = found(SECURE.replace("OPTIONS", "strickt"))
    assert [each.split(": ", 1)[1] for each in told] == [
        f'{kind}.tls.options: unknown TLS options "strickt"; did you mean strict?'
        for kind in ("http.routers.shop", "tcp.routers.db")
    ]


def test_tls_options_of_an_entry_point_that_are_not_there(folder, capsys):
    point = "{address: ':0', http: {tls: {options: strickt@file}}}"
    (folder / "fastproxy.yml").write_text(STATIC.replace("{address: ':0'}", point))
    (folder / "dynamic.yml").write_text("tls: {options: {strict: {}}}")
    assert main(["check"]) == 1
    assert capsys.readouterr().out == (
        "fastproxy.yml:1:58: entryPoints.web.http.tls.options: "
        'unknown TLS options "strickt"; did you mean strict?\n'
    )


NO_FILE = "is neither a file nor a PEM text"
AUTHORITIES = (
    "http.serversTransports.inside.rootCAs[0]",
    "tcp.serversTransports.inside.tls.rootCAs[0]",
    "tls.options.strict.clientAuth.caFiles[0]",
)
PAIRS = (
    "http.serversTransports.inside.certificates[0].{}",
    "tcp.serversTransports.inside.tls.certificates[0].{}",
    "tls.certificates[0].{}",
)


@pytest.mark.parametrize(
    ("old", "new", "paths", "message"),
    [
        ("ca.pem", "cx.pem", AUTHORITIES, f'"cx.pem" {NO_FILE}'),
        ("ca.pem", "empty.pem", AUTHORITIES, "no certificate can be read: empty certificate data"),
        ("ca.pem", "text.pem", AUTHORITIES, "no certificate can be read: "),
        ("ca.pem", "a-folder.pem", AUTHORITIES, 'cannot read "a-folder.pem": is a directory'),
        ("c.pem", "cx.pem", PAIRS, f'certFile: "cx.pem" {NO_FILE}'),
        ("c.pem", "empty.pem", PAIRS, "certFile: this is no certificate"),
        ("c.pem", "cut.pem", PAIRS, "certFile: "),
        ("c.key", "c.kex", PAIRS, f'keyFile: "c.kex" {NO_FILE}'),
        ("c.key", "d.key", PAIRS, "keyFile: certificate and key cannot be used: key values mismatch"),
        ("c.key", "c.pem", PAIRS, "keyFile: certificate and key cannot be used: "),
        (
            "d.key",
            "c.key",
            ("tls.stores.default.defaultCertificate.{}",),
            "keyFile: certificate and key cannot",
        ),
    ],
)
def test_files_that_cannot_be_used(files, old, new, paths, message):
    told = found(SECURE.replace("OPTIONS", "strict").replace(old, new))
    option, _, rest = message.partition(": ") if "{}" in paths[0] else ("", "", message)
    assert len(told) == len(paths)
    for each, path in zip(told, paths, strict=True):
        place, _, said = each.partition(": ")
        assert said.startswith(f"{path.format(option)}: {rest}")
        line, column = map(int, place.split(":")[1:])
        assert (
            SECURE.replace("OPTIONS", "strict")
            .replace(old, new)
            .split("\n")[line - 1][column - 1 :]
            .startswith(new)
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("old", f"the certificate has expired on {NOW - timedelta(2):%Y-%m-%d}"),
        ("new", f"the certificate is not valid before {NOW + timedelta(10):%Y-%m-%d}"),
    ],
)
def test_certificates_at_the_wrong_time(files, name, message):
    document = f"tls: {{certificates: [{{certFile: {name}.pem, keyFile: {name}.key}}]}}"
    assert found(document) == [f"dynamic.yml:1:33: tls.certificates[0].certFile: warning: {message}"]


def test_certificates_for_the_same_names(files):
    pairs = ", ".join(f"{{certFile: {name}.pem, keyFile: {name}.key}}" for name in ("c", "d", "twin"))
    (told,) = found(f"tls: {{certificates: [{pairs}]}}")
    place, message = told.split(": warning: ")
    assert place.endswith(": tls.certificates[2]")
    assert message == "certificates[0] is for the same names, and is taken in place of this one"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            "http: {serversTransports: {t: {cipherSuites: [TLS_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA]}}}",
            '1:71: http.serversTransports.t.cipherSuites[1]: "TLS_AES_128_GCM_SHA" '
            "is not a cipher suite that is supported; did you mean TLS_AES_128_GCM_SHA256?",
        ),
        (
            "http: {serversTransports: {t: {minVersion: VersionTLS13, maxVersion: VersionTLS12}}}",
            "1:44: http.serversTransports.t.minVersion: VersionTLS13 is above maxVersion, VersionTLS12",
        ),
        (
            "http: {serversTransports: {t: {certificates: ["
            "{certFile: c.pem, keyFile: c.key}, {certFile: d.pem, keyFile: d.key}]}}}",
            "1:46: http.serversTransports.t.certificates: 2 pairs; more than one is not supported yet",
        ),
        (
            "http: {routers: {r: {rule: Host(`a`), service: api@internal, tls: {options: o}}}}\n"
            "tls: {options: {o: {alpnProtocols: [h3]}}}",
            '1:77: http.routers.r.tls.options: TLS options "o@file": '
            "alpnProtocols has no http/1.1, and nothing else is spoken yet",
        ),
    ],
)
def test_terms_that_cannot_be_had(files, document, message):
    assert found(document) == [f"dynamic.yml:{message}"]


def test_ciphers_that_openssl_does_not_have():
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers("DES-CBC3-SHA")
    except ssl.SSLError:
        for more in ("", ", TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"):  # also beside others that it has
            suites = f"[TLS_RSA_WITH_3DES_EDE_CBC_SHA{more}]"
            assert found(f"tls: {{options: {{o: {{cipherSuites: {suites}}}}}}}") == [
                "dynamic.yml:1:35: tls.options.o.cipherSuites: "
                "OpenSSL here has no TLS_RSA_WITH_3DES_EDE_CBC_SHA"
            ]
    else:
        pytest.skip("this OpenSSL has 3DES")


@pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO >= (3, 5), reason="this OpenSSL has it")
def test_curves_that_openssl_does_not_have():
    (told,) = found("tls: {options: {o: {curvePreferences: [X25519, X25519MLKEM768]}}}")
    assert told.startswith("dynamic.yml:1:39: tls.options.o.curvePreferences: ")
    assert "X25519MLKEM768" in told


# --- routers in each other's way ----------------------------------------------------------------------------

CONFLICTING = (
    "router's TLSOptions configuration is conflicting with other routers on the same entrypoint and host, "
    "default TLS options will be used instead"
)
BOTH = Scope(
    ("web", "db"),
    udp_entry_points=("dns", "ntp"),
    static=static_of(
        {
            "entryPoints": {
                "web": {"address": ":1"},
                "db": {"address": ":2"},
                "dns": {"address": ":3/udp"},
                "ntp": {"address": ":4/udp"},
            }
        }
    ),
)


def http(**routers):
    return {
        "http": {"routers": routers, "services": {"s": {"loadBalancer": {"servers": [{"url": "http://a"}]}}}}
    }


def streams(kind, **routers):
    return {
        kind: {"routers": routers, "services": {"s": {"loadBalancer": {"servers": [{"address": "a:1"}]}}}}
    }


def at(rule, **more):
    return {"rule": rule, "service": "s", **more}


NAMED = {"tls": {"options": {"o": {}}}}
OWN = {"options": "o"}
SAME = "has the same rule and goes before it"


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        (
            {**http(a=at("Host(`h`)", tls=OWN), b=at("Host(`h`) && Path(`/`)", tls={})), **NAMED},
            "http.routers.a.tls.options",
            f"{CONFLICTING}: b has default for h",
        ),
        (
            {**http(a=at("Path(`/`)", tls=OWN)), **NAMED},
            "http.routers.a.tls.options",
            f"{CONFLICTING}: it has no Host, whose name would choose them",
        ),
        (
            {
                **http(
                    a=at("Host(`h`)", tls=OWN, entryPoints=["web"]),
                    b=at("Host(`h`)", tls={}, entryPoints=["db"]),
                ),
                **NAMED,
            },
            "",
            "",
        ),
        (
            http(a=at("Host(`h`)"), b=at("Host(`h`)")),
            "http.routers.b.rule",
            f"no request comes here: router a {SAME}, by its name",
        ),
        (
            http(a=at("Host(`h`)"), b=at("Host(`h`)", priority=100)),
            "http.routers.a.rule",
            f"no request comes here: router b {SAME}, priority 100 above 9",
        ),
        (http(a=at("Host(`h`)"), b=at("Host(`h`)", tls={})), "", ""),
        (http(a=at("Host(`h`)", entryPoints=["web"]), b=at("Host(`h`)")), "", ""),
        (
            streams("tcp", a=at("HostSNI(`*`)", tls={}), b=at("HostSNI(`*`)", tls={"passthrough": True})),
            "tcp.routers.b.rule",
            f"no connection comes here: TCP router a {SAME}, by its name",
        ),
        (
            {
                **http(a=at("Host(`h`)", entryPoints=["db"]), b=at("Host(`h`)"), c=at("Host(`h`)", tls={})),
                **streams("tcp", all=at("HostSNI(`*`)", entryPoints=["db"])),
            },
            "http.routers.a",
            "no request comes here: on db TCP router all takes all connections without TLS",
        ),
        (
            {
                **http(a=at("Host(`h`)", entryPoints=["db"])),
                **streams("tcp", all=at("HostSNI(`*`)", entryPoints=["db"], tls={})),
            },
            "",
            "",
        ),
        (
            streams("udp", a={"service": "s", "entryPoints": ["dns"]}, c={"service": "s"}),
            "udp.routers.a",
            "no datagram comes here: c serves on dns, of several routers the last by name",
        ),
        (streams("udp", a={"service": "s"}, b={"service": "s", "entryPoints": ["dns"]}), "", ""),
    ],
)
def test_routers_in_each_others_way(document, path, message):
    told = found(yaml.safe_dump(document), scope=BOTH)
    assert [each.split(": ", 1)[1] for each in told] == ([f"{path}: warning: {message}"] if path else [])


def test_a_copy_for_an_entry_point_is_told_of_once():
    """An entry point with middlewares or TLS of its own makes copies of routers."""
    points = {"web": {"address": ":1", "http": {"tls": {}}}, "db": {"address": ":2"}}
    scope = Scope(("web", "db"), static=static_of({"entryPoints": points}))
    document = {
        **http(
            a=at("Host(`h`)"),
            b=at("Host(`h`)"),
            c=at("Host(`c`)", tls={"options": "o"}),
            d=at("Host(`c`) && Path(`/`)", entryPoints=["web"]),
        ),
        "tls": {"options": {"o": {}}},
    }
    told = found(yaml.safe_dump(document), scope=scope)
    assert [each.split(": ")[1] for each in told] == ["http.routers.b.rule", "http.routers.c.tls.options"]


def test_rivals_of_several_documents():
    first, second = (yaml.safe_dump(http(**{name: at("Host(`h`)")})).encode() for name in "ba")
    told = check_documents([("1.yml", first), ("2.yml", second)])
    assert [(each.source, each.path) for each in told if "comes here" in each.message] == [
        ("1.yml", "http.routers.b.rule")
    ]
