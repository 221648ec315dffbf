"""TCP objects: what they become, what disables them and whoever uses them, and what a change builds again."""

import random

import pytest

from fastproxy._core.message import Request
from fastproxy.build.runtime import TCP_MIDDLEWARES, TCP_ROUTERS, TCP_SERVICES, TCP_TRANSPORTS
from fastproxy.build.snapshot import Builder
from fastproxy.build.tcp import stream_transport_of
from fastproxy.build.work import run_now
from fastproxy.config.document import Document
from fastproxy.config.merge import DEFAULT_TRANSPORT, Merger
from fastproxy.config.static import EntryPoint, StaticConfiguration
from fastproxy.config.tcp import TcpServersTransport
from fastproxy.config.values import SECOND

STATIC = StaticConfiguration(entry_points={"db": EntryPoint(address=":1"), "web": EntryPoint(address=":2")})

BASE = """\
tcp:
  routers:
    db: {rule: HostSNI(`*`), service: all, middlewares: [office], entryPoints: [db]}
    local: {rule: ClientIP(`127.0.0.1`), service: pg, entryPoints: [db, nowhere]}
  services:
    all: {weighted: {services: [{name: pg, weight: 2}, {name: spare}]}}
    pg: {loadBalancer: {servers: [{address: "10.0.0.1:1"}, {address: "10.0.0.2:1"}], serversTransport: own}}
    spare: {loadBalancer: {servers: [{address: "10.0.0.3:1"}]}}
  middlewares:
    office: {ipAllowList: {sourceRange: [10.0.0.0/8]}}
  serversTransports:
    own: {dialTimeout: 3s}
"""


class Worker:
    def __init__(self):
        self.merger, self.builder, self.document = Merger(STATIC), Builder(STATIC), Document("d.yml")

    def apply(self, text):
        reading = self.document.read(text)
        merged = self.merger.merge({"file": reading.configuration}).configuration
        self.made = run_now(self.builder.build(self.builder.runtime.generation + 1, merged))
        run_now(self.made.settle)
        return self

    def route(self, client="10.0.0.9", table=0):
        return self.made.snapshot.streams[table].match(Request.of_connection(client=client))

    def record(self, kind, name):
        record = self.builder.runtime.record(kind, f"{name}@file")
        return record.status, record.error


@pytest.fixture
def worker():
    return Worker().apply(BASE)


def test_routes_lead_to_services(worker):
    route = worker.route()
    assert (route.name, route.priority, route.service) == ("db@file", -1, "all@file")
    assert sorted(worker.route("127.0.0.1").balancer.labels) == ["10.0.0.1:1", "10.0.0.2:1"]
    assert worker.route(table=1) is None
    assert [step.name for step in route.pipeline.steps] == ["office@file"]


def test_weighted_services_choose_among_those_of_their_members(worker):
    found = [worker.route().balancer.choose() for _ in range(6)]
    assert sorted(found) == [
        "10.0.0.1:1",
        "10.0.0.1:1",
        "10.0.0.2:1",
        "10.0.0.2:1",
        "10.0.0.3:1",
        "10.0.0.3:1",
    ]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_services_of_which_none_has_a_weight_are_told(kind):
    """Nobody is served then; in Traefik a line in the log for each that comes says so."""
    worker = Worker().apply(
        f"""
{kind}:
  services:
    none: {{weighted: {{services: [{{name: one, weight: 0}}, {{name: one, weight: -1}}]}}}}
    some: {{weighted: {{services: [{{name: one, weight: 0}}, {{name: one}}]}}}}
    one: {{loadBalancer: {{servers: [{{address: "10.0.0.1:1"}}]}}}}
"""
    )
    told = ("weighted: none of its services has a weight above 0, so nobody is served",)
    assert worker.record(f"{kind}.services", "none") == ("warning", told)
    assert worker.record(f"{kind}.services", "some") == ("enabled", ())


def test_the_order_of_servers_is_that_of_chance():
    orders = set()
    for seed in range(20):
        random.seed(seed)
        orders.add(Worker().apply(BASE).route("127.0.0.1").balancer.labels)
    assert len(orders) == 2


