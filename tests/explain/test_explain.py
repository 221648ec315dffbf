"""What is said about a request: entry point, router, middlewares, service, and who came close."""

import json
import os
import subprocess
import sys

import pytest

from fastproxy.cli import main
from fastproxy.explain.candidates import MOST
from fastproxy.explain.questions import Question, WrongQuestion
from fastproxy.explain.requests import explain
from fastproxy.plugins.api import Middleware
from tests.api.documents import make
from tests.explain.documents import WEB, ask, static_of, way


def router(rule, service="s", **more):
    return {"rule": rule, "service": service, "entryPoints": ["web"], **more}


def http(*rules, **sections):
    """Return an `http` section with a router for each rule, in the order of the alphabet."""
    routers = {f"r{at}": each if isinstance(each, dict) else router(each) for at, each in enumerate(rules)}
    return {"routers": routers, **sections}


GET = ("GET", "http://shop.example:8000/api/x")


def told(others):
    return {other.name: list(other.why) for other in others}


# --- the question -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (("G ET", "http://a/"), '"G ET" is not a method'),
        (("", "http://a/"), '"" is not a method'),
        (("GET", "/path"), '"/path" is not a URL; write one like https://shop.example/path'),
        (("GET", "ftp://a/"), '"ftp://a/" is not a URL'),
        (("GET", "http:///path"), "is not a URL"),
        (("GET", "http://a/b c"), "is not a URL"),
        (("GET", "http://a/\r\nX: y"), "is not a URL"),
        (("GET", "http://a/", (("X y", "z"),)), '"X y: z" is not a header field'),
        (("GET", "http://a/", (("X", "z\r\nHost: b"),)), "is not a header field"),
        (("GET", "http://a/", (), "wbe"), 'unknown entry point "wbe"; there is web'),
        (("GET", "http://a/", (), "", "10.0.0"), '"10.0.0" is not an address'),
    ],
)
def test_questions_that_are_none(question, message):
    with pytest.raises(WrongQuestion) as error:
        ask(http("PathPrefix(`/`)"), *question)
    assert message in str(error.value)


POINTS = {
    "entryPoints": {
        "web": {"address": ":80"},
        "also": {"address": "127.0.0.1:81"},
        "secure": {"address": ":443", "asDefault": True},
    }
}


@pytest.mark.parametrize(
    ("url", "given", "points", "chosen"),
    [
        ("http://a/", "", ["web"], "listens on port 80"),
        ("http://a:81/", "", ["also"], "listens on port 81"),
        ("https://a/", "", ["secure"], "listens on port 443"),
        ("http://a:/", "", ["web"], "listens on port 80"),
        ("http://[::1]/", "", ["web"], "listens on port 80"),
        ("http://[::1]:81/", "", ["also"], "listens on port 81"),
        ("http://a:9/", "", ["secure"], "none listens on port 9: a default entry point"),
        ("http://a:9/", "also", ["also"], "as asked for"),
    ],
)
def test_the_entry_point(url, given, points, chosen):
    made = ask({}, "GET", url, (), given, static=POINTS)
    assert [each.entry_point for each in made.ways] == points
    assert made.chosen == chosen


@pytest.mark.parametrize(
    ("url", "headers", "target", "host"),
    [
        ("http://shop.example", (), "/", "shop.example"),
        ("HTTP://Shop.Example:8000?a=b#c", (), "/?a=b", "Shop.Example:8000"),
        ("http://me:secret@shop.example/x?", (), "/x?", "shop.example"),
        ("http://shop.example/", (("host", "other.example"),), "/", "other.example"),
        ("http://shop.example/äb", (), "/%C3%A4b", "shop.example"),
    ],
)
def test_the_request(url, headers, target, host):
    made = way(http("PathPrefix(`/`)"), "GET", url, headers)
    assert (made.request.target, made.request.host) == (target, host)


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("http://a/%zz", 400, "an escape in the path is malformed"),
        ('http://a"b/', 400, "the Host field is malformed"),
        (f"http://{'a' * 256}/", 400, "the host is longer than 255 bytes"),
    ],
)
def test_a_request_that_no_router_sees(url, status, reason):
    made = ask(http("PathPrefix(`/`)"), "GET", url, ())
    assert [(each.status, each.reason, each.router) for each in made.ways] == [(status, reason, "")]
    assert not made.is_taken


