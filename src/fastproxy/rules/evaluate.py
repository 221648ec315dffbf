"""A rule asked matcher by matcher: whether it holds, how nearly it does, and which matcher says no.

For whoever explains a decision. Requests are decided by the compiled program, which answers yes or no; the
two agree about every rule and every request.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from .compile import tests_of
from .keys import Test
from .parse import parse
from .syntax import HTTP, And, Language, Matcher, Not, Or, RuleError, Tree, pushed

READ = 1024
"""How many rules are kept as they were read, the latest asked first."""

SHOWN = 120
"""Characters of a text of the request that an explanation repeats."""

ALTERNATIVES = 4
"""How many of the alternatives that all fail for one reason are named."""

ALIKE = {"host": 0.8, "path": 0.6, "prefix": 0.6}
"""From which likeness on a text is taken for another one that somebody mistyped; hosts often end alike."""


class Request(Protocol):
    """What is asked of the compiled Request."""

    @property
    def method_name(self) -> str: ...
    @property
    def host_name(self) -> str: ...
    @property
    def matched_path(self) -> bytes: ...
    @property
    def query_string(self) -> str: ...
    @property
    def client_ip(self) -> str: ...
    def headers(self) -> list[tuple[str, str]]: ...


class Asked(NamedTuple):
    """What rules look at in a request, or in a connection."""

    method: bytes = b"GET"
    host: bytes = b""
    """Lower case, without port, brackets and a dot at the end. Of a connection: the name asked for by TLS."""

    path: bytes = b"/"
    """The routing path: every escape decoded but those of reserved characters."""

    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    client: str = ""
    """The address of the peer as text, or ''."""

    protocols: tuple[bytes, ...] | None = None
    """What a connection's client offers by ALPN; None: it is a request."""

    @classmethod
    def of(cls, request: Request) -> Asked:
        """Read it off a request that an entry point has taken in."""
        return cls(
            request.method_name.encode(),
            request.host_name.encode(),
            request.matched_path,
            request.query_string.encode("latin-1"),
            tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers()),
            request.client_ip,
        )


class Outcome(NamedTuple):
    """What a rule, or a part of one, says of a request."""

    holds: bool
    held: float
    """The weight of what holds in it, ..."""

    weight: float
    """... of all there is."""

    misses: tuple[str, ...] = ()
    """Why it does not hold: a sentence for each matcher that says no. Of alternatives the nearest one's."""

    @property
    def closeness(self) -> float:
        """From 0, nothing of it holds, to 1."""
        return self.held / self.weight


class Rule(NamedTuple):
    """A rule as it was read."""

    tree: Tree
    """With `Not` before matchers only."""

    tests: dict[Matcher, Test]

    @classmethod
    def of(cls, tree: Tree) -> Rule:
        """Prepare a parsed rule. Raises RuleError, like `compile_tree`."""
        flat = pushed(tree)
        return cls(flat, tests_of(flat))

    def ask(self, asked: Asked) -> Outcome:
        """Ask it about a request."""
        return _ask(self.tree, self.tests, asked)


@lru_cache(READ)
def read(text: str, language: Language = HTTP) -> Rule:
    """Read a rule. Raises RuleError, like `compile_rule`."""
    try:
        return Rule.of(parse(text, language))
    except RuleError as error:
        error.rule = text
        raise


_FIRST_HOST = re.compile(r"\s*Host(?:SNI)?\(`([^`*]+)`\)\s*(?:&&|\Z)")


def is_elsewhere(text: str, host: bytes) -> bool:
    """Tell at once of many a rule, unread, that it is for another host, and not for one spelled alike.

    What is said is true: a rule that opens with `Host(...) &&` or `HostSNI(...) &&` and has no
    alternatives needs that host.
    """
    first = _FIRST_HOST.match(text)
    if first is None or "||" in text:
        return False
    name = first[1].lower().removesuffix(".").encode("utf-8", "surrogateescape")
    return name != host and not _likeness(("host", name), Asked(host=host))


