"""Bodies of any size through a slow side: the other one waits, and little is kept here."""

import asyncio
import os

import pytest

from fastproxy._core.awaited import Awaited
from tests.waiting import stands_still

MiB = 1 << 20
# 1 GiB when asked for: FASTPROXY_LARGE=1
LARGE = (1024 if os.environ.get("FASTPROXY_LARGE") else 64) * MiB
PIECE = bytes(range(256)) * 1024  # 256 KiB
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def memory():
    """Bytes of this process that lie in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Flood:
    """Sends pieces for as long as somebody takes them; `sent` counts bytes."""

    def __init__(self, wire, size, *, chunked=False):
        self.sent = 0
        self.size = size
        self.task = asyncio.create_task(self.pour(wire, size, chunked))

    async def pour(self, wire, size, chunked):
        while self.sent < size:
            if chunked:
                await wire.send(b"%x\r\n" % len(PIECE) + PIECE + b"\r\n")
            else:
                await wire.send(PIECE)
            self.sent += len(PIECE)
        if chunked:
            await wire.send(b"0\r\n\r\n")

    async def stalls(self):
        """Wait until nobody takes more."""
        await stands_still(lambda: self.sent)


async def drink(wire, size):
    """Read *size* bytes that are PIECE again and again; return the most memory seen meanwhile."""
    most = 0
    left = size
    while left:
        data = wire.came or await wire.more()
        wire.came = b""
        assert data
        at = (size - left) % len(PIECE)
        assert data[: len(PIECE) - at] == PIECE[at : at + len(data)]
        left -= len(data)
        most = max(most, memory())
    return most


@pytest.mark.timeout(120)
async def test_down_to_a_slow_reader(house):
    backend = house.backend()
    house.route(backend)
    client = await house.client(receive=65536)
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    before = memory()
    await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
    flood = Flood(server, LARGE)
    await client.head()
    await flood.stalls()
    assert flood.sent < LARGE / 2
    assert await drink(client, LARGE) - before < 32 * MiB
    await flood.task
    # Both connections are kept.
    await client.send(GET)
    await server.head()
    await server.send(OK)
    assert (await client.answer()).body == b"ok"


@pytest.mark.timeout(120)
async def test_up_to_a_slow_reader(house):
    backend = house.backend(receive=65536)
    house.route(backend)
    client = await house.client()
    before = memory()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE)
    flood = Flood(client, LARGE)
    server = await backend.accept()
    await server.head()
    await flood.stalls()
    assert flood.sent < LARGE / 2
    assert await drink(server, LARGE) - before < 32 * MiB
    await flood.task
    await server.send(OK)
    assert (await client.answer()).body == b"ok"
    await client.send(GET)
    await server.head()


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_chunks(house, method):
    """Framed anew, whole, in both directions."""
    size = 32 * MiB
    backend = house.backend(receive=65536)
    house.route(backend)
    client = await house.client(receive=65536)
    if method == b"GET":
        await client.send(GET)
        server = await backend.accept()
        await server.head()
        await server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        flood, to = Flood(server, size, chunked=True), client
    else:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        flood, to = Flood(client, size, chunked=True), await backend.accept()
    await to.head()
    await flood.stalls()
    assert flood.sent < size
    total = 0
    while chunk := int(await to.until(b"\r\n"), 16):
        data = await to.read(chunk)
        at = total % len(PIECE)
        assert (data[: len(PIECE) - at] == PIECE[at : at + chunk]) and len(data) == chunk
        total += chunk
        assert await to.read(2) == b"\r\n"
    assert await to.read(2) == b"\r\n"
    assert total == size
    await flood.task


async def test_both_ways_at_once(house):
    size = 32 * MiB
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    up = Flood(client, size)
    server = await backend.accept()
    await server.head()
    await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    down = Flood(server, size - len(PIECE))
    await client.head()
    await up.stalls()
    await down.stalls()
    assert up.sent < size and down.sent < size
    await asyncio.gather(drink(client, down.size), drink(server, size), up.task, down.task)
    # The end of the answer is the end of the exchange: the request must be whole before.
    await server.send(PIECE)
    await drink(client, len(PIECE))
    await client.send(GET)
    await server.head()


async def test_one_slow_client_holds_nobody_else_up(house):
    backend = house.backend()
    house.route(backend)
    slow, quick = await house.client(receive=4096), await house.client()
    await slow.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
    flood = Flood(server, LARGE)
    await flood.stalls()
    await quick.send(GET)
    other = await backend.accept()
    await other.head()
    for _ in range(20):
        await other.send(OK)
        assert (await quick.answer()).body == b"ok"
        await quick.send(GET)
        await other.head()
    flood.task.cancel()


class Waits:
    def __init__(self):
        self.go_on = asyncio.Event()
        self.began = asyncio.Event()

    async def on_request(self, request):
        self.began.set()
        await self.go_on.wait()

    async def on_response(self, request, response):
        self.began.set()
        await self.go_on.wait()


async def test_a_body_waits_for_a_plugin(house):
    """What came before the client was paused is kept; the rest is not read, and nothing is lost."""
    size = 64 * MiB
    waits = Waits()
    backend = house.backend()
    house.route(backend, steps=[Awaited("waits@test", waits)])
    client = await house.client()
    before = memory()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    flood = Flood(client, size)
    await waits.began.wait()
    await flood.stalls()
    assert flood.sent < size / 2
    assert memory() - before < 32 * MiB
    waits.go_on.set()
    server = await backend.accept()
    await server.head()
    await drink(server, size)
    await flood.task
    await server.send(OK)
    assert (await client.answer()).body == b"ok"


async def test_an_answer_waits_for_a_plugin(house):
    size = 64 * MiB
    waits = Waits()
    backend = house.backend()
    house.route(backend, steps=[Awaited("waits@test", waits, wants_request=False, wants_response=True)])
    client = await house.client()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    before = memory()
    await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    flood = Flood(server, size)
    await waits.began.wait()
    await flood.stalls()
    assert flood.sent < size / 2
    assert memory() - before < 32 * MiB
    waits.go_on.set()
    await client.head()
    await drink(client, size)
    await flood.task


async def test_early_bytes_wait_for_a_connection(house):
    """A server that takes its time to accept: the body is not lost, and not read ahead either."""
    size = 64 * MiB
    backend = house.backend(receive=65536)
    house.route(backend)
    client = await house.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + PIECE)
    flood = Flood(client, size - len(PIECE))
    await flood.stalls()
    assert flood.sent < size / 2
    server = await backend.accept()
    await server.head()
    await drink(server, size)
    await flood.task
    await server.send(OK)
    assert (await client.answer()).body == b"ok"


async def test_requests_ahead_are_not_read_without_end(house):
    """While one is served, what follows stays with the kernel once some of it has been kept."""
    client, _ = await house.asked(GET)
    before = memory()
    size = 64 * MiB
    asked = 0

    async def ask():
        nonlocal asked
        while asked < size:
            await client.send(b"GET /" + b"x" * (len(PIECE) - 30) + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            asked += len(PIECE)

    asking = asyncio.create_task(ask())
    assert await stands_still(lambda: asked) < size / 2
    assert memory() - before < 32 * MiB
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
