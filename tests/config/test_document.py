"""Dynamic documents: every object by itself, every refusal with its place, and what refuses the whole."""

import msgspec
import pytest

from fastproxy.config.document import Document, read_whole
from fastproxy.config.dynamic import Configuration
from fastproxy.config.http import (
    HttpRouter,
    HttpService,
    LoadBalancer,
    ResponseForwarding,
    Server,
    ServersTransport,
)
from fastproxy.config.middlewares import (
    AddPrefix,
    Chain,
    Headers,
    IPAllowList,
    IPStrategy,
    RedirectRegex,
    RedirectScheme,
    ReplacePath,
    ReplacePathRegex,
    StripPrefix,
    StripPrefixRegex,
)
from fastproxy.config.static import ForwardingTimeouts
from fastproxy.config.tls import CertificatePair
from fastproxy.config.values import SECOND


def read(text, source="d.yml"):
    """Return the configuration or None, and what was told, one line each; both ways of reading must agree."""
    whole = read_whole(text, source)
    assert Document(source).read(text) == whole
    return whole.configuration, [str(each) for each in whole.problems]


def made(text, source="d.yml"):
    configuration, told = read(text, source)
    assert told == []
    return configuration


# --- what is accepted ---------------------------------------------------------------------------------------

EVERYTHING = """
http:
  routers:
    shop:
      rule: Host(`shop.example`) && PathPrefix(`/api`)
      ruleSyntax: v3
      entryPoints: [web, other]
      middlewares: auth, strip@file
      service: shop
      priority: -7
    404: {RULE: Path(`/`), Service: api@internal}
  services:
    shop:
      loadBalancer:
        servers:
          - url: http://10.0.0.1:8080
            weight: 3
            preservePath: true
          - {url: "unix:///run/app.sock"}
        strategy: WRR
        passHostHeader: "false"
        serversTransport: inner
        responseForwarding: {flushInterval: -1}
    none: {loadBalancer: {servers: []}}
  middlewares:
    a: {addPrefix: {prefix: /api}}
    b: {stripPrefix: {prefixes: [" /x ", /y], forceSlash: true}}
    c: {stripPrefixRegex: {regex: ["^/v[0-9]+"]}}
    d: {replacePath: {path: /new}}
    e: {replacePathRegex: {regex: " ^/a ", replacement: " /b "}}
    f: {headers: {customRequestHeaders: {X-A: 0777, X-B: ~}, customResponseHeaders: {X-C: "true", X-D: true}}}
    g: {redirectScheme: {scheme: https, port: 8443, permanent: true}}
    h: {redirectRegex: {regex: ^http://(.*), replacement: "https://$1"}}
    i: {ipAllowList: {sourceRange: 10.0.0.0/8, ipStrategy: {depth: 2}, rejectStatusCode: 404}}
    j: {ipWhiteList: {sourceRange: ["::1"], ipStrategy: {}}}
    k: {chain: {middlewares: [a, b]}}
    l: {plugin: {auth: {users: [{name: x, age: 5}], on: yes, "off": false}}}
  serversTransports:
    inner:
      serverName: inner.example
      insecureSkipVerify: true
      rootCAs: [ca.pem]
      certificates: [{certFile: c.pem, keyFile: k.pem}]
      cipherSuites: [TLS_AES_128_GCM_SHA256]
      minVersion: VersionTLS12
      maxVersion: VersionTLS13
      maxIdleConnsPerHost: 7
      forwardingTimeouts: {dialTimeout: 1s, responseHeaderTimeout: 2s, idleConnTimeout: 3}
      disableHTTP2: true
"""


