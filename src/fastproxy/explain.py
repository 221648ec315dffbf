"""Why a request goes where it goes: router, middlewares, service, and who else came close.

Works on a runtime view, so it serves `fastproxy explain`, which builds one from files, and `/api/explain`.
Rules are evaluated in plain Python, which says more than yes or no; what a request becomes is decided by the
compiled core, on trial. Nothing is sent to anybody.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from .build.runtime import (
    MIDDLEWARES,
    ROUTERS,
    SERVICES,
    TCP_ROUTERS,
    Record,
    Runtime,
    priority_of,
    server_status,
)
from .build.services import place_of
from .build.trial import PURE, Refused, Sent, Trial
from .config.dynamic import HttpRouter
from .config.findings import unknown
from .config.internal import PROVIDER as INTERNAL
from .config.static import StaticConfiguration
from .effects import changes, effects_of, untried
from .rules.evaluate import Asked, Outcome, is_elsewhere, read
from .rules.syntax import RuleError

MOST = 5
"""How many routers of each sort are named; of the others the number is told."""

NEAREST = 3
"""How many routers that do not match are named."""

MANY = 1000
"""From how many routers on those of other hosts are passed over unread: to read a rule takes a while."""

PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?i)(https?)://(?:[^/?#]*@)?([^/?#]*)([^#]*)")
_PORT = re.compile(r":([0-9]{0,5})$")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class WrongQuestion(ValueError):
    """A question that is none; the text says what to write."""


class Question(NamedTuple):
    """A request that somebody might send."""

    method: str
    url: str
    """http://host:port/path?query, or https."""

    headers: tuple[tuple[str, str], ...] = ()
    entry_point: str = ""
    """Empty: the one that listens on the URL's port, else those that are the default."""

    client: str = "127.0.0.1"
    """The address that it comes from."""


