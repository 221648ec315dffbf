"""TOML text to mappings, and the line and column of anything in it. Only this module imports tomllib.

The standard library keeps no positions. They are found by a second look at the text, which is made only when
there is something to tell and which may rely on the text being valid.
"""

import re
import tomllib
from typing import Any

from .findings import Mark, SyntaxProblem

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5} | \'\'\'.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^']*' | \#[^\n]* | \n
    | [][{},=.] | [^][{},=.\#"'\s]+''',
    re.DOTALL | re.VERBOSE,
)


def load(text: str) -> dict[str, Any]:
    """Return the document with native values. Raises SyntaxProblem (duplicate keys are one, too)."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        found = _POSITION.search(said)
        mark = (int(found[1]), int(found[2])) if found and found[1] else _end_of(text)
        message = _POSITION.sub("", said)
        raise SyntaxProblem(f"not TOML: {message[:1].lower()}{message[1:]}", mark) from None


def _end_of(text: str) -> Mark:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


class Places:
    """Where keys and values stand in a valid document."""

    def __init__(self, text: str) -> None:
        self._tokens = [(each.group(), each.start()) for each in _TOKEN.finditer(text)]
        self._tokens.append(("\n", len(text)))
        self._text, self._at = text, 0
        self._counts: dict[tuple[str | int, ...], int] = {}  # array of tables -> its length so far
        self._keys: dict[tuple[str | int, ...], int] = {}
        self._values: dict[tuple[str | int, ...], int] = {}
        self._read()

    def find(self, path: tuple[str | int, ...], on_key: bool) -> Mark:
        """Return where a path stands, or the key of the deepest part of it that is there."""
        if not on_key and path in self._values:
            return self._mark(self._values[path])
        for size in range(len(path), 0, -1):
            if path[:size] in self._keys:
                return self._mark(self._keys[path[:size]])
        return 1, 1

    def _mark(self, offset: int) -> Mark:
        return self._text.count("\n", 0, offset) + 1, offset - self._text.rfind("\n", 0, offset)

    def _read(self) -> None:
        """Go through the tables and their keys."""
        table: tuple[str | int, ...] = ()
        while self._at < len(self._tokens):
            token, _ = self._tokens[self._at]
            if token == "\n" or token.startswith("#"):
                self._at += 1
            elif token == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> tuple[str | int, ...]:
        """Read `[a.b]` or `[[a.b]]`; return its path, with an index behind each array of tables."""
        start = self._tokens[self._at][1]
        is_array = self._text.startswith("[[", start)
        self._at += 2 if is_array else 1
        path: tuple[str | int, ...] = ()
        for name, offset in self._dotted():
            path = (*path, name)
            self._keys.setdefault(path, offset)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        if is_array:
            name_path = path[:-1] if isinstance(path[-1], int) else path
            self._counts[name_path] = self._counts.get(name_path, 0) + 1
            path = (*name_path, self._counts[name_path] - 1)
            self._keys[path] = self._values[path] = start
        self._at += 2 if is_array else 1
        return path

    def _dotted(self) -> list[tuple[str, int]]:
        """Read a key, which may have dots; leave the token behind it."""
        parts = []
        while True:
            token, offset = self._tokens[self._at]
            parts.append((_name(token), offset))
            self._at += 1
            if self._tokens[self._at][0] != ".":
                return parts
            self._at += 1

    def _pair(self, path: tuple[str | int, ...]) -> None:
        """Read `key = value`."""
        for name, offset in self._dotted():
            path = (*path, name)
            self._keys.setdefault(path, offset)
        self._at += 1  # the sign
        self._value(path)

    def _value(self, path: tuple[str | int, ...]) -> None:
        """Read a value and what is in it."""
        token, offset = self._tokens[self._at]
        self._values[path] = offset
        self._at += 1
        if token == "[":
            self._array(path)
        elif token == "{":
            self._inline(path)
        else:
            while self._tokens[self._at][0] not in (",", "]", "}", "\n") and not self._is_comment():
                self._at += 1  # the rest of a number or a date

    def _is_comment(self) -> bool:
        return self._tokens[self._at][0].startswith("#")

    def _array(self, path: tuple[str | int, ...]) -> None:
        index = 0
        while (token := self._tokens[self._at][0]) != "]":
            if token in (",", "\n") or self._is_comment():
                self._at += 1
            else:
                self._value((*path, index))
                self._keys[(*path, index)] = self._values[(*path, index)]
                index += 1
        self._at += 1

    def _inline(self, path: tuple[str | int, ...]) -> None:
        while (token := self._tokens[self._at][0]) != "}":
            if token in (",", "\n") or self._is_comment():
                self._at += 1
            else:
                self._pair(path)
        self._at += 1


def _name(token: str) -> str:
    """Return the key that a token writes."""
    if token[0] not in "\"'":
        return token
    key: str = tomllib.loads(f"key = {token}")["key"]
    return key