def test_every_option_that_is_built():
    http = made(EVERYTHING).http
    assert http.routers == {
        "shop": HttpRouter(
            rule="Host(`shop.example`) && PathPrefix(`/api`)",
            entry_points=("web", "other"),
            middlewares=("auth", "strip@file"),
            service="shop",
            priority=-7,
        ),
        "404": HttpRouter(rule="Path(`/`)", service="api@internal"),
    }
    assert http.services == {
        "shop": HttpService(
            load_balancer=LoadBalancer(
                servers=(
                    Server(url="http://10.0.0.1:8080", weight=3, preserve_path=True),
                    Server(url="unix:///run/app.sock"),
                ),
                pass_host_header=False,
                servers_transport="inner",
                response_forwarding=ResponseForwarding(flush_interval=-SECOND),
            )
        ),
        "none": HttpService(load_balancer=LoadBalancer()),
    }
    assert {name: (each.kind, each.settings) for name, each in http.middlewares.items()} == {
        "a": ("addPrefix", AddPrefix(prefix="/api")),
        "b": ("stripPrefix", StripPrefix(prefixes=("/x", "/y"), force_slash=True)),
        "c": ("stripPrefixRegex", StripPrefixRegex(regex=("^/v[0-9]+",))),
        "d": ("replacePath", ReplacePath(path="/new")),
        "e": ("replacePathRegex", ReplacePathRegex(regex="^/a", replacement="/b")),
        "f": (
            "headers",
            Headers(
                custom_request_headers={"X-A": "0777", "X-B": ""},
                custom_response_headers={"X-C": "true", "X-D": "true"},
            ),
        ),
        "g": ("redirectScheme", RedirectScheme(scheme="https", port="8443", permanent=True)),
        "h": ("redirectRegex", RedirectRegex(regex="^http://(.*)", replacement="https://$1")),
        "i": (
            "ipAllowList",
            IPAllowList(
                source_range=("10.0.0.0/8",), ip_strategy=IPStrategy(depth=2), reject_status_code=404
            ),
        ),
        "j": ("ipWhiteList", made_whitelist()),
        "k": ("chain", Chain(middlewares=("a", "b"))),
        "l": ("plugin", {"auth": {"users": [{"name": "x", "age": 5}], "on": "yes", "off": False}}),
    }
    assert http.servers_transports["inner"] == ServersTransport(
        server_name="inner.example",
        insecure_skip_verify=True,
        root_cas=("ca.pem",),
        certificates=(CertificatePair(cert_file="c.pem", key_file="k.pem"),),
        cipher_suites=("TLS_AES_128_GCM_SHA256",),
        min_version="VersionTLS12",
        max_version="VersionTLS13",
        max_idle_conns_per_host=7,
        forwarding_timeouts=ForwardingTimeouts(
            dial_timeout=SECOND, response_header_timeout=2 * SECOND, idle_conn_timeout=3 * SECOND
        ),
        disable_http2=True,
    )


def made_whitelist():
    from fastproxy.config.middlewares import IPWhiteList

    return IPWhiteList(source_range=("::1",), ip_strategy=IPStrategy())


def test_it_goes_through_msgpack():
    configuration = made(EVERYTHING)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(configuration), type=Configuration) == configuration


def test_toml_says_the_same():
    text = """
[http.routers.shop]
rule = "Host(`a`)"
service = "s"
priority = 3
[[http.services.s.loadBalancer.servers]]
url = "http://a"
weight = 2
[http.middlewares.p.plugin.x]
since = 2024-01-01
n = [1, 1.5]
"""
    http = made(text, "d.toml").http
    assert http.routers["shop"] == HttpRouter(rule="Host(`a`)", service="s", priority=3)
    assert http.services["s"].load_balancer.servers == (Server(url="http://a", weight=2),)
    assert http.middlewares["p"].settings == {"x": {"since": "2024-01-01", "n": [1, 1.5]}}


@pytest.mark.parametrize(
    "text", ["", "# nothing", "x-anchors: {a: 1}", "entryPoints: {web: {address: ':1'}}"]
)
def test_documents_that_say_nothing(text):
    assert made(text) == Configuration()


# --- what breaks one object ---------------------------------------------------------------------------------

GOOD = "  services:\n    good: {loadBalancer: {servers: []}}\n"


def broken(section, body):
    """Read a document with one more object, `it`, whose body begins in line 4, column 6."""
    configuration, told = read(
        f"http:\n  {section}:\n    it:\n      {body}\n{GOOD if section != 'services' else ''}"
    )
    assert configuration is not None
    assert configuration.http.services or section == "services"
    assert "it" not in configuration.table(f"http.{section}")
    return configuration.broken[f"http.{section}"]["it"], told


