"""Who decides by the first bytes of a connection: one doorman for each entry point that has TLS.

Source: "What happens to an accepted TCP connection", rows 5 to 9, and "TLS versus plain routers" of Traefik
v3.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .._core import arrival
from .._core.arrival import Arrival, Handling, PassOn, Refusal
from .._core.table import Route
from ..config.tcp import is_catch_all
from .certificates import HTTP, Pair, Shelf, Terms
from .runtime import Broken

UNRECOGNIZED_NAME = 112
NO_APPLICATION_PROTOCOL = 120
INTERNAL_ERROR = 80

SPOKEN = frozenset([HTTP.encode()])
MOST_TOLD = 8
"""Protocols of a client that the log tells."""


class Claim(NamedTuple):
    """What a router with `tls` says about connections: where, for which names, on what terms."""

    tables: tuple[int, ...]
    hosts: tuple[str, ...]
    options: str
    is_stream: bool = False
    """It is a TCP router: of its names the rule decides."""


class Closed(NamedTuple):
    """Terms that cannot be had: whoever asks for a name that needs them is sent away."""

    reason: str


Accepted = Terms | Closed


class Doorman(arrival.Doorman):
    """The doorman of one entry point in one generation. Called on the loop's thread, once a connection."""

    def __init__(
        self,
        hosts: Mapping[str, Accepted],
        has_rest: bool,
        ending: Mapping[str, Accepted],
        default: Accepted,
        shelf: Shelf,
    ) -> None:
        """hosts: terms by name, some with `*.` for a first label. has_rest: some HTTP router takes any name.
        ending: terms by their own name, of TCP routers where TLS ends. default: of HTTP for all other names.
        """
        self.has_rest = has_rest
        self._ending = ending
        self._exact = {name: terms for name, terms in hosts.items() if not name.startswith("*.")}
        self._below = {name[2:]: terms for name, terms in hosts.items() if name.startswith("*.")}
        self._default = default
        self._shelf = shelf

    def secure(self, arrival: Arrival, name: str, protocols: tuple[bytes, ...]) -> Handling:
        """Decide row 9: a name that some HTTP router has (a); a TCP router (b), unless it takes everybody and
        some HTTP router does too (c, d); and everything else (e)."""
        name = name.lower()
        terms = self._exact.get(name) or self._below.get(name.partition(".")[2])
        if terms is None:
            route = arrival.route_of(name, protocols)
            if route is not None and not (self.has_rest and is_catch_all(route.rule.text)):
                return self._passed_on(route, name, arrival, protocols)
            terms = self._default
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
        terms = self._ending.get(route.terms) or Closed(f'TLS options "{route.terms}" are gone')
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


def doormen_of(
    count: int,
    always: frozenset[int],
    claims: Iterable[Claim],
    terms: Mapping[str, Accepted],
    ending: Mapping[str, Accepted],
    default: Accepted,
    shelf: Shelf,
) -> tuple[Doorman | None, ...]:
    """Return the doormen of `count` entry points; None: no TLS there. always: those that have it anyway."""
    hosts: list[dict[str, Accepted]] = [{} for _ in range(count)]
    watched, having_rest = set(always), set()
    for claim in claims:
        for table in claim.tables:
            watched.add(table)
            if not claim.is_stream and (not claim.hosts or "*" in claim.hosts):
                having_rest.add(table)
            for host in claim.hosts:
                if host != "*":
                    hosts[table][host] = terms.get(claim.options) or default
    return tuple(
        Doorman(hosts[at], at in having_rest, ending, default, shelf) if at in watched else None
        for at in range(count)
    )
