"""Tree -> the flat program that the compiled core runs, in plain tuples: readable without the core.

A program is a tuple of tests, the first one first. A test is `(kind, on_true, on_false, *arguments)`: a
jump is the index of a later test, or MATCH or MISS. Text is in bytes, patterns are of `fastproxy.regex`:

    always      every request
    host        name                    the canonical host, or the server name of TLS, is it
    wildcard    ".rest"                 the host is one label and this
    host_regexp pattern
    path        text                    the routing path is it
    prefix      text                    the routing path begins with it
    path_regexp pattern
    method      name
    header      name in lower case, value
    header_regexp   name in lower case, pattern
    query       name, value             after percent-decoding
    query_regexp    name, pattern
    client      network                 as text
    alpn        protocol                the client offers it
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ..regex import Pattern, compile_pattern
from .keys import Key, Test, keys_of
from .parse import parse
from .syntax import HTTP, And, Language, Matcher, Not, RuleError, Tree, matchers, pushed, shown

MATCH = -1
MISS = -2


class Program(NamedTuple):
    """A rule as the core takes it: `Rule(program.tests, program.keys)`."""

    tests: tuple[tuple[Any, ...], ...]

    keys: tuple[Key, ...]
    """Where the table files the rule; none when it can match nothing."""

    hosts: tuple[str, ...]
    """The names in all Host() and HostSNI(), lower case, without repeats: what TLS options and certificates
    are chosen by. As in Traefik a name counts wherever it stands, also in an alternative and behind `!`."""


def compile_rule(text: str, language: Language = HTTP) -> Program:
    """Compile the rule of a router. Raises RuleError with the column of the first thing that is wrong."""
    try:
        return compile_tree(parse(text, language))
    except RuleError as error:
        error.rule = text
        raise


def compile_tree(tree: Tree) -> Program:
    """Compile a parsed rule. Raises RuleError for a pattern that RE2 refuses and a network that is none."""
    flat = pushed(tree)
    tests = tests_of(flat)
    hosts = dict.fromkeys(_host(matcher) for matcher in tests if matcher.name in ("Host", "HostSNI"))
    return Program(_Emitter(tests).program(flat), keys_of(flat, tests), tuple(hosts))


def tests_of(tree: Tree) -> dict[Matcher, Test]:
    """Return the test of each matcher: kind and arguments, as above, or ("never",). Raises RuleError."""
    return {matcher: _test(matcher) for matcher in matchers(tree)}


# -- arguments -------------------------------------------------------------------------------------------


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _host(matcher: Matcher) -> str:
    """The name without regard to case and to one trailing dot, as the request's host is."""
    return matcher.arguments[0].lower().removesuffix(".")


def _pattern(matcher: Matcher, index: int = 0) -> Pattern:
    try:
        return compile_pattern(matcher.arguments[index])
    except ValueError as error:
        raise RuleError(f"{error}; write RE2 syntax", matcher.columns[index + 1]) from None


def _network(matcher: Matcher) -> str:
    """Refuse what Go's net.ParseIP and net.ParseCIDR refuse: zones and netmasks, above all."""
    text = matcher.arguments[0]
    address, slash, length = text.partition("/")
    try:
        parsed = ipaddress.ip_address(address)
        if "%" in text or (slash and not re.fullmatch("[0-9]{1,4}", length)):
            raise ValueError
        if slash and int(length) > parsed.max_prefixlen:
            raise ValueError
    except ValueError:
        raise RuleError(
            f"{shown(text)} is not an ip address or a network; "
            "write one like 10.0.0.1, 10.0.0.0/8 or fd00::/8",
            matcher.columns[1],
        ) from None
    return text


# -- tests -----------------------------------------------------------------------------------------------

# A pattern that says no more than a cheap test does: a literal behind ^, with or without $.
_LITERAL = re.compile(r"\^((?:[\w/-]|\\[./-])+)(\$?)", re.ASCII)

# Go's server takes these out of the header map before a router sees the request: they never match.
_TAKEN_OUT = (b"host", b"transfer-encoding", b"trailer")


def _host_test(matcher: Matcher) -> Test:
    host = _bytes(_host(matcher))
    if host == b"*":
        return ("always",)
    return ("wildcard", host[1:]) if host.startswith(b"*.") else ("host", host)


