"""The `udp` part of a document: what is read, what is refused where; what it becomes in a merge."""

import pytest

from fastproxy.check import Scope, check_documents
from fastproxy.config.document import read_whole
from fastproxy.config.merge import Merger
from fastproxy.config.static import EntryPoint, StaticConfiguration

WHOLE = """\
udp:
  routers:
    dns: {service: all, entryPoints: [dns]}
    any: {service: one}
  services:
    all: {weighted: {services: [{name: one, weight: 2}, {name: one@other}]}}
    one: {loadBalancer: {servers: [{address: "10.0.0.1:53"}, {address: "[::1]:53"}]}}
"""

STATIC = StaticConfiguration(
    entry_points={
        "dns": EntryPoint(address=":53/udp"),
        "log": EntryPoint(address=":514/UDP", as_default=True),
        "web": EntryPoint(address=":80"),
    }
)


def read(text):
    configuration, problems = read_whole(text, "d.yml")
    return configuration, [str(each) for each in problems]


def test_everything_is_read():
    configuration, told = read(WHOLE)
    assert told == []
    weighted = configuration.udp.services["all"].weighted
    assert [(each.name, each.weight) for each in weighted.services] == [("one", 2), ("one@other", 1)]
    servers = configuration.udp.services["one"].load_balancer.servers
    assert [each.address for each in servers] == ["10.0.0.1:53", "[::1]:53"]


def test_entry_points():
    assert STATIC.default_entry_points() == ("web",)
    assert STATIC.udp_entry_points() == ("dns", "log")
    merged = Merger(STATIC).merge({"file": read(WHOLE)[0]}).configuration
    assert merged.udp.routers["dns@file"].entry_points == ("dns",)
    assert merged.udp.routers["any@file"].entry_points == ("dns", "log")
    assert merged.udp.routers["any@file"].service == "one@file"
    weighted = merged.udp.services["all@file"].weighted
    assert [each.name for each in weighted.services] == ["one@file", "one@other"]


@pytest.mark.parametrize(
    ("table", "text", "reason"),
    [
        ("routers", "{entryPoints: [a]}", "service: missing; a router needs the name of a service"),
        ("routers", "{service: s, rule: x}", 'rule: unknown option "rule"'),
        ("services", "{loadBalancer: {servers: [{address: a}]}}", "loadBalancer.servers[0].address: "),
        ("services", "{loadBalancer: {servers: [{}]}}", "loadBalancer.servers[0].address: missing"),
        ("services", "{weighted: {services: []}}", "weighted.services: missing"),
        ("services", "{weighted: {services: [{name: a}], healthCheck: {}}}", "weighted.healthCheck: "),
    ],
)
def test_objects_that_are_refused(table, text, reason):
    configuration, _ = read(f"udp: {{{table}: {{a: {text}}}}}")
    assert configuration.table(f"udp.{table}") == {}
    assert configuration.broken[f"udp.{table}"]["a"].startswith(reason)


def found(text, scope=None):
    return [str(each) for each in check_documents([("d.yml", text.encode())], scope)]


def test_check_knows_udp_and_tcp():
    scope = Scope(("web",), udp_entry_points=("dns",))
    text = """\
tcp:
  routers:
    a: {rule: "HostSNI(`*`)", service: two, entryPoints: [dns], middlewares: [gone]}
    b: {rule: "HostSNI(`a.test`)", service: one}
    c: {rule: "Host(`a.test`)", service: one}
  services:
    one: {weighted: {services: [{name: two}, {name: three}]}}
    two: {weighted: {services: [{name: one}]}}
    four: {loadBalancer: {serversTransport: own, servers: [{address: "a:1"}]}}
udp:
  routers:
    a: {service: four, entryPoints: [web]}
  services:
    one: {weighted: {services: [{name: one}]}}
"""
    assert found(text, scope) == [
        'd.yml:3:59: tcp.routers.a.entryPoints[0]: unknown entry point "dns"; known: web',
        'd.yml:3:79: tcp.routers.a.middlewares[0]: unknown TCP middleware "gone"; none is declared',
        "d.yml:4:15: tcp.routers.b.rule: has HostSNI matcher, but no TLS on router",
        "d.yml:5:16: tcp.routers.c.rule: unsupported function: Host; did you mean HostSNI?",
        "d.yml:7:32: tcp.services.one.weighted.services: "
        "the service runs back into itself: one -> two -> one",
        'd.yml:7:53: tcp.services.one.weighted.services[1].name: unknown TCP service "three"; '
        "known: four, one, two",
        'd.yml:9:45: tcp.services.four.loadBalancer.serversTransport: unknown TCP serversTransport "own"; '
        "none is declared",
        'd.yml:12:18: udp.routers.a.service: unknown UDP service "four"; known: one',
        'd.yml:12:38: udp.routers.a.entryPoints[0]: unknown UDP entry point "web"; known: dns',
        "d.yml:14:32: udp.services.one.weighted.services: the service runs back into itself: one -> one",
    ]
