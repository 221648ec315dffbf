"""What is under way ends as it began, what comes next sees the new configuration, and nothing fails."""

import asyncio
import gc
import weakref

import pytest

from fastproxy.build.runtime import ROUTERS
from tests.reload.peers import STATIC, document

EVERYTHING = ("PathPrefix(`/`)", "s")


async def test_a_request_under_way_ends_under_the_old_configuration(proxy, backend, connect):
    old, new = await backend("old"), await backend("new")
    running = await proxy(document({"r": EVERYTHING}, {"s": [old.url]}))
    waiting, other = await connect(running), await connect(running)
    old.hold()
    waiting.send()
    await old.asked()
    await running.apply(document({"r": EVERYTHING}, {"s": [new.url]}))
    assert await other.get() == (200, "new /")
    old.go.set()
    assert await waiting.answer() == (200, "old /")
    assert await waiting.get() == (200, "new /")


async def test_the_next_request_of_a_connection_sees_the_new_configuration(proxy, backend, connect):
    one, two = await backend("one"), await backend("two")
    services = {"s": [one.url], "t": [two.url]}
    running = await proxy(document({"r": EVERYTHING}, services))
    client = await connect(running)
    assert await client.get() == (200, "one /")
    await running.apply(document({"r": ("PathPrefix(`/`)", "t")}, services))
    assert await client.get() == (200, "two /")
    await running.apply(document({}, services))
    assert await client.get() == (404, "404 page not found\n")
    await running.apply(document({"r": EVERYTHING}, services))
    assert await client.get() == (200, "one /")


async def test_requests_sent_ahead_are_asked_one_after_the_other(proxy, backend, connect):
    one, two = await backend("one"), await backend("two")
    running = await proxy(document({"r": EVERYTHING}, {"s": [one.url]}))
    client = await connect(running)
    one.hold()
    client.send("/1")
    client.send("/2")
    await one.asked()
    await running.apply(document({"r": EVERYTHING}, {"s": [two.url]}))
    one.go.set()
    assert await client.answer() == (200, "one /1")
    assert await client.answer() == (200, "two /2")


async def test_the_old_pipeline_finishes_and_the_new_one_serves(proxy, backend, connect):
    server = await backend("s")

    def prefixed(prefix):
        router = {"rule": "PathPrefix(`/`)", "service": "s", "middlewares": ["m"]}
        middlewares = {"m": {"addPrefix": {"prefix": prefix}}}
        return document({"r": router}, {"s": [server.url]}, middlewares=middlewares)

    running = await proxy(prefixed("/old"))
    waiting, other = await connect(running), await connect(running)
    server.hold()
    waiting.send("/x")
    await server.asked()
    await running.apply(prefixed("/new"))
    server.go.set()
    assert await other.get("/x") == (200, "s /new/x")
    assert await waiting.answer() == (200, "s /old/x")


# --- what outlives a reload -------------------------------------------------------------------------


async def test_warm_connections_to_servers_stay(proxy, backend, connect):
    server = await backend("s")
    running = await proxy(document({"r": EVERYTHING}, {"s": [server.url]}))
    client = await connect(running)
    for n in range(5):
        assert await client.get() == (200, "s /")
        rule = f"PathPrefix(`/`) && !Path(`/no-{n}`)"
        service = {"loadBalancer": {"servers": [{"url": server.url}], "passHostHeader": bool(n % 2)}}
        await running.apply(document({"r": (rule, "s")}, {"s": service}))
    assert server.opened == 1


async def test_warm_connections_to_servers_that_left_are_closed(proxy, backend, connect):
    left, kept = await backend("left"), await backend("kept")
    running = await proxy(document({"r": EVERYTHING}, {"s": [left.url]}))
    client = await connect(running)
    await client.get()
    assert len(left.writers) == 1
    await running.apply(document({"r": EVERYTHING}, {"s": [kept.url]}))
    async with asyncio.timeout(5):
        while left.writers:
            await asyncio.sleep(0)


async def test_a_balancer_goes_on_where_it_was(proxy, backend, connect):
    one, two = await backend("one"), await backend("two")
    services = {"s": [one.url, two.url]}
    running = await proxy(document({"r": EVERYTHING}, services))
    client = await connect(running)
    answers = []
    for n in range(6):
        answers.append((await client.get())[1])
        await running.apply(document({"r": EVERYTHING, f"r{n}": (f"Host(`{n}.example`)", "s")}, services))
    assert answers[0::2] == [answers[0]] * 3
    assert answers[1::2] == [answers[1]] * 3
    assert answers[0] != answers[1]


async def test_what_a_server_has_to_answer_is_remembered(proxy, backend, connect):
    server = await backend("s")
    limited = {**STATIC, "core": {"limits": {"pendingPerServer": 1}}}
    running = await proxy(document({"r": EVERYTHING}, {"s": [server.url]}), limited)
    waiting, other = await connect(running), await connect(running)
    server.hold()
    waiting.send()
    await server.asked()
    await running.apply(document({"r": ("PathPrefix(`/`)", "t")}, {"t": [server.url]}))
    assert await other.get() == (503, "Service Unavailable")
    server.go.set()
    assert await waiting.answer() == (200, "s /")
    assert await other.get() == (200, "s /")