# --- the router ---------------------------------------------------------------------------------------------


def test_the_winner_and_who_matches_too():
    rules = [
        "Host(`shop.example`)",
        router("PathPrefix(`/`)", priority=20),
        "Host(`shop.example`) && PathPrefix(`/api`)",
        "Host(`other.example`)",
        router("Method(`GET`)", priority=20),
    ]
    made = way(http(*rules), *GET)
    assert (made.router, made.priority, made.is_computed) == ("r2@file", 42, True)
    assert told(made.beaten) == {
        "r0@file": ["its priority 20 is below 42"],
        "r1@file": ["its priority 20 is below 42"],
        "r4@file": ["its priority 20 is below 42"],
    }
    assert made.near == ()  # nothing of r3 holds


def test_a_tie_is_decided_by_the_name():
    made = way(http("Host(`shop.example`)", router("PathPrefix(`/`)", priority=20)), *GET)
    assert made.router == "r0@file"
    assert told(made.beaten) == {"r1@file": ["its priority is 20 too, but its name comes later"]}


def test_a_tie_with_another_provider_is_decided_by_precedence():
    others = {"docker": {"routers": {"z": router("PathPrefix(`/`)", "s@file", priority=20)}}}
    made = way(http("Host(`shop.example`)"), *GET, others=others)
    assert made.router == "z@docker"
    why = "its priority is 20 too, but its provider comes later in providers.precedence"
    assert told(made.beaten) == {"r0@file": [why]}


def test_an_internal_router():
    static = {"entryPoints": {"traefik": {"address": ":8000"}}, "ping": {}}
    made = way({}, "GET", "http://a:8000/ping", static=static)
    assert made.router == "ping@internal"
    assert (made.service.name, made.service.servers) == ("ping@internal", ())


def test_no_more_than_a_few_are_named():
    made = way(http(*["PathPrefix(`/`)"] * 20, *[router("PathPrefix(`/a`)", "gone")] * 20), *GET)
    assert len(made.beaten) == len(made.disabled) == MOST
    assert made.more == {"beaten": 14, "disabled": 15}


def test_disabled_routers_that_would_match():
    rules = [
        "Host(`shop.example`)",
        router("Host(`shop.example`) && Path(`/api/x`)", "gone"),
        router("PathPrefix(`/`)", "gone"),
        router("Host(`other.example`)", "gone"),
    ]
    made = way(http(*rules), *GET)
    assert made.router == "r0@file"
    assert told(made.disabled) == {
        "r1@file": ['the service "gone@file" does not exist', "its priority 38 would put it before r0@file"],
        "r2@file": ['the service "gone@file" does not exist'],
    }


def test_routers_that_came_close():
    rules = [
        "Host(`shop.example`) && PathPrefix(`/apx`)",
        "Host(`shop.example`) && Method(`POST`) && Header(`X`, `y`)",
        "Host(`shp.example`)",
        "Host(`nowhere.org`) && Path(`/long/way`)",
    ]
    made = way(http(*rules), *GET)
    assert (made.router, made.status, made.reason) == ("", 404, "no router takes it")
    assert list(told(made.near).items()) == [
        ("r0@file", ["PathPrefix(`/apx`) does not match /api/x"]),
        (
            "r1@file",
            ["Method(`POST`) does not match GET", "Header(`X`, `y`) does not match a request without x"],
        ),
        ("r2@file", ["Host(`shp.example`) does not match shop.example"]),
    ]


def test_a_router_elsewhere():
    static = {"entryPoints": {"web": {"address": ":8000"}, "admin": {"address": ":81"}}}
    made = way(http(router("Host(`shop.example`)", entryPoints=["admin"])), *GET, static=static)
    assert told(made.near) == {"r0@file": ["it is on admin, not on web"]}


