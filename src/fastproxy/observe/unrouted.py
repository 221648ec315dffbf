"""Requests that no router takes, told at debug level: which router came closest, and which matcher said no.

A worker has this hook only when its log has that level. A flood of such requests costs ten lines a second and
a count, and a table of any size is looked at as far as its index leads.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ..rules.evaluate import Asked, Outcome, Request, read, shortened
from .log import fields

log = logging.getLogger(__name__)

LINES = 10
"""How many such requests a second are told; of the others the number."""

LOOKED_AT = 64
"""Routers that are asked again about one of them."""

CHARACTERS = 8192
"""Of their rules, together. To read one costs a microsecond a character, and the loop waits."""

SECOND = 1.0


class Rule(Protocol):
    @property
    def text(self) -> str: ...


class Route(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def rule(self) -> Rule: ...


class Table(Protocol):
    """What is asked of the compiled Table."""

    def near(self, request: Request, most: int) -> Iterable[Route]: ...


class Near(NamedTuple):
    """A router that came close."""

    name: str
    outcome: Outcome


def hook() -> "Unrouted | None":
    """Return what to call with such requests, or None if nobody would read of it."""
    return Unrouted() if log.isEnabledFor(logging.DEBUG) else None


class Unrouted:
    """Tells of the requests of one event loop."""

    def __init__(self) -> None:
        self._told = 0
        self._untold = 0
        self._rest: asyncio.TimerHandle | None = None

    def __call__(self, entry_point: str, request: Request, table: Table | None) -> None:
        """Tell of a request that no router of the table takes. None: the entry point has no table yet."""
        if self._rest is None:
            self._rest = asyncio.get_running_loop().call_later(SECOND, self._begin_again)
        if self._told >= LINES:
            self._untold += 1
            return
        self._told += 1
        asked = Asked.of(request)
        near = nearest(asked, table.near(request, LOOKED_AT)) if table is not None else None
        why = f"the nearest is {near.name}: {'; '.join(near.outcome.misses)}" if near else "none comes close"
        log.debug(
            "no router takes %s %s%s (client %s); %s",
            shortened(asked.method),
            shortened(asked.host),
            shortened(asked.path),
            asked.client or "unix",
            why,
            extra=fields(entryPointName=entry_point, routerName=near.name if near else None),
        )

    def _begin_again(self) -> None:
        """A second is over."""
        untold, self._told, self._untold, self._rest = self._untold, 0, 0, None
        if untold:
            log.debug("no router took %d more requests", untold)


def nearest(asked: Asked, routes: Iterable[Route]) -> Near | None:
    """Return the route that comes closest, of those with short rules; None: of none anything holds."""
    best: Near | None = None
    left = CHARACTERS
    for route in routes:
        text = route.rule.text
        if len(text) > left:
            continue
        left -= len(text)
        outcome = read(text).ask(asked)
        if outcome.held and (best is None or outcome.closeness > best.outcome.closeness):
            best = Near(route.name, outcome)
    return best
