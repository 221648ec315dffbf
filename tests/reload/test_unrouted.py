"""A request that no router takes is told at debug level, with the nearest router, and never too often."""

import asyncio
import logging
import time

import pytest

from fastproxy._core.message import Request
from fastproxy.observe.unrouted import CHARACTERS, LINES, LOOKED_AT, Unrouted, nearest
from fastproxy.rules.evaluate import Asked
from tests.core.test_table import Table, route
from tests.reload.peers import document

NAME = "fastproxy.observe.unrouted"
ROUTERS = {"shop": ("Host(`shop.example`) && PathPrefix(`/api`)", "s"), "other": ("Host(`other.org`)", "s")}
DYNAMIC = document(ROUTERS, {"s": ["http://127.0.0.1:1"]})


@pytest.fixture
def debug(caplog):
    caplog.set_level(logging.DEBUG, logger="fastproxy")
    return lambda: [record for record in caplog.records if record.name == NAME]


async def test_the_nearest_router_is_told(debug, proxy, connect):
    client = await connect(await proxy(DYNAMIC))
    assert (await client.get("/apx", "shop.example"))[0] == 404
    [record] = debug()
    assert record.levelno == logging.DEBUG
    assert record.getMessage() == (
        "no router takes GET shop.example/apx (client 127.0.0.1); "
        "the nearest is shop@file: PathPrefix(`/api`) does not match /apx"
    )
    assert record.fields == {"entryPointName": "web", "routerName": "shop@file"}


async def test_none_comes_close(debug, proxy, connect):
    client = await connect(await proxy(DYNAMIC))
    await client.get("/", "nowhere.net")
    assert debug()[0].getMessage().endswith("; none comes close")
    assert debug()[0].fields == {"entryPointName": "web"}


async def test_what_a_router_takes_is_not_told(debug, proxy, connect, backend):
    server = await backend("s")
    client = await connect(await proxy(document({"r": ("PathPrefix(`/a`)", "s")}, {"s": [server.url]})))
    assert (await client.get("/a"))[0] == 200
    assert debug() == []


async def test_at_other_levels_nobody_is_asked(caplog, proxy, connect):
    caplog.set_level(logging.INFO, logger="fastproxy")
    made = await proxy(DYNAMIC)
    assert made._listeners["web"].entry.on_unrouted is None
    assert (await (await connect(made)).get("/apx"))[0] == 404


async def test_a_flood_is_a_few_lines_and_a_number(debug, proxy, connect, monkeypatch):
    monkeypatch.setattr("fastproxy.observe.unrouted.SECOND", 0.5)
    client = await connect(await proxy(DYNAMIC))
    for _ in range(200):
        client.send("/apx", "shop.example")
    for _ in range(200):
        assert (await client.answer())[0] == 404
    async with asyncio.timeout(10):
        while not debug() or "more requests" not in debug()[-1].getMessage():
            await asyncio.sleep(0.01)
    lines = [record.getMessage() for record in debug()]
    told = [line for line in lines if line.startswith("no router takes")]
    untold = [int(line.split()[-3]) for line in lines if line.startswith("no router took")]
    assert len(told) <= LINES * len(untold)
    assert len(told) + sum(untold) == 200
    await client.get("/apx", "shop.example")  # after the second is over it is told again
    assert debug()[-1].getMessage().startswith("no router takes")


async def test_a_hook_that_fails_takes_no_request_with_it(caplog, proxy, connect):
    def fail(*arguments):
        raise RuntimeError("no")

    made = await proxy(DYNAMIC)
    made._listeners["web"].entry.on_unrouted = fail
    assert (await (await connect(made)).get("/apx"))[0] == 404
    assert "telling of a request without a router failed" in caplog.text


async def test_a_large_table_is_not_looked_through(debug):
    table = Table([route(f"r{number}", f"Host(`h{number}`) && Path(`/a`)") for number in range(5_000)])
    request = Request.of(b"GET /b HTTP/1.1\r\nHost: h3777\r\n\r\n")
    told = Unrouted()
    begun = time.perf_counter()
    told("web", request, table)
    spent = time.perf_counter() - begun
    assert "the nearest is r3777: Path(`/a`) does not match /b" in debug()[0].getMessage()
    assert len(table.near(request, LOOKED_AT)) == LOOKED_AT
    assert spent < 0.1  # a scan takes seconds


def test_long_rules_are_left_out():
    hosts = " || ".join(f"Host(`h{number}`)" for number in range(CHARACTERS // 10))
    assert len(hosts) > CHARACTERS
    asked = Asked(host=b"a", path=b"/b")
    long, short = route("long", f"Host(`a`) && ({hosts})"), route("short", "Host(`a`) && Path(`/`)")
    found = nearest(asked, [long, short])
    assert found.name == "short"


async def test_no_table_yet(debug):
    Unrouted()("web", Request.of(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"), None)
    assert debug()[0].getMessage() == "no router takes GET a/b (client 127.0.0.1); none comes close"