@pytest.mark.parametrize(
    ("section", "body", "place", "reason"),
    [
        (
            "routers",
            "{service: s}",
            "3:5",
            "rule: missing; a router needs a rule, such as Host(`shop.example`)",
        ),
        ("routers", "{rule: R}", "3:5", "service: missing; a router needs the name of a service"),
        (
            "routers",
            "{rule: R, service: s, tls: {certResolver: le}}",
            "4:35",
            "tls.certResolver: not supported yet",
        ),
        (
            "routers",
            "{rule: R, service: s, observability: {metrics: false}}",
            "4:45",
            "observability.metrics: not supported yet",
        ),
        ("routers", "{rule: R, parentRefs: [a], service: s}", "4:17", "parentRefs: not supported yet"),
        (
            "routers",
            "{rule: R, service: s, ruleSyntax: v2}",
            "4:41",
            'ruleSyntax: "v2" is not supported yet; use v3',
        ),
        (
            "routers",
            "{rule: R, service: s, priority: high}",
            "4:39",
            'priority: "high" is not a whole number',
        ),
        (
            "routers",
            "{rule: R, service: s, priority: 9223372036854774808}",
            "4:39",
            "priority: 9223372036854774808 is too high; the greatest is 9223372036854774807",
        ),
        ("routers", "{rule: [R], service: s}", "4:14", "rule: a list where a single value is expected"),
        ("routers", "{rule: R, servce: s}", "4:17", 'servce: unknown option "servce"; did you mean service?'),
        (
            "routers",
            "{rule: R, service: s, entryPoints: {web: x}}",
            "4:42",
            "entryPoints: a mapping where a list is expected",
        ),
        ("routers", "text", "4:7", '"text" where a mapping of options is expected'),
        ("services", "{}", "3:5", "the service does not have any type defined; give it a loadBalancer"),
        ("services", "{weighted: {}}", "4:8", "weighted: not supported yet"),
        (
            "services",
            "{loadBalancer: {servers: []}, middlewares: [a]}",
            "4:37",
            "middlewares: not supported yet",
        ),
        ("services", "{loadBalancer: {sticky: {}}}", "4:23", "loadBalancer.sticky: not supported yet"),
        (
            "services",
            "{loadBalancer: {healthCheck: {}}}",
            "4:23",
            "loadBalancer.healthCheck: not supported yet",
        ),
        (
            "services",
            "{loadBalancer: {strategy: p2c}}",
            "4:33",
            'loadBalancer.strategy: "p2c" is not supported yet; use wrr',
        ),
        (
            "services",
            "{loadBalancer: {strategy: random}}",
            "4:33",
            'loadBalancer.strategy: "random" is not wrr',
        ),
        (
            "services",
            "{loadBalancer: {servers: http://a}}",
            "4:32",
            'loadBalancer.servers: "http://a" where a list is expected',
        ),
        (
            "services",
            "{loadBalancer: {servers: [http://a]}}",
            "4:33",
            'loadBalancer.servers[0]: "http://a" where a mapping of options is expected',
        ),
        (
            "services",
            "{loadBalancer: {servers: [{weight: 1}]}}",
            "4:33",
            "loadBalancer.servers[0].url: missing; a server needs one, such as http://10.0.0.7:8080",
        ),
        (
            "services",
            "{loadBalancer: {servers: [{url: h2c://a}]}}",
            "4:39",
            'loadBalancer.servers[0].url: "h2c://a": servers by h2c are not supported yet',
        ),
        (
            "services",
            "{loadBalancer: {servers: [{url: http://a, port: 80}]}}",
            "4:49",
            "loadBalancer.servers[0].port: not supported yet",
        ),
        (
            "services",
            "{loadBalancer: {responseForwarding: {flushInterval: 1 min}}}",
            "4:59",
            'loadBalancer.responseForwarding.flushInterval: "1 min" is not a duration; write "1m" or a '
            "number of seconds",
        ),
        (
            "middlewares",
            "{}",
            "3:5",
            "invalid middleware type or middleware does not exist; a middleware has exactly one type",
        ),
        (
            "middlewares",
            "{addPrefix: {prefix: /a}, replacePath: {path: /b}}",
            "3:5",
            "cannot create middleware: multi-types middleware not supported, consider declaring two "
            "different pieces "
            "of middleware instead",
        ),
        ("middlewares", "{basicAuth: {users: [a]}}", "4:8", "basicAuth: not supported yet"),
        (
            "middlewares",
            "{addprefx: {prefix: /a}}",
            "4:8",
            'addprefx: unknown option "addprefx"; did you mean addPrefix?',
        ),
        (
            "middlewares",
            "{addPrefix: {prefix: ''}}",
            "4:28",
            "addPrefix.prefix: missing; write what to put before the path, such as /api",
        ),
        (
            "middlewares",
            "{stripPrefixRegex: {regex: [a, '(']}}",
            "4:38",
            'stripPrefixRegex.regex[1]: "(" is not a regular expression: missing ): (',
        ),
        (
            "middlewares",
            "{redirectScheme: {permanent: true}}",
            "4:8",
            "redirectScheme.scheme: missing; write https",
        ),
        (
            "middlewares",
            "{redirectScheme: {scheme: https, port: http}}",
            "4:46",
            'redirectScheme.port: "http" is not a port from 1 to 65535',
        ),
        (
            "middlewares",
            "{headers: {}}",
            "4:8",
            "headers: headers configuration not valid; set at least one option, such as customRequestHeaders",
        ),
        (
            "middlewares",
            '{headers: {customRequestHeaders: {"X A": b}}}',
            "4:48",
            'headers.customRequestHeaders.X A: "X A" is not the name of a header field',
        ),
        (
            "middlewares",
            '{headers: {customRequestHeaders: {X: "a\\r\\nb"}}}',
            "4:44",
            "headers.customRequestHeaders.X: the value holds a line break or a zero byte, which no header "
            "field may",
        ),
        (
            "middlewares",
            "{ipAllowList: {sourceRange: []}}",
            "4:35",
            "ipAllowList.sourceRange: missing; list the addresses or networks to let in",
        ),
        (
            "middlewares",
            "{ipAllowList: {rejectStatusCode: 403}}",
            "4:8",
            "ipAllowList.sourceRange: missing; list the addresses or networks to let in",
        ),
        (
            "middlewares",
            "{ipAllowList: {sourceRange: 10.0.0.1, rejectStatusCode: 799}}",
            "4:63",
            "ipAllowList.rejectStatusCode: 799 is not the code of a known HTTP status from 200 to 599",
        ),
        (
            "middlewares",
            "{ipAllowList: {sourceRange: 10.0.0.1, ipStrategy: {ipv6Subnet: 129}}}",
            "4:70",
            "ipAllowList.ipStrategy.ipv6Subnet: 129 is not a number of bits from 1 to 128",
        ),
        (
            "middlewares",
            "{ipWhiteList: {sourceRange: 10.0.0.1, rejectStatusCode: 404}}",
            "4:45",
            'ipWhiteList.rejectStatusCode: unknown option "rejectStatusCode"',
        ),
        (
            "middlewares",
            "{plugin: {a: {}, b: {}}}",
            "4:16",
            "plugin: 2 plugins; a middleware has exactly one",
        ),
        ("serversTransports", "{spiffe: {}}", "4:8", "spiffe: not supported yet"),
        (
            "serversTransports",
            "{minVersion: TLS12}",
            "4:20",
            'minVersion: "TLS12" is not one of VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13',
        ),
        (
            "serversTransports",
            "{forwardingTimeouts: {dialTimeout: 1 minute}}",
            "4:42",
            'forwardingTimeouts.dialTimeout: "1 minute" is not a duration; write "1m" or a number of seconds',
        ),
    ],
)
def test_one_broken_object(section, body, place, reason):
    said, told = broken(section, body)
    assert said == reason
    (line,) = told
    assert line.startswith(f"d.yml:{place}: http.{section}.it")
    assert line.endswith(reason)


