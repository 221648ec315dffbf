"""What can be wrong with a configuration, as values: collected, rendered, raised together.

Nothing here imports anything of fastproxy, so that every floor can raise.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["error", "warning"]


class Problem(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """One mistake in a configuration: where it stands, what was found, what is allowed, what to do.

    `str(problem)` is the line that `fastproxy check` prints: `dynamic.yml:7:9: http.routers.shop.rule: ...`.
    Encodes to JSON and msgpack as it is. Sorts by place.
    """

    source: str = ""
    """A file name as the user wrote it, `--a.b.c` for a flag, `environment variable X`; empty: no source."""

    line: int = 0
    """Line in the file, from 1. 0: not known, or the source has no lines."""

    column: int = 0
    """Column in the line, from 1, in characters. 0: not known."""

    path: str = ""
    """The place in the document in Traefik's spelling: `http.routers.shop.entryPoints[1]`."""

    message: str
    """Lower case, no full stop, one line: what was found, what is allowed, what to do."""

    severity: Severity = "error"
    """A warning is told and nothing more; an error disables the object it stands in, or the document."""

    @property
    def place(self) -> str:
        """The source with line and column as far as they are known: `a.yml:3:7`, `--log.level`, or ''."""
        parts = [self.source] + [str(number) for number in (self.line, self.column) if number]
        return ":".join(part for part in parts if part)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self._told()) if part)

    def _told(self) -> str:
        return f"warning: {self.message}" if self.severity == "warning" else self.message


class ConfigError(Exception):
    """A document, a set of flags or an environment that cannot be used as a whole.

    `problems` holds every mistake and every warning, sorted by place; `str(error)` has one line each.
    """

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(message=problems)
        if isinstance(problems, Problem):
            problems = (problems,)
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class PluginError(Exception):
    """A plugin that cannot be found, loaded or made. The message names the plugin and the reason."""


def errors_of(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that are errors, without the warnings, in their order."""
    return [problem for problem in problems if problem.severity == "error"]
