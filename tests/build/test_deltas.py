"""Whatever changes, and in whatever order: what is decided is what everything looked at anew would decide."""

from types import SimpleNamespace

import pytest
import trustme
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fastproxy._core.arrival import PassOn, Refusal, ServeHTTP
from fastproxy.build.certificates import Settings
from fastproxy.build.runtime import (
    CERTIFICATES,
    OPTIONS,
    ROUTERS,
    STORES,
    TCP_ROUTERS,
    UDP_ROUTERS,
)
from fastproxy.build.snapshot import Builder
from fastproxy.build.work import run_now
from fastproxy.config import delta
from fastproxy.config.dynamic import Configuration
from fastproxy.config.http import HttpConfiguration, HttpRouter, HttpService, LoadBalancer, Server
from fastproxy.config.merge import Merger
from fastproxy.config.static import EntryPoint, StaticConfiguration
from fastproxy.config.tcp import (
    TcpConfiguration,
    TcpLoadBalancer,
    TcpRouter,
    TcpRouterTLS,
    TcpServer,
    TcpService,
)
from fastproxy.config.tls import (
    DEFAULT,
    Certificate,
    CertificatePair,
    Options,
    RouterTLS,
    Store,
    TLSConfiguration,
)
from fastproxy.config.udp import UdpConfiguration, UdpLoadBalancer, UdpRouter, UdpServer, UdpService
from fastproxy.conflicts import Claim, Conflicts, moved_of
from tests.twins import reception

POINTS = ("a", "b")
UDP_POINTS = ("u", "v")
STATIC = StaticConfiguration(
    entry_points={
        **{name: EntryPoint(address=f":{80 + at}") for at, name in enumerate(POINTS)},
        **{name: EntryPoint(address=f":{90 + at}/udp") for at, name in enumerate(UDP_POINTS)},
    }
)
NAMES = ("x.test", "y.test", "z.x.test", "other.test", "test", "")
RULES = (
    "Host(`x.test`)",
    "Host(`y.test`) && Path(`/a`)",
    "Host(`x.test`) || Host(`y.test`)",
    "HostRegexp(`^.*$`)",
    "PathPrefix(`/`)",
    "Host(`z.x.test`)",
    "Host(",
)
CHOICES = (
    Options(min_version="VersionTLS13"),
    Options(sni_strict=True),
    Options(alpn_protocols=("spdy/1",)),  # broken for HTTP
    Options(alpn_protocols=("spdy/1",), min_version="VersionTLS13"),
    Options(cipher_suites=("TLS_RSA_WITH_RC4_128_SHA",), curve_preferences=("nonsense",)),  # cannot be built
    "broken: it cannot be read",
)
OPTION_NAMES = ("default", "o", "p")


def tables(names, made, most=4):
    return st.dictionaries(st.sampled_from(names), made, max_size=most)


@pytest.fixture(scope="module")
def certificates():
    """Certificates for some sets of names, two for one of them, and one whose key is another's."""
    authority = trustme.CA()

    def issue(*names):
        made = authority.issue_cert(*names)
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        return CertificatePair(chain.decode(), made.private_key_pem.bytes().decode())

    sets = ("x.test",), ("x.test", "y.test"), ("*.x.test",), ("*.test",), ("z.x.test", "a.test"), ("x.test",)
    pairs = [issue(*names) for names in sets]
    return [*pairs, CertificatePair(pairs[0].cert_file, pairs[1].key_file)]


@st.composite
def documents(draw):
    """A document; certificates are numbers."""
    tls = st.one_of(st.none(), st.sampled_from(("", "o", "p", "gone")))
    points = st.sampled_from((("a",), ("b",), ("a", "b"), (), ("gone",), ("a", "a")))
    routers = tables("rstu", st.tuples(st.sampled_from(RULES), points, tls), 4)
    streams = tables("rst", st.tuples(st.sampled_from(NAMES[:3]), points, st.booleans(), tls), 3)
    udp_points = st.sampled_from((("u",), ("v",), ("u", "v"), (), ("gone", "u"), ("u", "u")))
    flows = tables("rstu", st.tuples(udp_points, st.sampled_from(("s", "t", "gone"))))
    return {
        "routers": draw(routers),
        "streams": draw(streams),
        "flows": draw(flows),
        "options": draw(tables(OPTION_NAMES, st.sampled_from(CHOICES))),
        "certificates": draw(tables("cdef", st.integers(0, 6))),
        "default": draw(st.one_of(st.none(), st.integers(0, 6))),
    }


PARTS = [(part,) for part in ("routers", "streams", "flows", "options", "options", "certificates", "default")]
ALL = [tuple(part for (part,) in PARTS)]