def test_several_mistakes_of_one_object():
    said, told = broken("routers", "{rule: R, prioritty: 1, parentRefs: [], service: []}")
    assert said == (
        'prioritty: unknown option "prioritty"; did you mean priority?; parentRefs: not supported yet; '
        "service: a list where a single value is expected"
    )
    assert len(told) == 3


@pytest.mark.parametrize(
    "type_name",
    [
        "basicAuth",
        "buffering",
        "circuitBreaker",
        "compress",
        "contentType",
        "digestAuth",
        "encodedCharacters",
        "errors",
        "forwardAuth",
        "grpcWeb",
        "inFlightReq",
        "rateLimit",
        "retry",
    ],
)
def test_middlewares_that_are_not_built(type_name):
    assert broken("middlewares", f"{{{type_name}: {{a: b}}}}")[0] == f"{type_name}: not supported yet"


def test_names_with_an_at_are_references():
    configuration, told = read("http: {middlewares: {a@file: {addPrefix: {prefix: /a}}}}")
    assert told == ['d.yml:1:22: http.middlewares.a@file: "a@file" holds an @, which only references may']
    assert list(configuration.broken["http.middlewares"]) == ["a@file"]


# --- what is told and taken ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http: {}", "d.yml:1:1: http: warning: is empty and declares nothing"),
        ("http:", "d.yml:1:1: http: warning: is empty and declares nothing"),
        (
            f"http:\n  routers: {{}}\n{GOOD}",
            "d.yml:2:3: http.routers: warning: is empty and declares nothing",
        ),
        (f"http:\n  routers:\n{GOOD}", "d.yml:2:3: http.routers: warning: is empty and declares nothing"),
        (
            "http: {middlewares: {a: {replacePath: {path: /}, headers: }}}",
            "d.yml:1:50: http.middlewares.a.headers: warning: is empty and declares nothing",
        ),
        (
            "http: {middlewares: {a: {headers: {customRequestHeaders: {A: b}, sslRedirect: true}}}}",
            "d.yml:1:66: http.middlewares.a.headers.sslRedirect: warning: has no effect, as in Traefik v3; "
            "take it out",
        ),
    ],
)
def test_warnings(text, told):
    configuration, lines = read(text)
    assert lines == [told]
    assert configuration is not None
    assert configuration.broken == {}


