"""A change of the configuration builds again what changed and who uses it, and nothing else."""

import gc
import weakref

import pytest
from msgspec import structs

from fastproxy._core.message import Request
from fastproxy.build.runtime import MIDDLEWARES, ROUTERS, SERVICES, TRANSPORTS
from fastproxy.build.snapshot import Builder, Generation
from fastproxy.build.work import run_in_turns, run_now
from fastproxy.config import delta
from fastproxy.config.dynamic import Configuration, HttpService, ServersTransport
from fastproxy.config.http import HttpConfiguration, HttpRouter, LoadBalancer, Server
from fastproxy.config.merge import Merger
from fastproxy.config.middlewares import AddPrefix, Chain, HttpMiddleware
from fastproxy.config.static import EntryPoint, EntryPointHTTP, StaticConfiguration

STATIC = StaticConfiguration(
    entry_points={"web": EntryPoint(address=":80"), "admin": EntryPoint(address=":81")}
)
WEB, ADMIN = 1, 0  # the tables stand in the order of the names


def router(host="a.example", service="s", **options) -> HttpRouter:
    return HttpRouter(rule=f"Host(`{host}`)", service=service, **options)


def service(*urls, **options) -> HttpService:
    return HttpService(load_balancer=LoadBalancer(servers=tuple(map(Server, urls)), **options))


def prefix(text="/x") -> HttpMiddleware:
    return HttpMiddleware(add_prefix=AddPrefix(prefix=text))


def chain(*members) -> HttpMiddleware:
    return HttpMiddleware(chain=Chain(middlewares=members))


def document(routers=None, services=None, middlewares=None, transports=None, broken=None) -> Configuration:
    """One router to one service, unless said otherwise."""
    return Configuration(
        http=HttpConfiguration(
            routers={"r": router()} if routers is None else routers,
            services={"s": service("http://10.0.0.1")} if services is None else services,
            middlewares=middlewares or {},
            servers_transports=transports or {},
        ),
        broken=broken or {},
    )


class Worker:
    """A builder that is fed documents of the provider `file`, and the generation that came of the last."""

    def __init__(self, static: StaticConfiguration = STATIC) -> None:
        self.merger = Merger(static)
        self.builder = Builder(static)
        self.runtime = self.builder.runtime
        self.last: Generation | None = None
        self.configuration = Configuration()
        self.by_delta = False

    def apply(self, configuration: Configuration) -> Generation:
        merged = self.merger.merge({"file": configuration}).configuration
        news = delta.difference(self.configuration, merged) if self.by_delta else merged
        self.configuration = merged
        self.last = run_now(self.builder.build(self.runtime.generation + 1, news))
        run_now(self.last.settle)
        return self.last

    def route(self, host="a.example", table=WEB, target="/"):
        head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        assert self.last is not None
        return self.last.snapshot.tables[table].match(Request.of(head))

    def status(self, kind, name):
        record = self.runtime.record(kind, name)
        return record.status, record.error


@pytest.fixture(params=["whole", "delta"])
def worker(request):
    worker = Worker()
    worker.by_delta = request.param == "delta"
    return worker


def test_a_router_and_its_service(worker):
    made = worker.apply(document())
    assert made.snapshot.generation == 1
    route = worker.route()
    assert (route.name, route.service, route.balancer.choose()) == ("r@file", "s@file", "http://10.0.0.1")
    assert worker.route("b.example") is None
    assert worker.status(ROUTERS, "r@file") == ("enabled", ())
    assert made.counts == (2, 0, 0)
    assert made.failures == ()


def test_routers_are_in_the_tables_of_their_entry_points(worker):
    worker.apply(document({"r": router(), "w": router("w.example", entry_points=("web",))}))
    assert worker.route(table=WEB) is worker.route(table=ADMIN)
    assert worker.route("w.example", WEB).name == "w@file"
    assert worker.route("w.example", ADMIN) is None
    assert worker.runtime.record(ROUTERS, "r@file").using == ("admin", "web")


