"""A rule asked matcher by matcher agrees with the compiled one, and says which matcher said no."""

import pytest
from hypothesis import given, settings

from fastproxy._core.message import Request
from fastproxy._core.rule import Rule
from fastproxy.rules.compile import compile_rule, compile_tree
from fastproxy.rules.evaluate import Asked, is_elsewhere, read, shortened
from fastproxy.rules.evaluate import Rule as Readable
from fastproxy.rules.syntax import RuleError
from tests.core import strategies as heads
from tests.rules.strategies import requests, trees
from tests.twins import rule as twin


def asked(**parts):
    return Asked(**{"host": b"shop.example", "path": b"/apx", **parts})


@settings(max_examples=500)
@given(trees, requests)
def test_it_agrees_with_the_twin(tree, request):
    outcome = Readable.of(tree).ask(Asked(**vars(request)))
    assert outcome.holds == twin.matches(tree, request)
    assert outcome.holds == (not outcome.misses)
    assert 0 <= outcome.closeness <= 1
    assert (outcome.closeness == 1) == outcome.holds


@settings(max_examples=500)
@given(trees, heads.REQUEST_HEADS)
def test_it_agrees_with_the_core(tree, head):
    try:
        request = Request.of(head, client="10.0.0.1")
    except ValueError:
        return
    program = compile_tree(tree)
    compiled = Rule("", program.tests, program.keys)
    assert Readable.of(tree).ask(Asked.of(request)).holds == compiled(request)


@pytest.mark.parametrize(
    ("network", "client", "holds"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "11.1.2.3", False),
        ("::/0", "10.1.2.3", False),
        ("::/0", "fd00::1", True),
        ("0.0.0.0/0", "fd00::1", False),
        ("fd00::1", "fd00::1", True),
        ("fe80::/10", "fe80::1%eth0", False),
        ("10.0.0.0/8", "", False),
    ],
)
def test_networks_are_those_of_the_core(network, client, holds):
    text = f"ClientIP(`{network}`)"
    assert read(text).ask(asked(client=client)).holds is holds
    program = compile_rule(text)
    request = Request.of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", client=client)
    assert Rule(text, program.tests, program.keys)(request) is holds


@pytest.mark.parametrize(
    ("rule", "misses"),
    [
        ("PathPrefix(`/api`)", ["PathPrefix(`/api`) does not match /apx"]),
        ("Host(`shop.example`) && Path(`/api`)", ["Path(`/api`) does not match /apx"]),
        ("Method(`POST`)", ["Method(`POST`) does not match GET"]),
        ("HostRegexp(`^a`)", ["HostRegexp(`^a`) does not match shop.example"]),
        ("ClientIP(`10.0.0.0/8`)", ["ClientIP(`10.0.0.0/8`) does not match 203.0.113.9"]),
        ("Header(`X-A`, `b`)", ["Header(`X-A`, `b`) does not match a request without x-a"]),
        ("Header(`X-K`, `b`)", ['Header(`X-K`, `b`) does not match "v", "w"']),
        ("HeaderRegexp(`X-K`, `^b`)", ['HeaderRegexp(`X-K`, `^b`) does not match "v", "w"']),
        ("Query(`q`)", ['Query(`q`) does not match "1"']),
        ("Query(`r`, `1`)", ["Query(`r`, `1`) does not match a query without r"]),
        ("Header(`Host`, `shop.example`)", ["Header(`Host`, `shop.example`) does not match any request"]),
        # both parts of an And, each once
        (
            "Path(`/a`) && Method(`POST`) && Path(`/a`)",
            ["Path(`/a`) does not match /apx", "Method(`POST`) does not match GET"],
        ),
        # Not, and what De Morgan makes of it
        ("!PathPrefix(`/ap`)", ["!PathPrefix(`/ap`) says no: it matches /apx"]),
        (
            "!(Path(`/apx`) || Method(`GET`))",
            ["!Path(`/apx`) says no: it matches /apx", "!Method(`GET`) says no: it matches GET"],
        ),
        ("!!Path(`/a`)", ["Path(`/a`) does not match /apx"]),
        # alternatives that look at one thing fail as one, others as the nearest of them
        (
            "Host(`a.example`) || Host(`b.example`)",
            ["none of Host(`a.example`), Host(`b.example`) matches shop.example"],
        ),
        (
            " || ".join(f"Path(`/{number}`)" for number in range(9)),
            ["none of Path(`/0`), Path(`/1`), Path(`/2`), Path(`/3`) and 5 more matches /apx"],
        ),
        (
            "(Host(`a`) && Path(`/b`)) || (Host(`shop.example`) && Path(`/b`))",
            ["Path(`/b`) does not match /apx"],
        ),
        ("Path(`/b`) || Path(`/apx`)", []),
    ],
)
def test_which_matcher_said_no(rule, misses):
    request = asked(query=b"q=1", headers=((b"X-K", b"v"), (b"x-k", b"w")), client="203.0.113.9")
    assert list(read(rule).ask(request).misses) == misses


@pytest.mark.parametrize(
    ("nearer", "farther"),
    [
        ("Host(`shop.example`) && Path(`/`)", "Host(`other.org`) && Path(`/`)"),
        ("Host(`shop.example`) && Path(`/`)", "Host(`other.org`) && Path(`/apx`)"),
        ("Host(`shp.example`)", "Host(`other.org`)"),
        ("Path(`/api`)", "Path(`/long/way`)"),
        ("Host(`shop.example`) && Method(`POST`)", "Host(`shop.example`) && Method(`POST`) && Query(`a`)"),
        ("Path(`/apx`) && Host(`other.org`)", "!Path(`/x`) && Host(`other.org`)"),
    ],
)
def test_how_near_it_is(nearer, farther):
    near, far = (read(rule).ask(asked()) for rule in (nearer, farther))
    assert not near.holds and not far.holds
    assert near.closeness > far.closeness


@pytest.mark.parametrize(
    ("rule", "elsewhere"),
    [
        ("Host(`other.org`)", True),
        ("  Host(`other.org`) && PathPrefix(`/`)", True),
        ("Host(`other.org`) && !Path(`/x`)", True),
        ("Host(`shop.example`)", False),
        ("Host(`SHOP.example.`)", False),
        ("Host(`shp.example`) && Path(`/`)", False),  # spelled alike
        ("Host(`other.org`) || Path(`/`)", False),
        ("Host(`other.org`) && Path(`/`) || Path(`/x`)", False),
        ("Host(`*.org`)", False),
        ("Host(`*`)", False),
        ("Path(`/`) && Host(`other.org`)", False),  # it may be, but is not told at once
        ('Header(`X`, "Host(`other.org`)")', False),
        ("!Host(`other.org`)", False),
        ("HostRegexp(`other.org`)", False),
    ],
)
def test_rules_of_other_hosts_are_told_unread(rule, elsewhere):
    assert is_elsewhere(rule, b"shop.example") is elsewhere
    if elsewhere:
        assert not read(rule).ask(asked()).holds


def test_what_a_client_wrote_is_one_short_line():
    path = b"/\n\x1b[2J\xff" + b"a" * 1000
    [miss] = read("Path(`/b`)").ask(asked(path=path)).misses
    assert miss.startswith(r"Path(`/b`) does not match /\n\x1b[2J\xff")
    assert miss.endswith("aaa...")
    assert len(miss) < 200
    assert shortened("/caf\xe9".encode()) == "/café"


def test_a_rule_that_is_none_is_told_with_its_text():
    with pytest.raises(RuleError, match=r"error while parsing rule Hst\(`a`\): column 1"):
        read("Hst(`a`)")