def test_who_uses_whom(worker):
    runtime = worker.builder.runtime
    assert runtime.record(TCP_SERVICES, "pg@file").used_by == ("all@file", "local@file")
    assert runtime.record(TCP_SERVICES, "all@file").used_by == ("db@file",)
    assert runtime.record(TCP_MIDDLEWARES, "office@file").used_by == ("db@file",)
    assert runtime.record(TCP_TRANSPORTS, "own@file").used_by == ("pg@file",)
    assert runtime.record(TCP_ROUTERS, "local@file").using == ("db",)
    assert worker.record(TCP_ROUTERS, "local") == ("warning", ('entryPoint "nowhere" doesn\'t exist',))


# --- a change -----------------------------------------------------------------------------------------------


def test_what_did_not_change_is_taken_over(worker):
    before = worker.route(), worker.route("127.0.0.1")
    worker.apply(BASE.replace("10.0.0.3:1", "10.0.0.4:1"))
    after = worker.route(), worker.route("127.0.0.1")
    assert after[0] is not before[0]
    assert after[1] is before[1]
    assert after[0].rule is before[0].rule


def test_a_place_survives_a_change_of_something_else(worker):
    before = [worker.route().balancer.choose() for _ in range(2)]
    worker.apply(BASE.replace("dialTimeout: 3s", "dialTimeout: 4s"))
    rest = [worker.route().balancer.choose() for _ in range(4)]
    assert sorted(before + rest) == sorted(2 * ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"])


def test_other_servers_begin_anew(worker):
    worker.route("127.0.0.1").balancer.choose()
    worker.apply(BASE.replace("10.0.0.2:1", "10.0.0.5:1"))
    assert sorted(worker.route("127.0.0.1").balancer.labels) == ["10.0.0.1:1", "10.0.0.5:1"]


def test_what_is_gone_disables_its_users_and_comes_back(worker):
    worker.apply(BASE.replace("    pg:", "    gp:"))
    assert worker.record(TCP_SERVICES, "all") == ("disabled", ('the service "pg@file" does not exist',))
    told = 'the service "all@file" is disabled: the service "pg@file" does not exist'
    assert worker.record(TCP_ROUTERS, "db") == ("disabled", (told,))
    assert worker.route() is None
    worker.apply(BASE)
    assert worker.route().name == "db@file"


# --- health -------------------------------------------------------------------------------------------------

CHECKED = BASE.replace("serversTransport: own}", "serversTransport: own, healthCheck: {}}")


def test_services_whose_health_counts_need_checks_of_their_own(worker):
    heeding = CHECKED.replace("{name: spare}]", "{name: spare}], healthCheck: {}")
    told = 'healthCheck: the service "spare@file" has none, and its health is to count here'
    assert worker.apply(heeding).record(TCP_SERVICES, "all") == ("disabled", (told,))
    both = heeding.replace('{address: "10.0.0.3:1"}]', '{address: "10.0.0.3:1"}], healthCheck: {}')
    assert worker.apply(both).record(TCP_SERVICES, "all") == ("enabled", ())
    assert worker.route().balancer.heeds
    assert worker.apply(heeding).record(TCP_SERVICES, "all") == ("disabled", (told,))


def test_a_service_without_one_asks_nobody(worker):
    assert worker.apply(CHECKED).record(TCP_SERVICES, "all") == ("enabled", ())
    assert not worker.route().balancer.heeds


# --- what cannot be built -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "kind", "name", "reason"),
    [
        (
            "HostSNI(`*`)",
            "HostSNI(`db.test`)",
            TCP_ROUTERS,
            "db",
            'invalid rule: "HostSNI(`db.test`)" , has HostSNI matcher, but no TLS on router',
        ),
        (
            "HostSNI(`*`)",
            "Host(`db.test`)",
            TCP_ROUTERS,
            "db",
            "error while parsing rule Host(`db.test`): column 1: unsupported function: Host; "
            "did you mean HostSNI?",
        ),
        ("[db]", "[nowhere]", TCP_ROUTERS, "db", "no valid entryPoint for this router"),
        ("[office]", "[home]", TCP_ROUTERS, "db", 'middleware "home@file" does not exist'),
        (
            "service: all",
            "service: api@internal",
            TCP_ROUTERS,
            "db",
            'the service "api@internal" does not exist',
        ),
        ("Transport: own", "Transport: other", TCP_SERVICES, "pg", "servers transport not found other@file"),
        (
            "Transport: own",
            "Transport: own@internal",
            TCP_SERVICES,
            "pg",
            "servers transport not found own@internal",
        ),
        (
            "{name: spare}",
            "{name: all}",
            TCP_SERVICES,
            "all",
            "a service that leads back to itself: all@file -> all@file",
        ),
        (
            "{dialTimeout: 3s}",
            "{tls: {rootCAs: [nowhere.pem]}}",
            TCP_TRANSPORTS,
            "own",
            'tls.rootCAs[0]: "nowhere.pem" is neither a file nor a PEM text',
        ),
    ],
)
def test_what_cannot_be_built_is_disabled(worker, old, new, kind, name, reason):
    assert old in BASE
    worker.apply(BASE.replace(old, new))
    status, error = worker.record(kind, name)
    assert (status, error[0]) == ("disabled", reason)


