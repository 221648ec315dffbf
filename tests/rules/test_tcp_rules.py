"""Rules of TCP routers: the matchers, what is refused, and routes found by name as a scan would find them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.message import Request
from fastproxy._core.rule import Rule
from fastproxy._core.step import Pipeline
from fastproxy._core.table import Route, Table
from fastproxy.rules.compile import compile_rule
from fastproxy.rules.parse import parse
from fastproxy.rules.syntax import TCP, Matcher, RuleError


def rule(text):
    program = compile_rule(text, TCP)
    return Rule(text, program.tests, program.keys)


def matches(text, name=b"", protocols=(), client="127.0.0.1"):
    return rule(text)(Request.of_connection(name, protocols=protocols, client=client))


@pytest.mark.parametrize("name", TCP.matchers)
def test_four_spellings(name):
    argument = "h2" if name == "ALPN" else "10.0.0.1"
    for spelling in {name, name.lower(), name.upper(), name.capitalize()}:
        assert parse(f"{spelling}(`{argument}`)", TCP) == Matcher(name, (argument,))


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("HostSNI(`a.test`)", b"a.test", True),
        ("HostSNI(`a.test`)", b"A.Test", True),
        ("HostSNI(`A.test.`)", b"a.test", True),
        ("HostSNI(`a.test`)", b"a.test.", True),
        ("HostSNI(`a.test`)", b"b.a.test", False),
        ("HostSNI(`a.test`)", b"", False),
        ("HostSNI(`*.a.test`)", b"b.a.test", True),
        ("HostSNI(`*.a.test`)", b"c.b.a.test", False),
        ("HostSNI(`*.a.test`)", b"a.test", False),
        ("HostSNI(`*`)", b"", True),
        ("HostSNI(`*`)", b"a.test", True),
        ("HostSNI(`a_b:1`)", b"a_b:1", True),
        ("HostSNI(`a.test`)", b"a" * 400, False),
        ("HostSNIRegexp(`^a`)", b"Abc", True),
        ("HostSNIRegexp(`^A`)", b"Abc", False),
        ("HostSNIRegexp(`b`)", b"abc", True),
        ("HostSNIRegexp(`^$`)", b"", True),
        ("HostSNIRegexp(`.`)", b"", False),
        ("!HostSNI(`a.test`)", b"a.test", False),
        ("HostSNI(`a.test`) && ClientIP(`127.0.0.0/8`)", b"a.test", True),
        ("HostSNI(`a.test`) && !ClientIP(`127.0.0.0/8`)", b"a.test", False),
        ("HostSNI(`a.test`) || HostSNI(`b.test`)", b"b.test", True),
    ],
)
def test_names(text, name, found):
    assert matches(text, name) is found


@pytest.mark.parametrize(
    ("protocols", "found"),
    [((), False), ((b"h2",), True), ((b"http/1.1", b"h2"), True), ((b"h2c",), False), ((b"h",), False)],
)
def test_alpn(protocols, found):
    assert matches("ALPN(`h2`)", protocols=protocols) is found


@pytest.mark.parametrize(
    ("text", "client", "found"),
    [
        ("ClientIP(`10.0.0.1`)", "10.0.0.1", True),
        ("ClientIP(`10.0.0.1`)", "::ffff:10.0.0.1", True),
        ("ClientIP(`10.0.0.0/8`)", "10.1.2.3", True),
        ("ClientIP(`10.0.0.0/8`)", "11.1.2.3", False),
        ("ClientIP(`fd00::/8`)", "fd00::1", True),
        ("ClientIP(`10.0.0.0/8`)", "", False),
    ],
)
def test_clients(text, client, found):
    assert matches(text, client=client) is found


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("", 1, "the rule is empty; write one like HostSNI(`example.com`)"),
        ("Host(`a`)", 1, "unsupported function: Host; did you mean HostSNI?"),
        ("PathPrefix(`/`)", 1, "unsupported function: PathPrefix"),
        ("HostSni(`a`)", 1, "unsupported function: HostSni; the letters' case is not free, write HostSNI"),
        ("HostSNI(`a`, `b`)", 1, "unexpected number of parameters; got 2, HostSNI takes 1"),
        ("HostSNI()", 1, "unexpected number of parameters; got 0"),
        ("HostSNI(``)", 9, "empty argument of HostSNI"),
        ("HostSNI(`a b`)", 9, 'invalid value "a b" for HostSNI matcher, it is not a valid hostname'),
        ("HostSNI(`*.*.a`)", 9, "it is not a valid hostname"),
        ("HostSNI(`**`)", 9, "it is not a valid hostname"),
        ("HostSNI(`bücher.test`)", 9, "it is not a valid hostname"),
        ("HostSNIRegexp(`bücher`)", 15, "non-ASCII characters are not allowed"),
        ("HostSNIRegexp(`(`)", 15, "write RE2 syntax"),
        ("ALPN(`acme-tls/1`)", 6, 'invalid protocol value for ALPN matcher, "acme-tls/1" is not allowed'),
        ("ALPN(`" + "a" * 256 + "`)", 6, "at most 255 bytes"),
        ("ClientIP(`10.0.0.0/33`)", 10, "is not an ip address or a network"),
    ],
)
def test_what_is_refused(text, column, told):
    with pytest.raises(RuleError, match=re.escape(told)) as caught:
        compile_rule(text, TCP)
    assert caught.value.column == column


def test_the_names_of_a_rule():
    text = "HostSNI(`B.test`) || !HostSNI(`a.test.`) || HostSNIRegexp(`x`) || HostSNI(`*`)"
    assert sorted(compile_rule(text, TCP).hosts) == ["*", "a.test", "b.test"]


# --- the table ----------------------------------------------------------------------------------------------

NAMES = ("a.test", "b.test", "x.a.test", "y.a.test", "x.x.a.test", "")
TESTS = st.sampled_from(
    [
        *(f"HostSNI(`{name}`)" for name in (*NAMES[:-1], "*.a.test", "*.test", "*")),
        "HostSNIRegexp(`^x`)",
        "HostSNIRegexp(`^$`)",
        "ALPN(`h2`)",
        "ClientIP(`10.0.0.0/8`)",
    ]
)
RULES = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        inner.map(lambda each: f"!({each})"),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda each: f"({' '.join(each)})"),
    ),
    max_leaves=4,
)


@given(
    st.lists(st.tuples(RULES, st.integers(-3, 3)), max_size=12),
    st.sampled_from(NAMES),
    st.sampled_from([(), (b"h2",)]),
    st.sampled_from(["10.0.0.1", "127.0.0.1"]),
)
def test_the_table_gives_what_a_scan_gives(rules, name, protocols, client):
    asked = Request.of_connection(name.encode(), protocols=protocols, client=client)
    routes = [
        Route(f"r{at}", rule(text), Pipeline(()), None, priority=priority)
        for at, (text, priority) in enumerate(rules)
    ]
    scanned = sorted(routes, key=lambda route: (-route.priority, route.name))
    assert Table(routes).match(asked) is next((each for each in scanned if each.rule(asked)), None)