def test_a_copy_for_another_entry_point_is_no_news():
    model = {"address": ":8000", "http": {"middlewares": ["m@file"]}}
    static = {"entryPoints": {"web": model, "admin": {"address": ":81"}}}
    section = http(
        router("Host(`shop.example`)", entryPoints=["web", "admin"]),
        middlewares={"m": {"addPrefix": {"prefix": "/m"}}},
    )
    made = way(section, *GET, static=static)
    assert (made.router, made.near) == ("web-r0@file", ())
    assert [each.name for each in made.middlewares] == ["m@file"]


def test_tcp_routers_go_before():
    """db@file of the test's document takes every connection on web, and lets only some clients in."""
    views = make()
    static = static_of(POINTS_OF_API)
    told = explain(Question("GET", "http://a.test/x", client="10.0.0.1"), static, views.told)
    [made] = told.ways
    assert (made.router, made.connection.router, told.is_taken) == ("", "db@file", False)
    assert made.reason == "the TCP router db@file takes the connection, and no request is read"
    [made] = explain(Question("GET", "http://a.test/x"), static, views.told).ways
    assert made.reason == "the middleware office@file closes it"
    [made] = explain(Question("GET", "http://a.test:81/x"), static, views.told).ways
    assert (made.connection, made.router) == (None, "")


def test_routers_with_tls_do_not_take_plain_requests():
    made = way(http(router("Host(`shop.example`)", tls={})), "GET", "http://shop.example:8000/")
    assert (made.router, made.disabled, made.status) == ("", (), 404)


def test_routers_with_tls_take_https():
    section = http(router("Host(`shop.example`)"), router("PathPrefix(`/`)", tls={}, middlewares=["m"]))
    section["middlewares"] = {"m": {"redirectScheme": {"scheme": "http", "port": "8000"}}}
    made = way(section, "GET", "https://shop.example:8000/x")
    assert made.router == "r1@file"
    assert made.middlewares[0].does == (
        "answers 302 to http://shop.example:8000/x: the request goes no further",
    )
    assert told(made.near) == {"r0@file": ["it has no tls, and so takes http only"]}


def test_an_entry_point_lends_its_tls():
    static = {"entryPoints": {"web": {"address": ":8000", "http": {"tls": {}}}}}
    assert way(http("PathPrefix(`/`)"), "GET", "https://a:8000/", static=static).router == "r0@file"
    assert way(http("PathPrefix(`/`)"), "GET", "http://a:8000/", static=static).status == 404


def test_plain_routers_do_not_take_tls():
    made = way(http("Host(`shop.example`)"), "GET", "https://shop.example:8000/")
    assert told(made.near) == {"r0@file": ["it has no tls, and so takes http only"]}


def test_routers_that_cannot_be_read():
    made = way(http("Hst(`a`)", {"rul": "x"}, router("Pth(`/`)", entryPoints=["nowhere"])), *GET)
    assert list(told(made.unreadable)) == ["r0@file", "r1@file"]
    assert "unsupported function: Hst" in told(made.unreadable)["r0@file"][0]


def test_a_view_that_was_put_together_says_the_same():
    """The supervisor has no builder: its view is made of what workers tell."""
    views = make()
    for question in (("GET", "http://a.test:80/x/y"), ("GET", "http://c.test:81/"), ("GET", "http://b:80/")):
        first, second = (
            explain(Question(*question), static_of(POINTS_OF_API), view) for view in (views.built, views.told)
        )
        assert first == second


POINTS_OF_API = {"entryPoints": {"web": {"address": ":80"}, "admin": {"address": "127.0.0.1:81"}}}


