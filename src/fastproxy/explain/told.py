"""An explanation as a value: what is printed, and what `/api/explain` gives as JSON."""

import msgspec


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of an explanation; in JSON what is empty is left out."""


class Other(Told, frozen=True, kw_only=True):
    """A router that does not take what was asked about."""

    name: str
    rule: str = ""
    priority: int = 0
    why: tuple[str, ...] = ()


class Passed(Told, frozen=True, kw_only=True):
    """A middleware on the way."""

    name: str
    type: str
    does: tuple[str, ...]
    status: int = 0
    """What it answers; 0: the request goes on."""


class ServerTold(Told, frozen=True, kw_only=True):
    """A server that may be asked."""

    url: str
    weight: int
    status: str = ""
    target: str = ""
    """What it is sent in the place of what the others are, because the path of its URL goes before."""


class ServiceTold(Told, frozen=True, kw_only=True):
    """Where the request goes."""

    name: str
    type: str = ""
    servers: tuple[ServerTold, ...] = ()
    names_host: bool = False
    """Whether Host is the server's own, and not the client's."""


class RequestTold(Told, frozen=True, kw_only=True):
    """What a server is sent."""

    method: str
    target: str
    host: str
    changes: tuple[str, ...] = ()
    """What is different from what the client sent."""


class Routed(Told, frozen=True, kw_only=True):
    """What happens on one entry point: who takes it, and who does not."""

    entry_point: str

    router: str = ""
    """Who takes it; empty: nobody."""

    rule: str = ""
    priority: int = 0
    is_computed: bool = False
    """Whether the priority is the length of the rule, because none is given."""

    middlewares: tuple[Passed, ...] = ()
    beaten: tuple[Other, ...] = ()
    """Routers that match too and come later."""

    disabled: tuple[Other, ...] = ()
    """Routers that would match, were they not disabled."""

    near: tuple[Other, ...] = ()
    """Routers that do not match, the nearest first."""

    unreadable: tuple[Other, ...] = ()
    """Routers of which nobody knows whether they would match."""

    more: dict[str, int] = {}
    """How many others there are of each sort: `beaten`, `disabled` and so on."""


class Way(Routed, frozen=True, kw_only=True):
    """What happens to a request."""

    status: int = 0
    """What it is answered without a server being asked; 0: a server is."""

    reason: str = ""
    """Why it is answered that."""

    asked_before: tuple[str, ...] = ()
    """TCP routers of the entry point: they look at the connection, and whom one takes no router sees."""

    request: RequestTold | None = None
    service: ServiceTold | None = None


class Explanation(Told, frozen=True, kw_only=True):
    """The whole, of a request."""

    method: str
    url: str
    client: str
    chosen: str
    """Why these entry points."""

    ways: tuple[Way, ...]

    @property
    def is_taken(self) -> bool:
        """Tell whether a router takes it on one of the entry points at least."""
        return any(way.router for way in self.ways)
