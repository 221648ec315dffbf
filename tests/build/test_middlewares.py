"""A middleware of a document becomes steps: from YAML to what a request and an answer become."""

import sys
from types import SimpleNamespace

import msgspec
import pytest

from fastproxy._core.message import Request, Response
from fastproxy._core.step import Pipeline
from fastproxy.build.middlewares import CONSTRUCTORS, steps_of
from fastproxy.build.runtime import Broken
from fastproxy.config.document import read_whole
from fastproxy.config.middlewares import HttpMiddleware
from fastproxy.plugins.api import Middleware, Wants
from fastproxy.plugins.load import Plugins

NO_PLUGINS = Plugins(installed=())


def read(text: str):
    """Return (middleware or None, problems as the user sees them) of the YAML of one middleware."""
    indented = "".join(f"      {line}\n" for line in text.splitlines())
    reading = read_whole(f"http:\n  middlewares:\n    m:\n{indented}", "x.yml")
    problems = [str(problem) for problem in reading.problems]
    assert reading.configuration is not None, problems
    return reading.configuration.http.middlewares.get("m"), problems


def steps(text: str, plugins: Plugins = NO_PLUGINS):
    configured, problems = read(text)
    assert configured is not None, problems
    return steps_of("m@file", configured, plugins)


def passed(text: str, *, target="/api/a?q", host="shop.example", fields="", **options):
    """Send a request through the steps: (request, answer or None)."""
    head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
    request = Request.of(head.encode(), **options)
    for step in Pipeline(steps(text)).on_request:
        verdict, answer = step.run_request(request)
        if verdict == "answer":
            return request, answer
    return request, None


