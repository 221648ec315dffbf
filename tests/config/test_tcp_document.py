"""The `tcp` part of a document: what is read, its defaults, and what is refused where."""

import pytest
from msgspec import msgpack

from fastproxy.config.delta import apply, difference
from fastproxy.config.document import Document, read_whole
from fastproxy.config.dynamic import KINDS, Configuration
from fastproxy.config.merge import DEFAULT_TRANSPORT, Merger, first_wins
from fastproxy.config.static import (
    DefaultTCPTransport,
    DefaultTCPTransportTLS,
    EntryPoint,
    StaticConfiguration,
)
from fastproxy.config.tcp import (
    HealthOfServices,
    ProxyProtocol,
    TcpHealthCheck,
    TcpLoadBalancer,
    TcpRouter,
    TcpServersTransport,
    is_catch_all,
)
from fastproxy.config.values import MILLISECOND, SECOND, server_address, split_server_address

WHOLE = """\
tcp:
  routers:
    db:
      rule: HostSNI(`*`)
      ruleSyntax: v3
      entryPoints: [db]
      middlewares: [office]
      service: all
      priority: -7
  services:
    all:
      weighted:
        services: [{name: pg, weight: 3}, {name: spare@other}]
        healthCheck: {}
    pg:
      loadBalancer:
        serversTransport: own
        servers: [{address: "10.0.0.5:5432", tls: true}, {address: "[fd00::1]:5432"}]
        healthCheck: {port: 8008, send: "a\\n", expect: b, interval: 10s, unhealthyInterval: 1s, timeout: 2s}
    old:
      loadBalancer:
        servers: [{address: db.test:5432}]
        healthCheck: {}
        proxyProtocol: {version: 1}
        terminationDelay: 250
  middlewares:
    office: {ipAllowList: {sourceRange: [10.0.0.0/8]}}
    old: {ipWhiteList: {sourceRange: 10.0.0.1}}
    few: {inFlightConn: {amount: 10}}
  serversTransports:
    own:
      dialTimeout: 1s
      dialKeepAlive: -1s
      terminationDelay: 2s
      proxyProtocol: {}
      tls:
        serverName: db.test
        insecureSkipVerify: true
        rootCAs: [ca.pem]
        certificates: [{certFile: a.pem, keyFile: a.key}]
    plain: {}
"""


def read(text):
    configuration, problems = read_whole(text, "d.yml")
    return configuration, [str(each) for each in problems]


def test_what_a_transport_has_too_does_nothing_beside_it():
    service = "{0}: {{loadBalancer: {{{1} terminationDelay: 1, proxyProtocol: {{version: 1}}}}}}".format
    both = f"{service('a', '')}, {service('b', 'serversTransport: t,')}"
    configuration, told = read(f"tcp: {{services: {{{both}}}}}")
    assert set(configuration.tcp.services) == {"a", "b"}
    assert [each.partition(": ")[2] for each in told] == [
        f"tcp.services.b.loadBalancer.{option}: warning: has no effect beside serversTransport, "
        "which has the same option"
        for option in ("terminationDelay", "proxyProtocol")
    ]


def test_everything_is_read():
    configuration, told = read(WHOLE)
    assert told == []
    router = configuration.tcp.routers["db"]
    assert (router.rule, router.priority, router.middlewares) == ("HostSNI(`*`)", -7, ("office",))
    weighted = configuration.tcp.services["all"].weighted
    assert [(each.name, each.weight) for each in weighted.services] == [("pg", 3), ("spare@other", 1)]
    balancer = configuration.tcp.services["pg"].load_balancer
    assert [(each.address, each.tls) for each in balancer.servers] == [
        ("10.0.0.5:5432", True),
        ("[fd00::1]:5432", False),
    ]
    old = configuration.tcp.services["old"].load_balancer
    assert (old.proxy_protocol, old.termination_delay) == (ProxyProtocol(version=1), 250)
    assert balancer.health_check == TcpHealthCheck(8008, "a\n", "b", 10 * SECOND, SECOND, 2 * SECOND)
    assert old.health_check == TcpHealthCheck(0, "", "", 30 * SECOND, None, 5 * SECOND)
    assert weighted.health_check == HealthOfServices()
    own = configuration.tcp.servers_transports["own"]
    assert (own.dial_timeout, own.dial_keep_alive) == (SECOND, -SECOND)
    assert (own.termination_delay, own.proxy_protocol) == (2 * SECOND, ProxyProtocol(version=2))
    assert (own.tls.server_name, own.tls.root_cas) == ("db.test", ("ca.pem",))
    assert own.tls.insecure_skip_verify
    assert configuration.tcp.middlewares["old"].kind == "ipWhiteList"
    assert configuration.tcp.middlewares["office"].settings.source_range == ("10.0.0.0/8",)


def test_defaults():
    transport = TcpServersTransport()
    assert (transport.dial_timeout, transport.dial_keep_alive) == (30 * SECOND, 15 * SECOND)
    assert (transport.termination_delay, transport.proxy_protocol, transport.tls) == (
        100 * MILLISECOND,
        None,
        None,
    )
    assert TcpLoadBalancer() == TcpLoadBalancer(servers=(), servers_transport="")
    assert TcpRouter().priority == 0


