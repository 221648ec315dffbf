"""Trees become programs that mean the same, and keys under which a matching request is always found."""

import pytest
from hypothesis import given

from fastproxy.rules.compile import MATCH, MISS, compile_rule, compile_tree
from fastproxy.rules.keys import ANY, BELOW, EXACT, MOST
from fastproxy.rules.syntax import Matcher, RuleError
from tests.rules.strategies import requests, trees
from tests.twins import rule as twin


@pytest.mark.parametrize(
    ("rule", "tests"),
    [
        ("Host(`Shop.Example.`)", [("host", MATCH, MISS, b"shop.example")]),
        ("Host(`*.Example`)", [("wildcard", MATCH, MISS, b".example")]),
        ("Host(`*`)", [("always", MATCH, MISS)]),
        ("Host(`.`)", [("always", MISS, MATCH)]),
        ("Method(`get`)", [("method", MATCH, MISS, b"GET")]),
        ("!Method(`get`)", [("method", MISS, MATCH, b"GET")]),
        ("Header(`X-Key`, `V`)", [("header", MATCH, MISS, b"x-key", b"V")]),
        ("Query(`k`)", [("query", MATCH, MISS, b"k", b"")]),
        ("QueryRegexp(`k`)", [("query", MATCH, MISS, b"k", b"")]),
        ("ClientIP(`10.1.2.3/8`)", [("client", MATCH, MISS, "10.1.2.3/8")]),
        (r'Path("/\xff")', [("path", MATCH, MISS, b"/\xff")]),
        # Go's server takes these out of the header map: they never match
        ("Header(`HOST`, `a`)", [("always", MISS, MATCH)]),
        ("HeaderRegexp(`transfer-encoding`, `a`)", [("always", MISS, MATCH)]),
        # a pattern that says no more than a literal does
        ("PathRegexp(`^/api/v1`)", [("prefix", MATCH, MISS, b"/api/v1")]),
        (r"PathRegexp(`^/api/v1\.0$`)", [("path", MATCH, MISS, b"/api/v1.0")]),
        # jumps, and the cheap first
        (
            "Host(`a`) && Path(`/p`) || Method(`PUT`)",
            [("host", 1, 2, b"a"), ("path", MATCH, 2, b"/p"), ("method", MATCH, MISS, b"PUT")],
        ),
        (
            "!(Query(`a`) && Host(`b`))",
            [("host", 1, MATCH, b"b"), ("query", MISS, MATCH, b"a", b"")],
        ),
    ],
)
def test_program(rule, tests):
    assert list(compile_rule(rule).tests) == tests


def test_patterns_are_kept_where_they_are_patterns():
    (test,) = compile_rule("PathRegexp(`^/a.c`)").tests
    assert test[0] == "path_regexp"
    assert test[3].search(b"/abc/d")


@pytest.mark.parametrize(
    ("rule", "column", "message"),
    [
        ("HostRegexp(`(`)", 12, "not a regular expression"),
        ("PathRegexp(`^/(?=a)`)", 12, "not a regular expression"),
        ("Header(`a`, `b`) && HeaderRegexp(`k`, `[`)", 39, "not a regular expression"),
        ("QueryRegexp(`k`, `a**`)", 18, "not a regular expression"),
        (r'PathRegexp("\xff")', 12, "not a regular expression"),
        ("ClientIP(`10.0.0`)", 10, '"10.0.0" is not an ip address or a network'),
        ("ClientIP(`10.0.0.0/33`)", 10, "write one like 10.0.0.1, 10.0.0.0/8 or fd00::/8"),
        ("ClientIP(`10.0.0.0/255.0.0.0`)", 10, "is not an ip address"),
        ("ClientIP(`010.0.0.1`)", 10, "is not an ip address"),
        ("ClientIP(`10.0.0.1/`)", 10, "is not an ip address"),
        ("ClientIP(`fe80::1%eth0`)", 10, "is not an ip address"),
        ("ClientIP(`example.com`)", 10, "is not an ip address"),
    ],
)
def test_refused(rule, column, message):
    with pytest.raises(RuleError) as caught:
        compile_rule(rule)
    assert message in caught.value.message
    assert caught.value.column == column
    assert str(caught.value).startswith(f"error while parsing rule {rule}: ")


@pytest.mark.parametrize(
    ("rule", "hosts"),
    [
        ("Host(`B`) || Host(`a`) && !Host(`c.`)", ("b", "a", "c")),
        ("Host(`a`) || Host(`A`)", ("a",)),
        ("Host(`*.example`)", ("*.example",)),
        ("HostRegexp(`a`) || Path(`/`)", ()),
    ],
)
def test_hosts_for_tls(rule, hosts):
    assert compile_rule(rule).hosts == hosts


EVERYWHERE = (ANY, b"", ANY, b"")


