"""Time limits: of a head, of a request, of an answer, of idleness; on both sides.

The limits are short here; what must not happen within them is waited for by an event that must.
"""

import asyncio
import time

import pytest

from tests.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
SHORT = 0.1


async def timed(awaited):
    """Await, and say how many seconds it took."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await awaited
    return loop.time() - begin


# ---------------------------------------------------------------- heads


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\n", GET[:-1], b"\r\n"])
async def test_a_head_that_does_not_end_is_408(open_house, part):
    house = await open_house(read_timeout=SHORT)
    client = await house.client()
    await client.send(part)
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (408, b"close")
    await client.ends()
    assert [line for line in house.log.lines if line.startswith("408 to 127.0.0.1")]


async def test_dribbling_does_not_help(open_house):
    house = await open_house(read_timeout=SHORT)
    client = await house.client()

    async def dribble():
        for i in range(1000):
            await client.send(b"GET / HTTP/1.1\r\nX: ..."[i : i + 1] or b".")
            await asyncio.sleep(0.01)

    dribbling = asyncio.create_task(dribble())
    assert await timed(client.answer()) < 5
    dribbling.cancel()


async def test_a_client_that_says_nothing_is_let_go(open_house):
    house = await open_house(read_timeout=SHORT)
    client = await house.client()
    await client.ends()
    assert house.count("refused") == 0


@pytest.mark.parametrize("idle", [0.0, 60.0])
async def test_a_second_head_that_does_not_end_is_408(open_house, idle):
    house = await open_house(read_timeout=SHORT, idle_timeout=idle)
    house.route(house.backend(OK))
    client = await house.client()
    assert (await client.ask(GET)).body == b"ok"
    await client.send(GET[:10])
    assert (await client.answer()).status == 408
    await client.ends()


async def test_half_a_head_behind_a_request_is_408(open_house):
    house = await open_house(read_timeout=SHORT)
    house.route(house.backend(OK))
    client = await house.client()
    await client.send(GET + GET[:10])
    assert (await client.answer()).body == b"ok"
    assert (await client.answer()).status == 408
    await client.ends()


async def test_the_limit_is_of_one_request(open_house):
    house = await open_house(read_timeout=0.3)
    house.route(house.backend(OK))
    client = await house.client()
    for _ in range(2):
        assert (await client.ask(GET)).body == b"ok"
        await house.outwait()
    assert (await client.ask(GET)).body == b"ok"


async def test_no_limit(open_house):
    house, other = await open_house(read_timeout=0, idle_timeout=0), await open_house(read_timeout=SHORT)
    house.route(house.backend(OK))
    client = await house.client()
    for _ in range(2):
        await client.send(GET[:10])
        await other.outwait()
        await client.send(GET[10:])
        assert (await client.answer()).body == b"ok"


async def test_a_slow_server_is_not_the_clients_fault(open_house):
    house = await open_house(read_timeout=SHORT, idle_timeout=SHORT)
    backend = house.backend()
    house.route(backend)
    for asked in (GET, POST + b"12345"):
        client = await house.client()
        await client.send(asked)
        server = backend.wires[0] if backend.wires else await backend.accept()
        await server.request()
        await house.outwait()
        await server.send(OK)
        assert (await client.answer()).body == b"ok"


# ---------------------------------------------------------------- idleness


async def test_an_idle_client_is_let_go(open_house):
    house = await open_house(idle_timeout=SHORT)
    house.route(house.backend(OK))
    client = await house.client()
    assert (await client.ask(GET)).body == b"ok"
    assert await timed(client.ends()) >= SHORT / 2
    assert house.count("refused") == 0


async def test_an_idle_server_is_let_go(house):
    backend = house.backend()
    [target] = house.route(backend, idle_timeout=SHORT)
    client = await house.client()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(OK)
    assert (await client.answer()).body == b"ok"
    assert target.pool.idle == 1
    await server.ends()
    assert target.pool.idle == 0


async def test_the_pool_keeps_so_many_and_no_more(house):
    backend = house.backend()
    [target] = house.route(backend, max_idle=2)
    clients = [await house.client() for _ in range(4)]
    servers = []
    for client in clients:
        await client.send(GET)
        servers.append(await backend.accept())
        await servers[-1].head()
    for client, server in zip(clients, servers, strict=True):
        await server.send(OK)
        assert (await client.answer()).body == b"ok"
    assert target.pool.idle == 2
    # The oldest went.
    await servers[0].ends()
    await servers[1].ends()
    await clients[0].send(GET)
    assert await servers[3].head()
    await servers[3].send(OK)
    assert (await clients[0].answer()).body == b"ok"


async def test_a_pool_that_keeps_none(house):
    backend = house.backend(OK)
    house.route(backend, max_idle=0)
    client = await house.client()
    for _ in range(3):
        assert (await client.ask(GET)).body == b"ok"
    assert len(backend.wires) == 3


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "asked", [POST + b"123", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc"]
)
async def test_a_body_that_does_not_end_is_504(open_house, asked):
    house = await open_house(read_timeout=SHORT)
    client, server = await house.asked(asked)
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (504, b"close")
    await client.ends()
    assert b"0\r\n\r\n" not in await server.rest()


async def test_a_body_that_does_not_end_while_the_answer_comes(open_house):
    house = await open_house(read_timeout=SHORT)
    client, server = await house.asked(POST + b"123")
    await server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await client.head()
    await client.is_cut_off()
    assert not client.came.endswith(b"0\r\n\r\n")
    await server.is_cut_off()


async def test_dribbling_a_body_does_not_help(open_house):
    house = await open_house(read_timeout=SHORT)
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    server = await backend.accept()

    async def dribble():
        for _ in range(1000):
            await client.send(b".")
            await asyncio.sleep(0.01)

    dribbling = asyncio.create_task(dribble())
    assert (await client.answer()).status == 504
    dribbling.cancel()
    await server.is_cut_off()


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("begun", [False, True])
async def test_an_answer_that_takes_too_long_is_cut_off(open_house, begun):
    house = await open_house(write_timeout=SHORT)
    client, server = await house.asked(GET)
    if begun:
        await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
        await client.head()
    await client.is_cut_off()
    await server.is_cut_off()


@pytest.mark.parametrize("size", [30_000_000, 8_000_000])
async def test_a_client_that_does_not_read_is_let_go(open_house, size):
    """Also when the answer has left the server, and waits here for the client."""
    house = await open_house(write_timeout=SHORT)
    house.route(house.backend(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)))
    client = await house.client(receive=4096)
    await client.send(GET)
    await eventually(lambda: house.count("2xx") == 1)
    await house.is_idle()


async def test_the_write_limit_is_of_one_answer(open_house):
    house = await open_house(write_timeout=0.3, read_timeout=0.3)
    house.route(house.backend(OK))
    client = await house.client()
    for _ in range(2):
        assert (await client.ask(GET)).body == b"ok"
        await house.outwait()
    assert (await client.ask(GET)).body == b"ok"


async def test_whatever_takes_long_makes_nobody_else_miss_a_limit(open_house):
    """A deadline that is armed while others are late leaves those where they are found at once."""
    house = await open_house(read_timeout=0.3)
    house.log.logger.addFilter(lambda record: time.sleep(0.1) or True)
    late = await house.client()
    await late.send(GET[:-1])           # is told 408, which takes its time, and then has a moment to read it
    silent = []
    for _ in range(40):
        silent.append(await house.client())
        await asyncio.sleep(0.005)
    assert await timed(asyncio.gather(*[client.ends() for client in silent])) < 5
    assert (await late.answer()).status == 408
