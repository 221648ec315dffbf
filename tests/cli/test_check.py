"""`fastproxy check`: every mistake gets its line, with file, line, column, path and what to write instead."""

import json
import subprocess
import sys

import pytest

from fastproxy.check import Scope, check_documents, check_files
from fastproxy.cli import main

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
    shop: {{rule: Host(`a`), service: shop, tls: {{options: {options}}}}}
  services:
    shop: {{loadBalancer: {{servers: []}}}}
tls:
  options:
    strict: {{clientAuth: {{caFiles: [{authority}]}}}}
  certificates:
  - {{certFile: {certificate}, keyFile: "-----BEGIN PRIVATE KEY-----"}}
  stores:
    default: {{defaultCertificate: {{certFile: {certificate}, keyFile: {certificate}}}}}
"""


@pytest.mark.parametrize("options", ["strict", "strict@file", "default", "''"])
def test_tls_that_is_in_order(tmp_path, options):
    (tmp_path / "c.pem").touch()
    here = tmp_path / "c.pem"
    assert found(SECURE.format(options=options, authority=here, certificate=here)) == []


def test_tls_options_that_are_not_there(tmp_path):
    (tmp_path / "c.pem").touch()
    here = tmp_path / "c.pem"
    (told,) = found(SECURE.format(options="strickt", authority=here, certificate=here))
    assert told.endswith('tls.options: unknown TLS options "strickt"; did you mean strict?')


def test_certificates_that_are_not_there():
    told = found(SECURE.format(options="strict", authority="ca.pem", certificate="c.pem"))
    assert [each.partition(": ")[2] for each in told] == [
        'tls.options.strict.clientAuth.caFiles[0]: "ca.pem" is neither a file nor a PEM text',
        'tls.certificates[0].certFile: "c.pem" is neither a file nor a PEM text',
        'tls.stores.default.defaultCertificate.certFile: "c.pem" is neither a file nor a PEM text',
        'tls.stores.default.defaultCertificate.keyFile: "c.pem" is neither a file nor a PEM text',
    ]