# --- middlewares --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "does"),
    [
        ("addPrefix", {"prefix": "/a"}, ["path /api/x -> /a/api/x"]),
        ("stripPrefix", {"prefixes": ["/api"]}, ["path /api/x -> /x", "X-Forwarded-Prefix: /api"]),
        ("stripPrefix", {"prefixes": ["/b", "/c"]}, ["does nothing: the path begins with none of /b, /c"]),
        ("stripPrefix", {"prefixes": ["/api/x"]}, ["path /api/x -> /", "X-Forwarded-Prefix: /api/x"]),
        ("stripPrefixRegex", {"regex": ["/a.i"]}, ["path /api/x -> /x", "X-Forwarded-Prefix: /api"]),
        (
            "stripPrefixRegex",
            {"regex": ["/b"]},
            ["does nothing: none of /b matches at the start of the path"],
        ),
        ("replacePath", {"path": "/y"}, ["path /api/x -> /y", "X-Replaced-Path: /api/x"]),
        (
            "replacePathRegex",
            {"regex": "^/api/(.*)", "replacement": "/$1"},
            ["path /api/x -> /x", "X-Replaced-Path: /api/x"],
        ),
        ("replacePathRegex", {"regex": "^/y", "replacement": ""}, ["does nothing: ^/y is not in the path"]),
        (
            "replacePathRegex",
            {"regex": "x$", "replacement": "../.."},
            ["answers 400: what comes out is no path that may be sent: the request goes no further"],
        ),
        (
            "redirectScheme",
            {"scheme": "https"},
            ["answers 302 to https://shop.example/api/x: the request goes no further"],
        ),
        ("redirectScheme", {"scheme": "http", "port": "8000"}, ["lets it pass: it came by http already"]),
        (
            "redirectRegex",
            {"regex": "^http://(.*)", "replacement": "https://$1", "permanent": True},
            ["answers 301 to https://shop.example:8000/api/x: the request goes no further"],
        ),
        (
            "redirectRegex",
            {"regex": "^ftp", "replacement": "x"},
            ["lets it pass: the URL stays the same"],
        ),
        (
            "redirectRegex",
            {"regex": ".*", "replacement": "ht tp://a b"},
            ["answers 502: what comes out is no URL: the request goes no further"],
        ),
        (
            "ipAllowList",
            {"sourceRange": ["10.0.0.0/8", "192.0.2.1"], "rejectStatusCode": 404},
            ["answers 404: 203.0.113.9 is in none of 10.0.0.0/8, 192.0.2.1: the request goes no further"],
        ),
        (
            "ipWhiteList",
            {"sourceRange": ["203.0.113.0/24"]},
            ["lets it pass: 203.0.113.9 is in 203.0.113.0/24"],
        ),
        (
            "ipAllowList",
            {"sourceRange": ["10.0.0.0/8"], "ipStrategy": {"depth": 2}},
            [
                "answers 403: the entry 2 from the right of X-Forwarded-For is in none of 10.0.0.0/8: "
                "the request goes no further"
            ],
        ),
        (
            "headers",
            {"customRequestHeaders": {"X-A": "1", "X-Old": "", "K": "new", "Host": "b.example"}},
            [
                "X-A: 1",
                "K: new, in place of old",
                "Host: b.example, in place of shop.example:8000",
                "X-Old is removed",
            ],
        ),
        (
            "headers",
            {"customResponseHeaders": {"X-B": "2", "Server": ""}, "frameDeny": True},
            ["the answer gets X-B: 2", "the answer gets X-Frame-Options: DENY", "the answer loses Server"],
        ),
        (
            "headers",
            {"contentSecurityPolicy": "script-src $NONCE"},
            ["the answer gets Content-Security-Policy: script-src $NONCE"],
        ),
        (
            "headers",
            {"allowedHosts": ["a.example"]},
            ["answers 500: shop.example:8000 is none of allowedHosts: the request goes no further"],
        ),
        ("headers", {"allowedHosts": ["shop.example:8000"]}, ["lets it pass"]),
    ],
)
def test_what_a_middleware_does(kind, options, does):
    section = http(router("PathPrefix(`/`)", middlewares=["m"]), middlewares={"m": {kind: options}})
    made = way(section, *GET, (("K", "old"), ("X-Old", "1")), client="203.0.113.9")
    [passed] = made.middlewares
    assert (passed.name, passed.type) == ("m@file", kind)
    assert sorted(passed.does) == sorted(does)
    assert passed.status == made.status
    assert (made.request is None) == bool(made.status)


