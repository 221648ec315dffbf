"""The static configuration: defaults, implicit entries, every refusal with its place."""

import msgspec
import pytest

from fastproxy.config.findings import Findings
from fastproxy.config.sources import decode_static
from fastproxy.config.static import (
    EntryPoint,
    FileProvider,
    Limits,
    StaticConfiguration,
)
from fastproxy.config.texts import load
from fastproxy.config.values import SECOND


def read(text):
    """Return the configuration or None, and what was told, one line each."""
    findings = Findings()
    loaded = load(text, "s.yml", findings)
    made = decode_static(loaded.raw, findings) if loaded.raw is not None else None
    return made, [str(each) for each in findings.problems(loaded.locate)]


def made(text):
    configuration, told = read(text)
    assert told == []
    return configuration


def test_defaults():
    static = StaticConfiguration().with_implicit_entries()
    assert static.entry_points == {"http": EntryPoint(address=":80")}
    point = static.entry_points["http"]
    assert point.transport.responding_timeouts.read_timeout == 60 * SECOND
    assert point.transport.responding_timeouts.write_timeout == 0
    assert point.transport.responding_timeouts.idle_timeout == 180 * SECOND
    assert point.transport.life_cycle.grace_time_out == 10 * SECOND
    assert point.http.max_header_bytes == 1_048_576
    assert point.http.sanitize_path is True
    assert point.http.encoded_characters.allow_encoded_slash is True
    assert static.servers_transport.max_idle_conns_per_host == 200
    assert static.servers_transport.forwarding_timeouts.dial_timeout == 30 * SECOND
    assert static.providers.providers_throttle_duration == 2 * SECOND
    assert static.providers.file is None
    assert static.log.level == "INFO"
    assert static.core.workers == 0


