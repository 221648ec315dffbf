"""Upgrade: a handshake, then bytes both ways until both sides have said all."""

import asyncio
import gc
import weakref

import pytest

from fastproxy._core.exchange import in_progress
from tests.waiting import eventually, stands_still

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


async def tunnel(house, asked=HANDSHAKE, agreed=AGREED):
    """Change protocols; return both ends."""
    client, server = await house.asked(asked)
    await server.send(agreed)
    await client.head()
    return client, server


async def test_the_handshake(house):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(HANDSHAKE)
    server = await backend.accept()
    assert await server.head() == (
        b"GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"X-Real-Ip: 127.0.0.1\r\nX-Forwarded-Proto: ws\r\nX-Forwarded-Port: 80\r\n"
        b"X-Forwarded-Host: a\r\nX-Forwarded-Server: proxy.example\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    await server.send(AGREED)
    assert await client.head() == AGREED


@pytest.mark.parametrize("token", [b"websocket", b"WebSocket", b"WEBSOCKET"])
async def test_bytes_pass_both_ways(house, token):
    client, server = await tunnel(house, agreed=AGREED.replace(b"websocket", token))
    for i in range(20):
        await client.send(b"ping %d\x00\r\n\r\n" % i)
        assert await server.until(b"\r\n\r\n") == b"ping %d\x00\r\n\r\n" % i
        await server.send(b"pong %d\xff" % i)
        assert await client.until(b"\xff") == b"pong %d\xff" % i
    # It is no exchange any more.
    assert in_progress() == 0
    assert house.targets[0].in_flight == 1
    client.close()
    await server.rest()


async def test_what_was_sent_ahead_is_not_lost(house):
    client, server = await house.asked(HANDSHAKE + b"ahead")
    await client.send(b" of time")
    await server.send(AGREED + b"at once")
    await client.head()
    assert await client.read(7) == b"at once"
    assert await server.read(13) == b"ahead of time"
    await client.send(b"!")
    assert await server.read(1) == b"!"


async def test_a_lot_sent_ahead(house):
    """More than is kept: the rest waits in the kernel."""
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    sending = asyncio.create_task(client.send(HANDSHAKE + bytes(1_000_000)))
    server = await backend.accept()
    await server.head()
    await server.send(AGREED)
    await client.head()
    await server.skip(1_000_000)
    await sending


async def test_a_handshake_byte_by_byte(house):
    client, server = await house.asked(*[HANDSHAKE[i : i + 1] for i in range(len(HANDSHAKE))])
    await server.send(*[AGREED[i : i + 1] for i in range(len(AGREED))], b"x")
    assert await client.head() == AGREED
    assert await client.read(1) == b"x"


async def test_a_handshake_behind_another_request(house):
    client, server = await house.asked(GET + HANDSHAKE + b"ahead")
    await server.send(OK)
    assert (await client.answer()).body == b"ok"
    await server.head()
    await server.send(AGREED)
    assert await client.head() == AGREED
    assert await server.read(5) == b"ahead"


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "said",
    [
        OK,
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: other\r\nConnection: upgrade\r\n"
        b"Content-Length: 2\r\n\r\nok",
    ],
)
async def test_a_server_that_does_not_want_to(house, said):
    """An answer like any other, on connections that are used again."""
    backend = house.backend(said)
    house.route(backend)
    client = await house.client()
    for _ in range(2):
        answer = await client.ask(HANDSHAKE)
        assert answer.body == b"ok"
        assert answer.get(b"upgrade") is None
    assert (await client.ask(GET)).body == b"ok"
    assert len(backend.wires) == 1


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nsecret",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, other\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: web\xffsocket\r\n\r\n",
    ],
)
async def test_a_server_that_wants_something_else_is_500(house, said):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(HANDSHAKE)
    server = await backend.accept()
    await server.head()
    await server.send(said)
    answer = await client.answer()
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    await server.rest()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(OK)
    assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize(
    "asked",
    [
        GET,
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, other\r\n\r\n",
    ],
)
async def test_a_protocol_that_nobody_asked_for_is_500(house, asked):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(asked)
    server = await backend.accept()
    assert b"pgrade" not in await server.head()
    await server.send(AGREED)
    assert (await client.answer()).status == 500
    await server.rest()


# ---------------------------------------------------------------- the end


async def test_the_client_says_all_first(house):
    client, server = await tunnel(house)
    await client.send(b"last words")
    client.end()
    assert await server.rest() == b"last words"
    await server.send(b"but we go on")
    assert await client.read(12) == b"but we go on"
    server.end()
    await client.ends()
    await eventually(lambda: house.targets[0].in_flight == 0)


async def test_the_server_says_all_first(house):
    client, server = await tunnel(house)
    await server.send(b"last words")
    server.end()
    assert await client.rest() == b"last words"
    await client.send(b"but we go on")
    assert await server.read(12) == b"but we go on"
    client.end()
    await server.ends()
    await eventually(lambda: house.targets[0].in_flight == 0)


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("who", ["client", "server"])
async def test_one_side_leaves(house, who, ending):
    client, server = await tunnel(house)
    one, other = (client, server) if who == "client" else (server, client)
    await one.send(b"bye")
    assert await other.read(3) == b"bye"
    getattr(one, ending)()
    await other.is_cut_off()
    other.close()
    await house.is_idle()
    assert house.targets[0].in_flight == 0
    assert house.count("gone") == 0


async def test_everything_is_delivered_before_the_end(house):
    client, server = await tunnel(house)
    size = 8_000_000
    sending = asyncio.create_task(server.send(bytes(size)))
    await client.skip(size // 2)
    await sending
    server.close()
    await client.skip(size // 2)
    await client.ends()


@pytest.mark.parametrize("slow", ["client", "server"])
async def test_a_slow_side_holds_the_other_back(house, slow):
    backend = house.backend(receive=65536)
    house.route(backend)
    client = await house.client(receive=65536)
    await client.send(HANDSHAKE)
    server = await backend.accept()
    await server.head()
    await server.send(AGREED)
    await client.head()
    to, source = (client, server) if slow == "client" else (server, client)
    sent = 0

    async def flood():
        nonlocal sent
        for _ in range(600):
            await source.send(bytes(65536))
            sent += 65536

    flooding = asyncio.create_task(flood())
    # What the kernel holds of it may grow to some megabytes; we hold next to nothing.
    assert await stands_still(lambda: sent) < 20_000_000
    # The other direction goes on meanwhile.
    await to.send(b"still here")
    assert await source.read(10) == b"still here"
    await to.skip(65536 * 600)
    await flooding


async def test_a_tunnel_keeps_no_generation_alive(house):
    client, server = await tunnel(house)
    old = weakref.ref(house.switch.current)
    house.routes.clear()
    house.route(house.backend(OK))
    gc.collect()
    assert old() is None
    await client.send(b"x")
    assert await server.read(1) == b"x"


async def test_draining_lets_tunnels_be(house):
    client, server = await tunnel(house)
    house.entry.drain(0.02)
    await client.send(b"x")
    assert await server.read(1) == b"x"
    assert await house.entry.wait_drained(0.02) == 1
    house.entry.abort()
    await client.is_cut_off()
    await server.is_cut_off()


async def test_a_tunnel_has_no_time_limit(open_house):
    house = await open_house(read_timeout=0.05, write_timeout=0.05, idle_timeout=0.05)
    client, server = await tunnel(house)
    await house.outwait()
    await client.send(b"x")
    assert await server.read(1) == b"x"
    await server.send(b"y")
    assert await client.read(1) == b"y"