def test_a_transport_that_cannot_do_tls_serves_who_needs_none(worker):
    broken = BASE.replace("{dialTimeout: 3s}", "{tls: {rootCAs: [nowhere.pem]}}")
    assert worker.apply(broken).record(TCP_SERVICES, "pg") == ("enabled", ())
    worker.apply(broken.replace('{address: "10.0.0.1:1"}', '{address: "10.0.0.1:1", tls: true}'))
    status, error = worker.record(TCP_SERVICES, "pg")
    assert status == "disabled"
    assert error[0].startswith('the servers transport "own@file" is disabled: tls.rootCAs[0]: ')


# --- transports ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, (30.0, 15, 0.1)),
        ({"dial_timeout": 0, "dial_keep_alive": 0, "termination_delay": 0}, (0.0, 15, 0.0)),
        ({"dial_timeout": -1, "dial_keep_alive": -1, "termination_delay": -SECOND}, (0.0, 0, -1.0)),
        ({"dial_keep_alive": 1}, (30.0, 1, 0.1)),
        ({"dial_keep_alive": 61 * SECOND + 1}, (30.0, 62, 0.1)),
        ({"dial_keep_alive": 1_000_000 * 3600 * SECOND}, (30.0, 32767, 0.1)),  # the kernel takes no more
    ],
)
def test_times_of_a_transport(options, found):
    made = run_now(stream_transport_of(TcpServersTransport(**options), {}))
    assert (made.dial_timeout, made.keep_alive, made.termination) == found


@pytest.mark.parametrize(
    ("service", "termination", "proxy"),
    [
        ("", 0.1, 0),
        (", terminationDelay: 250", 0.25, 0),
        (", terminationDelay: -1", -0.001, 0),
        (", proxyProtocol: {}", 0.1, 2),
        (", proxyProtocol: {version: 1}", 0.1, 1),
        (", terminationDelay: 250, proxyProtocol: {version: 1}, serversTransport: own", 3.0, 2),
    ],
)
def test_deprecated_options_count_where_no_transport_is_named(service, termination, proxy):
    worker = Worker().apply(
        'tcp: {routers: {a: {rule: "HostSNI(`*`)", service: s}}, services: {s: {loadBalancer: '
        f'{{servers: [{{address: "10.0.0.1:1"}}]{service}}}}}}}, '
        "serversTransports: {own: {terminationDelay: 3s, proxyProtocol: {}}}}"
    )
    target = worker.route().balancer.members[0]
    assert (target.termination, target.proxy) == (termination, proxy)
    assert DEFAULT_TRANSPORT in worker.builder.runtime.configured[TCP_TRANSPORTS]