# -- trees -----------------------------------------------------------------------------------------------


def _ask(tree: Tree, tests: dict[Matcher, Test], asked: Asked) -> Outcome:
    if isinstance(tree, Matcher):
        return _ask_matcher(tree, tests[tree], asked)
    if isinstance(tree, Not):
        assert isinstance(tree.part, Matcher)
        return _ask_negated(tree.part, tests[tree.part], asked)
    parts = [_ask(part, tests, asked) for part in tree.parts]
    return _all(parts) if isinstance(tree, And) else _any(tree, tests, parts, asked)


def _all(parts: list[Outcome]) -> Outcome:
    misses = tuple(dict.fromkeys(miss for part in parts for miss in part.misses))
    holds = all(part.holds for part in parts)
    return Outcome(holds, sum(part.held for part in parts), sum(part.weight for part in parts), misses)


def _any(tree: Or, tests: dict[Matcher, Test], parts: list[Outcome], asked: Asked) -> Outcome:
    """Of alternatives that all fail, the nearest counts; those that look at the same thing fail as one."""
    best = max(parts, key=lambda part: (part.holds, part.closeness))
    if best.holds:
        return best
    leaves = [part for part in tree.parts if isinstance(part, Matcher)]
    looked_at = {_seen(tests[leaf], asked) for leaf in leaves}
    if len(leaves) < len(tree.parts) or len(looked_at) > 1:
        return best
    named = ", ".join(map(str, leaves[:ALTERNATIVES]))
    more = f" and {len(leaves) - ALTERNATIVES} more" if len(leaves) > ALTERNATIVES else ""
    return best._replace(misses=(f"none of {named}{more} matches {looked_at.pop()}",))


def _ask_matcher(matcher: Matcher, test: Test, asked: Asked) -> Outcome:
    weight = _WEIGHTS.get(test[0], 1.0)
    if _holds(test, asked):
        return Outcome(True, weight, weight)
    held = weight * _likeness(test, asked) / 2
    return Outcome(False, held, weight, (f"{matcher} does not match {_seen(test, asked)}",))


def _ask_negated(matcher: Matcher, test: Test, asked: Asked) -> Outcome:
    """A `!` that holds says little: nearly every request is not something."""
    if not _holds(test, asked):
        return Outcome(True, 0.5, 0.5)
    return Outcome(False, 0.0, 0.5, (f"!{matcher} says no: it matches {_seen(test, asked)}",))


# -- tests, as compile.py lists them ---------------------------------------------------------------------


def _holds(test: Test, asked: Asked) -> bool:
    kind, *arguments = test
    return _TESTS[kind](asked, *arguments)


def _is_below(asked: Asked, rest: bytes) -> bool:
    _, dot, behind = asked.host.partition(b".")
    return bool(dot) and dot + behind == rest


def _lines(asked: Asked, name: bytes) -> list[bytes]:
    return [value for key, value in asked.headers if key.lower() == name]


_MALFORMED = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%(..)", re.DOTALL)


def _decoded(text: bytes) -> bytes | None:
    """Decode a part of a query, as Go's url.ParseQuery does; None for a malformed one."""
    if _MALFORMED.search(text):
        return None
    return _ESCAPE.sub(lambda hit: bytes((int(hit[1], 16),)), text.replace(b"+", b" "))


def _values(asked: Asked, name: bytes) -> list[bytes]:
    """Return the values of a key of the query; those that are malformed are left out."""
    pairs = (pair.partition(b"=") for pair in asked.query.split(b"&") if pair)
    values = (_decoded(value) for key, _, value in pairs if _decoded(key) == name)
    return [value for value in values if value is not None]


_MAPPED = 0xFFFF << 32  # of an IPv4 address among those of IPv6


def _number(address: Any) -> int:
    return int(address) | (_MAPPED if address.version == 4 else 0)


