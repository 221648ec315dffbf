"""Names, references, defaults and entry point models; and that what did not change stays the same object."""

import pytest

from fastproxy.config.dynamic import KINDS, Configuration
from fastproxy.config.http import HttpConfiguration, HttpRouter, HttpService, LoadBalancer, ServersTransport
from fastproxy.config.merge import DEFAULT_TRANSPORT, Merger, first_wins
from fastproxy.config.middlewares import AddPrefix, Chain, HttpMiddleware
from fastproxy.config.static import (
    DefaultTransport,
    EncodedCharacters,
    EntryPoint,
    EntryPointHTTP,
    StaticConfiguration,
)

STATIC = StaticConfiguration(
    entry_points={
        "web": EntryPoint(address=":80"),
        "alt": EntryPoint(address=":81"),
        "strict": EntryPoint(address=":82", http=EntryPointHTTP(middlewares=("first", "auth@other"))),
        "exact": EntryPoint(
            address=":83",
            http=EntryPointHTTP(encoded_characters=EncodedCharacters(allow_encoded_slash=False)),
        ),
    }
)


def http(**tables):
    return Configuration(http=HttpConfiguration(**tables))


def merge(configuration, static=STATIC):
    merged = Merger(static).merge({"file": configuration})
    assert merged.warnings == ()
    return merged.configuration.http


def routers(router, static=STATIC):
    made = merge(http(routers={"r": router}), static).routers
    return {name: (each.entry_points, each.middlewares) for name, each in made.items()}


# --- names --------------------------------------------------------------------------------------------------


def test_names_and_references_get_their_provider():
    made = merge(
        http(
            routers={
                "r": HttpRouter(rule="R", entry_points=("web",), middlewares=("a", "b@other"), service="s")
            },
            services={"s": HttpService(load_balancer=LoadBalancer(servers_transport="t"))},
            middlewares={
                "a": HttpMiddleware(chain=Chain(middlewares=("b", "c@internal"))),
                "b": HttpMiddleware(add_prefix=AddPrefix(prefix="/b")),
            },
            servers_transports={"t": ServersTransport(server_name="x")},
        )
    )
    assert made == HttpConfiguration(
        routers={
            "r@file": HttpRouter(
                rule="R", entry_points=("web",), middlewares=("a@file", "b@other"), service="s@file"
            )
        },
        services={"s@file": HttpService(load_balancer=LoadBalancer(servers_transport="t@file"))},
        middlewares={
            "a@file": HttpMiddleware(chain=Chain(middlewares=("b@file", "c@internal"))),
            "b@file": HttpMiddleware(add_prefix=AddPrefix(prefix="/b")),
        },
        servers_transports={
            DEFAULT_TRANSPORT: ServersTransport(max_idle_conns_per_host=200),
            "t@file": ServersTransport(server_name="x"),
        },
    )


def test_services_without_a_transport_get_the_static_one():
    static = StaticConfiguration(
        servers_transport=DefaultTransport(insecure_skip_verify=True, max_idle_conns_per_host=7)
    )
    made = merge(http(services={"s": HttpService(load_balancer=LoadBalancer())}), static)
    assert made.services["s@file"].load_balancer.servers_transport == DEFAULT_TRANSPORT
    assert made.servers_transports == {
        DEFAULT_TRANSPORT: ServersTransport(insecure_skip_verify=True, max_idle_conns_per_host=7)
    }


def test_providers_do_not_meet():
    one = http(routers={"r": HttpRouter(rule="A", service="s", entry_points=("web",))})
    two = http(routers={"r": HttpRouter(rule="B", service="s@one", entry_points=("web",))})
    made = Merger(STATIC).merge({"one": one, "two": two}).configuration.http.routers
    assert {name: (each.rule, each.service) for name, each in made.items()} == {
        "r@one": ("A", "s@one"),
        "r@two": ("B", "s@one"),
    }


def test_broken_objects_keep_their_reasons():
    broken = Configuration(broken={"http.routers": {"r": "rule: missing"}})
    made = Merger(STATIC).merge({"file": broken}).configuration
    assert made.broken == {"http.routers": {"r@file": "rule: missing"}}
    assert made.names("http.routers") == ["r@file"]


# --- entry points -------------------------------------------------------------------------------------------

