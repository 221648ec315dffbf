"""A difference leads from one configuration to the next, through the pipe, and holds only what changed."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fastproxy.config.delta import Delta, apply, difference
from fastproxy.config.dynamic import KINDS, Configuration
from fastproxy.config.http import HttpConfiguration, HttpRouter, HttpService, LoadBalancer, Server

NAMES = st.sampled_from("abcde")
ROUTERS = st.builds(HttpRouter, rule=st.sampled_from("RS"), service=NAMES, priority=st.integers(0, 1))
SERVICES = st.builds(
    lambda port: HttpService(load_balancer=LoadBalancer(servers=(Server(url=f"http://a:{port}"),))),
    st.integers(1, 3),
)
CONFIGURATIONS = st.builds(
    lambda routers, services, broken: Configuration(
        http=HttpConfiguration(
            routers={name: each for name, each in routers.items() if name not in broken}, services=services
        ),
        broken={"http.routers": broken} if broken else {},
    ),
    st.dictionaries(NAMES, ROUTERS),
    st.dictionaries(NAMES, SERVICES),
    st.dictionaries(NAMES, st.sampled_from(["why", "because"])),
)


def piped(delta):
    return msgspec.msgpack.decode(msgspec.msgpack.encode(delta), type=Delta)


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_a_difference_leads_to_the_new(old, new):
    delta = piped(difference(old, new))
    before = msgspec.msgpack.encode(old)
    assert apply(old, delta) == new
    assert msgspec.msgpack.encode(old) == before
    assert bool(delta) == (old != new)


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_what_is_common_is_the_same_object(old, new):
    applied = apply(old, piped(difference(old, new)))
    for kind in KINDS:
        for name, each in old.table(kind).items():
            if new.table(kind).get(name) == each:
                assert applied.table(kind)[name] is each


def test_a_difference_holds_what_changed():
    old = Configuration(
        http=HttpConfiguration(routers={name: HttpRouter(rule=name) for name in "abc"}),
        broken={"http.services": {"s": "why", "t": "why"}},
    )
    new = Configuration(
        http=HttpConfiguration(
            routers={"a": HttpRouter(rule="a"), "b": HttpRouter(rule="x"), "d": HttpRouter(rule="d")},
            services={"s": HttpService(load_balancer=LoadBalancer())},
        ),
        broken={"http.routers": {"c": "why"}, "http.services": {"t": "why"}},
    )
    assert difference(old, new) == Delta(
        changed=Configuration(
            http=HttpConfiguration(
                routers={"b": HttpRouter(rule="x"), "d": HttpRouter(rule="d")},
                services={"s": HttpService(load_balancer=LoadBalancer())},
            ),
            broken={"http.routers": {"c": "why"}},
        ),
        removed={"http.routers": ("c",)},
        mended={"http.services": ("s",)},
    )
    assert not difference(new, new)