def test_priority_is_the_length_of_the_rule_in_bytes_or_as_given(worker):
    worker.apply(document({"a": router(), "b": HttpRouter(rule="Path(`/\u00e9`)", service="s")}))
    assert worker.route().priority == len("Host(`a.example`)")
    assert worker.route("b.example", target="/%C3%A9").priority == len("Path(`/..`)")
    worker.apply(document({"a": router(), "b": router(priority=70)}))
    assert (worker.route().name, worker.route().priority) == ("b@file", 70)


def test_providers_win_ties_in_the_order_of_precedence(worker):
    merged = worker.merger.merge({"file": document(), "docker": document()}).configuration
    worker.last = run_now(worker.builder.build(1, merged))
    assert worker.route().name == "r@docker"


# --- what is taken over -----------------------------------------------------------------------------


def test_what_did_not_change_is_the_same_object(worker):
    services = {"s": service("http://10.0.0.1"), "t": service("http://10.0.0.2")}
    routers = {"r": router(), "q": router("q.example", "t")}
    worker.apply(document(routers, services))
    before = worker.route()
    made = worker.apply(document({**routers, "q": router("p.example", "t")}, services))
    assert made.counts == (0, 1, 0)
    assert worker.route() is before
    assert worker.route("q.example") is None
    assert worker.route("p.example").balancer is not None


def test_an_untouched_table_is_the_same_object(worker):
    routers = {"r": router(entry_points=("web",)), "a": router(entry_points=("admin",))}
    one = worker.apply(document(routers)).snapshot
    two = worker.apply(document({**routers, "a": router("b.example", entry_points=("admin",))})).snapshot
    assert one.tables[WEB] is two.tables[WEB]
    assert one.tables[ADMIN] is not two.tables[ADMIN]


def test_a_changed_router_keeps_rule_and_balancer(worker):
    worker.apply(document())
    before = worker.route()
    worker.apply(document({"r": router(priority=9)}))
    after = worker.route()
    assert after is not before
    assert (after.rule, after.balancer) == (before.rule, before.balancer)


def test_the_place_of_a_balancer_survives_changes_of_others(worker):
    services = {"s": service("http://10.0.0.1", "http://10.0.0.2")}
    worker.apply(document(services=services))
    first = worker.route().balancer.choose()
    worker.apply(document({"r": router(), "x": router("x.example")}, services))
    second = worker.route().balancer.choose()
    assert {first, second} == {"http://10.0.0.1", "http://10.0.0.2"}


def test_a_changed_service_builds_its_routers_again(worker):
    worker.apply(document())
    worker.apply(document(services={"s": service("http://10.0.0.9")}))
    assert worker.route().balancer.choose() == "http://10.0.0.9"


def pool(worker):
    (target,) = worker.route().balancer.targets
    return target.pool


def test_a_pool_outlives_a_change_of_its_service(worker):
    worker.apply(document())
    before = pool(worker)
    worker.apply(document(services={"s": service("http://10.0.0.1", pass_host_header=False)}))
    assert pool(worker) is before


def test_a_changed_transport_builds_services_and_routers_again(worker):
    services = {"s": service("http://10.0.0.1", servers_transport="t")}
    worker.apply(document(services=services, transports={"t": ServersTransport(max_idle_conns_per_host=5)}))
    assert pool(worker).max_idle == 5
    worker.apply(document(services=services, transports={"t": ServersTransport(max_idle_conns_per_host=6)}))
    assert pool(worker).max_idle == 6


def test_a_pool_goes_with_the_last_service_that_needs_it(worker):
    estate = worker.builder._state.estate
    worker.apply(document(services={"s": service("http://10.0.0.1"), "t": service("http://10.0.0.1")}))
    assert len(estate) == 1
    worker.apply(document(services={"s": service("http://10.0.0.1")}))
    assert len(estate) == 1
    worker.apply(document(services={"s": service("http://10.0.0.2")}))
    assert len(estate) == 1
    assert pool(worker).host == "10.0.0.2"
    worker.apply(document({}, {}))
    assert len(estate) == 0