def _path_regexp_test(matcher: Matcher) -> Test:
    pattern = _pattern(matcher)
    literal = _LITERAL.fullmatch(matcher.arguments[0])
    if literal:
        return ("path" if literal[2] else "prefix", _bytes(literal[1].replace("\\", "")))
    return ("path_regexp", pattern)


def _header_test(matcher: Matcher) -> Test:
    return ("header", _bytes(matcher.arguments[0]).lower(), _bytes(matcher.arguments[1]))


def _query_test(matcher: Matcher) -> Test:
    """One argument asks for an empty value (`?mobile`, `?mobile=`)."""
    name, value = (*matcher.arguments, "")[:2]
    return ("query", _bytes(name), _bytes(value))


def _query_regexp_test(matcher: Matcher) -> Test:
    if len(matcher.arguments) == 1:
        return _query_test(matcher)
    return ("query_regexp", _bytes(matcher.arguments[0]), _pattern(matcher, 1))


_TESTS: dict[str, Callable[[Matcher], Test]] = {
    "Host": _host_test,
    "HostRegexp": lambda matcher: ("host_regexp", _pattern(matcher)),
    "Path": lambda matcher: ("path", _bytes(matcher.arguments[0])),
    "PathPrefix": lambda matcher: ("prefix", _bytes(matcher.arguments[0])),
    "PathRegexp": _path_regexp_test,
    "Method": lambda matcher: ("method", _bytes(matcher.arguments[0].upper())),
    "Header": _header_test,
    "HeaderRegexp": lambda matcher: (
        "header_regexp",
        _bytes(matcher.arguments[0]).lower(),
        _pattern(matcher, 1),
    ),
    "Query": _query_test,
    "QueryRegexp": _query_regexp_test,
    "ClientIP": lambda matcher: ("client", _network(matcher)),
    "HostSNI": _host_test,
    "HostSNIRegexp": lambda matcher: ("host_regexp", _pattern(matcher)),
    "ALPN": lambda matcher: ("alpn", _bytes(matcher.arguments[0])),
}


def _test(matcher: Matcher) -> Test:
    """Return the test of a matcher: its kind and arguments."""
    test = _TESTS[matcher.name](matcher)
    is_gone = test[0] in ("header", "header_regexp") and test[1] in _TAKEN_OUT
    return ("never",) if is_gone or test == ("host", b"") else test


# -- the program -----------------------------------------------------------------------------------------


class _Emitter:
    """Lays the tests out from the last to the first, so that a jump's aim is always there already."""

    def __init__(self, tests: dict[Matcher, Test]) -> None:
        self.tests = tests
        self.laid: list[tuple[Any, ...]] = []

    def program(self, tree: Tree) -> tuple[tuple[Any, ...], ...]:
        self.lay(tree, MATCH, MISS)
        last = len(self.laid) - 1

        def turned(jump: int) -> int:
            return last - jump if jump >= 0 else jump

        return tuple(
            (kind, turned(yes), turned(no), *arguments) for kind, yes, no, *arguments in reversed(self.laid)
        )

    def lay(self, tree: Tree, yes: int, no: int) -> int:
        """Lay out `tree`, going on at `yes` or `no`; return where it begins."""
        if isinstance(tree, Matcher):
            kind, *arguments = self.tests[tree]
            jumps = (no, yes) if kind == "never" else (yes, no)
            self.laid.append(("always" if kind == "never" else kind, *jumps, *arguments))
            return len(self.laid) - 1
        if isinstance(tree, Not):
            return self.lay(tree.part, no, yes)
        for part in sorted(tree.parts, key=_cost)[::-1]:
            if isinstance(tree, And):
                yes = self.lay(part, yes, no)
            else:
                no = self.lay(part, yes, no)
        return yes if isinstance(tree, And) else no


def _cost(tree: Tree) -> int:
    """Rank by what a test costs. Nothing can be seen of the order, so the cheap ones go first."""
    if isinstance(tree, Matcher):
        return 3 if "Regexp" in tree.name else {"ClientIP": 1, "Header": 1, "Query": 2}.get(tree.name, 0)
    return _cost(tree.part) if isinstance(tree, Not) else max(map(_cost, tree.parts))