async def test_an_old_generation_dies_with_its_last_request(proxy, backend, connect):
    server = await backend("s")
    running = await proxy(document({"r": EVERYTHING}, {"s": [server.url]}))
    client = await connect(running)
    old = weakref.ref(running._switcher.switch.current)
    server.hold()
    client.send()
    await server.asked()
    await running.apply(document({"r": ("Path(`/`)", "s")}, {"s": [server.url]}))
    assert old() is not None
    server.go.set()
    await client.answer()
    gc.collect()
    assert old() is None


# --- broken things ----------------------------------------------------------------------------------


async def test_a_broken_router_disables_itself(proxy, backend, connect, caplog):
    server = await backend("s")
    routers = {"r": EVERYTHING, "x": ("Host(`x.example`) && PathPrefix(`/`)", "t")}
    services = {"s": [server.url], "t": [server.url]}
    running = await proxy(document(routers, services))
    client = await connect(running)
    applied = await running.apply(document({**routers, "x": ("Hst(`x.example`)", "t")}, services))
    assert [(failure.kind, failure.name) for failure in applied.failures] == [(ROUTERS, "x@file")]
    record = running.runtime.record(ROUTERS, "x@file")
    assert record.status == "disabled"
    assert "Hst" in record.error[0]
    assert "router x@file is disabled: error while parsing rule Hst(`x.example`)" in caplog.text
    # the request falls to the router of lower priority, as in Traefik
    assert await client.get(host="x.example") == (200, "s /")
    assert (await running.apply(document(routers, services))).disabled == ()


async def test_an_object_that_cannot_be_read_disables_who_needs_it(proxy, backend, connect):
    server = await backend("s")
    broken = {"loadBalancer": {"servers": [{"url": "ftp://a"}]}}
    running = await proxy(
        document({"r": EVERYTHING, "q": ("Path(`/q`)", "t")}, {"s": [server.url], "t": broken})
    )
    _, (error,) = (record := running.runtime.record(ROUTERS, "q@file")).status, record.error
    assert error.startswith('the service "t@file" is disabled: ')
    assert "ftp" in error
    assert await (await connect(running)).get("/x") == (200, "s /x")


async def test_a_document_that_cannot_be_used_leaves_the_last_one(proxy, backend, connect):
    from fastproxy.errors import ConfigError

    server = await backend("s")
    running = await proxy(document({"r": EVERYTHING}, {"s": [server.url]}))
    with pytest.raises(ConfigError, match="routes"):
        await running.apply({"http": {"routes": {}}})
    assert await (await connect(running)).get() == (200, "s /")


# --- many changes -----------------------------------------------------------------------------------


async def test_changes_are_applied_in_their_order(proxy, backend, connect):
    server = await backend("s")
    running = await proxy()
    documents = [document({"r": (f"Path(`/{n}`)", "s")}, {"s": [server.url]}) for n in range(10)]
    applied = await asyncio.gather(*map(running.apply, documents))
    assert [each.generation for each in applied] == list(range(2, 12))
    client = await connect(running)
    assert await client.get("/9") == (200, "s /9")
    assert (await client.get("/8"))[0] == 404


async def test_a_change_whose_caller_leaves_is_applied_to_its_end(proxy, backend, connect):
    server = await backend("s")
    running = await proxy()
    many = {f"r{n}": (f"Host(`{n}.example`)", "s") for n in range(2000)}
    asking = asyncio.create_task(running.apply(document(many, {"s": [server.url]})))
    while not running._switcher._tasks:
        await asyncio.sleep(0)
    asking.cancel()
    await running.apply(document({"r": EVERYTHING}, {"s": [server.url]}))
    assert running.runtime.generation == 3
    assert await (await connect(running)).get() == (200, "s /")


async def test_no_request_fails_in_a_storm_of_changes(proxy, backend, connect):
    one, two = await backend("one"), await backend("two")
    services = {"s": [one.url], "t": [two.url]}
    running = await proxy(document({"r": EVERYTHING}, services))
    is_over = False

    async def ask():
        client, asked = await connect(running), 0
        while not is_over:
            status, body = await client.get("/x")
            assert (status, body[-2:]) == (200, "/x")
            asked += 1
        return asked

    clients = [asyncio.create_task(ask()) for _ in range(16)]
    for n in range(100):
        others = {f"r{n + k}": (f"Host(`{n + k}.example`)", "s") for k in range(20)}
        await running.apply(document({"r": ("PathPrefix(`/`)", "st"[n % 2]), **others}, services))
        await asyncio.sleep(0)
    is_over = True
    assert min(await asyncio.gather(*clients)) > 0
    assert running.counters["5xx"] == running.counters["4xx"] == 0