def test_everything_can_go_and_come_back(worker):
    worker.apply(document())
    assert worker.apply(document({}, {})).counts == (0, 0, 2)
    assert worker.route() is None
    assert worker.runtime.record(ROUTERS, "r@file") is None
    assert worker.apply(document()).counts == (2, 0, 0)
    assert worker.route().name == "r@file"


def test_nothing_of_an_old_generation_is_kept(worker):
    old = weakref.ref(worker.apply(document()).snapshot)
    worker.apply(document({"r": router(priority=3)}))
    gc.collect()
    assert old() is None


# --- what is disabled, and because of whom ----------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rule": "Hots(`a`)"}, "error while parsing rule Hots(`a`): "),
        ({"service": "gone"}, 'the service "gone@file" does not exist'),
        ({"service": "gone@docker"}, 'the service "gone@docker" does not exist'),
        ({"service": "api@internal"}, "api is not enabled"),
        ({"service": "rest@internal"}, 'the service "rest@internal" is not supported yet'),
        ({"middlewares": ("m",)}, 'middleware "m@file" does not exist'),
        ({"entry_points": ("wbe",)}, "no valid entryPoint for this router"),
    ],
)
def test_a_broken_router_is_disabled_and_the_rest_serves(worker, changed, reason):
    other = structs.replace(router("x.example"), **changed)
    made = worker.apply(document({"r": router(), "x": other}))
    assert worker.route().name == "r@file"
    assert worker.route("x.example") is None
    status, errors = worker.status(ROUTERS, "x@file")
    assert status == "disabled"
    assert errors[0].startswith(reason)
    assert [(failure.kind, failure.name) for failure in made.failures] == [(ROUTERS, "x@file")]
    assert [record.name for record in worker.runtime.disabled()] == ["x@file"]


def test_everything_that_is_wrong_about_a_router_is_told(worker):
    wrong = HttpRouter(rule="(", service="gone", middlewares=("m",), entry_points=("web",))
    worker.apply(document({"r": wrong}))
    _, (reason,) = worker.status(ROUTERS, "r@file")
    assert "error while parsing rule (" in reason
    assert 'middleware "m@file" does not exist; the service "gone@file" does not exist' in reason


def test_an_unknown_entry_point_among_others_is_a_warning(worker):
    worker.apply(document({"r": router(entry_points=("web", "wbe"))}))
    assert worker.route() is not None
    assert worker.status(ROUTERS, "r@file") == ("warning", ('entryPoint "wbe" doesn\'t exist',))
    worker.apply(document())
    assert worker.status(ROUTERS, "r@file") == ("enabled", ())


def test_a_broken_service_names_itself_as_the_reason(worker):
    worker.apply(document(services={"s": HttpService()}))
    reason = 'the service "s@file" does not have any type defined'
    assert worker.status(SERVICES, "s@file") == ("disabled", (reason,))
    assert worker.status(ROUTERS, "r@file") == ("disabled", (f'the service "s@file" is disabled: {reason}',))


def test_an_unknown_transport(worker):
    worker.apply(document(services={"s": service("http://a", servers_transport="x")}))
    reason = "servers transport not found x@file"
    assert worker.status(SERVICES, "s@file") == ("disabled", (reason,))
    assert worker.status(ROUTERS, "r@file") == ("disabled", (f'the service "s@file" is disabled: {reason}',))


def test_a_transport_with_invalid_tls(worker):
    services = {
        "s": service("https://a", servers_transport="t"),
        "plain": service("http://a", servers_transport="t"),
    }
    routers = {"r": router(), "p": router("p.example", "plain")}
    worker.apply(document(routers, services, transports={"t": ServersTransport(root_cas=("none.pem",))}))
    assert worker.status(TRANSPORTS, "t@file")[0] == "disabled"
    status, (reason,) = worker.status(SERVICES, "s@file")
    assert status == "disabled"
    assert reason.startswith('the servers transport "t@file" is disabled: rootCAs[0]: "none.pem"')
    assert worker.route() is None
    assert worker.route("p.example") is not None