# --- what refuses the document ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "http: [a",
            [
                "d.yml:2:1: not YAML: did not find expected ',' or ']', while parsing a flow sequence in "
                "line 1"
            ],
        ),
        ("htp: {}", ['d.yml:1:1: htp: unknown section "htp"; did you mean http?']),
        ("pilot: {}", ['d.yml:1:1: pilot: unknown section "pilot"; keys of your own begin with x-']),
        ("http: {router: {}}", ['d.yml:1:8: http.router: unknown section "router"; did you mean routers?']),
        ("http: [a]", ["d.yml:1:7: http: a mapping is expected here"]),
        ("http: {routers: [a]}", ["d.yml:1:17: http.routers: a mapping is expected here"]),
        (
            "http: {routers: {a: {rule: R, service: s}}, Routers: {b: {rule: R, service: s}}}",
            ['d.yml:1:45: http.routers: duplicate key: "Routers" says routers a second time'],
        ),
        (
            "http:\n  routers:\n    a: {rule: R, service: s}\n    a: {rule: R, service: t}\n",
            ['d.yml:4:5: http.routers.a: duplicate key "a"; it stands in line 3 already'],
        ),
        (
            "http:\n  routers:\n    a:\n      rule: R\n      service: s\n      rule: Q\n",
            ['d.yml:6:7: http.routers.a.rule: duplicate key "rule"; it stands in line 4 already'],
        ),
        (
            "http:\n  routers:\n    a: {rule: R, service: s}\n  services: {}\n  routers: {}\n",
            [
                "d.yml:4:3: http.services: warning: is empty and declares nothing",
                'd.yml:5:3: http.routers: duplicate key "routers"; it stands in line 2 already',
            ],
        ),
        (
            "http:\n  routers: # {{ range }}\n    {{a}}: x {{b}}\n",
            [
                "d.yml:2:14: Go templates ({{ }}) are not supported yet; write what the template would give",
                "d.yml:3:5: Go templates ({{ }}) are not supported yet; write what the template would give",
            ],
        ),
    ],
)
def test_refused_documents(text, told):
    assert read(text) == (None, told)


def test_toml_is_refused_with_its_line():
    assert read("[http]\na = \n", "d.toml") == (None, ["d.toml:2:5: not TOML: invalid value"])


def test_six_mistakes_six_lines():
    text = """\
http:
  routers:
    shop:
      rule: Host(`shop.example`)
      servce: shop
      priority: [1]
    other: {rule: Path(`/`), service: shop, parentRefs: [x]}
    other: {rule: Path(`/`), service: shop}
  services:
    shop:
      loadBalancer:
        servers: [{url: "shop:8080"}]
        responseForwarding:
          flushInterval: 1 second
"""
    configuration, told = read(text)
    assert configuration is None
    assert told == [
        'd.yml:5:7: http.routers.shop.servce: unknown option "servce"; did you mean service?',
        "d.yml:6:17: http.routers.shop.priority: a list where a single value is expected",
        "d.yml:7:45: http.routers.other.parentRefs: not supported yet",
        'd.yml:8:5: http.routers.other: duplicate key "other"; it stands in line 7 already',
        'd.yml:12:25: http.services.shop.loadBalancer.servers[0].url: "shop:8080" is not the URL of a '
        "server; "
        'write "http://host:port"',
        "d.yml:14:26: http.services.shop.loadBalancer.responseForwarding.flushInterval: "
        '"1 second" is not a duration; write "1s" or a number of seconds',
    ]


def test_messages_are_one_line():
    _, told = read('http: {middlewares: {a: {ipAllowList: {sourceRange: ["x\\n\\e[31m"]}}}}')
    assert told == [
        'd.yml:1:54: http.middlewares.a.ipAllowList.sourceRange[0]: "x\\n\\x1b[31m" is neither an IP '
        "address nor a "
        "network; write 10.0.0.1, 10.0.0.0/8 or fd00::/8"
    ]