def test_it_goes_through_the_pipe_and_by_differences():
    configuration, _ = read(WHOLE)
    assert msgpack.decode(msgpack.encode(configuration), type=Configuration) == configuration
    assert apply(Configuration(), difference(Configuration(), configuration)) == configuration
    assert apply(configuration, difference(configuration, Configuration())) == Configuration()
    assert [kind for kind in KINDS if configuration.table(kind)] == [f"tcp.{each}" for each in TABLES]


CHECK = "loadBalancer.healthCheck"
TABLES = ("routers", "services", "middlewares", "serversTransports")


def test_what_did_not_change_is_the_same_object():
    document = Document("d.yml")
    first = document.read("http: {routers: {a: {rule: Path(`/`), service: b}}}\n" + WHOLE).configuration
    again = document.read("# later\n" + WHOLE).configuration
    assert again.tcp.services["pg"] is first.tcp.services["pg"]


def test_of_two_documents_the_first_wins():
    configuration, _ = read(WHOLE)
    merged = first_wins([("a.yml", configuration), ("b.yml", configuration)])
    assert merged.configuration == configuration
    assert "b.yml: tcp.routers.db: already configured in a.yml, skipping" in merged.warnings


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tcp: 1", "d.yml:1:6: tcp: a mapping is expected here"),
        ("tcp: {router: {}}", 'd.yml:1:7: tcp.router: unknown section "router"; did you mean routers?'),
        ("tcp: {routers: 1}", "d.yml:1:16: tcp.routers: a mapping is expected here"),
        (
            "tcp: {routers: {a: {rule: x, service: y}}, Routers: {b: {rule: x, service: y}}}",
            'd.yml:1:44: tcp.routers: duplicate key: "Routers" says routers a second time',
        ),
    ],
)
def test_documents_that_are_refused(text, told):
    configuration, found = read(text)
    assert configuration is None
    assert told in found


@pytest.mark.parametrize(
    ("table", "text", "reason"),
    [
        ("routers", "{service: s}", "rule: missing; a router needs a rule, such as HostSNI(`*`)"),
        ("routers", "{rule: x}", "service: missing; a router needs the name of a service"),
        ("routers", "{rule: x, service: s, tls: {certResolver: le}}", "tls.certResolver: not supported yet"),
        ("routers", "{rule: x, service: s, tls: {passThrough: maybe}}", 'tls.passthrough: "maybe" is not'),
        (
            "routers",
            "{rule: x, service: s, ruleSyntax: v2}",
            'ruleSyntax: "v2" is not supported yet; use v3',
        ),
        (
            "routers",
            f"{{rule: x, service: s, priority: {2**63 - 1000}}}",
            f"priority: {2**63 - 1000} is too high; the greatest is {2**63 - 1001}",
        ),
        (
            "services",
            "{loadBalancer: {servers: []}, weighted: {services: [{name: a}]}}",
            "multi-types service not supported: loadBalancer, weighted; leave one of them",
        ),
        (
            "services",
            "{weighted: {services: []}}",
            "weighted.services: missing; list the services that share the work",
        ),
        (
            "services",
            "{weighted: {services: [{weight: 1}]}}",
            "weighted.services[0].name: missing; name a service",
        ),
        (
            "services",
            "{loadBalancer: {servers: [{tls: true}]}}",
            "loadBalancer.servers[0].address: missing; a server needs one, such as 10.0.0.7:5432",
        ),
        (
            "services",
            "{loadBalancer: {servers: [{address: 'tcp://a:1'}]}}",
            'loadBalancer.servers[0].address: "tcp://a:1" is a URL; a server here has an address, such as '
            "10.0.0.7:5432",
        ),
        (
            "services",
            "{loadBalancer: {servers: [{address: 'a:1', weight: 3}]}}",
            'loadBalancer.servers[0].weight: unknown option "weight"',
        ),
        (
            "services",
            "{loadBalancer: {servers: [{address: 'a:1', sign: 3}]}}",
            'loadBalancer.servers[0].sign: unknown option "sign"',
        ),
        *(
            ("services", f"{{loadBalancer: {{healthCheck: {{{option}}}}}}}", f"{CHECK}.{told}")
            for option, told in (
                ("port: 65536", "port: 65536 is no port; there are 1 to 65535"),
                ("port: -1", "port: -1 is no port"),
                ("port: x", 'port: "x" is not a whole number'),
                ("interval: 0", "interval: has to be more than 0"),
                ("interval: -1s", "interval: has to be more than 0"),
                ("unhealthyInterval: 0s", "unhealthyInterval: has to be more than 0"),
                ("timeout: 0", "timeout: has to be more than 0"),
                ("timeout: soon", "timeout: "),
                ("path: /health", 'path: unknown option "path"'),
                (f"send: {'x' * 65536}", "send: 65536 bytes are too many; at most 65535 can be used"),
                (f"expect: {'ü' * 32768}", "expect: 65536 bytes are too many; at most 65535 can be used"),
            )
        ),
        (
            "services",
            "{weighted: {services: [{name: a}], healthCheck: {port: 1}}}",
            "weighted.healthCheck.port: ",
        ),
        (
            "services",
            "{loadBalancer: {servers: [{address: 'a:1'}], proxyProtocol: {version: 3}}}",
            "loadBalancer.proxyProtocol.version: 3 is no version of the PROXY protocol; there are 1, as "
            "text, and 2, binary",
        ),
        ("middlewares", "{inFlightConn: {amount: -1}}", "inFlightConn.amount: -1 is negative"),
        ("middlewares", "{inFlightConn: {amount: x}}", 'inFlightConn.amount: "x" is not a whole number'),
        ("middlewares", "{inFlightConn: {amuont: 3}}", 'inFlightConn.amuont: unknown option "amuont"'),
        (
            "middlewares",
            "{inFlightConn: {amount: 1}, ipAllowList: {sourceRange: [10.0.0.1]}}",
            "cannot create middleware: multi-types middleware not supported: ipAllowList, inFlightConn",
        ),
        ("middlewares", "{ipAllowList: {sourceRange: []}}", "ipAllowList.sourceRange: missing"),
        (
            "middlewares",
            "{ipAllowList: {sourceRange: [10.0.0.300]}}",
            'ipAllowList.sourceRange[0]: "10.0.0.300" is neither an IP address nor a network',
        ),
        (
            "middlewares",
            "{ipAllowList: {sourceRange: [10.0.0.1]}, ipWhiteList: {sourceRange: [10.0.0.1]}}",
            "cannot create middleware: multi-types middleware not supported: ipAllowList, ipWhiteList",
        ),
        ("serversTransports", "{tls: {peerCertURI: x}}", "tls.peerCertURI: not supported yet"),
        ("serversTransports", "{tls: {spiffe: {}}}", "tls.spiffe: not supported yet"),
        ("serversTransports", "{dialTimeout: soon}", "dialTimeout: "),
    ],
)
def test_objects_that_are_refused(table, text, reason):
    configuration, told = read(f"tcp: {{{table}: {{a: {text}}}}}")
    assert configuration.table(f"tcp.{table}") == {}
    assert configuration.broken[f"tcp.{table}"]["a"].startswith(reason)
    assert told


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("db.test:65535", ("db.test", 65535)),
        ("[::1]:1", ("::1", 1)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_addresses(text, parts):
    assert split_server_address(server_address(text)) == parts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not the address of a server"),
        ("db.test", 'write "host:port"'),
        (":80", 'write "host:port"'),
        ("[]:80", "has brackets round what is no IPv6 address"),
        ("::1:80", "has an IPv6 address without brackets"),
        ("a:0", 'has the port "0"'),
        ("a:65536", 'has the port "65536"'),
        ("a:http", 'has the port "http"'),
        ("a:٣", "has the port"),
        ("a b:1", "neither an address nor a name"),
        ("http://a:1", "is a URL"),
    ],
)
def test_addresses_that_are_none(text, told):
    with pytest.raises(ValueError, match=told.replace("[", r"\[")):
        server_address(text)