def test_objects_that_could_not_be_read(worker):
    broken = {SERVICES: {"s": "loadBalancer.servers[0].url: no url"}, ROUTERS: {"q": "priority: too high"}}
    worker.apply(document(services={}, broken=broken))
    assert worker.status(ROUTERS, "q@file") == ("disabled", ("priority: too high",))
    assert worker.runtime.record(ROUTERS, "q@file").configured is None
    assert worker.runtime.record(ROUTERS, "q@file").using == ()
    reason = 'the service "s@file" is disabled: loadBalancer.servers[0].url: no url'
    assert worker.status(ROUTERS, "r@file") == ("disabled", (reason,))
    worker.apply(document())
    assert worker.status(ROUTERS, "r@file") == ("enabled", ())
    assert worker.runtime.record(ROUTERS, "q@file") is None


def test_who_waits_for_something_is_built_when_it_comes(worker):
    worker.apply(document(services={}))
    assert worker.route() is None
    made = worker.apply(document())
    assert worker.route() is not None
    assert made.failures == ()
    assert list(worker.runtime.disabled()) == []


def test_a_failure_that_stays_is_not_new(worker):
    assert len(worker.apply(document(services={})).failures) == 1
    made = worker.apply(document({"r": router(priority=5)}, services={}))
    assert made.failures == ()
    assert len(list(worker.runtime.disabled())) == 1


def test_an_error_that_nobody_thought_of_disables_one_object(worker, monkeypatch, caplog):
    def fails(text):
        if "x.example" in text:
            raise ZeroDivisionError("oops")
        return real(text)

    from fastproxy.build import routers

    real = routers.rule_of
    monkeypatch.setattr(routers, "rule_of", fails)
    worker.apply(document({"r": router(), "x": router("x.example")}))
    assert worker.route() is not None
    _, (reason,) = worker.status(ROUTERS, "x@file")
    assert "ZeroDivisionError('oops')" in reason
    assert "router x@file cannot be built" in caplog.text


