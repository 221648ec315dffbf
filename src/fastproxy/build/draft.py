"""One generation while it is built: what is to become of the one before, laid over it.

Nothing here changes what serves. When all is built, `land` writes it down in one go, and `settle` lets go of
what nobody needs any more.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .._core.balance import Balancer, Turns
from .._core.step import Pipeline, Step
from .._core.table import Route
from ..config import internal
from ..config.merge import DEFAULT_TRANSPORT
from ..config.tls import DEFAULT
from ..observe.log import about
from ..selfsigned import NAME as GENERATED
from .certificates import Pair, Store, Terms, pair_of, terms_of
from .changes import Changes
from .doormen import UNKNOWN_OPTIONS, Accepted, Closed, Doorman, claimed_after
from .middlewares import steps_of
from .overlay import Overlay
from .routers import claim_of, conflicts_of, route_of, tables_of, warnings_of
from .runtime import (
    CERTIFICATES,
    KINDS,
    MIDDLEWARES,
    NESTING,
    NOUNS,
    OPTIONS,
    ROUTERS,
    SERVICES,
    STORES,
    TCP_MIDDLEWARES,
    TCP_ROUTERS,
    TCP_SERVICES,
    TCP_TRANSPORTS,
    TRANSPORTS,
    UDP_ROUTERS,
    UDP_SERVICES,
    USERS,
    Broken,
    Uses,
    references_of,
)
from .services import Service, service_of
from .state import ROUTES, STEPS, State, default_terms
from .tcp import (
    StreamTransport,
    load_balancer_of,
    stream_route_of,
    stream_steps_of,
    stream_transport_of,
    weighted_of,
)
from .transports import Transport, transport_of
from .udp import Flow, datagram_balancer_of, flow_of, flows_after, queues_after, warned_of
from .work import Work

log = logging.getLogger(__name__)


NOBODY_WEIGHS = "weighted: none of its services has a weight above 0, so nobody is served"


class Failure(NamedTuple):
    """An object that is disabled since this generation, or for another reason than before."""

    kind: str
    name: str
    reason: str


class Draft:
    """A generation that is being built out of the state of the one before and a change."""

    def __init__(self, state: State, changes: Changes) -> None:
        self.state = state
        self.changes = changes
        self.configured = {kind: Overlay(state.runtime.configured[kind]) for kind in KINDS}
        self.failures = {kind: Overlay(state.runtime.failures[kind]) for kind in KINDS}
        self.warnings = {kind: Overlay(state.runtime.warnings[kind]) for kind in KINDS}
        self.built: dict[str, Overlay[Any]] = {kind: Overlay(state.built[kind]) for kind in KINDS}
        self.services: Overlay[Service] = self.built[SERVICES]
        self.pipelines: dict[str, dict[tuple[str, ...], Pipeline]] = {kind: {} for kind in STEPS}
        self.tables = dict(state.tables)
        self.claims = Overlay(state.claims)
        self.claimed = state.claimed
        self.terms, self.ending = state.terms, state.ending
        self.shelf = state.shelf
        self.doormen = state.doormen
        self.flows, self.queues = state.flows, state.queues
        self.affected = self._affected()
        self._failed: list[Failure] = []
        self._begun: set[tuple[str, str]] = set()
        self._building: list[str] = []

    def _affected(self) -> dict[str, dict[str, None]]:
        """Return the names that are built again: what changed, and whoever uses it.

        Who uses TLS options is added when it is known what has become of them.
        """
        runtime = self.state.runtime
        names = {kind: dict.fromkeys(self.changes.get(kind, ())) for kind in KINDS}
        for used, user in USERS:
            if used == OPTIONS:
                continue
            if used == user:
                _spread(names[used], runtime.nests[used])
            else:
                names[user].update(_users(runtime.users_of(user, used), names[used]))
        return names

    # --- building -------------------------------------------------------------------------------------

    def build(self) -> Work[None]:
        """Build everything that is affected, each kind before those who use it, and the tables."""
        for kind, objects in self.changes.items():
            for name, value in objects.items():
                self.configured[kind].put(name, value)
            yield None
        for kind in KINDS:
            for name in self.affected[kind]:
                yield from self._build(kind, name)
                yield None
            if kind == OPTIONS:
                self._spread_options()
        for kind in ROUTES:
            old, new = self.built[kind].old().values(), self.built[kind].changes.values()
            self.tables[kind] = yield from tables_of(self.state.tables[kind], old, new)
        yield from self._make_flows()
        yield from self._build_doormen()

    def _spread_options(self) -> None:
        """Add the routers whose TLS options can be had now and could not before, or the other way round.

        To others it is all the same what the options say: they know their name.
        """
        built, failures = self.built[OPTIONS], self.failures[OPTIONS]
        for name in self.affected[OPTIONS]:
            before = _standing(name, built.base.get(name), failures.base.get(name))
            if before != _standing(name, built.get(name), failures.get(name)):
                for user in (ROUTERS, TCP_ROUTERS):
                    self.affected[user].update(_users(self.state.runtime.users_of(user, OPTIONS), [name]))

    def _build_doormen(self) -> Work[None]:
        """Make the doormen anew if anything of TLS is different."""
        if self.affected[CERTIFICATES] or self.affected[STORES]:
            yield from self._fill_shelf()
        if self.affected[OPTIONS] or not self._has_begun():
            yield from self._accept_options()
        claims = self.claims
        self.claimed = yield from claimed_after(
            self.state.claimed, claims.old().values(), claims.changes.values()
        )
        before = (self.state.shelf, self.state.terms, self.state.ending, self.state.claimed)
        if before != (self.shelf, self.terms, self.ending, self.claimed) or not self._has_begun():
            secure = self.state.places.secure
            self.doormen = tuple(
                Doorman(each, self.terms, self.ending, self.shelf) if each.routers or at in secure else None
                for at, each in enumerate(self.claimed)
            )

    def _fill_shelf(self) -> Work[None]:
        """Put the certificates where they are found, and say of those that are not used why."""
        pairs: Overlay[Pair] = self.built[CERTIFICATES]
        stores = (self.built[STORES].get(name) for name in (DEFAULT, GENERATED))
        default = next((store.default for store in stores if store and store.default), None)
        gone, come = pairs.old(), pairs.changes
        self.shelf = yield from self.state.shelf.updated(gone, come, default)
        warnings = self.warnings[CERTIFICATES]
        for names in {pair.names: None for pair in (*gone.values(), *come.values()) if pair.names}:
            twins = self.shelf.twins(names)
            for name in twins:
                told = f"not used: certificate {twins[0]} has the same names, {', '.join(names)}"
                warnings.put(name, (told,) if name != twins[0] else None)
            yield None

    def _accept_options(self) -> Work[None]:
        """Note on what terms TLS is spoken for those who want the options that changed."""
        self.terms, self.ending = dict(self.terms), dict(self.ending)
        for name in {DEFAULT: None, **self.affected[OPTIONS]}:
            if name == DEFAULT or self.configured[OPTIONS].get(name) is not None:
                self.terms[name] = self._accepted(name)
                self.ending[name] = self._accepted(name, in_http=False)
            else:
                self.terms.pop(name, None)
                self.ending.pop(name, None)
            yield None

    def _has_begun(self) -> bool:
        """Whether there was a generation before."""
        return self.state.runtime.generation > 0

    def _accepted(self, name: str, *, in_http: bool = True) -> Accepted:
        """Return the terms of a name, or that there are none for it. in_http: requests are served on them."""
        try:
            terms: Terms = self._used(OPTIONS, name)
        except Broken as broken:
            return Closed(str(broken))
        return Closed(terms.fault) if terms.fault and in_http else terms

    def _build(self, kind: str, name: str) -> Work[None]:
        """Build one object, or note why it is disabled."""
        if kind in NESTING:
            if (kind, name) in self._begun:
                return
            self._begun.add((kind, name))
        configured = self.configured[kind].get(name)
        made, reason = None, None
        self.warnings[kind].put(name, None)  # whoever has something to say of it says so again
        if isinstance(configured, str):
            reason = configured
        elif configured is not None:
            try:
                made = yield from self._made(kind, name, configured)
            except Broken as broken:
                reason = str(broken)
            except Exception as error:
                noun = NOUNS[kind]
                log.exception("%s %s cannot be built", noun, name, extra=about(noun, name))
                reason = f"it cannot be built: {error!r}; this is a mistake in fastproxy, the log says where"
        if made is None and configured is not None and kind in (CERTIFICATES, STORES):
            made = self._the_one_before(kind, name)
            reason = f"{reason}; the one before it goes on serving" if made is not None else reason
        if kind in ROUTES:
            self._claim(kind, name, configured)
        if isinstance(made, (Transport, StreamTransport)) and made.fault:
            reason = made.fault  # it is there all the same for services that need no TLS
        if kind == TCP_ROUTERS and made is not None:
            reason = self._why_closed(configured)  # it is there all the same, and closes who comes
        self.built[kind].put(name, made)
        self.failures[kind].put(name, reason)
        if reason is not None:
            self._failed.append(Failure(kind, name, reason))

    def _why_closed(self, configured: Any) -> str | None:
        """Return what is wrong with the TLS options of a TCP router where TLS ends."""
        if configured.tls is None or configured.tls.passthrough:
            return None
        try:
            self._used(OPTIONS, configured.tls.options)
        except Broken as broken:
            return str(broken)
        return None

    def _the_one_before(self, kind: str, name: str) -> Any:
        """Return a certificate whose successor cannot be used: perhaps it is half of a renewal."""
        before = self.built[kind].base.get(name)
        return before if not isinstance(before, Store) or before.default is not None else None

    def _claim(self, kind: str, name: str, configured: Any) -> None:
        is_there = configured is not None and not isinstance(configured, str)
        claim = claim_of(configured, self.state.places) if is_there else None
        if claim != self.claims.get(f"{kind} {name}"):
            self.claims.put(f"{kind} {name}", claim)

    def _made(self, kind: str, name: str, configured: Any) -> Work[Any]:
        secret = self.state.secret
        if kind == TRANSPORTS:
            return (yield from transport_of(configured, self.state.estate.contexts))
        if kind == OPTIONS:
            return (yield lambda: terms_of(name, configured))
        if kind == CERTIFICATES:
            made = yield lambda: pair_of(configured.pair, secret)
            made.rank = self._rank(name)
            return made
        if kind == STORES:
            pair = configured.default_certificate
            return Store(None if pair is None else (yield lambda: pair_of(pair, secret)))
        if kind == SERVICES:
            return (yield from self._service(name, configured))
        if kind == TCP_TRANSPORTS:
            return (yield from stream_transport_of(configured, self.state.estate.contexts))
        if kind in (TCP_SERVICES, UDP_SERVICES):
            return (yield from self._stream_service(kind, name, configured))
        return self._decided(kind, name, configured)

    def _decided(self, kind: str, name: str, configured: Any) -> Any:
        """Build what needs no time."""
        if kind == MIDDLEWARES:
            return self._steps(name, configured)
        if kind == TCP_MIDDLEWARES:
            return stream_steps_of(name, configured, self.state.estate.ledger, self.state.secret)
        if kind == UDP_ROUTERS:
            return flow_of(configured, self.state.places, self._used(UDP_SERVICES, configured.service))
        return self._route(kind, name, configured)

    def _service(self, name: str, configured: Any) -> Work[Service]:
        wanted = configured.load_balancer and configured.load_balancer.servers_transport
        transport = self._used(TRANSPORTS, wanted or DEFAULT_TRANSPORT)
        return (yield from service_of(name, configured, transport, self.state.estate))

    def _stream_service(self, kind: str, name: str, configured: Any) -> Work[Turns]:
        """Build a TCP or UDP service: the members of a weighted one first."""
        old = self.state.built[kind].get(name)
        if configured.load_balancer is not None and kind == UDP_SERVICES:
            return datagram_balancer_of(name, configured.load_balancer, old)
        if configured.load_balancer is not None:
            transport = self._used(TCP_TRANSPORTS, configured.load_balancer.servers_transport)
            estate = self.state.estate
            return (yield from load_balancer_of(name, configured.load_balancer, transport, estate, old))
        if all(each.weight <= 0 for each in configured.weighted.services):
            self.warnings[kind].put(name, (NOBODY_WEIGHS,))
        with self._below(name):
            for each in configured.weighted.services:
                self._refuse_loop("service", each.name)
                if each.name in self.affected[kind]:
                    yield from self._build(kind, each.name)
        heeds = kind == TCP_SERVICES and configured.weighted.health_check is not None
        used = lambda each: self._used(kind, each)  # noqa: E731
        return weighted_of(name, configured.weighted, used, old, self._is_checked if heeds else None)

    def _is_checked(self, name: str) -> bool:
        """Say whether a TCP service, which can be used, has a healthCheck."""
        configured: Any = self.configured[TCP_SERVICES].get(name)
        return (configured.load_balancer or configured.weighted).health_check is not None

    def _route(self, kind: str, name: str, configured: Any) -> Route:
        places = self.state.places
        self.warnings[kind].put(name, self._warned(configured) or None)
        services = SERVICES if kind == ROUTERS else TCP_SERVICES
        needs: dict[str, Any] = {
            "old": self.state.built[kind].get(name),
            "pipeline": lambda: self._pipeline(kind, configured.middlewares),
            "balancer": lambda: _balancer(self._used(services, configured.service)),
        }
        if kind == TCP_ROUTERS:
            return stream_route_of(name, configured, places, **needs)
        return route_of(name, configured, places, **needs, terms=lambda: self._terms(configured.tls.options))

    def _warned(self, configured: Any) -> tuple[str, ...]:
        """Return what is wrong about a router that may serve all the same."""
        unknown = warnings_of(configured.entry_points, self.state.places.entry_points)
        return (*unknown, *conflicts_of(configured))

    def _terms(self, name: str) -> str:
        """Return the name of TLS options that can be had."""
        terms: Terms = self._used(OPTIONS, name)
        if terms.fault:
            raise Broken(f'TLS options "{name}": {terms.fault}')
        return terms.name

    def _rank(self, name: str) -> int:
        """Return the place of a certificate among all: its own, or the last."""
        before = self.built[CERTIFICATES].base.get(name)
        if before is not None:
            return int(before.rank)
        self.state.ranks += 1
        return self.state.ranks

    def _make_flows(self) -> Work[None]:
        """Choose the router of each UDP entry point, and say of the others why it is not them."""
        flows: Overlay[Flow] = self.built[UDP_ROUTERS]
        places = self.state.places
        self.queues = queues_after(self.state.queues, flows.old(), flows.changes)
        self.flows = flows_after(self.state.flows, self.queues, flows.get, places)
        yield None
        again = dict.fromkeys(self.affected[UDP_ROUTERS])
        for point, queue in self.queues.items():
            before = self.state.queues.get(point)
            if before is None or before.last != queue.last:
                again.update(dict.fromkeys(queue.names))
        for name in again:
            configured: Any = self.configured[UDP_ROUTERS].get(name)
            told: tuple[str, ...] = ()
            if configured is not None and not isinstance(configured, str):
                told = warned_of(name, configured, flows.get(name), self.queues, places)
            self.warnings[UDP_ROUTERS].put(name, told or None)
            yield None

    def _pipeline(self, kind: str, names: tuple[str, ...]) -> Pipeline:
        middlewares, made = STEPS[kind], self.pipelines[kind]
        pipeline = made.get(names)
        if pipeline is None and not any(name in self.affected[middlewares] for name in names):
            pipeline = self.state.pipelines[kind].get(names)
        if pipeline is None:
            steps = [step for name in names for step in self._used(middlewares, name)]
            pipeline = made[names] = Pipeline(steps)
        return pipeline

    def _steps(self, name: str, configured: Any) -> tuple[Step, ...]:
        """Build a middleware: its steps, or, of a chain, the steps of its members in order."""
        if configured.chain is None:
            return steps_of(name, configured, self.state.plugins)
        with self._below(name):
            return tuple(step for member in configured.chain.middlewares for step in self._member(member))

    def _member(self, name: str) -> tuple[Step, ...]:
        """Return the steps of a chain's member, which may be a chain that is not built yet."""
        self._refuse_loop("chain", name)
        if name in self.affected[MIDDLEWARES]:
            for _ in self._build(MIDDLEWARES, name):
                pass  # steps are built at once: nothing is asked for
        return self._used(MIDDLEWARES, name)

    @contextmanager
    def _below(self, name: str) -> Iterator[None]:
        """Note what is being built, while its members are."""
        self._building.append(name)
        try:
            yield
        finally:
            self._building.pop()

    def _refuse_loop(self, what: str, name: str) -> None:
        """Raise Broken if a member is one of those that it is built for."""
        if name in self._building:
            loop = [*self._building[self._building.index(name) :], name]
            raise Broken(f"a {what} that leads back to itself: {' -> '.join(loop)}")

    def _used(self, kind: str, name: str) -> Any:
        """Return what somebody refers to. Raises Broken if it is not there or disabled."""
        made = self.built[kind].get(name)
        if made is not None:
            return made
        reason = self.failures[kind].get(name)
        if reason is not None:
            raise Broken(f"{_CALLED[kind].format(name)} is disabled: {reason}")
        if kind in (TRANSPORTS, TCP_TRANSPORTS):
            raise Broken(f"servers transport not found {name}")
        if kind == OPTIONS and name == DEFAULT:
            return default_terms()
        if kind == OPTIONS:
            raise Broken(UNKNOWN_OPTIONS.format(name))
        bare, _, provider = name.rpartition("@")
        if kind == SERVICES and provider == internal.PROVIDER and bare in internal.NAMES:
            raise Broken(internal.refusal(bare))
        raise Broken(f"{_CALLED[kind].format(name)} does not exist")

    # --- the end of it --------------------------------------------------------------------------------

    def new_failures(self) -> tuple[Failure, ...]:
        """Return what is disabled now and was not, or for another reason."""
        before = self.state.runtime.failures
        return tuple(each for each in self._failed if before[each.kind].get(each.name) != each.reason)

    def land(self) -> None:
        """Make the state that of this generation."""
        for kind in STEPS:
            self._land_pipelines(kind)
        for overlays in (self.configured, self.failures, self.built, self.warnings):
            for overlay in overlays.values():
                overlay.land()
        self.claims.land()
        self.state.tables = self.tables
        self.state.claimed = self.claimed
        self.state.terms, self.state.ending = self.terms, self.ending
        self.state.shelf = self.shelf
        self.state.doormen = self.doormen
        self.state.flows, self.state.queues = self.flows, self.queues

    def _land_pipelines(self, kind: str) -> None:
        kept = self.state.pipelines[kind]
        middlewares = self.affected[STEPS[kind]]
        if middlewares:
            for names in [names for names in kept if not middlewares.keys().isdisjoint(names)]:
                del kept[names]
        if len(kept) > 2 * len(self.state.built[kind]) + 64:
            kept.clear()  # most are of routers that are gone; those of the others live on in their routes
        kept.update(self.pipelines[kind])

    def settle(self) -> Work[None]:
        """Return the work that is left when the snapshot is in its place. Made before `land`, done after."""
        configured = self.state.runtime.configured
        before = {kind: _only(configured[kind], names) for kind, names in self.changes.items()}
        return self._settle(before, list(self.services.old().values()))

    def _settle(self, before: dict[str, dict[str, Any]], old: list[Service]) -> Work[None]:
        for kind, objects in self.changes.items():
            for name, value in objects.items():
                self._note_references(kind, name, before[kind].get(name), value)
                yield None
        estate = self.state.estate
        for service in self.services.changes.values():
            estate.hold(service.pools)
            yield None
        for service in old:
            estate.release(service.pools)
            yield None
        yield from estate.sweep()

    def _note_references(self, kind: str, name: str, before: Any, after: Any) -> None:
        """Write down whom an object refers to now."""
        old, new = references_of(kind, before), references_of(kind, after)
        for used in old.keys() | new.keys():
            uses = self.state.runtime.users_of(kind, used)
            uses.remove(name, old.get(used, ()))
            uses.add(name, new.get(used, ()))