ROUTER = HttpRouter(rule="R", service="s", middlewares=("own",))
MODEL = ("first@file", "auth@other", "own@file")


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (("web",), {"r@file": (("web",), ("own@file",))}),
        (("web", "alt"), {"r@file": (("web", "alt"), ("own@file",))}),
        (("web", "web"), {"r@file": (("web",), ("own@file",))}),
        (("strict",), {"r@file": (("strict",), MODEL)}),
        (("exact",), {"r@file": (("exact",), ("own@file",))}),
        (("web", "strict"), {"r@file": (("web",), ("own@file",)), "strict-r@file": (("strict",), MODEL)}),
        (
            ("strict", "exact"),
            {"strict-r@file": (("strict",), MODEL), "exact-r@file": (("exact",), ("own@file",))},
        ),
        (
            (),
            {
                "r@file": (("alt", "web"), ("own@file",)),
                "exact-r@file": (("exact",), ("own@file",)),
                "strict-r@file": (("strict",), MODEL),
            },
        ),
        (("nowhere",), {"r@file": (("nowhere",), ("own@file",))}),
    ],
)
def test_entry_points(points, expected):
    router = HttpRouter(rule="R", service="s", middlewares=("own",), entry_points=points)
    assert routers(router) == expected


def test_default_entry_points_with_as_default():
    static = StaticConfiguration(
        entry_points={"web": EntryPoint(address=":80"), "alt": EntryPoint(address=":81", as_default=True)}
    )
    assert routers(ROUTER, static) == {"r@file": (("alt",), ("own@file",))}


def test_a_declared_name_goes_before_that_of_a_copy():
    tables = {
        "strict-r": HttpRouter(rule="declared", service="s", entry_points=("web",)),
        "r": HttpRouter(rule="split", service="s", entry_points=("web", "strict")),
    }
    for order in (tables, dict(reversed(tables.items()))):
        merged = Merger(STATIC).merge({"file": http(routers=order)})
        assert merged.configuration.http.routers["strict-r@file"].rule == "declared"
        assert merged.warnings == (
            "http.routers.strict-r@file: two routers have this name, one of them a copy of r@file; rename "
            "one",
        )


# --- identity -----------------------------------------------------------------------------------------------


def test_what_did_not_change_stays_the_same_object():
    merger = Merger(STATIC)
    old = {f"r{at}": HttpRouter(rule=f"R{at}", service="s") for at in range(5)}
    service = HttpService(load_balancer=LoadBalancer())
    before = merger.merge({"file": http(routers=old, services={"s": service})}).configuration
    new = {**old, "r3": HttpRouter(rule="other", service="s")}
    after = merger.merge({"file": http(routers=new, services={"s": service})}).configuration
    changed = [
        (kind, name)
        for kind in KINDS
        for name, each in after.table(kind).items()
        if before.table(kind).get(name) is not each
    ]
    assert sorted(changed) == [
        ("http.routers", "exact-r3@file"),
        ("http.routers", "r3@file"),
        ("http.routers", "strict-r3@file"),
    ]
    assert before.http.routers["r3@file"].rule == "R3"


# --- documents of one provider ------------------------------------------------------------------------------


def test_the_first_document_wins():
    one = http(routers={"a": HttpRouter(rule="1"), "b": HttpRouter(rule="1")})
    two = Configuration(
        http=HttpConfiguration(routers={"b": HttpRouter(rule="2"), "c": HttpRouter(rule="2")}),
        broken={"http.routers": {"a": "why"}, "http.services": {"s": "why"}},
    )
    merged = first_wins([("1.yml", one), ("2.yml", two)])
    assert {name: each.rule for name, each in merged.configuration.http.routers.items()} == {
        "a": "1",
        "b": "1",
        "c": "2",
    }
    assert merged.configuration.broken == {"http.services": {"s": "why"}}
    assert merged.warnings == (
        "2.yml: http.routers.b: already configured in 1.yml, skipping",
        "2.yml: http.routers.a: already configured in 1.yml, skipping",
    )


def test_a_broken_object_keeps_its_name_from_later_documents():
    one = Configuration(broken={"http.routers": {"a": "why"}})
    merged = first_wins([("1.yml", one), ("2.yml", http(routers={"a": HttpRouter(rule="2")}))])
    assert merged.configuration == one
    assert len(merged.warnings) == 1
