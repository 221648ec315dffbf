"""What a generation leaves to the next: everything built, by name, and what was put together of it."""

from functools import cache
from typing import Any

from .._core.balance import Balancer
from .._core.step import Pipeline
from .._core.table import Table
from ..config.tls import DEFAULT, Options
from ..plugins.load import Plugins
from .certificates import Shelf, Terms, terms_of
from .doormen import NOTHING_CLAIMED, Accepted, Claim, Claimed, Doorman
from .estate import Estate
from .routers import Places
from .runtime import KINDS, MIDDLEWARES, ROUTERS, TCP_MIDDLEWARES, TCP_ROUTERS, Runtime
from .udp import Queues

STEPS = {ROUTERS: MIDDLEWARES, TCP_ROUTERS: TCP_MIDDLEWARES}
"""Kinds of routers that have middlewares, and of these."""

ROUTES = tuple(STEPS)
"""Kinds of routers that have tables."""


class State:
    """The things of one event loop, by name. What is disabled is not among what is built."""

    def __init__(self, places: Places, plugins: Plugins, estate: Estate, secret: bytes) -> None:
        """secret: of the instance; the keys of session tickets come of it."""
        self.places = places
        self.secret = secret
        self.plugins = plugins
        self.estate = estate
        self.runtime = Runtime((*places.entry_points, *places.udp_entry_points))
        self.built: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        """Kind -> name -> what it became: transports, steps, services, routes."""

        self.pipelines: dict[str, dict[tuple[str, ...], Pipeline]] = {kind: {} for kind in STEPS}
        """By the names of their middlewares: routers with the same ones share one."""

        self.tables: dict[str, tuple[Table, ...]] = {
            kind: tuple(Table() for _ in range(places.count_of_tables())) for kind in ROUTES
        }
        """By the kind of the routers in them; see `Places.count_of_tables`."""

        self.claims: dict[str, Claim] = {}
        """By kind and name, of every router with `tls`, also of those that are disabled."""

        self.claimed: tuple[Claimed, ...] = (NOTHING_CLAIMED,) * places.size
        """What they say together, by the number of the entry point."""

        self.terms: dict[str, Accepted] = {}
        """TLS options by name, for HTTP routers: those that are declared, and always `default`."""

        self.ending: dict[str, Accepted] = {}
        """The same for TCP routers where TLS ends."""

        self.ranks = 0
        """How many certificates have been given their place among all."""

        self.shelf = Shelf()
        self.doormen: tuple[Doorman | None, ...] = (None,) * places.size
        self.flows: tuple[Balancer | None, ...] = (None,) * places.size
        """The service of each UDP entry point, by its number."""

        self.queues: Queues = {}
        """The routers of each UDP entry point."""


@cache
def default_terms() -> Terms:
    """Return the options of that name where nobody declares some. Raises Broken where there is no TLS."""
    return terms_of(DEFAULT, Options())
