"""The tree of a rule: `And`, `Or` and `Not` over `Matcher`s, and the words that may stand in it.

Source: the v3 rule language of Traefik (`http.routers.<name>.rule`, `tcp.routers.<name>.rule`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, eq=False)
class Language:
    """The matchers of one kind of routers."""

    matchers: dict[str, tuple[int, ...]]
    """Name as documented -> the numbers of arguments it may have."""

    spellings: dict[str, str]
    """The four spellings of each name: as documented, lower, UPPER and Title case; no other case is one."""

    example: str


def _language(matchers: dict[str, tuple[int, ...]], example: str) -> Language:
    spellings = {
        spelling: name
        for name in matchers
        for spelling in (name, name.lower(), name.upper(), name.capitalize())
    }
    return Language(matchers, spellings, example)


HTTP = _language(
    {
        "Host": (1,),
        "HostRegexp": (1,),
        "Path": (1,),
        "PathPrefix": (1,),
        "PathRegexp": (1,),
        "Method": (1,),
        "Header": (2,),
        "HeaderRegexp": (2,),
        "Query": (1, 2),
        "QueryRegexp": (1, 2),
        "ClientIP": (1,),
    },
    "Host(`example.com`)",
)

TCP = _language(
    {"HostSNI": (1,), "HostSNIRegexp": (1,), "ClientIP": (1,), "ALPN": (1,)}, "HostSNI(`example.com`)"
)

MATCHERS = HTTP.matchers
SPELLINGS = HTTP.spellings


def shown(text: str) -> str:
    """Return the text in quotes for a message of one line: what cannot be printed is written as an escape."""
    return '"' + "".join(char if char.isprintable() else _escape(char) for char in text) + '"'


def _escape(char: str) -> str:
    byte = ord(char) - 0xDC00  # a byte that is not UTF-8, kept as a surrogate
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else char.encode("unicode_escape").decode()


def _quoted(text: str) -> str:
    """Return an argument as it may be written in a rule."""
    return f"`{text}`" if text.isprintable() and "`" not in text else shown(text)


class RuleError(ValueError):
    """A rule that cannot be used.

    message: what was found, what is allowed and what to write, one line.
    column: where in the rule's text, in characters from 1.
    rule: the whole text; str(error) opens with "error while parsing rule", as Traefik's error does.
    """

    def __init__(self, message: str, column: int, rule: str = "") -> None:
        super().__init__(message, column, rule)
        self.message = message
        self.column = column
        self.rule = rule

    def __str__(self) -> str:
        rule = " ".join(self.rule.splitlines())
        return f"error while parsing rule {rule}: column {self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One test of a request: a documented name, its unquoted arguments, and the columns they stand at.

    A byte of an argument that is not UTF-8 (written "\\xff") is kept as a surrogate, as os.fsdecode does.
    """

    name: str
    arguments: tuple[str, ...]
    columns: tuple[int, ...] = field(default=(), compare=False)
    """The column of the name, then of each argument."""

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(_quoted, self.arguments))})"


@dataclass(frozen=True, slots=True)
class Not:
    """True when `part` is not."""

    part: Tree


@dataclass(frozen=True, slots=True)
class And:
    """True when all of `parts` are; two or more."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True when one of `parts` is; two or more."""

    parts: tuple[Tree, ...]


Tree: TypeAlias = Matcher | Not | And | Or


def matchers(tree: Tree) -> list[Matcher]:
    """Return every matcher of the tree, negated ones too, as they stand in the text."""
    if isinstance(tree, Matcher):
        return [tree]
    parts = (tree.part,) if isinstance(tree, Not) else tree.parts
    return [matcher for part in parts for matcher in matchers(part)]


def pushed(tree: Tree, negated: bool = False) -> Tree:
    """Return an equal tree in which `Not` stands before matchers only (De Morgan); `!!` cancels."""
    if isinstance(tree, Matcher):
        return Not(tree) if negated else tree
    if isinstance(tree, Not):
        return pushed(tree.part, not negated)
    parts = tuple(pushed(part, negated) for part in tree.parts)
    return And(parts) if isinstance(tree, And) is not negated else Or(parts)