def test_every_option_that_is_built():
    static = made(
        """
entryPoints:
  web:
    address: "127.0.0.1:8080"
    asDefault: true
    reusePort: true
    transport:
      respondingTimeouts: {readTimeout: 5, writeTimeout: 1m, idleTimeout: 250ms}
      lifeCycle: {requestAcceptGraceTimeout: 1s, graceTimeOut: "2"}
      keepAliveMaxRequests: 7
      keepAliveMaxTime: 1h
    forwardedHeaders:
      insecure: true
      trustedIPs: 10.0.0.0/8, ::1
      connection: [x-a]
      notAppendXForwardedFor: true
    http:
      middlewares: [auth@file]
      encodeQuerySemicolons: true
      sanitizePath: false
      maxHeaderBytes: 4096
      underscoreHeadersStrategy: Reject
      encodedCharacters: {allowEncodedSlash: false}
providers:
  providersThrottleDuration: 500ms
  precedence: [File, docker]
  file: {filename: d.yml, directory: dir, watch: false}
log: {level: debug, format: json, noColor: true, filePath: /var/log/fastproxy.log}
serversTransport:
  insecureSkipVerify: true
  rootCAs: [ca.pem]
  maxIdleConnsPerHost: -1
  forwardingTimeouts: {dialTimeout: 1s, responseHeaderTimeout: 2s, idleConnTimeout: 3s}
global: {checkNewVersion: false, sendAnonymousUsage: true}
core: {defaultRuleSyntax: v3, workers: 3, plugins: {auth: "my.auth:Auth"},
       limits: {connections: 1000, connectionsPerEntryPoint: 500, requestBody: 7, pendingPerServer: 8}}
"""
    )
    point = static.entry_points["web"]
    assert point.location == ("127.0.0.1", 8080, "tcp")
    assert (point.as_default, point.reuse_port) == (True, True)
    timeouts = point.transport.responding_timeouts
    assert (timeouts.read_timeout, timeouts.write_timeout, timeouts.idle_timeout) == (5e9, 60e9, 25e7)
    assert point.transport.life_cycle.grace_time_out == 2 * SECOND
    assert (point.transport.keep_alive_max_requests, point.transport.keep_alive_max_time) == (7, 3600e9)
    assert point.forwarded_headers.trusted_ips == ("10.0.0.0/8", "::1")
    assert point.forwarded_headers.connection == ("x-a",)
    assert point.http.underscore_headers_strategy == "reject"
    assert point.http.encoded_characters.allow_encoded_slash is False
    assert point.http.encoded_characters.allow_encoded_hash is True
    assert static.providers.precedence == ("file", "docker")
    assert static.providers.file == FileProvider(filename="d.yml", directory="dir", watch=False)
    assert (static.log.level, static.log.format) == ("DEBUG", "json")
    assert static.servers_transport.max_idle_conns_per_host == -1
    assert static.servers_transport.forwarding_timeouts.idle_conn_timeout == 3 * SECOND
    assert static.core.limits == Limits(1000, 500, request_body=7, pending_per_server=8)
    assert (static.core.workers, static.core.plugins) == (3, {"auth": "my.auth:Auth"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(static), type=StaticConfiguration) == static


def test_names_in_any_case():
    assert made("ENTRYPOINTS: {Web: {ADDRESS: ':80'}}").entry_points == {"Web": EntryPoint(address=":80")}


def test_sections_that_may_be_empty():
    assert made("log: {}").log == StaticConfiguration().log
    assert made("log: true").log == StaticConfiguration().log
    assert made("log: false").log == StaticConfiguration().log


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("entryPoints: {b: {address: ':1'}, a: {address: ':2'}, traefik: {address: ':3'}}", ("a", "b")),
        ("entryPoints: {b: {address: ':1', asDefault: true}, a: {address: ':2'}}", ("b",)),
        ("entryPoints: {traefik: {address: ':1', asDefault: true}, a: {address: ':2'}}", ("traefik",)),
        ("log: {}", ("http",)),
    ],
)
def test_default_entry_points(text, names):
    assert made(text).with_implicit_entries().default_entry_points() == names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "entryPoint: {web: {address: ':80'}}",
            's.yml:1:1: entryPoint: unknown option "entryPoint"; did you mean entryPoints?',
        ),
        (
            "entryPoints:\n  web:\n    adress: ':80'",
            's.yml:3:5: entryPoints.web.adress: unknown option "adress"; did you mean address?',
        ),
        (
            "entryPoints:\n  web:\n    asDefault: true",
            's.yml:2:3: entryPoints.web.address: missing; an entry point needs one, such as ":8080"',
        ),
        (
            "entryPoints:\n  web:",
            's.yml:2:3: entryPoints.web.address: missing; an entry point needs one, such as ":8080"',
        ),
        (
            "entryPoints:\n  web: ':80'",
            's.yml:2:8: entryPoints.web: ":80" where a mapping of options is expected',
        ),
        ("entryPoints: [web]", "s.yml:1:14: entryPoints: a list where a mapping is expected"),
        (
            "entryPoints: {web: {address: 80}}",
            's.yml:1:30: entryPoints.web.address: "80" has no port; write ":80"',
        ),
        (
            "entryPoints: {a: {address: ':80'}, b: {address: ':80/tcp'}}",
            's.yml:1:49: entryPoints.b.address: ":80/tcp" is the address of a already',
        ),
        (
            "entryPoints: {dns: {address: ':53/UDP', udp: {timeout: 0}}}",
            "s.yml:1:56: entryPoints.dns.udp.timeout: it is not above 0; without an end, sessions would "
            "gather",
        ),
        (
            "entryPoints: {traefik: {address: ':53/udp'}}\nping: {entryPoint: traefik}",
            's.yml:2:20: ping.entryPoint: "traefik" is an entry point for UDP; ping answers HTTP',
        ),
        (
            "entryPoints: {a: {address: ':53/udp'}, b: {address: ':53/UDP'}}",
            's.yml:1:53: entryPoints.b.address: ":53/UDP" is the address of a already',
        ),
        (
            "entryPoints: {a: {address: ':53/sctp'}}",
            's.yml:1:28: entryPoints.a.address: ":53/sctp" ends in /sctp; the protocol of an address is '
            "/tcp or /udp",
        ),
        (
            "entryPoints:\n  web:\n    address: ':80'\n    http:\n      tls: {certResolver: le}",
            "s.yml:5:13: entryPoints.web.http.tls.certResolver: not supported yet",
        ),
        (
            "entryPoints: {web: {address: ':1', forwardedHeaders: {trustedIPs: [10.0.0.0/8, lan]}}}",
            's.yml:1:80: entryPoints.web.forwardedHeaders.trustedIPs[1]: "lan" is neither an IP address '
            "nor a network; "
            "write 10.0.0.1, 10.0.0.0/8 or fd00::/8",
        ),
        (
            "entryPoints: {web: {address: ':1', http: {underscoreHeadersStrategy: drop}}}",
            's.yml:1:70: entryPoints.web.http.underscoreHeadersStrategy: "drop" is not one of keep, '
            "delete, reject",
        ),
        (
            "entryPoints: {web: {address: ':1', http: {maxHeaderBytes: 0}}}",
            "s.yml:1:59: entryPoints.web.http.maxHeaderBytes: 0 is less than 1",
        ),
        (
            "entryPoints: {web: {address: ':1', transport: {keepAliveMaxRequests: -1}}}",
            "s.yml:1:70: entryPoints.web.transport.keepAliveMaxRequests: -1 is negative; 0 is the least",
        ),
        ("providers: {docker: {}}", "s.yml:1:13: providers.docker: not supported yet"),
        ("providers: {file: {watch: true}}", "s.yml:1:13: providers.file: needs a filename or a directory"),
        (
            "providers: {precedence: [file, sky]}",
            's.yml:1:32: providers.precedence[1]: "sky" is not the name of a provider; there are '
            "kubernetesgateway, "
            "kubernetescrd, kubernetes, kubernetesingressnginx, swarm, docker, file, redis, knative, consul, "
            "consulcatalog, nomad, etcd, ecs, http, zookeeper, rest",
        ),
        ("accessLog: {otlp: {}}", "s.yml:1:13: accessLog.otlp: not supported yet"),
        ("accessLog: {dualOutput: true}", "s.yml:1:13: accessLog.dualOutput: not supported yet"),
        (
            "accessLog: {bufferingSize: -1}",
            's.yml:1:28: accessLog.bufferingSize: -1 is negative; 0 is the least',
        ),
        (
            "accessLog: {filters: {statusCodes: [200, 5xx]}}",
            's.yml:1:42: accessLog.filters.statusCodes[1]: "5xx" is neither a status nor a range of them; '
            "write 404 or 500-599",
        ),
        (
            "accessLog: {filters: {statusCodes: [599-500]}}",
            's.yml:1:37: accessLog.filters.statusCodes[0]: "599-500" is neither a status nor a range of '
            "them; write 404 or 500-599",
        ),
        (
            "accessLog: {fields: {defaultMode: redact}}",
            's.yml:1:35: accessLog.fields.defaultMode: "redact" is not one of keep, drop',
        ),
        (
            "accessLog: {fields: {names: {RequestPaht: drop}}}",
            's.yml:1:43: accessLog.fields.names.RequestPaht: unknown field of the access log "RequestPaht"; '
            "did you mean RequestPath?",
        ),
        (
            "accessLog: {fields: {headers: {names: {Cookie: hide}}}}",
            's.yml:1:48: accessLog.fields.headers.names.Cookie: "hide" is not one of keep, drop, redact',
        ),
        (
            "entryPoints: {web: {address: \":80\", observability: {tracing: false}}}",
            "s.yml:1:53: entryPoints.web.observability.tracing: not supported yet",
        ),
        ("Tracing: true", "s.yml:1:1: tracing: not supported yet"),
        ("pilot: {token: x}", 's.yml:1:1: pilot: unknown option "pilot"'),
        (
            "core: {workers: 0}",
            's.yml:1:17: core.workers: "0" is not a number of workers; write auto, or a whole number from 1',
        ),
        (
            "core: {workers: two}",
            's.yml:1:17: core.workers: "two" is not a number of workers; write auto, or a whole number '
            "from 1",
        ),
        (
            "core: {defaultRuleSyntax: v2}",
            's.yml:1:27: core.defaultRuleSyntax: "v2" is not supported yet; use v3',
        ),
        ("core: {defaultRuleSyntax: v4}", 's.yml:1:27: core.defaultRuleSyntax: "v4" is not v3'),
        (
            "core: {plugins: {a: my.auth}}",
            's.yml:1:21: core.plugins.a: "my.auth" names no plugin; write "package.module:ClassName"',
        ),
        ("log: {level: [a]}", "s.yml:1:14: log.level: a list where a single value is expected"),
        ("log: {maxSize: 1}", "s.yml:1:7: log.maxSize: not supported yet"),
        ("log: {noColor: yes}", 's.yml:1:16: log.noColor: "yes" is not a boolean; write true or false'),
        (
            "log: {level: INFO, Level: WARN}",
            's.yml:1:20: log.level: duplicate key: "Level" says level a second time',
        ),
        (
            "log: {level: INFO, level: WARN}",
            's.yml:1:20: log.level: duplicate key "level"; it stands in line 1 already',
        ),
        (
            "serversTransport: {forwardingTimeouts: {dialTimeout: 1 minute}}",
            's.yml:1:54: serversTransport.forwardingTimeouts.dialTimeout: "1 minute" is not a duration; '
            'write "1m" or a number of seconds',
        ),
        (
            "serversTransport: {forwardingTimeouts: {dialTimeout: [1]}}",
            "s.yml:1:54: serversTransport.forwardingTimeouts.dialTimeout: a list where a single value is "
            "expected",
        ),
        (
            "serversTransport: {forwardingTimeouts: {pingTimeout: 1}}",
            "s.yml:1:41: serversTransport.forwardingTimeouts.pingTimeout: not supported yet",
        ),
        (
            "http: {}",
            "s.yml:1:1: no section of a static configuration in it; there are entryPoints, providers, log, "
            "accessLog, serversTransport, tcpServersTransport, api, ping, "
            "global, core",
        ),
    ],
)
def test_refusals(text, told):
    configuration, lines = read(text)
    assert lines == [told]
    assert configuration is None or "duplicate key" in told


