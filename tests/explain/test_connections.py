"""What is said about connections and datagrams: questions that are none, the words, who came close."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastproxy.build.reception import Contact, Reception
from fastproxy.build.runtime import TCP_ROUTERS
from fastproxy.explain import connections, datagrams
from fastproxy.explain.candidates import field_of
from fastproxy.explain.questions import ConnectionQuestion, DatagramQuestion, Question, WrongQuestion
from fastproxy.explain.requests import explain as explain_request
from fastproxy.explain.words import lines_of
from fastproxy.rules.evaluate import Asked, is_elsewhere
from fastproxy.rules.syntax import And, Matcher, Not, Or
from tests.api import documents as api
from tests.explain.documents import build_all, static_of
from tests.explain.test_agrees import text_of

POINTS = {
    "entryPoints": {
        "db": {"address": ":5432"},
        "web": {"address": "127.0.0.1:8443"},
        "dns": {"address": ":53/udp"},
        "traefik": {"address": ":8080"},
    }
}
STATIC = static_of(POINTS)
SERVICES = {
    "s": {"loadBalancer": {"servers": [{"address": "10.0.0.7:5432"}]}},
    "t": {"loadBalancer": {"servers": [{"address": "10.0.0.8:5432", "tls": True}]}},
    "w": {
        "weighted": {"services": [{"name": "s", "weight": 3}, {"name": "t"}, {"name": "never", "weight": 0}]}
    },
    "never": {"loadBalancer": {}},
}


def tcp(routers, **sections):
    return {"tcp": {"routers": routers, "services": SERVICES, **sections}}


def ask(document, *question, **more):
    runtime = build_all(document, STATIC)[0].runtime
    return connections.explain(ConnectionQuestion(*question, **more), STATIC, runtime)


def way(document, *question, entry_point="db", **more):
    [only] = ask(document, *question, entry_point=entry_point, **more).ways
    return only


def text(explanation):
    return "\n".join(lines_of(explanation))


# --- the question -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"sni": "a b"}, '"a b" is not the name of a server; write one like db.example.com'),
        ({"sni": "a."}, '"a." is not the name of a server'),
        ({"sni": "ä"}, "is not the name of a server"),
        ({"sni": "a" * 256}, "is not the name of a server"),
        ({"alpn": ("",)}, "a protocol of ALPN has 1 to 255 bytes"),
        ({"alpn": ("a" * 256,)}, "a protocol of ALPN has 1 to 255 bytes"),
        ({"client": "me"}, '"me" is not an address'),
        ({"entry_point": "xyz"}, 'unknown entry point "xyz"; there is db, traefik, web'),
        ({"entry_point": "dns"}, 'unknown entry point "dns"'),
    ],
)
def test_questions_that_are_none(question, message):
    with pytest.raises(WrongQuestion) as error:
        ask({}, **question)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("points", "entry_point", "message"),
    [
        (POINTS, "db", 'unknown entry point "db"; there is dns'),
        ({"entryPoints": {"db": {"address": ":1"}}}, "", "there is no entry point for UDP"),
    ],
)
def test_questions_about_datagrams_that_are_none(points, entry_point, message):
    static = static_of(points)
    with pytest.raises(WrongQuestion) as error:
        datagrams.explain(DatagramQuestion(entry_point), static, build_all({}, static)[0].runtime)
    assert message in str(error.value)


def test_each_entry_point_is_told_of():
    assert [each.entry_point for each in ask({}).ways] == ["db", "web"]
    assert [each.entry_point for each in ask({}, entry_point="traefik").ways] == ["traefik"]


@pytest.mark.parametrize(
    ("url", "sni", "name"),
    [
        ("https://a.test/", None, "a.test"),
        ("https://A.test.:8443/", None, "A.test"),
        ("https://10.0.0.1/", None, ""),
        ("https://[::1]:8443/", None, ""),
        ("https://a.test/", "b.test", "b.test"),
        ("https://a.test/", "", ""),
    ],
)
def test_the_name_that_a_url_asks_for(url, sni, name):
    document = {
        "tcp": {"routers": {"r": {"rule": "HostSNI(`*`)", "service": "s", "tls": {}, "entryPoints": ["web"]}}}
    }
    document["tcp"]["services"] = SERVICES
    runtime = build_all(document, STATIC)[0].runtime
    [made] = explain_request(Question("GET", url, (), "web", sni=sni), STATIC, runtime).ways
    assert made.connection.row == "9d"
    document["tcp"]["routers"]["r"]["rule"] = f"HostSNIRegexp(`^{name.lower()}$`)"
    runtime = build_all(document, STATIC)[0].runtime
    [made] = explain_request(Question("GET", url, (), "web", sni=sni), STATIC, runtime).ways
    assert made.connection.router == "r@file"


# --- who takes it -------------------------------------------------------------------------------------------


def test_who_came_close():
    routers = {
        "a": {"rule": "HostSNI(`a.test`)", "service": "s", "tls": {}},
        "b": {"rule": "HostSNI(`a.test`) && ALPN(`h2`)", "service": "s", "tls": {}},
        "c": {"rule": "HostSNI(`a.test`)", "service": "gone", "tls": {}, "priority": 99},
        "d": {"rule": "HostSNI(`*`)", "service": "s", "tls": {}},
        "e": {"rule": "HostSN(`a.test`)", "service": "s"},
        "f": {"rule": "ClientIP(`127.0.0.1`)", "service": "s"},
    }
    made = way(tcp(routers), "a.test", ("postgresql",))
    assert (made.row, made.router, made.priority, made.is_computed) == ("9b", "a@file", 17, True)
    told = {each.name: each.why for each in (*made.beaten, *made.disabled, *made.near, *made.unreadable)}
    assert told == {
        "d@file": ("its priority -1 is below 17",),
        "c@file": ('the service "gone@file" does not exist', "its priority 99 would put it before a@file"),
        "b@file": ("ALPN(`h2`) does not match postgresql",),
        "f@file": ("it has no tls, and so takes connections without TLS only",),
        "e@file": (
            "error while parsing rule HostSN(`a.test`): column 1: unsupported function: HostSN; "
            "did you mean HostSNI?",
        ),
    }
    assert way(tcp(routers)).router == "f@file"


def test_http_goes_before():
    document = {
        **tcp({"a": {"rule": "HostSNI(`a.test`)", "service": "s", "tls": {}}}),
        "http": {"routers": {"h": {"rule": "Host(`a.test`)", "service": "w", "tls": {}}}},
    }
    made = way(document, "a.test")
    assert (made.row, made.router, made.is_http) == ("9a", "", True)
    assert made.decided == "TLS: h@file has the name in a Host"
    assert [(each.name, each.why) for each in made.beaten] == [("a@file", ("HTTP goes before it",))]


def test_a_disabled_router_without_alternative():
    made = way(tcp({"a": {"rule": "HostSNI(`*`)", "service": "gone"}}))
    assert made.is_http
    assert [each.why for each in made.disabled] == [('the service "gone@file" does not exist',)]


def test_a_warning_about_the_router():
    made = way(tcp({"a": {"rule": "HostSNI(`*`)", "service": "s", "entryPoints": ["db", "nowhere"]}}))
    assert made.warnings == ('entryPoint "nowhere" doesn\'t exist',)


def test_more_routers_than_are_read():
    """Those of other names are passed over, and the entry point looks at first bytes all the same."""
    routers = {f"r{at}": {"rule": f"HostSNI(`{at}.other`)", "service": "s", "tls": {}} for at in range(1100)}
    assert way(tcp(routers), "1007.other").router == "r1007@file"
    assert way(tcp(routers), "a.test").row == "9e"
    http = {
        "routers": {name: {**each, "rule": each["rule"].replace("SNI", "")} for name, each in routers.items()}
    }
    assert way({"http": http}, "1007.other").decided == "TLS: r1007@file has the name in a Host"
    assert way({"http": http}, "a.test").row == "9e"


# --- the words ----------------------------------------------------------------------------------------------


def test_services_of_services():
    explanation = ask(tcp({"a": {"rule": "HostSNI(`*`)", "service": "w"}}), entry_point="db")
    assert text(explanation).endswith(
        "    priority -1, behind all others, because it takes every name\n"
        "  service w@file, weighted\n"
        "    service s@file, loadbalancer, weight 3\n"
        "      10.0.0.7:5432\n"
        "    service t@file, loadbalancer, weight 1\n"
        "      10.0.0.8:5432, by TLS"
    )


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ({}, "a connection from 127.0.0.1"),
        ({"is_tls": True, "client": ""}, "TLS from nowhere"),
        ({"sni": "a.test", "alpn": ("h2", "x")}, "TLS for a.test, offering h2, x from 127.0.0.1"),
        ({"sni": "a.test", "is_postgres": True}, "PostgreSQL with TLS for a.test from 127.0.0.1"),
    ],
)
def test_the_first_line(question, first):
    assert text(ask({}, **question)).split("\n")[0] == first


# --- views, and the core ------------------------------------------------------------------------------------


def test_a_view_that_was_put_together_says_the_same():
    """The supervisor has no builder: its view is made of what workers tell."""
    views = api.make()
    for sni in ("", "db.test", "a.test"):
        for client in ("10.0.0.1", "127.0.0.1"):
            question = ConnectionQuestion(sni, (), client=client)
            built, told = (
                connections.explain(question, api.STATIC, view) for view in (views.built, views.told)
            )
            assert built == told
    built, told = (
        datagrams.explain(DatagramQuestion(), api.STATIC, view) for view in (views.built, views.told)
    )
    assert built == told


def matcher(name, *arguments):
    return st.sampled_from(arguments).map(lambda argument: Matcher(name, (argument,)))


trees = st.recursive(
    st.one_of(
        matcher("HostSNI", "a.test", "A.test.", "b.test", "*.test", "*.a.test", "*"),
        matcher("HostSNIRegexp", "^a", "test$", "^$", "."),
        matcher("ALPN", "h2", "http/1.1", "H2"),
        matcher("ClientIP", "127.0.0.1", "10.0.0.0/8", "::/0"),
    ),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)
routers = st.dictionaries(
    st.sampled_from(["r", "r-2", "é", "z", "a"]),
    st.fixed_dictionaries(
        {
            "rule": trees.map(text_of) | st.just("HostSNI(`*`)"),
            "service": st.sampled_from(["s", "s", "s", "gone"]),
            "priority": st.sampled_from([0, 0, 0, 5, -1, -2]),
            "entryPoints": st.sampled_from([["db"], ["web"], ["db", "web"]]),
            "tls": st.sampled_from([None, {}, {"passthrough": True}]),
        }
    ),
    min_size=1,
)
contacts = st.builds(
    Contact,
    client=st.sampled_from(["127.0.0.1", "10.0.0.1", "fd00::1"]),
    is_tls=st.booleans(),
    is_postgres=st.booleans(),
    name=st.sampled_from(["", "a.test", "A.TEST", "b.a.test", "c.b.a.test", "test", "other"]),
    protocols=st.sampled_from([(), (b"h2",), (b"http/1.1", b"h2")]),
)


@settings(max_examples=150, deadline=None)
@given(given_routers=routers, contact=contacts)
def test_the_router_is_the_tables(given_routers, contact):
    """Evaluated in Python, rules and their order give the router that the core finds."""
    section = {
        name: {key: each for key, each in router.items() if each is not None}
        for name, router in given_routers.items()
    }
    runtime = build_all(tcp(section), STATIC)[0].runtime
    name = contact.name.lower()
    received = Reception(STATIC, runtime, name, lambda rule: is_elsewhere(rule, name.encode())).receive(
        "db", contact
    )
    is_sealed = received.row in ("4", "9b", "9d", "9e")
    asked = Asked(
        host=name.encode() if is_sealed else b"",
        protocols=contact.protocols if is_sealed else (),
        client=contact.client,
    )
    field = field_of(
        TCP_ROUTERS,
        asked,
        STATIC,
        runtime,
        "db",
        lambda router: ["no"] if (router.tls is None) == is_sealed else [],
    )
    assert (field.winner.name if field.winner else "") == received.router
