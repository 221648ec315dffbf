"""Who decides by the first bytes of a connection: one doorman for each entry point that has TLS.

Source: "What happens to an accepted TCP connection", rows 5 to 9, and "TLS versus plain routers" of Traefik
v3.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from .._core import arrival
from .._core.arrival import Arrival, Handling, PassOn, Refusal
from .._core.table import Route
from ..config.tcp import is_catch_all
from ..config.tls import DEFAULT
from .certificates import HTTP, Pair, Shelf, Terms
from .pages import Pages
from .runtime import Broken
from .work import Work

UNRECOGNIZED_NAME = 112
NO_APPLICATION_PROTOCOL = 120
INTERNAL_ERROR = 80

SPOKEN = frozenset([HTTP.encode()])
MOST_TOLD = 8
"""Protocols of a client that the log tells."""

UNKNOWN_OPTIONS = "unknown TLS options: {}"

BATCH = 256
"""Names that change between two turns of the loop: less than a millisecond."""


class Claim(NamedTuple):
    """What a router with `tls` says about connections: where, for which names, on what terms."""

    tables: tuple[int, ...]
    hosts: tuple[str, ...]
    options: str
    is_stream: bool = False
    """It is a TCP router: of its names the rule decides."""


Wishes = tuple[tuple[str, int], ...]
"""Which TLS options routers want for a name, sorted, and how many want each. `conflicts` sees to it that they
agree; the first one counts."""


class Claimed(NamedTuple):
    """What all claims say about one entry point."""

    hosts: Pages[Wishes]
    """By name of the HTTP routers, some with `*.` for a first label."""

    routers: int
    """How many have `tls` there."""

    catch_all: int
    """How many of these are HTTP routers that take any name."""

    def options(self, name: str) -> str | None:
        """Return the options that HTTP routers want for a name in small letters; None: none has the name."""
        wishes = self.hosts.get(name) or self.hosts.get(f"*.{name.partition('.')[2]}")
        return wishes[0][0] if wishes else None


NOTHING_CLAIMED = Claimed(Pages(), 0, 0)


def claimed_after(
    before: Sequence[Claimed], gone: Iterable[Claim], come: Iterable[Claim]
) -> Work[tuple[Claimed, ...]]:
    """Return what is claimed on all entry points after a change; where it says nothing new it is the same."""
    after = list(before)
    names: list[dict[str, dict[str, int]]] = [{} for _ in before]
    for by, claims in ((-1, gone), (1, come)):
        for done, claim in enumerate(claims):
            for at in claim.tables:
                rest = not claim.is_stream and (not claim.hosts or "*" in claim.hosts)
                hosts, routers, catch_all = after[at]
                after[at] = Claimed(hosts, routers + by, catch_all + by * rest)
                for host in claim.hosts:
                    if host != "*":
                        wanted = names[at].setdefault(host, {})
                        wanted[claim.options] = wanted.get(claim.options, 0) + by
            if not done % BATCH:
                yield None
    for at, changes in enumerate(names):
        left = iter(changes.items())
        while part := dict(islice(left, BATCH)):
            hosts = after[at].hosts
            wishes = {host: _wishes(hosts.get(host) or (), by) for host, by in part.items()}
            after[at] = after[at]._replace(hosts=hosts.updated(wishes))
            yield None
    return tuple(after)


def _wishes(before: Wishes, changes: Mapping[str, int]) -> Wishes | None:
    counts = dict(before)
    for options, by in changes.items():
        counts[options] = counts.get(options, 0) + by
    made = tuple(sorted((options, count) for options, count in counts.items() if count))
    return _USUAL if made == _USUAL else made or None


_USUAL: Wishes = ((DEFAULT, 1),)
"""What nearly all names have: one object for all of them."""


class Closed(NamedTuple):
    """Terms that cannot be had: whoever asks for a name that needs them is sent away."""

    reason: str


Accepted = Terms | Closed


class Doorman(arrival.Doorman):
    """The doorman of one entry point in one generation. Called on the loop's thread, once a connection."""

    def __init__(
        self,
        claimed: Claimed,
        terms: Mapping[str, Accepted],
        ending: Mapping[str, Accepted],
        shelf: Shelf,
    ) -> None:
        """claimed: on this entry point. terms: for HTTP routers, by the name of the TLS options, those that
        nobody has declared left out but for `default`. ending: the same for TCP routers where TLS ends.
        """
        self.has_rest = claimed.catch_all > 0
        self._claimed = claimed
        self._terms = terms
        self._ending = ending
        self._shelf = shelf

    def secure(self, arrival: Arrival, name: str, protocols: tuple[bytes, ...]) -> Handling:
        """Decide row 9: a name that some HTTP router has (a); a TCP router (b), unless it takes everybody and
        some HTTP router does too (c, d); and everything else (e)."""
        name = name.lower()
        options = self._claimed.options(name)
        if options is None:
            route = arrival.route_of(name, protocols)
            if route is not None and not (self.has_rest and is_catch_all(route.rule.text)):
                return self._passed_on(route, name, arrival, protocols)
            options = DEFAULT
        terms = self._terms.get(options) or Closed(UNKNOWN_OPTIONS.format(options))
        if isinstance(terms, Closed):
            return Refusal(f"TLS for {name or 'no name'}: {terms.reason}")
        return self._accepted(terms, name or arrival.local(), protocols)

    def postgres(self, arrival: Arrival, name: str, protocols: tuple[bytes, ...]) -> Handling:
        """Decide row 4: TLS of PostgreSQL is for TCP routers and nobody else."""
        route = arrival.route_of(name.lower(), protocols)
        if route is None:
            return Refusal(f"PostgreSQL with TLS for {name or 'no name'}: no TCP router takes it")
        return self._passed_on(route, name.lower(), arrival, protocols)

    def _passed_on(
        self, route: Route, name: str, arrival: Arrival, protocols: tuple[bytes, ...]
    ) -> Handling:
        """Return how a connection is passed on, if its router's middlewares let it."""
        refusing = arrival.refused_by(route)
        if refusing:
            return Refusal(f"TLS for {name or 'no name'}: refused by {refusing}")
        if route.terms is None:
            return PassOn(route)
        terms = self._ending.get(route.terms) or Closed(UNKNOWN_OPTIONS.format(route.terms))
        if isinstance(terms, Closed):
            return Refusal(f"TLS for {name or 'no name'}: {terms.reason}")
        if not _fits(protocols, terms.protocols):
            offered = _listed(protocols)
            return Refusal(f"TLS for {name}: of {offered} nothing is offered here", NO_APPLICATION_PROTOCOL)
        pair = self._pair(terms, name or arrival.local())
        if pair is None:
            return Refusal(f"TLS for {name or 'no name'}: no certificate", UNRECOGNIZED_NAME)
        try:
            return PassOn(route, pair.context(terms.settings._replace(protocols=terms.offers)))
        except Broken as broken:
            return Refusal(f"TLS for {name}: {broken}", INTERNAL_ERROR)

    def _pair(self, terms: Terms, name: str) -> Pair | None:
        """Return the certificate of a name; the default one where the terms allow it."""
        found = self._shelf.find(name)
        return found if found is not None or terms.is_strict else self._shelf.default

    def _accepted(self, terms: Terms, name: str, protocols: tuple[bytes, ...]) -> Handling:
        """Return how a client is served on these terms; what it offers and asks for has to fit."""
        if not _fits(protocols, terms.protocols & SPOKEN):
            offered = _listed(protocols)
            return Refusal(f"TLS for {name}: of {offered} nothing is spoken here", NO_APPLICATION_PROTOCOL)
        pair = self._shelf.find(name)
        if pair is None:
            if terms.is_strict:
                return Refusal(f"TLS for {name}: no certificate, and sniStrict", UNRECOGNIZED_NAME)
            pair = self._shelf.default
        if pair is None:
            return Refusal(f"TLS for {name}: no certificate", UNRECOGNIZED_NAME)
        try:
            return pair.handling(terms)
        except Broken as broken:
            return Refusal(f"TLS for {name}: {broken}", INTERNAL_ERROR)


def _fits(offered: tuple[bytes, ...], ours: frozenset[bytes]) -> bool:
    """Tell whether a client and we have a protocol in common, or one of us does not care.

    One of HTTP/1.1 is let in where h2 is spoken, as if it had offered nothing. Source: Go's negotiateALPN.
    """
    common = not offered or not ours or not ours.isdisjoint(offered)
    return common or (b"h2" in ours and b"http/1.1" in offered)


def _listed(protocols: tuple[bytes, ...]) -> str:
    """Return what the log tells of protocols; a hello has room for thirty thousand."""
    told = ", ".join(each.decode("latin-1") for each in protocols[:MOST_TOLD])
    return told + (f" and {len(protocols) - MOST_TOLD} more" if len(protocols) > MOST_TOLD else "")