@pytest.mark.parametrize(
    ("rule", "keys"),
    [
        ("Host(`a`)", {(EXACT, b"a", ANY, b"")}),
        ("Host(`*.a`)", {(BELOW, b".a", ANY, b"")}),
        ("Host(`*`)", {EVERYWHERE}),
        ("Path(`/p`)", {(ANY, b"", EXACT, b"/p")}),
        ("PathPrefix(`/p`)", {(ANY, b"", BELOW, b"/p")}),
        ("HostRegexp(`a`)", {EVERYWHERE}),
        ("!Host(`a`)", {EVERYWHERE}),
        ("Host(`a`) || Host(`b`)", {(EXACT, b"a", ANY, b""), (EXACT, b"b", ANY, b"")}),
        ("Host(`a`) || Method(`GET`)", {EVERYWHERE}),
        ("Host(`a`) || Path(`/p`)", {(EXACT, b"a", ANY, b""), (ANY, b"", EXACT, b"/p")}),
        ("Host(`a`) && PathPrefix(`/p`)", {(EXACT, b"a", BELOW, b"/p")}),
        ("Host(`a`) && !PathPrefix(`/p`)", {(EXACT, b"a", ANY, b"")}),
        ("!(Host(`a`) || !Path(`/p`))", {(ANY, b"", EXACT, b"/p")}),
        (
            "(Host(`a`) || Host(`b`)) && (Path(`/p`) || Path(`/q`))",
            {(EXACT, host, EXACT, path) for host in (b"a", b"b") for path in (b"/p", b"/q")},
        ),
        ("Host(`a`) || Host(`a`) && Path(`/p`)", {(EXACT, b"a", ANY, b"")}),
        ("PathPrefix(`/p`) || Host(`a`) && PathPrefix(`/p`)", {(ANY, b"", BELOW, b"/p")}),
        # what meets
        ("Host(`x.a`) && Host(`*.a`)", {(EXACT, b"x.a", ANY, b"")}),
        ("Host(`*.a`) && Host(`x.a`)", {(EXACT, b"x.a", ANY, b"")}),
        ("PathPrefix(`/p`) && PathPrefix(`/pq`)", {(ANY, b"", BELOW, b"/pq")}),
        ("PathPrefix(`/p`) && Path(`/pq`)", {(ANY, b"", EXACT, b"/pq")}),
        # what never meets
        ("Host(`a`) && Host(`b`)", set()),
        ("Host(`x.y.a`) && Host(`*.a`)", set()),
        ("Host(`a`) && Host(`*.a`)", set()),
        ("Host(`*.a`) && Host(`*.b`)", set()),
        ("Path(`/p`) && Path(`/q`)", set()),
        ("Path(`/p`) && PathPrefix(`/pq`)", set()),
        ("PathPrefix(`/p`) && PathPrefix(`/q`)", set()),
        ("Header(`Host`, `a`) && Path(`/p`)", set()),
    ],
)
def test_keys(rule, keys):
    assert set(compile_rule(rule).keys) == keys


def test_too_many_keys_become_fewer_wider_ones():
    hosts = " || ".join(f"Host(`h{number}`)" for number in range(100))
    paths = " || ".join(f"Path(`/p{number}`)" for number in range(100))
    for rule in (f"({hosts}) && ({paths})", f"({paths}) && ({hosts})"):
        keys = compile_rule(rule).keys
        assert len(keys) == 100
        assert all(key[0] == EXACT and key[2] == ANY for key in keys)
    many = " || ".join(f"Host(`h{number}`)" for number in range(MOST + 1))
    assert compile_rule(many).keys == (EVERYWHERE,)


def run(program, tests, request):
    """Run a program in plain Python; `tests` gives the matcher of each kind and arguments."""
    at = 0
    while at >= 0:
        kind, yes, no, *arguments = program[at]
        at = yes if kind == "always" or twin.matches(tests[kind, *arguments], request) else no
    return at == MATCH


def fits(key, request):
    host_kind, host, path_kind, path = key
    below = b"." in request.host and request.host[request.host.find(b".") :] == host
    return (host_kind == ANY or (request.host == host if host_kind == EXACT else below)) and (
        path_kind == ANY or (request.path == path if path_kind == EXACT else request.path.startswith(path))
    )


def leaves(tree):
    if isinstance(tree, Matcher):
        return [tree]
    return [leaf for part in getattr(tree, "parts", None) or (tree.part,) for leaf in leaves(part)]


@given(trees, requests)
def test_the_program_means_what_the_tree_means(tree, request):
    tests = {}
    for leaf in leaves(tree):
        ((kind, _, _, *arguments),) = compile_tree(leaf).tests
        tests[kind, *arguments] = leaf
    assert run(compile_tree(tree).tests, tests, request) == twin.matches(tree, request)


@given(trees, requests)
def test_a_matching_request_fits_a_key(tree, request):
    if twin.matches(tree, request):
        assert any(fits(key, request) for key in compile_tree(tree).keys)


@given(trees)
def test_jumps_only_lead_on(tree):
    tests = compile_tree(tree).tests
    for index, (_, yes, no, *_) in enumerate(tests):
        assert all(jump in (MATCH, MISS) or index < jump < len(tests) for jump in (yes, no))
