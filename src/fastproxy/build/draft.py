"""One generation while it is built: what is to become of the one before, laid over it.

Nothing here changes what serves. When all is built, `land` writes it down in one go, and `settle` lets go of
what nobody needs any more.
"""

import logging
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from .._core.step import Pipeline, Step
from .._core.table import Route, Table
from ..config import internal
from ..config.merge import DEFAULT_TRANSPORT
from ..plugins.load import Plugins
from .changes import Changes
from .estate import Estate
from .middlewares import steps_of
from .routers import Places, route_of, tables_of, warnings_of
from .runtime import (
    KINDS,
    MIDDLEWARES,
    NOUNS,
    ROUTERS,
    SERVICES,
    TRANSPORTS,
    Broken,
    Runtime,
    Uses,
    references_of,
)
from .services import Service, service_of
from .transports import Transport, transport_of
from .work import Work

log = logging.getLogger(__name__)

Value = TypeVar("Value")
_MISSING: Any = object()


class Failure(NamedTuple):
    """An object that is disabled since this generation, or for another reason than before."""

    kind: str
    name: str
    reason: str


class State:
    """What a generation leaves to the next: everything built, by name. What is disabled is not in it."""

    def __init__(self, places: Places, plugins: Plugins, estate: Estate) -> None:
        self.places = places
        self.plugins = plugins
        self.estate = estate
        self.runtime = Runtime(places.entry_points)
        self.transports: dict[str, Transport] = {}
        self.steps: dict[str, tuple[Step, ...]] = {}
        self.services: dict[str, Service] = {}
        self.routes: dict[str, Route] = {}
        self.pipelines: dict[tuple[str, ...], Pipeline] = {}
        """By the names of their middlewares: routers with the same ones share one."""

        self.tables: tuple[Table, ...] = tuple(Table() for _ in places.entry_points)


class Overlay(Generic[Value]):
    """A dictionary and what is to become of it. None means that there is nothing under a name."""

    __slots__ = ("base", "changes", "gone")

    def __init__(self, base: dict[str, Value]) -> None:
        self.base = base
        self.changes: dict[str, Value] = {}
        self.gone: set[str] = set()

    def get(self, name: str) -> Value | None:
        value = self.changes.get(name)
        return value if value is not None or name in self.gone else self.base.get(name)

    def put(self, name: str, value: Value | None) -> None:
        if value is not None:
            self.changes[name] = value
        elif name in self.base:
            self.gone.add(name)

    def old(self) -> list[Value]:
        """Return what is to go, or to be replaced."""
        base = self.base
        return [base[name] for names in (self.gone, self.changes) for name in names if name in base]

    def land(self) -> None:
        """Make it so. Quick also for many: the loop waits meanwhile."""
        self.base.update(self.changes)
        for name in self.gone:
            del self.base[name]


