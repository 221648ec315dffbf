from collections.abc import Iterable

from .message import Request
from .netset import NetSet

class Forwarding:
    """What an entry point does to the fields of a request."""

    def __init__(
        self,
        *,
        insecure: bool = False,
        trusted: NetSet | None = None,
        kept: Iterable[str] = (),
        appends: bool = True,
        underscores: str = "keep",
        server: str = "localhost",
    ) -> None: ...
    def entered(self, request: Request) -> None:
        """Do what is done before any router looks at it. ValueError, "400: why", when it is refused."""

    def left(self, request: Request) -> None:
        """Do what is done when it goes to a server."""