def test_a_preflight_request():
    cors = {"headers": {"accessControlAllowMethods": ["GET"]}}
    section = http(router("PathPrefix(`/`)", middlewares=["m"]), middlewares={"m": cors})
    asked = (("Origin", "https://o.example"), ("Access-Control-Request-Method", "GET"))
    made = way(section, "OPTIONS", GET[1], asked)
    assert made.middlewares[0].does == (
        "answers 200: it is a preflight request: the request goes no further",
    )


def test_chains_are_flattened_and_nothing_comes_behind_an_answer():
    middlewares = {
        "all": {"chain": {"middlewares": ["first", "inner", "last"]}},
        "inner": {"chain": {"middlewares": ["second", "gate", "never"]}},
        "first": {"addPrefix": {"prefix": "/1"}},
        "second": {"addPrefix": {"prefix": "/2"}},
        "gate": {"ipAllowList": {"sourceRange": ["10.0.0.1"]}},
        "never": {"addPrefix": {"prefix": "/3"}},
        "last": {"addPrefix": {"prefix": "/4"}},
    }
    section = http(router("PathPrefix(`/`)", middlewares=["all", "last"]), middlewares=middlewares)
    made = way(section, *GET)
    assert [(each.name, each.status) for each in made.middlewares] == [
        ("first@file", 0),
        ("second@file", 0),
        ("gate@file", 403),
    ]
    assert (made.status, made.reason) == (403, "the middleware gate@file answers")
    assert (made.service, made.request) == (None, None)
    passed = way(section, *GET, client="10.0.0.1")
    assert passed.request.target == "/4/4/3/2/1/api/x"


class Plugin(Middleware):
    async def on_request(self, request):
        raise AssertionError("it was tried")


def test_a_plugin_is_named_and_not_tried():
    static = {**WEB, "core": {"plugins": {"noop": f"{__name__}:Plugin"}}}
    section = http(
        router("PathPrefix(`/`)", middlewares=["p", "add"]),
        middlewares={"p": {"plugin": {"noop": {}}}, "add": {"addPrefix": {"prefix": "/a"}}},
    )
    made = way(section, *GET, static=static)
    assert made.middlewares[0].does == (
        "runs the plugin noop, which may change the request or answer it; not tried here",
    )
    assert made.request.target == "/a/api/x"


def test_an_escape_that_the_entry_point_denies():
    point = {"address": ":8000", "http": {"encodedCharacters": {"allowEncodedSlash": False}}}
    made = way(http("PathPrefix(`/`)"), "GET", "http://a:8000/x%2fy", static={"entryPoints": {"web": point}})
    assert (made.router, made.status) == ("r0@file", 400)
    assert made.reason == "the path holds %2F, which the entry point lets no router see"


# --- services -----------------------------------------------------------------------------------------------


def test_servers():
    balancer = {
        "passHostHeader": False,
        "servers": [
            {"url": "http://10.0.0.7:3000", "weight": 3},
            {"url": "http://10.0.0.8/base/", "preservePath": True},
            {"url": "http://10.0.0.9", "weight": 0},
        ],
    }
    section = http(router("PathPrefix(`/`)", "b"), services={"b": {"loadBalancer": balancer}})
    made = way(section, "GET", "http://a:8000/x?y")
    assert (made.service.name, made.service.type, made.service.names_host) == ("b@file", "loadbalancer", True)
    assert [(each.url, each.weight, each.status, each.target) for each in made.service.servers] == [
        ("http://10.0.0.7:3000", 3, "UP", ""),
        ("http://10.0.0.8/base/", 1, "UP", "/base/x?y"),
    ]