def configuration_of(document, certificates):
    options = document["options"]
    routers = {
        name: HttpRouter(
            rule=rule, service="s", entry_points=points, tls=None if tls is None else RouterTLS(options=tls)
        )
        for name, (rule, points, tls) in document["routers"].items()
    }
    streams = {
        name: TcpRouter(
            rule=f"HostSNI(`{host or '*'}`)",
            service="s",
            entry_points=points,
            tls=TcpRouterTLS(passthrough=passes, options="" if passes or tls is None else tls),
        )
        for name, (host, points, passes, tls) in document["streams"].items()
    }
    flows = {
        name: UdpRouter(entry_points=points, service=service)
        for name, (points, service) in document["flows"].items()
    }
    pairs = {name: certificates[at] for name, at in document["certificates"].items()}
    default = document["default"]
    return Configuration(
        http=HttpConfiguration(
            routers=routers,
            services={"s": HttpService(load_balancer=LoadBalancer(servers=(Server("http://10.0.0.1"),)))},
        ),
        tcp=TcpConfiguration(
            routers=streams,
            services={"s": TcpService(load_balancer=TcpLoadBalancer(servers=(TcpServer("10.0.0.1:1"),)))},
        ),
        udp=UdpConfiguration(
            routers=flows,
            services={
                name: UdpService(load_balancer=UdpLoadBalancer(servers=(UdpServer("10.0.0.1:1"),)))
                for name in "st"
            },
        ),
        tls=TLSConfiguration(
            options={name: each for name, each in options.items() if isinstance(each, Options)},
            certificates={
                name: Certificate(cert_file=pair.cert_file, key_file=pair.key_file)
                for name, pair in pairs.items()
            },
            stores={} if default is None else {DEFAULT: Store(default_certificate=certificates[default])},
        ),
        broken={OPTIONS: {name: each for name, each in options.items() if isinstance(each, str)}},
    )


class Twin:
    """A builder that is told what changed, and one look at everything that it has."""

    def __init__(self):
        self.builder = Builder(STATIC, b"s" * 32)
        self.merger, self.conflicts = Merger(STATIC), Conflicts()
        self.configuration = Configuration()

    def apply(self, configuration):
        merger = self.merger.merge({"file": configuration})
        merged = self.conflicts.settle(merger)
        assert merged == Conflicts().settle(merger)
        change = delta.difference(self.configuration, merged.configuration)
        self.configuration = merged.configuration
        made = run_now(self.builder.build(self.builder.runtime.generation + 1, change))
        run_now(made.settle)
        return made.snapshot

    def check(self, snapshot):
        state = self.builder._state
        claims, pairs = list(state.claims.values()), state.built[CERTIFICATES]
        for at, point in enumerate((*POINTS, *UDP_POINTS)):
            doorman = snapshot.doormen[at]
            assert (doorman is not None) == reception.is_watched(claims, at), point
            if doorman is not None:
                assert doorman.has_rest == reception.has_rest(claims, at)
                for name in NAMES:
                    self.check_name(doorman, name, reception.options_of(claims, at, name), pairs)
                for route in state.built[TCP_ROUTERS].values():
                    if at + len(POINTS) + len(UDP_POINTS) in route.extra:
                        self.check_route(doorman, route, pairs)
        unused = reception.unused(pairs)
        warned = state.runtime.warnings[CERTIFICATES]
        assert {name: told[0].split()[3] for name, told in warned.items()} == unused
        self.check_flows(snapshot, state)

    def check_name(self, doorman, name, options, pairs):
        state = self.builder._state
        caller = SimpleNamespace(route_of=lambda name, protocols: None, local=lambda: "")
        handling = doorman.secure(caller, name, ())
        built, failures = state.built[OPTIONS], state.runtime.failures[OPTIONS]
        options = options or DEFAULT
        terms, fault = reception.accepted(options, built, failures)
        pair = reception.certificate_of(pairs.values(), name) or self.default(terms)
        if fault or pair is None:
            assert isinstance(handling, Refusal)
            assert (fault or "no certificate") in handling.reason
            return
        assert isinstance(handling, ServeHTTP), handling.reason
        assert handling.terms == options
        assert handling.context is pair.context(terms.settings if terms is not None else Settings())

    def check_route(self, doorman, route, pairs):
        """What a TCP router does with a connection for it."""
        state, name = self.builder._state, "x.test"
        caller = SimpleNamespace(
            route_of=lambda name, protocols: route, refused_by=lambda route: None, local=lambda: ""
        )
        handling = doorman.postgres(caller, name, ())
        if route.terms is None:
            assert isinstance(handling, PassOn)
            assert (handling.route, handling.context) == (route, None)
            return
        built, failures = state.built[OPTIONS], state.runtime.failures[OPTIONS]
        terms, fault = reception.accepted(route.terms, built, failures)
        pair = reception.certificate_of(pairs.values(), name) or self.default(terms)
        if (terms is None and fault) or pair is None:
            assert isinstance(handling, Refusal)
            assert (fault if terms is None and fault else "no certificate") in handling.reason
            return
        assert isinstance(handling, PassOn), handling.reason
        settings, offers = (terms.settings, terms.offers) if terms else (Settings(), Options().alpn_protocols)
        assert handling.context is pair.context(settings._replace(protocols=offers))

    def default(self, terms):
        """The certificate for names that no other one has."""
        stores = self.builder._state.built[STORES]
        is_strict = terms is not None and terms.is_strict
        return None if is_strict or DEFAULT not in stores else stores[DEFAULT].default

    def check_flows(self, snapshot, state):
        flows, warned = state.built[UDP_ROUTERS], state.runtime.warnings[UDP_ROUTERS]
        last = reception.flows_of(flows, UDP_POINTS)
        for at, point in enumerate(UDP_POINTS, len(POINTS)):
            serving = snapshot.flows[at]
            assert serving is (flows[last[point]].balancer if last[point] else None)
        for name, configured in state.runtime.configured[UDP_ROUTERS].items():
            unknown = [each for each in configured.entry_points if each == "gone"]
            told = [f'entryPoint "{each}" doesn\'t exist' for each in unknown]
            for point in flows[name].entry_points if name in flows else ():
                if last[point] != name:
                    serves = f'entryPoint "{point}" is served by router {last[point]}'
                    told.append(f"{serves}: of several the last by name")
            assert warned.get(name, ()) == tuple(told), name
        assert warned.keys() <= state.runtime.configured[UDP_ROUTERS].keys()