# --- priority, merging --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("HostSNI(`*`)", True),
        ("(HostSNI(`*`))", True),
        (" ( (HostSNI(`*`) ) ) ", True),
        (' HOSTSNI( "*" ) ', True),
        ("hostsni(`*`,)", True),
        ("HostSni(`*`)", False),
        ("HostSNI(`*.a`)", False),
        ("HostSNI(`*`) && ClientIP(`::1`)", False),
    ],
)
def test_bare_catch_all(rule, found):
    assert is_catch_all(rule) is found


STATIC = StaticConfiguration(
    entry_points={"db": EntryPoint(address=":1"), "web": EntryPoint(address=":2")},
    tcp_servers_transport=DefaultTCPTransport(
        dial_timeout=SECOND, tls=DefaultTCPTransportTLS(insecure_skip_verify=True)
    ),
)


def test_names_are_qualified():
    merged = Merger(STATIC).merge({"file": read(WHOLE)[0]}).configuration
    router = merged.tcp.routers["db@file"]
    assert (router.service, router.middlewares, router.entry_points) == (
        "all@file",
        ("office@file",),
        ("db",),
    )
    weighted = merged.tcp.services["all@file"].weighted
    assert [each.name for each in weighted.services] == ["pg@file", "spare@other"]
    assert merged.tcp.services["pg@file"].load_balancer.servers_transport == "own@file"
    assert merged.tcp.services["old@file"].load_balancer.servers_transport == DEFAULT_TRANSPORT


def test_default_entry_points():
    text = "tcp: {routers: {a: {rule: HostSNI(`*`), service: s}}}"
    merged = Merger(STATIC).merge({"file": read(text)[0]}).configuration
    assert merged.tcp.routers["a@file"].entry_points == ("db", "web")


def test_the_default_transport_is_the_static_one():
    merged = Merger(STATIC).merge({}).configuration
    made = merged.tcp.servers_transports[DEFAULT_TRANSPORT]
    assert (made.dial_timeout, made.tls.insecure_skip_verify) == (SECOND, True)
