"""An explanation as a value: what is printed, and what `/api/explain` gives as JSON."""

import msgspec

NOBODY = "9e"
"""The row of the decision table for names that nobody has."""


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


class StreamServer(Told, frozen=True, kw_only=True):
    """A server of TCP or UDP."""

    address: str
    tls: bool = False
    """Whether TLS is spoken to it."""


class StreamService(Told, frozen=True, kw_only=True):
    """Where a connection or a session goes."""

    name: str
    type: str = ""
    weight: int = 1
    """Its share, in a weighted service."""

    servers: tuple[StreamServer, ...] = ()
    services: tuple["StreamService", ...] = ()
    """Of a weighted one, without those that are never chosen."""

    @property
    def is_empty(self) -> bool:
        """Tell whether it has no server at all."""
        return not self.servers and all(each.is_empty for each in self.services)


class CertificateTold(Told, frozen=True, kw_only=True):
    """What a client is shown."""

    name: str
    """Of the certificate, or of the store whose default it is."""

    names: tuple[str, ...] = ()
    """For which it is; empty: it was made here, because there is none."""

    not_after: str = ""
    is_default: bool = False
    is_expired: bool = False


class TLSTold(Told, frozen=True, kw_only=True):
    """What becomes of TLS."""

    passes: bool = False
    """It goes to the server as it is; then nothing else is told."""

    options: str = ""
    min_version: str = ""
    max_version: str = ""
    client_auth: str = ""
    sni_strict: bool = False
    alpn: tuple[str, ...] = ()
    certificate: CertificateTold | None = None


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

    warnings: tuple[str, ...] = ()
    """About the router that takes it."""

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


class Contacted(Routed, frozen=True, kw_only=True):
    """What happens to a connection."""

    row: str
    """Of the decision table."""

    decided: str
    """What that row says."""

    is_http: bool = False
    """Whether requests of it are read."""

    closed: str = ""
    """Why it is closed; empty: it is not."""

    alert: str = ""
    """Of TLS, with which it is closed."""

    tls: TLSTold | None = None
    service: StreamService | None = None

    @property
    def is_taken(self) -> bool:
        """Tell whether somebody takes it. Those whose name nobody has get a 404 at best."""
        return not self.closed and (bool(self.router) or (self.is_http and self.row != NOBODY))


class Flow(Routed, frozen=True, kw_only=True):
    """What happens to datagrams."""

    dropped: str = ""
    """Why they are; empty: they are not."""

    service: StreamService | None = None


class Way(Routed, frozen=True, kw_only=True):
    """What happens to a request."""

    status: int = 0
    """What it is answered without a server being asked; 0: a server is."""

    reason: str = ""
    """Why it is answered that."""

    connection: Contacted | None = None
    """What becomes of the connection before a request is read: with https, and where HTTP does not get it."""

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


class OfConnection(Told, frozen=True, kw_only=True):
    """The whole, of a connection."""

    protocol: str
    sni: str = ""
    alpn: tuple[str, ...] = ()
    tls: bool = False
    postgres: bool = False
    client: str
    chosen: str
    ways: tuple[Contacted, ...]

    @property
    def is_taken(self) -> bool:
        """Tell whether somebody takes it on one of the entry points at least."""
        return any(way.is_taken for way in self.ways)


class OfDatagram(Told, frozen=True, kw_only=True):
    """The whole, of datagrams."""

    protocol: str
    chosen: str
    ways: tuple[Flow, ...]

    @property
    def is_taken(self) -> bool:
        """Tell whether a router takes them on one of the entry points at least."""
        return any(way.router and not way.dropped for way in self.ways)


AnyExplanation = Explanation | OfConnection | OfDatagram