FOR_TCP_ALONE = {
    "routers": {},
    "streams": {"r": ("x.test", ("a",), False, "o")},
    "flows": {},
    "options": {"o": CHOICES[2]},
    "certificates": {"c": 0},
    "default": None,
}


@example(FOR_TCP_ALONE, [(("options",), {**FOR_TCP_ALONE, "options": {"o": CHOICES[3]}})])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), st.lists(st.tuples(st.sampled_from([*PARTS, *ALL]), documents()), max_size=5))
def test_changes_lead_where_a_look_at_everything_leads(certificates, document, edits):
    twin = Twin()
    for parts, other in [((), document), *edits]:
        document = {**document, **{part: other[part] for part in parts}}
        configuration = configuration_of(document, certificates)
        twin.check(twin.apply(configuration))
    fresh = Twin()
    fresh.apply(configuration)
    for kind in (ROUTERS, TCP_ROUTERS, UDP_ROUTERS, OPTIONS):
        assert twin.builder.runtime.failures[kind] == fresh.builder.runtime.failures[kind]
        assert twin.builder.runtime.warnings[kind] == fresh.builder.runtime.warnings[kind]


CLAIMS = st.builds(
    Claim,
    st.sampled_from("rstuv"),
    st.sampled_from("ab"),
    st.lists(st.sampled_from("xyz"), max_size=2).map(tuple),
    st.sampled_from((DEFAULT, "o", "p")),
)


@given(st.lists(CLAIMS, max_size=8, unique_by=lambda claim: (claim.router, claim.point)))
def test_who_cannot_have_the_options_that_he_wants(claims):
    assert moved_of(claims) == reception.moved(claims)


# --- only what changed ------------------------------------------------------------------------------------


def secured(options=(), certificates=None, count=50):
    routers = {
        f"r{at}": HttpRouter(rule=f"Host(`h{at}.test`)", service="s", tls=RouterTLS(options="o"))
        for at in range(count)
    }
    nothing = {key: {} for key in ("routers", "streams", "flows", "certificates")}
    document = {**nothing, "options": dict(options), "default": None}
    made = configuration_of(document, [])
    return Configuration(
        http=HttpConfiguration(routers=routers, services=made.http.services), tls=made.tls, broken=made.broken
    )


def test_options_that_change_leave_routes_alone():
    twin = Twin()
    twin.apply(secured([("o", CHOICES[0])]))
    routes = dict(twin.builder._state.built[ROUTERS])
    snapshot = twin.apply(secured([("o", Options(min_version="VersionTLS12"))]))
    after = twin.builder._state.built[ROUTERS]
    assert all(after[name] is each for name, each in routes.items())
    settings = twin.builder._state.built[OPTIONS]["o@file"].settings
    assert settings.least == "VersionTLS12"
    assert snapshot.doormen[0]._terms["o@file"].settings is settings


@pytest.mark.parametrize("other", [CHOICES[2], CHOICES[4], CHOICES[5], None])
def test_options_that_cannot_be_had_any_more_disable_their_routers_and_back(other):
    twin = Twin()
    good, bad = [("o", CHOICES[0])], [("o", other)] if other else []
    for options, disabled in ((good, 0), (bad, 50), (good, 0), (bad, 50)):
        twin.apply(secured(options))
        assert len(twin.builder.runtime.failures[ROUTERS]) == disabled
        assert len(twin.builder._state.built[ROUTERS]) == 50 - disabled


def test_a_router_more_leaves_names_of_others_alone():
    twin = Twin()
    before = twin.apply(secured([("o", CHOICES[0])], count=1000)).doormen[0]._claimed.hosts
    after = twin.apply(secured([("o", CHOICES[0])], count=1001)).doormen[0]._claimed.hosts
    assert (len(before), len(after)) == (1000, 1001)
    assert sum(one is not other for one, other in zip(before._pages, after._pages, strict=True)) == 1
