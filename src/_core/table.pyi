from collections.abc import Iterable

from .balance import Balancer
from .message import Request
from .rule import Rule
from .step import Pipeline

class Route:
    """A router as requests meet it; frozen.

    priority: the one that counts, never 0 for "computed". order: index of its provider in
    `providers.precedence`, unlisted ones behind. Equal ones are asked in the order of their names.
    balancer: None when the pipeline always answers. terms: name of the TLS options. is_logged: whether the
    access log tells of it. extra: whatever build wants to find again.
    """

    def __init__(
        self,
        name: str,
        rule: Rule,
        pipeline: Pipeline,
        balancer: Balancer | None,
        *,
        priority: int = 0,
        order: int = 0,
        service: str = "",
        terms: str | None = None,
        is_logged: bool = True,
        extra: object = None,
    ) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def rule(self) -> Rule: ...
    @property
    def priority(self) -> int: ...
    @property
    def order(self) -> int: ...
    @property
    def pipeline(self) -> Pipeline: ...
    @property
    def balancer(self) -> Balancer | None: ...
    @property
    def service(self) -> str: ...
    @property
    def terms(self) -> str | None: ...
    @property
    def is_logged(self) -> bool: ...
    @property
    def extra(self) -> object: ...

class Table:
    """A frozen set of routes, asked with a request: gives what a scan in order of priority would give."""

    def __init__(self, routes: Iterable[Route] = ()) -> None: ...
    def updated(self, removed: Iterable[Route], added: Iterable[Route]) -> Table:
        """Return a table without the very objects `removed` and with `added`; this one stays as it is.

        Costs some ten microseconds a route. Raises ValueError for a removed route that is not in the table.
        """

    def match(self, request: Request) -> Route | None: ...
    def near(self, request: Request, most: int) -> list[Route]:
        """Return at most `most` routes that may have been meant, those under the request's host first."""
    @property
    def count(self) -> int: ...
    def __len__(self) -> int: ...