def _is_inside(asked: Asked, network: str) -> bool:
    """Tell whether the peer is in a network; as in Go, one of IPv6 does not hold addresses of IPv4."""
    try:
        address = ipaddress.ip_address(asked.client)
    except ValueError:
        return False
    if "%" in asked.client:
        return False
    allowed = ipaddress.ip_network(network, strict=False)
    number, first, last = (_number(each) for each in (address, allowed[0], allowed[-1]))
    is_wide = first < _MAPPED and last >= _MAPPED
    return first <= number <= last and not (is_wide and number >> 32 == 0xFFFF)


_TESTS: dict[str, Callable[..., bool]] = {
    "never": lambda asked: False,
    "always": lambda asked: True,
    "host": lambda asked, name: asked.host == name,
    "wildcard": _is_below,
    "host_regexp": lambda asked, pattern: pattern.search(asked.host) is not None,
    "path": lambda asked, text: asked.path == text,
    "prefix": lambda asked, text: asked.path.startswith(text),
    "path_regexp": lambda asked, pattern: pattern.search(asked.path) is not None,
    "method": lambda asked, name: asked.method == name,
    "header": lambda asked, name, value: value in _lines(asked, name),
    "header_regexp": lambda asked, name, pattern: any(
        pattern.search(line) is not None for line in _lines(asked, name)
    ),
    "query": lambda asked, name, value: value in _values(asked, name),
    "query_regexp": lambda asked, name, pattern: any(
        pattern.search(value) is not None for value in _values(asked, name)
    ),
    "client": _is_inside,
    "alpn": lambda asked, name: name in (asked.protocols or ()),
}

_WEIGHTS = {"host": 3.0, "wildcard": 3.0, "host_regexp": 3.0, "path": 2.0, "prefix": 2.0, "path_regexp": 2.0}
"""What says most about whom a router is for weighs most."""


def _likeness(test: Test, asked: Asked) -> float:
    """Return how much of a text begins and ends as what was wanted, 0 to 1; 0 also where it is only a bit."""
    if test[0] == "host":
        wanted, found = test[1], asked.host
    elif test[0] == "path":
        wanted, found = test[1], asked.path
    elif test[0] == "prefix":
        wanted, found = test[1], asked.path[: len(test[1])]
    else:
        return 0.0
    wanted, found = wanted[:SHOWN], found[:SHOWN]
    begin = _common(wanted, found)
    end = _common(wanted[begin:][::-1], found[begin:][::-1])
    ratio = (begin + end) / max(len(wanted), len(found), 1)
    return ratio if ratio >= ALIKE[test[0]] else 0.0


def _common(a: bytes, b: bytes) -> int:
    """Return how many bytes two texts have in common at their beginning."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(a), len(b)))


# -- words -----------------------------------------------------------------------------------------------


def shortened(data: bytes) -> str:
    """Return a text of a request for an explanation: in one line, and not too long."""
    text = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in data[: 4 * SHOWN].decode(errors="backslashreplace")
    )
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _seen(test: Test, asked: Asked) -> str:
    """Say what a test looks at."""
    kind = test[0]
    if kind == "never":
        return "any request"
    if kind in ("host", "wildcard", "host_regexp", "always"):
        nobody = "a request without a host" if asked.protocols is None else "a client that asks for no name"
        return shortened(asked.host) or nobody
    if kind in ("path", "prefix", "path_regexp"):
        return shortened(asked.path)
    if kind == "method":
        return shortened(asked.method)
    if kind == "client":
        return asked.client or "a client without an address"
    if kind == "alpn":
        return ", ".join(map(shortened, asked.protocols or ())) or "a client that offers no protocol"
    is_header = kind.startswith("header")
    values = (_lines if is_header else _values)(asked, test[1])
    if not values:
        name = shortened(test[1])
        return f"a request without {name}" if is_header else f"a query without {name}"
    return ", ".join(f'"{shortened(value)}"' for value in values[:ALTERNATIVES])
