"""The routers of a kind as they stand to one question: who takes it, who would come later, who came close.

Rules are evaluated in plain Python, which says more than yes or no. Routers are in the order in which
`_core.table` asks them.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ..build.runtime import ROUTERS, TCP_ROUTERS, Runtime, priority_of, provider_of
from ..config.dynamic import HttpRouter
from ..config.static import StaticConfiguration
from ..config.tcp import TcpRouter
from ..rules.evaluate import Asked, Outcome, is_elsewhere, read
from ..rules.syntax import HTTP, TCP, RuleError
from .told import Other

MOST = 5
"""How many routers of each sort are named; of the others the number is told."""

NEAREST = 3
"""How many routers that do not match are named."""

MANY = 1000
"""From how many routers on those of other hosts are passed over unread: to read a rule takes a while."""

_LANGUAGES = {ROUTERS: HTTP, TCP_ROUTERS: TCP}

AnyRouter = HttpRouter | TcpRouter


class Candidate(NamedTuple):
    """A router, and what its rule says."""

    name: str
    router: AnyRouter
    outcome: Outcome
    hindrances: tuple[str, ...]
    """Why it takes no part although its rule may match: it is elsewhere, it wants TLS."""

    disabled: str
    """Why it is disabled, or ''."""

    warnings: tuple[str, ...]

    order: int
    """Place of its provider in providers.precedence."""

    @property
    def priority(self) -> int:
        return priority_of(self.router)

    @property
    def rank(self) -> tuple[int, int, str]:
        """What it is asked by: the least first, as in `_core.table`."""
        return -self.priority, self.order, self.name

    @property
    def matches(self) -> bool:
        return self.outcome.holds and not self.hindrances

    def told(self, *why: str) -> Other:
        return Other(name=self.name, rule=self.router.rule, priority=self.priority, why=why)

    @property
    def taking(self) -> dict[str, Any]:
        """What is told of it when it is the one."""
        return {
            "router": self.name,
            "rule": self.router.rule,
            "priority": self.priority,
            "is_computed": not self.router.priority,
            "warnings": self.warnings,
        }


class Field(NamedTuple):
    """All routers of a kind that may take part, in order, and those that nobody can read."""

    candidates: list[Candidate]
    unreadable: list[Other]

    @property
    def winner(self) -> Candidate | None:
        """Who takes it, if the order is all that counts."""
        return next((each for each in self.candidates if each.matches and not each.disabled), None)

    def named(self, name: str) -> Candidate | None:
        return next((each for each in self.candidates if each.name == name), None)

    def others(self, winner: Candidate | None, first: str = "") -> dict[str, Any]:
        """Return what is told of all but the one who takes it, as fields of `Routed`.

        first: who goes before all of them, if there is no winner among them.
        """
        matching = [each for each in self.candidates if each.matches and each is not winner]
        others = {
            "beaten": [each.told(_beaten(each, winner, first)) for each in matching if not each.disabled],
            "disabled": [each.told(*_disabled(each, winner)) for each in matching if each.disabled],
            "near": [each.told(*each.hindrances, *each.outcome.misses) for each in _nearest(self.candidates)],
            "unreadable": self.unreadable,
        }
        more = {name: len(found) - MOST for name, found in others.items() if len(found) > MOST}
        shown: dict[str, Any] = {name: tuple(found[:MOST]) for name, found in others.items()}
        return {**shown, "more": more}


def field_of(
    kind: str,
    asked: Asked,
    static: StaticConfiguration,
    runtime: Runtime,
    entry_point: str,
    hindrances: Callable[[Any], Iterable[str]],
) -> Field:
    """Ask the routers of a kind. hindrances: says of one why it takes no part whatever its rule says."""
    places = {name: at for at, name in enumerate(static.providers.precedence)}
    routers, failures = runtime.configured[kind], runtime.failures[kind]
    found = Field([], [])
    for name, router in routers.items():
        if isinstance(router, str):
            found.unreadable.append(Other(name=name, why=(router,)))
            continue
        if len(routers) > MANY and is_elsewhere(router.rule, asked.host):
            continue
        try:
            outcome = read(router.rule, _LANGUAGES[kind]).ask(asked)
        except RuleError as error:
            if entry_point in router.entry_points:
                found.unreadable.append(Other(name=name, rule=router.rule, why=(str(error),)))
            continue
        why = (*_elsewhere(router, entry_point), *hindrances(router))
        order = places.get(provider_of(name), len(places))
        warnings = runtime.warnings[kind].get(name, ())
        made = Candidate(name, router, outcome, why, failures.get(name, ""), warnings, order)
        found.candidates.append(made)
    found.candidates.sort(key=lambda each: each.rank)
    return found


def _elsewhere(router: AnyRouter, entry_point: str) -> Iterator[str]:
    if entry_point not in router.entry_points:
        yield f"it is on {', '.join(router.entry_points)}, not on {entry_point}"


def _beaten(later: Candidate, first: Candidate | None, other: str) -> str:
    """Say why a router that matches too comes later."""
    if first is None:
        return f"{other} goes before it"
    mine, winning = later.priority, first.priority
    if mine != winning:
        return f"its priority {mine} is below {winning}"
    if later.order != first.order:
        return f"its priority is {mine} too, but its provider comes later in providers.precedence"
    return f"its priority is {mine} too, but its name comes later"


def _disabled(candidate: Candidate, winner: Candidate | None) -> Iterator[str]:
    """Say why a router that would match is disabled, and whether that makes a difference."""
    yield candidate.disabled
    if winner is not None and candidate.rank < winner.rank:
        yield f"its priority {candidate.priority} would put it before {winner.name}"


def _nearest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the routers that come closest to matching, the nearest first; of some nothing holds at all."""
    lost = [
        each
        for each in candidates
        if not each.matches and not each.disabled and each.outcome.held and len(each.hindrances) < 2
    ]
    here = {(each.router.rule, each.router.service) for each in candidates if not each.hindrances}
    # A copy of a router that is told already, for another entry point, is no news.
    news = [
        each for each in lost if not each.hindrances or (each.router.rule, each.router.service) not in here
    ]
    news.sort(key=lambda each: -each.outcome.closeness / (1 + len(each.hindrances)))
    return news[:NEAREST]
