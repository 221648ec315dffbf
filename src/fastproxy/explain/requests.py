"""Why a request goes where it goes: router, middlewares, service, and who else came close.

Works on a runtime view, so it serves `fastproxy explain`, which builds one from files, and `/api/explain`.
What a request becomes is decided by the compiled core, on trial. Nothing is sent to anybody.
"""

from collections.abc import Iterable, Iterator

from msgspec import structs

from ..build.runtime import MIDDLEWARES, ROUTERS, SERVICES, TCP_ROUTERS, Record, Runtime, server_status
from ..build.services import place_of
from ..build.trial import PURE, Refused, Sent, Trial
from ..config.dynamic import HttpRouter
from ..config.internal import PROVIDER as INTERNAL
from ..config.static import StaticConfiguration
from ..rules.evaluate import Asked
from .candidates import Candidate, field_of
from .connections import Look, look_of
from .effects import changes, effects_of, untried
from .questions import Question, Wanted, points_of_request, wanted_of
from .told import Explanation, Passed, RequestTold, ServerTold, ServiceTold, Way


def explain(question: Question, static: StaticConfiguration, runtime: Runtime) -> Explanation:
    """Say what would become of a request. Raises WrongQuestion."""
    wanted = wanted_of(question)
    points, chosen = points_of_request(question, wanted, static)
    look = (
        look_of(wanted.contact, static, runtime) if wanted.is_tls or runtime.configured[TCP_ROUTERS] else None
    )
    ways = tuple(_way(question, wanted, static, runtime, point, look) for point in points)
    return Explanation(
        method=question.method, url=question.url, client=question.client, chosen=chosen, ways=ways
    )


def _way(
    question: Question,
    wanted: Wanted,
    static: StaticConfiguration,
    runtime: Runtime,
    point: str,
    look: Look | None,
) -> Way:
    """Return the way of a request through one entry point: first that of its connection."""
    connection, terms = look(point) if look is not None else (None, "")
    search = _Search(question, wanted, static, runtime, point, terms)
    if connection is None:
        return search.way()
    if connection.router:
        reason = f"the TCP router {connection.router} takes the connection, and no request is read"
        return Way(entry_point=point, reason=connection.closed or reason, connection=connection)
    if wanted.is_tls and connection.row == "3":
        return structs.replace(search.way(), status=400, reason=connection.closed, connection=connection)
    if connection.closed:
        return Way(entry_point=point, reason=connection.closed, connection=connection)
    return structs.replace(search.way(), connection=connection if wanted.is_tls else None)


class _Search:
    """The way of one request through one entry point, when HTTP has its connection."""

    def __init__(
        self,
        question: Question,
        wanted: Wanted,
        static: StaticConfiguration,
        runtime: Runtime,
        entry_point: str,
        terms: str,
    ) -> None:
        """terms: the TLS options of the connection; '' without TLS."""
        self._terms = terms
        self._question = question
        self._wanted = wanted
        self._static = static
        self._runtime = runtime
        self._entry_point = entry_point

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
        asked = Asked.of(trial.request)
        field = field_of(ROUTERS, asked, self._static, self._runtime, self._entry_point, self._hindrances)
        winner = field.winner
        way = self._taken(winner, trial) if winner is not None else self._lost()
        return structs.replace(way, **field.others(winner))

    def _hindrances(self, router: HttpRouter) -> Iterator[str]:
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
        assert isinstance(winner.router, HttpRouter)
        if misdirected := self._misdirected(winner.router):
            status, reason = 421, misdirected
        elif escape := trial.denied_escape():
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
            **winner.taking,
            middlewares=middlewares,
            request=request,
            service=service,
        )

    def _misdirected(self, router: HttpRouter) -> str:
        """Say why a router does not take requests of this connection; '' if it does."""
        if router.tls is None or router.tls.options == self._terms:
            return ""
        asked = self._wanted.contact.name or "no name"
        return (
            f"the router has the TLS options {router.tls.options}, and the connection, "
            f"which asked for {asked}, has {self._terms or 'none'}"
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