def test_an_exception_leaves_everything_as_it_was(worker, monkeypatch):
    from fastproxy.build import draft

    worker.apply(document())
    before = worker.last
    with monkeypatch.context() as patched:
        patched.setattr(draft, "tables_of", lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            run_now(worker.builder.build(2, document({}, {})))
    assert worker.runtime.generation == 1
    assert worker.status(ROUTERS, "r@file") == ("enabled", ())
    worker.last = before
    assert worker.route() is not None


# --- middlewares and chains --------------------------------------------------------------------------


def steps(worker, host="a.example"):
    return [step.name for step in worker.route(host).pipeline.steps]


def test_middlewares_run_in_order_and_chains_in_their_place(worker):
    middlewares = {"a": prefix("/a"), "b": prefix("/b"), "c": chain("b", "d"), "d": chain("a")}
    worker.apply(document({"r": router(middlewares=("a", "c", "b"))}, middlewares=middlewares))
    assert steps(worker) == ["a@file", "b@file", "a@file", "b@file"]


def test_routers_with_the_same_middlewares_share_a_pipeline(worker):
    routers = {"r": router(middlewares=("m",)), "q": router("q.example", middlewares=("m",))}
    worker.apply(document({**routers, "p": router("p.example")}, middlewares={"m": prefix()}))
    assert worker.route().pipeline is worker.route("q.example").pipeline
    assert worker.route().pipeline is not worker.route("p.example").pipeline


def test_a_changed_middleware_builds_chains_and_routers_again_and_no_others(worker):
    routers = {"r": router(middlewares=("c",)), "q": router("q.example", middlewares=("n",))}
    middlewares = {"m": prefix("/1"), "n": prefix("/n"), "d": chain("m"), "c": chain("d")}
    worker.apply(document(routers, middlewares=middlewares))
    before, other = worker.route(), worker.route("q.example")
    worker.apply(document(routers, middlewares={**middlewares, "m": prefix("/2")}))
    assert worker.route() is not before
    assert worker.route().pipeline.steps != before.pipeline.steps
    assert worker.route().balancer is before.balancer
    assert worker.route("q.example") is other


def test_a_chain_that_leads_back_to_itself_disables_who_uses_it(worker):
    middlewares = {"a": chain("b"), "b": chain("c"), "c": chain("a"), "m": prefix()}
    routers = {"r": router(middlewares=("a",)), "q": router("q.example", middlewares=("m",))}
    worker.apply(document(routers, middlewares=middlewares))
    assert worker.route() is None
    assert worker.route("q.example") is not None
    for name in ("a@file", "b@file", "c@file"):
        status, (reason,) = worker.status(MIDDLEWARES, name)
        assert status == "disabled"
        assert "a@file -> b@file -> c@file -> a@file" in reason
    worker.apply(document(routers, middlewares={**middlewares, "c": chain("m")}))
    assert steps(worker) == ["m@file"]


def test_a_chain_of_itself(worker):
    worker.apply(document({"r": router(middlewares=("a",))}, middlewares={"a": chain("a")}))
    assert worker.status(MIDDLEWARES, "a@file") == (
        "disabled",
        ("a chain that leads back to itself: a@file -> a@file",),
    )


def test_a_member_that_is_missing_names_the_way_to_it(worker):
    worker.apply(document({"r": router(middlewares=("c",))}, middlewares={"c": chain("m")}))
    missing = 'middleware "m@file" does not exist'
    assert worker.status(MIDDLEWARES, "c@file") == ("disabled", (missing,))
    assert worker.status(ROUTERS, "r@file") == ("disabled", (f'middleware "c@file" is disabled: {missing}',))
    worker.apply(document({"r": router(middlewares=("c",))}, middlewares={"c": chain("m"), "m": prefix()}))
    assert steps(worker) == ["m@file"]


def test_middlewares_of_an_entry_point_come_first():
    static = StaticConfiguration(
        entry_points={"web": EntryPoint(address=":80", http=EntryPointHTTP(middlewares=("e@file",)))}
    )
    worker = Worker(static)
    worker.apply(document({"r": router(middlewares=("m",))}, middlewares={"e": prefix(), "m": prefix()}))
    assert [step.name for step in worker.route(table=0).pipeline.steps] == ["e@file", "m@file"]


# --- who uses whom ----------------------------------------------------------------------------------


def test_used_by(worker):
    worker.apply(
        document(
            {"r": router(), "q": router("q.example", middlewares=("c",))},
            middlewares={"c": chain("m"), "m": prefix()},
        )
    )
    assert worker.runtime.record(SERVICES, "s@file").used_by == ("q@file", "r@file")
    assert worker.runtime.record(MIDDLEWARES, "c@file").used_by == ("q@file",)
    assert worker.runtime.record(MIDDLEWARES, "m@file").used_by == ("c@file",)
    assert worker.runtime.record(TRANSPORTS, "default@internal").used_by == ("s@file",)
    worker.apply(document({"q": router()}))
    assert worker.runtime.record(SERVICES, "s@file").used_by == ("q@file",)


# --- in turns ---------------------------------------------------------------------------------------


async def test_ten_thousand_routers_leave_the_loop_its_turns():
    import asyncio

    worker = Worker()
    many = {f"r{n}": router(f"h{n}.example") for n in range(10_000)}
    merged = worker.merger.merge({"file": document(many)}).configuration
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    worker.last = await run_in_turns(worker.builder.build(1, merged))
    counting.cancel()
    assert turns > 20
    assert worker.route("h9999.example").name == "r9999@file"


async def test_what_takes_long_runs_in_a_thread():
    import threading

    def work():
        return (yield threading.get_ident)

    assert await run_in_turns(work()) != threading.get_ident()
    assert run_now(work()) == threading.get_ident()


async def test_what_a_thread_raises_is_raised_in_the_work():
    def work():
        try:
            yield lambda: 1 // 0
        except ZeroDivisionError:
            return "caught"

    assert await run_in_turns(work()) == "caught"
    assert run_now(work()) == "caught"