# --- the explanation ----------------------------------------------------------------------------------------


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of an explanation; in JSON what is empty is left out."""


class Other(Told, frozen=True, kw_only=True):
    """A router that does not take the request."""

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


class Way(Told, frozen=True, kw_only=True):
    """What happens to the request on one entry point."""

    entry_point: str
    status: int = 0
    """What it is answered without a server being asked; 0: a server is."""

    reason: str = ""
    """Why it is answered that."""

    asked_before: tuple[str, ...] = ()
    """TCP routers of the entry point: they look at the connection, and whom one takes no router sees."""

    router: str = ""
    """Who takes it; empty: nobody."""

    rule: str = ""
    priority: int = 0
    is_computed: bool = False
    """Whether the priority is the length of the rule, because none is given."""

    middlewares: tuple[Passed, ...] = ()
    request: RequestTold | None = None
    service: ServiceTold | None = None
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


class Explanation(Told, frozen=True, kw_only=True):
    """The whole."""

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


def explain(question: Question, static: StaticConfiguration, runtime: Runtime) -> Explanation:
    """Say what would become of a request. Raises WrongQuestion."""
    wanted = _wanted(question)
    points, chosen = _entry_points(question, wanted, static)
    ways = tuple(_Search(question, wanted, static, runtime, point).way() for point in points)
    return Explanation(
        method=question.method, url=question.url, client=question.client, chosen=chosen, ways=ways
    )


# --- the question -------------------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """A question taken apart."""

    received: Sent
    port: int
    is_tls: bool


def _wanted(question: Question) -> Wanted:
    if not _TOKEN.fullmatch(question.method):
        raise WrongQuestion(f'"{question.method}" is not a method; write one like GET')
    url = _URL.fullmatch(question.url.partition("#")[0])
    if url is None or not url[2] or _CONTROL.search(question.url) or " " in question.url:
        raise WrongQuestion(f'"{question.url}" is not a URL; write one like https://shop.example/path?query=1')
    scheme, authority, target = url[1].lower(), url[2], url[3]
    port = _PORT.search(authority) if not authority.endswith("]") else None
    fields = [*question.headers]
    if not any(name.lower() == "host" for name, _ in fields):
        fields.insert(0, ("Host", authority))
    for name, value in fields:
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise WrongQuestion(f'"{name}: {value}" is not a header field; write one like "X-User: me"')
    if question.client:
        _check_address(question.client)
    path, mark, query = target.partition("?")
    received = Sent(question.method, path or "/", query if mark else None, tuple(fields))
    number = int(port[1]) if port and port[1] else PORTS[scheme]
    return Wanted(received, number, scheme == "https")


def _check_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise WrongQuestion(f'"{text}" is not an address; write one like 203.0.113.9') from None


def _entry_points(
    question: Question, wanted: Wanted, static: StaticConfiguration
) -> tuple[tuple[str, ...], str]:
    """Return the entry points by which the request may come in, and why these."""
    points = {name: point for name, point in static.entry_points.items() if not point.is_udp}
    if question.entry_point:
        if question.entry_point not in points:
            known = ", ".join(sorted(points))
            raise WrongQuestion(f"{unknown('entry point', question.entry_point, points)}; there is {known}")
        return (question.entry_point,), "as asked for"
    listening = sorted(name for name, point in points.items() if point.location.port == wanted.port)
    if listening:
        return tuple(listening), f"listens on port {wanted.port}"
    return static.default_entry_points(), f"none listens on port {wanted.port}: a default entry point"


# --- one entry point ----------------------------------------------------------------------------------------


class Candidate(NamedTuple):
    """A router, and what its rule says."""

    name: str
    router: HttpRouter
    outcome: Outcome
    hindrances: tuple[str, ...]
    """Why it takes no part although its rule may match: it is elsewhere, it wants TLS."""

    disabled: str
    """Why it is disabled, or ''."""

    order: int
    """Place of its provider in providers.precedence."""

    @property
    def rank(self) -> tuple[int, int, str]:
        """What it is asked by: the least first, as in `_core.table`."""
        return -priority_of(self.router), self.order, self.name

    @property
    def matches(self) -> bool:
        return self.outcome.holds and not self.hindrances

    def told(self, *why: str) -> Other:
        return Other(name=self.name, rule=self.router.rule, priority=priority_of(self.router), why=why)


class _Search:
    """The way of one request through one entry point."""

    def __init__(
        self,
        question: Question,
        wanted: Wanted,
        static: StaticConfiguration,
        runtime: Runtime,
        entry_point: str,
    ) -> None:
        self._question = question
        self._wanted = wanted
        self._static = static
        self._runtime = runtime
        self._entry_point = entry_point
        self._precedence = {name: at for at, name in enumerate(static.providers.precedence)}
        self._unreadable: list[Other] = []

    def way(self) -> Way:
        try:
            trial = Trial(
                self._wanted.received,
                self._question.client,
                self._wanted.is_tls,
                self._static,
                self._entry_point,
            )
        except Refused as refused:
            return Way(entry_point=self._entry_point, status=refused.status, reason=str(refused))
        candidates = sorted(self._candidates(Asked.of(trial.request)), key=lambda each: each.rank)
        matching = [each for each in candidates if each.matches]
        serving = [each for each in matching if not each.disabled]
        others = {
            "beaten": [each.told(_beaten(each, serving[0])) for each in serving[1:]],
            "disabled": [each.told(*_disabled(each, serving[:1])) for each in matching if each.disabled],
            "near": [each.told(*each.hindrances, *each.outcome.misses) for each in _nearest(candidates)],
            "unreadable": self._unreadable,
        }
        way = self._taken(serving[0], trial) if serving else self._lost()
        shown: dict[str, Any] = {name: tuple(found[:MOST]) for name, found in others.items()}
        more = {name: len(found) - MOST for name, found in others.items() if len(found) > MOST}
        return msgspec.structs.replace(way, **shown, more=more, asked_before=self._streams())

    def _streams(self) -> tuple[str, ...]:
        """Return the TCP routers that are asked before any request is read."""
        disabled = self._runtime.failures[TCP_ROUTERS]
        routers = self._runtime.configured[TCP_ROUTERS].items()
        return tuple(
            name
            for name, router in routers
            if name not in disabled
            and getattr(router, "tls", None) is None
            and self._entry_point in getattr(router, "entry_points", ())
        )[:MOST]

    def _candidates(self, asked: Asked) -> Iterator[Candidate]:
        failures = self._runtime.failures[ROUTERS]
        routers = self._runtime.configured[ROUTERS]
        for name, router in routers.items():
            if isinstance(router, str):
                self._unreadable.append(Other(name=name, why=(router,)))
                continue
            if len(routers) > MANY and is_elsewhere(router.rule, asked.host):
                continue
            try:
                outcome = read(router.rule).ask(asked)
            except RuleError as error:
                if self._entry_point in router.entry_points:
                    self._unreadable.append(Other(name=name, rule=router.rule, why=(str(error),)))
                continue
            order = self._precedence.get(name.rpartition("@")[2], len(self._precedence))
            hindrances = tuple(self._hindrances(router))
            yield Candidate(name, router, outcome, hindrances, failures.get(name, ""), order)

    def _hindrances(self, router: HttpRouter) -> Iterator[str]:
        if self._entry_point not in router.entry_points:
            yield f"it is on {', '.join(router.entry_points)}, not on {self._entry_point}"
        if router.tls is not None and not self._wanted.is_tls:
            yield "it has tls, and so takes https only"
        if router.tls is None and self._wanted.is_tls:
            yield "it has no tls, and so takes http only"

    def _lost(self) -> Way:
        return Way(entry_point=self._entry_point, status=404, reason="no router takes it")

    def _taken(self, winner: Candidate, trial: Trial) -> Way:
        """Lead the request from its router to its server."""
        middlewares: tuple[Passed, ...] = ()
        status, reason = 0, ""
        request, service = None, None
        if escape := trial.denied_escape():
            status, reason = 400, f"the path holds {escape}, which the entry point lets no router see"
        else:
            middlewares = tuple(self._passed(winner.router.middlewares, trial))
            if middlewares and (status := middlewares[-1].status):
                reason = f"the middleware {middlewares[-1].name} answers"
        if not status:
            sent = trial.leave()
            request = _request(self._wanted.received, sent)
            service = self._service(winner.router.service, sent)
            if service.type == "loadbalancer" and not service.servers:
                status, reason = 503, f"the service {service.name} has no server that may be asked"
        return Way(
            entry_point=self._entry_point,
            status=status,
            reason=reason,
            router=winner.name,
            rule=winner.router.rule,
            priority=priority_of(winner.router),
            is_computed=not winner.router.priority,
            middlewares=middlewares,
            request=request,
            service=service,
        )

    def _passed(self, names: Iterable[str], trial: Trial) -> Iterator[Passed]:
        """Yield the middlewares up to the one that answers, the members of chains in place of these."""
        for name in names:
            configured = self._runtime.configured[MIDDLEWARES][name]
            if configured.chain is not None:
                for passed in self._passed(configured.chain.middlewares, trial):
                    yield passed
                    if passed.status:
                        return
                continue
            kind = configured.kind
            if kind not in PURE:
                yield Passed(name=name, type=kind, does=(untried(configured),))
                continue
            met = trial.meet(name, configured)
            does = effects_of(configured, met, self._question.client)
            status = met.answer.status if met.answer is not None else 0
            yield Passed(name=name, type=kind, does=tuple(does), status=status)
            if status:
                return

    def _service(self, name: str, sent: Sent) -> ServiceTold:
        record = self._runtime.record(SERVICES, name)
        assert record is not None  # its router is enabled
        if record.provider == INTERNAL:
            return ServiceTold(name=name)
        balancer = record.configured.load_balancer
        if balancer is None:
            return ServiceTold(name=name, type="unknown")
        return ServiceTold(
            name=name,
            type="loadbalancer",
            servers=tuple(_servers(record, sent)),
            names_host=not balancer.pass_host_header,
        )


def _servers(record: Record, sent: Sent) -> Iterator[ServerTold]:
    """Yield the servers that may be asked. sent: what one is sent whose URL has no path of its own."""
    status = server_status(record)
    for server in record.configured.load_balancer.servers:
        if server.weight > 0:
            prefix = place_of(server.url).path.decode() if server.preserve_path else ""
            yield ServerTold(
                url=server.url,
                weight=server.weight,
                status=status.get(server.url, ""),
                target=sent._replace(path=prefix + sent.path).target if prefix else "",
            )


def _request(received: Sent, sent: Sent) -> RequestTold:
    return RequestTold(
        method=sent.method, target=sent.target, host=sent.host, changes=tuple(changes(received, sent))
    )


def _beaten(later: Candidate, first: Candidate) -> str:
    """Say why a router that matches too comes later."""
    mine, winning = priority_of(later.router), priority_of(first.router)
    if mine != winning:
        return f"its priority {mine} is below {winning}"
    if later.order != first.order:
        return f"its priority is {mine} too, but its provider comes later in providers.precedence"
    return f"its priority is {mine} too, but its name comes later"


def _disabled(candidate: Candidate, winner: Iterable[Candidate]) -> Iterator[str]:
    """Say why a router that would match is disabled, and whether that makes a difference."""
    yield candidate.disabled
    for each in winner:
        if candidate.rank < each.rank:
            yield f"its priority {priority_of(candidate.router)} would put it before {each.name}"


def _nearest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the routers that come closest to matching, the nearest first; of some nothing holds at all."""
    lost = [each for each in candidates if not each.matches and not each.disabled and each.outcome.held]
    here = {(each.router.rule, each.router.service) for each in candidates if not each.hindrances}
    # A copy of a router that is told already, for another entry point, is no news.
    news = [
        each for each in lost if not each.hindrances or (each.router.rule, each.router.service) not in here
    ]
    news.sort(key=lambda each: -each.outcome.closeness / (1 + len(each.hindrances)))
    return news[:NEAREST]
