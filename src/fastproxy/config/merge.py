"""Several documents and several providers into one Configuration, in which every name says whose it is.

Source: "Merging" and "Entry point models" of Traefik v3. What did not change comes out as the same object.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from msgspec import structs

from .dynamic import KINDS, Configuration
from .http import HttpMiddleware, HttpRouter, HttpService, ServersTransport
from .observability import EntryPointObservability, RouterObservability
from .static import EncodedCharacters, EntryPoint, StaticConfiguration
from .tcp import TcpRouter, TcpRouterTLS, TcpServersTLS, TcpServersTransport, TcpService
from .tls import DEFAULT, RouterTLS
from .udp import UdpRouter, UdpService, UdpWeighted

DEFAULT_TRANSPORT = "default@internal"
"""The transport of services that name none; made of the static `serversTransport`, and for TCP services of
the static `tcpServersTransport`."""


class Merged(NamedTuple):
    """What came of it."""

    configuration: Configuration
    warnings: tuple[str, ...]
    """For the log: what was left out, and why."""


def first_wins(documents: Sequence[tuple[str, Configuration]]) -> Merged:
    """Merge the documents of one provider, in order: of two objects with one name the first stays."""
    owners: dict[tuple[str, str], str] = {}
    tables: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    broken: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    warnings = []
    for source, document in documents:
        for kind in KINDS:
            for goal, objects in ((tables, document.table(kind)), (broken, document.broken.get(kind, {}))):
                for name, each in objects.items():
                    owner = owners.setdefault((kind, name), source)
                    if owner == source:
                        goal[kind][name] = each
                    else:
                        warnings.append(f"{source}: {kind}.{name}: already configured in {owner}, skipping")
    return Merged(Configuration.of(tables, broken), tuple(warnings))


def qualified(name: str, provider: str) -> str:
    """Return `name@provider`; a name that says whose it is stays as it is."""
    return name if "@" in name else f"{name}@{provider}"


OfRules = TypeVar("OfRules", HttpRouter, TcpRouter)


class Known(NamedTuple):
    """What an object of a provider became in the last merge."""

    source: Any
    made: tuple[tuple[str, Any], ...]
    """Names and objects: a router of several entry points may become several."""


class Merger:
    """Merges the configurations of all providers, again and again, for one static configuration."""

    def __init__(self, static: StaticConfiguration) -> None:
        self._defaults = static.default_entry_points()
        self._udp_defaults = static.udp_entry_points()
        self._models = {name: point for name, point in static.entry_points.items() if _is_model(point)}
        self._transports: dict[str, Any] = {
            "http.serversTransports": _default_transport(static),
            "tcp.serversTransports": _default_tcp_transport(static),
        }
        self._known: dict[tuple[str, str], dict[str, Known]] = {}
        self._qualify: dict[str, Callable[[str, Any, str], list[tuple[str, Any]]]] = {
            "http.routers": self._routers,
            "http.services": _service,
            "http.middlewares": _middleware,
            "http.serversTransports": _unchanged,
            "udp.routers": self._udp_router,
            "udp.services": _udp_service,
            "tls.certificates": _unchanged,
            "tls.stores": _unchanged,
            "tls.options": _unchanged,
            "tcp.routers": self._tcp_router,
            "tcp.services": _tcp_service,
            "tcp.middlewares": _unchanged,
            "tcp.serversTransports": _unchanged,
        }

    def merge(self, providers: Mapping[str, Configuration]) -> Merged:
        """Return one configuration with qualified names and references, default entry points filled in.

        providers: the last configuration of each, by its name. References without `@` mean the same provider.
        """
        tables: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        broken: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        for kind, transport in self._transports.items():
            tables[kind][DEFAULT_TRANSPORT] = transport
        warnings: list[str] = []
        known: dict[tuple[str, str], dict[str, Known]] = {}
        for provider, configuration in providers.items():
            for kind in KINDS:
                now = self._merge_kind(provider, kind, configuration.table(kind))
                known[provider, kind] = now
                _collect(kind, provider, now, tables[kind], warnings)
                for name, reason in configuration.broken.get(kind, {}).items():
                    broken[kind][_full_name(kind, name, provider)] = reason
        for kind in ALONE:
            _drop_claimed_twice(kind, providers, tables[kind], broken[kind])
        self._known = known
        return Merged(Configuration.of(tables, broken), tuple(warnings))

    def _merge_kind(self, provider: str, kind: str, objects: Mapping[str, Any]) -> dict[str, Known]:
        """Return what each object becomes; one that was there before becomes what it became then."""
        before = self._known.get((provider, kind), {})
        qualify = self._qualify[kind]
        now = {}
        for name, each in objects.items():
            known = before.get(name)
            if known is None or known.source is not each:
                known = Known(each, tuple(qualify(_full_name(kind, name, provider), each, provider)))
            now[name] = known
        return now

    def _routers(self, name: str, router: HttpRouter, provider: str) -> list[tuple[str, HttpRouter]]:
        """Qualify a router; those of its entry points that have a model get routers of their own."""
        made = self._qualified(router, provider)
        points = tuple(dict.fromkeys(made.entry_points))
        plain = tuple(point for point in points if point not in self._models)
        copies = [
            (f"{point}-{name}" if len(points) > 1 else name, self._with_model(made, point, provider))
            for point in points
            if point in self._models
        ]
        if plain or not copies:
            copies.insert(0, (name, structs.replace(made, entry_points=plain)))
        return copies

    def _tcp_router(self, name: str, router: TcpRouter, provider: str) -> list[tuple[str, TcpRouter]]:
        return [(name, self._qualified(router, provider))]

    def _qualified(self, router: OfRules, provider: str) -> OfRules:
        """Say of every name in a router whose it is, and give it its entry points."""
        return structs.replace(
            router,
            middlewares=tuple(qualified(each, provider) for each in router.middlewares),
            service=qualified(router.service, provider),
            entry_points=router.entry_points or self._defaults,
            tls=_qualified_tls(router.tls, provider),
        )

    def _udp_router(self, name: str, router: UdpRouter, provider: str) -> list[tuple[str, UdpRouter]]:
        points = router.entry_points or self._udp_defaults
        made = UdpRouter(entry_points=points, service=qualified(router.service, provider))
        return [(name, made)]

    def _with_model(self, router: HttpRouter, point: str, provider: str) -> HttpRouter:
        """Limit a router to one entry point, and give it what that says: its middlewares come first, its TLS
        counts for a router that says nothing about it."""
        model = self._models[point]
        first = tuple(qualified(each, provider) for each in model.http.middlewares)
        observability = router.observability
        if observability.access_logs is None and not model.observability.access_logs:
            observability = RouterObservability(access_logs=False)
        return structs.replace(
            router,
            entry_points=(point,),
            middlewares=first + router.middlewares,
            tls=router.tls or _qualified_tls(model.http.tls, provider),
            observability=observability,
        )


def _collect(
    kind: str, provider: str, known: Mapping[str, Known], table: dict[str, Any], warnings: list[str]
) -> None:
    """Put the objects of one provider into the table; a declared name goes before that of a copy."""
    copies = []
    for declared, each in known.items():
        if len(each.made) == 1:
            table[each.made[0][0]] = each.made[0][1]
        else:
            copies += [(f"{declared}@{provider}", *named) for named in each.made]
    for owner, name, made in copies:
        if name not in table:
            table[name] = made
        else:
            warnings.append(
                f"{kind}.{name}: two routers have this name, one of them a copy of {owner}; rename one"
            )


def _is_model(point: EntryPoint) -> bool:
    """Tell whether an entry point changes the routers that are on it."""
    http = point.http
    return (
        bool(http.middlewares)
        or http.tls is not None
        or http.encoded_characters != EncodedCharacters()
        or point.observability != EntryPointObservability()
    )


def _default_transport(static: StaticConfiguration) -> ServersTransport:
    """Return the static `serversTransport` in the form of a dynamic one."""
    settings = static.servers_transport
    return ServersTransport(
        insecure_skip_verify=settings.insecure_skip_verify,
        root_cas=settings.root_cas,
        max_idle_conns_per_host=settings.max_idle_conns_per_host,
        forwarding_timeouts=settings.forwarding_timeouts,
    )


def _default_tcp_transport(static: StaticConfiguration) -> TcpServersTransport:
    """Return the static `tcpServersTransport` in the form of a dynamic one."""
    settings = static.tcp_servers_transport
    tls = None
    if settings.tls is not None:
        insecure, roots = settings.tls.insecure_skip_verify, settings.tls.root_cas
        tls = TcpServersTLS(insecure_skip_verify=insecure, root_cas=roots)
    return TcpServersTransport(
        dial_timeout=settings.dial_timeout,
        dial_keep_alive=settings.dial_keep_alive,
        termination_delay=settings.termination_delay,
        tls=tls,
    )


def _service(name: str, service: HttpService, provider: str) -> list[tuple[str, HttpService]]:
    balancer = service.load_balancer
    if balancer is None:
        return [(name, service)]
    transport = (
        qualified(balancer.servers_transport, provider) if balancer.servers_transport else DEFAULT_TRANSPORT
    )
    return [(name, HttpService(load_balancer=structs.replace(balancer, servers_transport=transport)))]


def _middleware(name: str, middleware: HttpMiddleware, provider: str) -> list[tuple[str, HttpMiddleware]]:
    if middleware.chain is None:
        return [(name, middleware)]
    names = tuple(qualified(each, provider) for each in middleware.chain.middlewares)
    return [(name, structs.replace(middleware, chain=structs.replace(middleware.chain, middlewares=names)))]


def _tcp_service(name: str, service: TcpService, provider: str) -> list[tuple[str, TcpService]]:
    balancer, weighted = service.load_balancer, service.weighted
    if balancer is not None:
        transport = (
            qualified(balancer.servers_transport, provider)
            if balancer.servers_transport
            else DEFAULT_TRANSPORT
        )
        balancer = structs.replace(balancer, servers_transport=transport)
    if weighted is not None:
        services = (structs.replace(each, name=qualified(each.name, provider)) for each in weighted.services)
        weighted = structs.replace(weighted, services=tuple(services))
    return [(name, TcpService(load_balancer=balancer, weighted=weighted))]


def _udp_service(name: str, service: UdpService, provider: str) -> list[tuple[str, UdpService]]:
    if service.weighted is None:
        return [(name, service)]
    services = tuple(
        structs.replace(each, name=qualified(each.name, provider)) for each in service.weighted.services
    )
    return [(name, UdpService(weighted=UdpWeighted(services=services)))]


def _unchanged(name: str, each: Any, provider: str) -> list[tuple[str, Any]]:
    return [(name, each)]


# --- TLS ----------------------------------------------------------------------------------------------------

ALONE = ("tls.stores", "tls.options")
"""Kinds in which the name `default` has no provider, and so may be declared by one of them only."""


def _full_name(kind: str, name: str, provider: str) -> str:
    return DEFAULT if name == DEFAULT and kind in ALONE else f"{name}@{provider}"


OfRouter = TypeVar("OfRouter", RouterTLS, TcpRouterTLS)


def _qualified_tls(tls: OfRouter | None, provider: str) -> OfRouter | None:
    if tls is None:
        return None
    name = tls.options or DEFAULT
    return structs.replace(tls, options=name if name == DEFAULT else qualified(name, provider))


def _drop_claimed_twice(
    kind: str, providers: Mapping[str, Configuration], table: dict[str, Any], broken: dict[str, str]
) -> None:
    """Drop the `default` of several providers: nobody can say which is meant. Source: Traefik."""
    claims = [provider for provider, said in providers.items() if DEFAULT in said.names(kind)]
    if len(claims) > 1:
        table.pop(DEFAULT, None)
        broken[DEFAULT] = f"declared by several providers: {', '.join(claims)}; only one may"