def test_what_is_told_and_taken():
    configuration, told = read("log: {level: loud}\nproviders: {file: {}}")
    assert configuration is not None
    assert configuration.log.level == "ERROR"
    assert configuration.providers.file is None
    assert told == [
        's.yml:1:14: log.level: warning: "loud" is not one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL, PANIC; '
        "ERROR is taken",
        "s.yml:2:13: providers.file: warning: is empty and declares nothing",
    ]


def test_what_does_nothing_on_this_kind_of_entry_point_is_told():
    configuration, told = read(
        """
entryPoints:
  dns:
    address: ":53/udp"
    asDefault: true
    proxyProtocol: {insecure: true}
    forwardedHeaders: {insecure: true}
    http: {sanitizePath: false}
    Observability: {accessLogs: false}
    reusePort: true
    udp: {timeout: 1s}
    transport:
      lifeCycle: {graceTimeOut: 1s}
      keepAliveMaxRequests: 1
  web:
    address: ":80"
    udp: {timeout: 1s}
    http: {sanitizePath: false}
  other:
    address: ":54/udp"
    transport: {lifeCycle: {graceTimeOut: 1s}}
"""
    )
    assert configuration.entry_points["dns"].udp.timeout == SECOND
    idle = "warning: has no effect on an entry point for UDP"
    assert told == [
        f"s.yml:5:5: entryPoints.dns.asDefault: {idle}",
        f"s.yml:6:5: entryPoints.dns.proxyProtocol: {idle}",
        f"s.yml:7:5: entryPoints.dns.forwardedHeaders: {idle}",
        f"s.yml:8:5: entryPoints.dns.http: {idle}",
        f"s.yml:9:5: entryPoints.dns.observability: {idle}",
        f"s.yml:12:5: entryPoints.dns.transport: {idle} but for lifeCycle",
        "s.yml:17:5: entryPoints.web.udp: warning: has no effect on an entry point for TCP",
    ]


@pytest.mark.parametrize(
    "section",
    [
        "metrics",
        "tracing",
        "hostResolver",
        "certificatesResolvers",
        "experimental",
        "spiffe",
        "ocsp",
    ],
)
def test_sections_that_are_not_built(section):
    assert read(f"{section}: {{}}") == (None, [f"s.yml:1:1: {section}: not supported yet"])


@pytest.mark.parametrize(
    "provider",
    [
        "docker",
        "swarm",
        "http",
        "rest",
        "consul",
        "etcd",
        "zooKeeper",
        "redis",
        "consulCatalog",
        "nomad",
        "ecs",
        "kubernetesIngress",
        "kubernetesCRD",
        "kubernetesGateway",
        "knative",
        "kubernetesIngressNGINX",
        "plugin",
    ],
)
def test_providers_that_are_not_built(provider):
    assert read(f"providers: {{{provider}: {{}}}}") == (
        None,
        [f"s.yml:1:13: providers.{provider}: not supported yet"],
    )
