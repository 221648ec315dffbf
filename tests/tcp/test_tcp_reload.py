"""Changes under way: who is connected stays where he is, who comes finds the new; the end takes its time."""

import asyncio
import gc
import weakref

import pytest

from tests.faults import nobody_answers
from tests.tcp.peers import PATIENCE, document, drains


async def test_who_is_connected_stays_and_who_comes_goes_elsewhere(proxy, server, connect):
    old, new = await server("old"), await server("new")
    house = await proxy(document(old.address))
    before = await connect(house)
    assert await before.line() == b"old\n"
    await house.apply(document(new.address))
    assert await (await connect(house)).line() == b"new\n"
    before.send(b"still there?\n")
    assert await before.line() == b"STILL THERE?\n"


async def test_a_connection_outlives_its_router(proxy, server, connect):
    house = await proxy(document((await server("old")).address))
    before = await connect(house)
    assert await before.line() == b"old\n"
    await house.apply({})
    before.send(b"x\n")
    assert await before.line() == b"X\n"
    after = await connect(house)
    after.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await after.rest()).startswith(b"HTTP/1.1 404 ")


async def test_a_connection_keeps_no_generation(proxy, server, connect):
    made = await server("old")
    house = await proxy(document(made.address))
    client = await connect(house)
    assert await client.line() == b"old\n"
    snapshot = weakref.ref(house._switcher.switch.current)
    await house.apply(document(made.address, rule="ClientIP(`127.0.0.1`)"))
    gc.collect()
    assert snapshot() is None


async def test_a_reload_while_a_server_is_dialled(proxy, server, connect):
    with nobody_answers() as (host, port):
        house = await proxy(document(f"{host}:{port}"))
        waiting = await connect(house)
        waiting.send(b"abc\n")
        await house.apply(document((await server("new")).address))
        assert await (await connect(house)).line() == b"new\n"
    assert await waiting.rest() == b""


@pytest.mark.parametrize("ends", [True, False])
async def test_the_end_waits_for_connections_as_long_as_it_may(proxy, server, connect, ends):
    house = await proxy(document((await server("one")).address))
    client = await connect(house)
    assert await client.line() == b"one\n"
    stopping = asyncio.create_task(house.stop(grace=PATIENCE if ends else 0.2))
    await drains(house)
    client.send(b"still there?\n")
    assert await client.line() == b"STILL THERE?\n"
    if ends:
        client.end()
        assert await client.rest() == b"bye"
    async with asyncio.timeout(PATIENCE / 2):
        assert await stopping == (0 if ends else 1)
    assert await client.rest() == b""


async def test_turns_go_on_over_reloads(proxy, server, connect):
    addresses = [(await server(name)).address for name in ("one", "two")]
    house = await proxy(document(*addresses))
    found = []
    for at in range(6):
        client = await connect(house)
        found.append(await client.line())
        client.close()
        await house.apply(document(*addresses, rule=["HostSNI(`*`)", "ClientIP(`127.0.0.1`)"][at % 2]))
    assert found[:2] * 3 == found