_CALLED: dict[str, str] = {
    ROUTERS: 'router "{}"',
    SERVICES: 'the service "{}"',
    MIDDLEWARES: 'middleware "{}"',
    TRANSPORTS: 'the servers transport "{}"',
    TCP_ROUTERS: 'TCP router "{}"',
    TCP_SERVICES: 'the service "{}"',
    TCP_MIDDLEWARES: 'middleware "{}"',
    TCP_TRANSPORTS: 'the servers transport "{}"',
    OPTIONS: 'TLS options "{}"',
    CERTIFICATES: 'certificate "{}"',
    STORES: 'TLS store "{}"',
    UDP_ROUTERS: 'UDP router "{}"',
    UDP_SERVICES: 'the service "{}"',
}


def _standing(name: str, made: Terms | None, reason: str | None) -> tuple[bool, str | None]:
    """Return what users of TLS options need to know of them: whether they are there, and what is wrong."""
    if made is not None:
        return True, made.fault
    if reason is None and name == DEFAULT:
        return True, ""
    return False, reason


def _balancer(service: Service | Turns) -> Balancer:
    """Return what names the server of the next request or connection."""
    return service.balancer if isinstance(service, Service) else service


def _only(objects: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: objects[name] for name in names if name in objects}


def _users(uses: Uses, names: Iterable[str]) -> dict[str, None]:
    return {user: None for name in names for user in uses.of(name)}


def _spread(names: dict[str, None], uses: Uses) -> None:
    """Add to `names` whoever uses one of them, directly or not."""
    waiting = list(names)
    while waiting:
        for user in uses.of(waiting.pop()):
            if user not in names:
                names[user] = None
                waiting.append(user)
