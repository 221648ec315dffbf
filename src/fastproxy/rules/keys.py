"""Where the table files a rule: the hosts and paths that a request must have for the rule to match.

A key is `(host kind, host, path kind, path)`, kinds ANY, EXACT and BELOW (behind a wildcard's label, under
a prefix). Whatever request matches the rule fits at least one of its keys; one that fits need not match.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from .syntax import And, Matcher, Not, Or, Tree

ANY, EXACT, BELOW = 0, 1, 2

MOST = 4096  # a rule that would have more keys is filed under fewer, wider ones

Test: TypeAlias = tuple[Any, ...]  # kind and arguments, as compile.py lists them, or ("never",)
Half: TypeAlias = tuple[int, bytes]
Key: TypeAlias = tuple[int, bytes, int, bytes]

_EVERYWHERE: Key = (ANY, b"", ANY, b"")


def keys_of(tree: Tree, tests: dict[Matcher, Test]) -> tuple[Key, ...]:
    """Return the keys of a tree in which Not stands before matchers only; none when nothing can match."""
    return tuple(sorted(_widened(_keys(tree, tests))))


def _keys(tree: Tree, tests: dict[Matcher, Test]) -> set[Key]:
    if isinstance(tree, Matcher):
        return _matcher_keys(tests[tree])
    if isinstance(tree, Not):
        return {_EVERYWHERE}
    parts = [_keys(part, tests) for part in tree.parts]
    if isinstance(tree, Or):
        return set().union(*parts)
    assert isinstance(tree, And)
    found = parts[0]
    for part in parts[1:]:
        found = _both(found, part)
    return found


def _matcher_keys(test: Test) -> set[Key]:
    kind = test[0]
    if kind == "never":
        return set()
    if kind in ("host", "wildcard"):
        return {(EXACT if kind == "host" else BELOW, test[1], ANY, b"")}
    if kind in ("path", "prefix"):
        return {(ANY, b"", EXACT if kind == "path" else BELOW, test[1])}
    return {_EVERYWHERE}


def _both(one: set[Key], other: set[Key]) -> set[Key]:
    if len(one) * len(other) > MOST:
        # Either side alone bounds the whole; hosts sort better than paths, few keys better than many.
        return min(one, other, key=lambda keys: (any(key[0] == ANY for key in keys), len(keys)))
    met = {_met(a, b) for a in one for b in other}
    return {key for key in met if key is not None}


def _met(a: Key, b: Key) -> Key | None:
    """Return the key of the requests that fit both; None when none can."""
    host, path = _met_host(a[:2], b[:2]), _met_path(a[2:], b[2:])
    return None if host is None or path is None else (*host, *path)


def _met_host(a: Half, b: Half) -> Half | None:
    if a == b or b[0] == ANY:
        return a
    if a[0] == ANY:
        return b
    if a[0] == b[0]:
        return None  # two names, or two wildcards, each of one label
    name, rest = (a, b) if a[0] == EXACT else (b, a)
    _, dot, behind = name[1].partition(b".")
    return name if dot and dot + behind == rest[1] else None


def _met_path(a: Half, b: Half) -> Half | None:
    if a == b or b[0] == ANY:
        return a
    if a[0] == ANY:
        return b
    narrow, wide = (a, b) if a[0] == EXACT or (b[0] == BELOW and len(a[1]) > len(b[1])) else (b, a)
    return narrow if wide[0] == BELOW and narrow[1].startswith(wide[1]) else None


def _widened(keys: set[Key]) -> set[Key]:
    """Drop the keys that another one covers whole, so that a rule is filed once where once is enough."""
    if len(keys) > MOST or _EVERYWHERE in keys:
        return {_EVERYWHERE}
    hosts = {key[:2] for key in keys if key[2] == ANY}
    paths = {key[2:] for key in keys if key[0] == ANY}
    return {
        key
        for key in keys
        if (key[2] == ANY or key[:2] not in hosts) and (key[0] == ANY or key[2:] not in paths)
    }