def answered(text: str, fields="", **options):
    """Send an answer back through the steps; return its fields."""
    request = Request.of(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", **options)
    response = Response.of(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode())
    for step in Pipeline(steps(text)).on_response:
        step.run_response(request, response)
    return [(name.decode(), value.decode()) for name, value in response.head.fields]


def test_every_type_of_a_document_has_its_constructor():
    kinds = set(HttpMiddleware.__struct_encode_fields__)
    assert set(CONSTRUCTORS) == kinds - {"chain"}  # whoever makes pipelines flattens chains


def test_steps_are_named_for_logs_and_new_with_each_call():
    configured, _ = read("addPrefix: {prefix: /x}")
    [first], [second] = (steps_of("m@file", configured, NO_PLUGINS) for _ in range(2))
    assert first.name == "m@file"
    assert first is not second


@pytest.mark.parametrize(
    ("description", "text", "path"),
    [
        ("addPrefix", "addPrefix: {prefix: /x}", "/x/api/a"),
        ("a prefix with a blank", "addPrefix: {prefix: /x y}", "/x%20y/api/a"),
        ("stripPrefix", "stripPrefix: {prefixes: [/no, /api]}", "/a"),
        ("prefixes are trimmed", "stripPrefix: {prefixes: [' /api ']}", "/a"),
        ("forceSlash", "stripPrefix: {prefixes: [/api/a], forceSlash: true}", "/"),
        ("no forceSlash", "stripPrefix: {prefixes: [/api/a]}", ""),
        ("stripPrefixRegex", "stripPrefixRegex: {regex: ['/a[a-z]+']}", "/a"),
        ("replacePath", "replacePath: {path: /b}", "/b"),
        ("replacePathRegex", "replacePathRegex: {regex: '^/(.*)/a$', replacement: '/$1/b'}", "/api/b"),
        ("names in any case", "STRIPPREFIX: {Prefixes: /api}", "/a"),
    ],
)
def test_paths(description, text, path):
    request, answer = passed(text)
    assert answer is None
    assert request.escaped_path == path
    assert request.query_string == "q"


@pytest.mark.parametrize(
    ("description", "text", "status", "location"),
    [
        ("redirectScheme", "redirectScheme: {scheme: https}", 302, "https://shop.example/api/a?q"),
        ("for good", "redirectScheme: {scheme: https, permanent: true}", 301, "https://shop.example/api/a?q"),
        ("a port", "redirectScheme: {scheme: https, port: '8443'}", 302, "https://shop.example:8443/api/a?q"),
        ("a scheme in capitals", "redirectScheme: {scheme: HTTPS}", 302, "https://shop.example/api/a?q"),
        (
            "redirectRegex",
            "redirectRegex: {regex: '^http://([a-z]+)[.].*', replacement: 'https://$1.net/'}",
            302,
            "https://shop.net/",
        ),
    ],
)
def test_redirects(description, text, status, location):
    _, answer = passed(text)
    assert (answer.status, answer.headers) == (status, [(b"Location", location.encode())])


@pytest.mark.parametrize(
    ("description", "text", "client", "fields", "status"),
    [
        ("in the list", "ipAllowList: {sourceRange: [10.0.0.0/8, '::1']}", "10.0.0.1", "", None),
        ("a list in one text", "ipAllowList: {sourceRange: '10.0.0.0/8, ::1'}", "::1", "", None),
        ("not in it", "ipAllowList: {sourceRange: [10.0.0.0/8]}", "11.0.0.1", "", 403),
        ("the old name", "ipWhiteList: {sourceRange: [10.0.0.0/8]}", "11.0.0.1", "", 403),
        (
            "another code",
            "ipAllowList: {sourceRange: [10.0.0.0/8], rejectStatusCode: 404}",
            "11.0.0.1",
            "",
            404,
        ),
        (
            "a depth",
            "ipAllowList: {sourceRange: [10.0.0.0/8], ipStrategy: {depth: 1}}",
            "11.0.0.1",
            "X-Forwarded-For: 10.0.0.1\r\n",
            None,
        ),
        (
            "excluded",
            "ipAllowList: {sourceRange: [10.0.0.0/8], ipStrategy: {excludedIPs: [11.0.0.1]}}",
            "11.0.0.1",
            "X-Forwarded-For: 10.0.0.1, 11.0.0.1\r\n",
            None,
        ),
        (
            "a subnet",
            "ipAllowList: {sourceRange: ['fd00::'], ipStrategy: {ipv6Subnet: 64}}",
            "fd00::1",
            "",
            None,
        ),
        (
            "an empty strategy",
            "ipAllowList: {sourceRange: [10.0.0.0/8], ipStrategy: {}}",
            "10.0.0.1",
            "",
            None,
        ),
    ],
)
def test_lists_of_addresses(description, text, client, fields, status):
    _, answer = passed(text, client=client, fields=fields)
    assert (answer and answer.status) == status


# -- headers

SECURITY = """\
headers:
  frameDeny: true
  contentTypeNosniff: true
  browserXssFilter: true
  contentSecurityPolicy: |
    default-src 'self';
    img-src *
  contentSecurityPolicyReportOnly: a
  referrerPolicy: same-origin
  permissionsPolicy: vibrate=()
  stsSeconds: 42
  stsIncludeSubdomains: true
  stsPreload: true
  publicKey: pin
"""

OF_EVERY_ANSWER = [
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Xss-Protection", "1; mode=block"),
    ("Content-Security-Policy", "default-src 'self'; img-src *"),
    ("Content-Security-Policy-Report-Only", "a"),
    ("Referrer-Policy", "same-origin"),
    ("Permissions-Policy", "vibrate=()"),
]


def test_security_headers():
    assert answered(SECURITY) == OF_EVERY_ANSWER
    assert answered(SECURITY, is_tls=True) == [
        *OF_EVERY_ANSWER,
        ("Strict-Transport-Security", "max-age=42; includeSubDomains; preload"),
        ("Public-Key-Pins", "pin"),
    ]


@pytest.mark.parametrize(
    ("description", "text", "fields"),
    [
        ("development", "{stsSeconds: 1, forceSTSHeader: true, publicKey: a, isDevelopment: true}", []),
        ("no seconds", "{stsSeconds: 0, forceSTSHeader: true}", []),
        ("forced", "{stsSeconds: 1, forceSTSHeader: true}", [("Strict-Transport-Security", "max-age=1")]),
        (
            "own frame options",
            "{frameDeny: true, customFrameOptionsValue: SAMEORIGIN}",
            [("X-Frame-Options", "SAMEORIGIN")],
        ),
        (
            "own protection",
            "{browserXssFilter: true, customBrowserXSSValue: '0'}",
            [("X-Xss-Protection", "0")],
        ),
        ("custom fields win", "{frameDeny: true, customResponseHeaders: {X-Frame-Options: ''}}", []),
        ("a value in lines", '{customResponseHeaders: {a: "b\\r\\nc\\n"}}', [("A", "b  c")]),
        (
            "other origins win over both",
            "{accessControlAllowOriginList: ['*'], customResponseHeaders: {Access-Control-Allow-Origin: a}}",
            [("Access-Control-Allow-Origin", "*")],
        ),
        ("Vary", "{addVaryHeader: true, customResponseHeaders: {Vary: A}}", [("Vary", "A,Origin")]),
    ],
)
def test_fields_of_answers(description, text, fields):
    assert answered(f"headers: {text}") == fields


def test_the_options_for_other_origins():
    text = """\
headers:
  accessControlAllowCredentials: true
  accessControlAllowHeaders: [X-A]
  accessControlAllowMethods: [GET, PUT]
  accessControlAllowOriginListRegex: ['^https://.*[.]example$']
  accessControlExposeHeaders: [X-B]
  accessControlMaxAge: 100
  customRequestHeaders: {Origin: ''}
"""
    fields = "Origin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n"
    request = Request.of(f"OPTIONS / HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
    verdict, answer = Pipeline(steps(text)).on_request[0].run_request(request)
    # The preflight comes before any edit: it still sees the origin.
    assert (verdict, answer.status) == ("answer", 200)
    assert {name.decode(): value.decode() for name, value in answer.headers} == {
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Headers": "X-A",
        "Access-Control-Allow-Methods": "GET,PUT",
        "Access-Control-Allow-Origin": "https://a.example",
        "Access-Control-Expose-Headers": "X-B",
        "Access-Control-Max-Age": "100",
    }


@pytest.mark.parametrize(
    ("description", "text", "fields", "status"),
    [
        ("allowed", "{allowedHosts: [shop.example]}", "", None),
        ("not allowed", "{allowedHosts: [a.example]}", "", 500),
        ("while developing", "{allowedHosts: [a.example], isDevelopment: true}", "", None),
        (
            "named by a proxy",
            "{allowedHosts: [a.example], hostsProxyHeaders: [X-Host]}",
            "X-Host: a.example\r\n",
            None,
        ),
        ("as edited", "{allowedHosts: [a.example], customRequestHeaders: {Host: a.example}}", "", None),
    ],
)
def test_hosts(description, text, fields, status):
    _, answer = passed(f"headers: {text}", fields=fields)
    assert (answer and answer.status) == status


def test_a_refused_host_gets_the_custom_fields_of_its_own_middleware_only():
    pipeline = Pipeline(steps("headers: {allowedHosts: [a], frameDeny: true, customResponseHeaders: {A: b}}"))
    edits, security = pipeline.steps
    assert pipeline.on_request == (security,)
    assert pipeline.on_response == (security, edits)  # the one that answered is passed over


@pytest.mark.parametrize(
    "text", ["{isDevelopment: true}", "{stsIncludeSubdomains: true}", "{hostsProxyHeaders: [X-Host]}"]
)
def test_options_that_do_nothing_alone_are_no_step(text):
    assert steps(f"headers: {text}") == ()


def test_custom_request_headers():
    request, _ = passed(
        "headers: {customRequestHeaders: {X-Forwarded-For: '', x-new: 'é', X-Old: '', host: a.example:81}}",
        fields="X-Forwarded-For: 10.0.0.1\r\nX-Old: 1\r\n",
    )
    assert request.head.fields == [(b"X-New", "é".encode()), (b"Host", b"a.example:81")]
    assert request.host_name == "a.example"


# -- what is refused


@pytest.mark.parametrize(
    ("description", "text", "told"),
    [
        ("no type", "{}", "invalid middleware type or middleware does not exist"),
        (
            "two types",
            "{addPrefix: {prefix: /a}, replacePath: {path: /b}}",
            "multi-types middleware not supported, consider declaring two different pieces of",
        ),
        ("no prefix", "addPrefix: {prefix: ''}", "http.middlewares.m.addPrefix.prefix: missing"),
        ("no scheme", "redirectScheme: {port: '80'}", "http.middlewares.m.redirectScheme.scheme: missing"),
        ("no port", "redirectScheme: {scheme: a, port: '0'}", 'redirectScheme.port: "0" is not a port'),
        ("no ranges", "ipAllowList: {rejectStatusCode: 404}", "ipAllowList.sourceRange: missing"),
        (
            "a range that is none",
            "ipAllowList: {sourceRange: [10.0.0.0/33]}",
            'sourceRange[0]: "10.0.0.0/33" is nei',
        ),
        (
            "an unknown code",
            "ipAllowList: {sourceRange: ['::1'], rejectStatusCode: 299}",
            "rejectStatusCode: 299 is n",
        ),
        (
            "a code that ends nothing",
            "ipAllowList: {sourceRange: ['::1'], rejectStatusCode: 100}",
            "rejectStatusCode: 100 is not the code of a known HTTP status from 200 to 599",
        ),
        (
            "the old name has no code",
            "ipWhiteList: {sourceRange: ['::1'], rejectStatusCode: 404}",
            "rejectStatusCode",
        ),
        (
            "a subnet that is none",
            "ipAllowList: {sourceRange: ['::1'], ipStrategy: {ipv6Subnet: 0}}",
            "ipStrategy.ipv6Subnet: 0 is not a number of bits from 1 to 128",
        ),
        (
            "an expression that is none",
            "stripPrefixRegex: {regex: ['(']}",
            'regex[0]: "(" is not a regular expression',
        ),
        ("look-around", "redirectRegex: {regex: '(?=a)', replacement: b}", "is not a regular expression"),
        ("nothing set", "headers: {}", "headers configuration not valid"),
        ("nothing but what has no effect", "headers: {sslRedirect: true}", "headers configuration not valid"),
        (
            "the length of the body",
            "headers: {customRequestHeaders: {content-length: '1'}}",
            "headers.customRequestHeaders.content-length: content-length belongs to the proxy",
        ),
        ("of an answer", "headers: {customResponseHeaders: {Transfer-Encoding: ''}}", "belongs to the proxy"),
        (
            "a name that is none",
            "headers: {customRequestHeaders: {'a b': '1'}}",
            '"a b" is not the name of a header',
        ),
        ("a value over two lines", 'headers: {customRequestHeaders: {a: "b\\nc"}}', "a line break"),
        (
            "an origin that is no expression",
            "headers: {accessControlAllowOriginListRegex: ['[']}",
            "OriginListRegex[0]",
        ),
        ("two plugins", "plugin: {a: {}, b: {}}", "2 plugins; a middleware has exactly one"),
        ("what is not built yet", "rateLimit: {average: 1}", "rateLimit: not supported yet"),
    ],
)
def test_refused_by_the_document(description, text, told):
    configured, problems = read(text)
    assert configured is None
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("description", "text", "told"),
    [
        (
            "a host that is none",
            "headers: {customRequestHeaders: {Host: a b}}",
            'headers.customRequestHeaders: "a b" is not a host; write one like shop.example:8080',
        ),
        (
            "a control character",
            'headers: {customResponseHeaders: {A: "\\x01"}}',
            r"headers.customResponseHeaders.A: '\x01' holds a control character, which no header value may",
        ),
        ("in a policy", 'headers: {contentSecurityPolicy: "\\x01"}', "headers.contentSecurityPolicy: "),
        ("in a prefix", 'stripPrefix: {prefixes: [/a, "/\\x01"]}', "stripPrefix.prefixes[1]: "),
        (
            "no such plugin",
            "plugin: {p: {}}",
            'plugin.p: there is no plugin "p", nor any other; declare it in core.plugins or install it',
        ),
    ],
)
def test_refused_by_the_builder(description, text, told):
    with pytest.raises(Broken) as broken:
        steps(text)
    assert str(broken.value).startswith(told)
    assert "\n" not in str(broken.value)


# -- plugins


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    most: int = 0


class Both(Middleware):
    Settings = Settings
    timeout = 1.5

    async def on_request(self, request):
        request.set_header("X-Most", str(self.settings.most))

    async def on_response(self, request, response):
        response.set_header("X-Most", str(self.settings.most))


class Refuses(Middleware):
    wants = Wants.RESPONSE_HEAD

    def __init__(self, settings):
        raise RuntimeError("not today")

    async def on_response(self, request, response):
        pass


@pytest.fixture
def plugins(monkeypatch):
    monkeypatch.setitem(sys.modules, "test_plugins", SimpleNamespace(Both=Both, Refuses=Refuses))
    names = {"both": "test_plugins:Both", "refuses": "test_plugins:Refuses", "broken": "test_plugins:Nobody"}
    return Plugins(names, installed=())


async def test_a_plugin_is_a_step_that_parks(plugins):
    [step] = steps("plugin: {both: {most: 3}}", plugins)
    assert (step.name, step.timeout, step.wants_request, step.wants_response) == ("m@file", 1.5, True, True)
    request = Request.of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert step.run_request(request) == ("park", None)
    await request.pending
    assert request.header("X-Most") == "3"


def test_each_middleware_has_an_object_of_its_own(plugins):
    [one], [other] = (steps("plugin: {both: {most: 3}}", plugins) for _ in range(2))
    assert one.middleware is not other.middleware


@pytest.mark.parametrize("text", ["plugin: {both: {}}", "plugin: {both: }", "plugin:\n  both:\n"])
def test_a_plugin_without_settings(plugins, text):
    [step] = steps(text, plugins)
    assert step.middleware.settings == Settings()


@pytest.mark.parametrize(
    ("description", "text", "told"),
    [
        (
            "cannot be loaded",
            "plugin: {broken: {}}",
            'plugin.broken: plugin "broken" cannot be loaded: test_plugins has no "Nobody"',
        ),
        (
            "is not there",
            "plugin: {nobody: {}}",
            'plugin.nobody: there is no plugin "nobody", only both, broken, ref',
        ),
        (
            "refuses",
            "plugin: {refuses: {}}",
            'plugin.refuses: plugin "refuses" (test_plugins:Refuses) refused: RuntimeError: not today',
        ),
        (
            "a setting of the wrong type",
            "plugin: {both: {most: many}}",
            "plugin.both.most: expected `int`, got `str`",
        ),
        (
            "an unknown setting",
            "plugin: {both: {least: 1}}",
            "plugin.both: object contains unknown field `least`",
        ),
    ],
)
def test_a_plugin_that_breaks_its_middleware(plugins, description, text, told):
    with pytest.raises(Broken) as broken:
        steps(text, plugins)
    assert str(broken.value).startswith(told)