@pytest.mark.parametrize("servers", [[], [{"url": "http://10.0.0.9", "weight": 0}]])
def test_no_server(servers):
    balancer = {"servers": servers, "passHostHeader": True}
    section = http(router("PathPrefix(`/`)", "b"), services={"b": {"loadBalancer": balancer}})
    made = way(section, *GET)
    assert (made.router, made.status) == ("r0@file", 503)
    assert made.reason == "the service b@file has no server that may be asked"


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    (tmp_path / "static.yml").write_text(
        "entryPoints: {web: {address: ':8000'}}\nproviders: {file: {filename: dynamic.yml}}\n"
    )
    (tmp_path / "dynamic.yml").write_text(
        "http:\n  routers:\n    r: {rule: 'Path(`/a`)', service: s}\n    bad: {rul: x}\n"
        "  services:\n    s: {loadBalancer: {servers: [{url: 'http://10.0.0.7'}]}}\n"
    )
    return tmp_path


def run(*arguments):
    return main(["explain", *arguments, "--configFile=static.yml"])


def test_the_command(folder, capsys):
    assert run("GET", "http://a:8000/a") == 0
    out, err = capsys.readouterr()
    assert "  router r@file takes it\n" in out
    assert 'dynamic.yml:4:11: http.routers.bad.rul: unknown option "rul"; did you mean rule?\n' in err
    assert run("GET", "http://a:8000/b") == 1


def test_as_json(folder, capsys):
    assert run("GET", "http://a:8000/a", "-H", "X: y: z", "--format", "json", "--client-ip", "10.0.0.1") == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["client"], body["ways"][0]["router"]) == ("10.0.0.1", "r@file")
    assert "X-Forwarded-For: 10.0.0.1" in body["ways"][0]["request"]["changes"]
    assert body["ways"][0]["isComputed"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'METHOD'"),
        (("GET",), "Missing argument 'URL'"),
        (("GET", "x"), '"x" is not a URL'),
        (("GET", "http://a", "-H", "x"), '"x" has no colon'),
        (("GET", "http://a", "--entryPoint", "wbe"), 'unknown entry point "wbe"'),
        (("GET", "http://a", "--client-ip", "me"), '"me" is not an address'),
        (("GET", "http://a", "--format", "xml"), "'xml' is not one of"),
        (("GET", "http://a", "--sni", "a"), "--sni and --alpn go with --tcp, or with a URL of https"),
        (("GET", "http://a", "--alpn", "h2"), "--sni and --alpn go with --tcp, or with a URL of https"),
        (("GET", "https://a", "--tls"), "--tls and --postgres go with --tcp"),
        (("GET", "https://a", "--sni", "a b"), '"a b" is not the name of a server'),
        (("--tcp", "--udp"), "--tcp and --udp ask about different things"),
        (("--tcp", "GET", "http://a"), "--tcp and --udp ask about no request"),
        (("--udp", "-H", "a: b"), "--tcp and --udp ask about no request"),
        (("--udp", "--sni", "a"), "--udp has no TLS"),
        (("--udp",), "there is no entry point for UDP"),
        (("--tcp", "--entrypoint", "wbe"), 'unknown entry point "wbe"'),
    ],
)
def test_wrong_usage(folder, capsys, arguments, message):
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("static.yml", "entryPoints: {web: {adress: ':80'}}", "static.yml:1:21: entryPoints.web.adress"),
        ("dynamic.yml", "http: [", "dynamic.yml:2:1: not YAML"),
    ],
)
def test_a_configuration_that_cannot_be_used(folder, capsys, file, text, message):
    (folder / file).write_text(text)
    assert run("GET", "http://a:8000/a") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (("GET", "http://a:8000/a"), b"router r@file takes it"),
        (("--tcp", "--client", "10.0.0.1"), b"HTTP reads its requests"),
    ],
)
def test_no_socket_is_opened(folder, question, said):
    script = (
        "import socket, sys\n"
        "def refuse(*arguments, **more): raise AssertionError('a socket')\n"
        "socket.socket.__init__ = refuse\n"
        "from fastproxy.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["explain", *question, "--configFile=static.yml"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, timeout=30)
    assert (done.returncode, said in done.stdout) == (0, True), done.stderr