class Draft:
    """A generation that is being built out of the state of the one before and a change."""

    def __init__(self, state: State, changes: Changes) -> None:
        self.state = state
        self.changes = changes
        self.configured = {kind: Overlay(state.runtime.configured[kind]) for kind in KINDS}
        self.failures = {kind: Overlay(state.runtime.failures[kind]) for kind in KINDS}
        self.warnings = Overlay(state.runtime.warnings)
        self.services = Overlay(state.services)
        self.routes = Overlay(state.routes)
        self.built: dict[str, Overlay[Any]] = {
            TRANSPORTS: Overlay(state.transports),
            MIDDLEWARES: Overlay(state.steps),
            SERVICES: self.services,
            ROUTERS: self.routes,
        }
        self.pipelines: dict[tuple[str, ...], Pipeline] = {}
        self.tables = state.tables
        self.affected = self._affected()
        self._failed: list[Failure] = []
        self._begun: set[str] = set()
        self._building: list[str] = []

    def _affected(self) -> dict[str, dict[str, None]]:
        """Return the names that are built again: what changed, and whoever uses it."""
        uses = self.state.runtime.uses
        names = {kind: dict.fromkeys(self.changes.get(kind, ())) for kind in KINDS}
        transports, middlewares = names[TRANSPORTS], names[MIDDLEWARES]
        _spread(middlewares, self.state.runtime.chains)
        names[SERVICES].update(_users(uses[TRANSPORTS], transports))
        names[ROUTERS].update(_users(uses[SERVICES], names[SERVICES]))
        names[ROUTERS].update(_users(uses[MIDDLEWARES], middlewares))
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
        self.tables = yield from tables_of(self.state.tables, self.routes.old(), self.routes.changes.values())

    def _build(self, kind: str, name: str) -> Work[None]:
        """Build one object, or note why it is disabled."""
        if kind == MIDDLEWARES:
            if name in self._begun:
                return
            self._begun.add(name)
        configured = self.configured[kind].get(name)
        made, reason = None, None
        if isinstance(configured, str):
            reason = configured
        elif configured is not None:
            try:
                made = yield from self._made(kind, name, configured)
            except Broken as broken:
                reason = str(broken)
            except Exception as error:
                log.exception("%s %s cannot be built", NOUNS[kind], name)
                reason = f"it cannot be built: {error!r}; this is a mistake in fastproxy, the log says where"
        if isinstance(made, Transport) and made.fault:
            reason = made.fault  # it is there all the same for services that need no TLS
        self.built[kind].put(name, made)
        self.failures[kind].put(name, reason)
        if reason is not None:
            self._failed.append(Failure(kind, name, reason))

    def _made(self, kind: str, name: str, configured: Any) -> Work[Any]:
        if kind == TRANSPORTS:
            return (yield from transport_of(configured, self.state.estate.contexts))
        if kind == SERVICES:
            return (yield from self._service(name, configured))
        return self._route(name, configured) if kind == ROUTERS else self._steps(name, configured)

    def _service(self, name: str, configured: Any) -> Work[Service]:
        wanted = configured.load_balancer and configured.load_balancer.servers_transport
        transport = self._used(TRANSPORTS, wanted or DEFAULT_TRANSPORT)
        return (yield from service_of(name, configured, transport, self.state.estate))

    def _route(self, name: str, configured: Any) -> Route:
        places = self.state.places
        self.warnings.put(name, warnings_of(configured, places) or None)
        return route_of(
            name,
            configured,
            places,
            old=self.state.routes.get(name),
            pipeline=lambda: self._pipeline(configured.middlewares),
            balancer=lambda: self._used(SERVICES, configured.service).balancer,
        )

    def _pipeline(self, names: tuple[str, ...]) -> Pipeline:
        pipeline = self.pipelines.get(names)
        if pipeline is None and not any(name in self.affected[MIDDLEWARES] for name in names):
            pipeline = self.state.pipelines.get(names)
        if pipeline is None:
            steps = [step for name in names for step in self._used(MIDDLEWARES, name)]
            pipeline = self.pipelines[names] = Pipeline(steps)
        return pipeline

    def _steps(self, name: str, configured: Any) -> tuple[Step, ...]:
        """Build a middleware: its steps, or, of a chain, the steps of its members in order."""
        if configured.chain is None:
            return steps_of(name, configured, self.state.plugins)
        self._building.append(name)
        try:
            return tuple(step for member in configured.chain.middlewares for step in self._member(member))
        finally:
            self._building.pop()

    def _member(self, name: str) -> tuple[Step, ...]:
        """Return the steps of a chain's member, which may be a chain that is not built yet."""
        if name in self._building:
            loop = [*self._building[self._building.index(name) :], name]
            raise Broken(f"a chain that leads back to itself: {' -> '.join(loop)}")
        if name in self.affected[MIDDLEWARES]:
            for _ in self._build(MIDDLEWARES, name):
                pass  # steps are built at once: nothing is asked for
        return self._used(MIDDLEWARES, name)

    def _used(self, kind: str, name: str) -> Any:
        """Return what somebody refers to. Raises Broken if it is not there or disabled."""
        made = self.built[kind].get(name)
        if made is not None:
            return made
        reason = self.failures[kind].get(name)
        if reason is not None:
            raise Broken(f"{_CALLED[kind].format(name)} is disabled: {reason}")
        if kind == TRANSPORTS:
            raise Broken(f"servers transport not found {name}")
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
        self._land_pipelines()
        for overlays in (self.configured, self.failures, self.built):
            for overlay in overlays.values():
                overlay.land()
        self.warnings.land()
        self.state.tables = self.tables

    def _land_pipelines(self) -> None:
        kept = self.state.pipelines
        middlewares = self.affected[MIDDLEWARES]
        if middlewares:
            for names in [names for names in kept if not middlewares.keys().isdisjoint(names)]:
                del kept[names]
        if len(kept) > 2 * len(self.state.routes) + 64:
            kept.clear()  # most are of routers that are gone; those of the others live on in their routes
        kept.update(self.pipelines)

    def settle(self) -> Work[None]:
        """Return the work that is left when the snapshot is in its place. Made before `land`, done after."""
        configured = self.state.runtime.configured
        before = {kind: _only(configured[kind], names) for kind, names in self.changes.items()}
        return self._settle(before, self.services.old())

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
}


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
