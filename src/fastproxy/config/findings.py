"""Mistakes while they are collected: their place in the document, and the name that was meant."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..errors import Problem, Severity

Where = tuple[Any, str | int, str]
"""A place in the document, as a chain: the place round it (or None), the key as written, the key as shown."""

Mark = tuple[int, int]
"""Line and column, both from 1; the column counts characters. 0 for what is not known."""


class SyntaxProblem(Exception):
    """A text that cannot be read as a whole. Carries the place and a message for the user."""

    def __init__(self, message: str, mark: Mark) -> None:
        super().__init__(message)
        self.message, self.mark = message, mark


class Place(NamedTuple):
    """Where something stands in a source; 0 for what is not known."""

    source: str
    line: int = 0
    column: int = 0


Locator = Callable[[tuple[str | int, ...], bool], Place]
"""(keys and indexes as written, whether the key is meant and not its value) -> where that stands."""


class Found(NamedTuple):
    """One mistake, before anybody looked up its line."""

    where: Where | None
    on_key: bool
    message: str
    severity: Severity
    place: Place | None = None


def one_line(text: str) -> str:
    """Return a text with escapes for line breaks and whatever else a terminal would not show as it is."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class Findings:
    """The mistakes of one reading, in the order in which they were met."""

    __slots__ = ("errors", "found")

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.errors = 0
        """How many of them are errors."""

    def error(
        self, where: Where | None, message: str, *, on_key: bool = False, place: Place | None = None
    ) -> None:
        """Add a mistake. on_key: the key is wrong, not its value. place: where it stands, if known."""
        self.found.append(Found(where, on_key, one_line(message), "error", place))
        self.errors += 1

    def warning(
        self, where: Where | None, message: str, *, on_key: bool = False, place: Place | None = None
    ) -> None:
        """Add something that the user should know and that changes nothing."""
        self.found.append(Found(where, on_key, one_line(message), "warning", place))

    def problems(self, locate: Locator) -> list[Problem]:
        """Return them with their places, sorted by place."""
        return sorted(_problem(found, locate) for found in self.found)


def _problem(found: Found, locate: Locator) -> Problem:
    place = found.place or locate(written_path(found.where), found.on_key)
    return Problem(
        source=place.source,
        line=place.line,
        column=place.column,
        path=shown_path(found.where),
        message=found.message,
        severity=found.severity,
    )


def written_path(where: Where | None) -> tuple[str | int, ...]:
    """Return keys and indexes from the root, as the source wrote them."""
    keys: list[str | int] = []
    while where is not None:
        keys.append(where[1])
        where = where[0]
    return tuple(reversed(keys))


def shown_path(where: Where | None, below: Where | None = None) -> str:
    """Return the path in Traefik's spelling, `http.routers.shop.entryPoints[1]`; or what is below `below`."""
    parts: list[str] = []
    while where is not None and where is not below:
        parts.append(f"[{where[1]}]" if isinstance(where[1], int) else f".{where[2]}")
        where = where[0]
    return one_line("".join(reversed(parts)).removeprefix("."))


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the one of `names` that `name` was probably meant to be, or ''."""
    folded = {candidate.lower(): candidate for candidate in names}
    close = get_close_matches(name.lower(), folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else ""


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """Return the message for a name that is not known, with the nearest one that is."""
    close = nearest(name, names)
    return f'unknown {kind} "{name}"' + (f"; did you mean {close}?" if close else "")
