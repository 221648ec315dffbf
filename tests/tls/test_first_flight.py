"""The first bytes of a connection: in pieces, late, too many, malformed; and who is served meanwhile."""

import asyncio
import random
import socket
import ssl

import pytest

from tests.core.test_hello import body, message, named, records, said
from tests.tls.test_https import document, only_safe, pair
from tests.waiting import costs_nothing, eventually


@pytest.fixture
async def here(house, issue):
    return await house(lambda url: only_safe(url, issue))


class Client:
    """TLS by hand: what it says is put on the wire as the test likes."""

    def __init__(self, house, name="a.example"):
        self.context = house.context()
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.context.wrap_bio(self.coming, self.going, server_hostname=name)
        self.address = house.address

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(*self.address)
        self.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    def hello(self):
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.going.read()

    async def shake_hands(self):
        """Finish a handshake whose hello is on its way."""
        async with asyncio.timeout(10):
            while True:
                try:
                    self.tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self.coming.write(await self.reader.read(65536))
        self.writer.write(self.going.read())

    async def get(self):
        self.tls.write(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        self.writer.write(self.going.read())
        answer = b""
        async with asyncio.timeout(10):
            while not answer.endswith(b"\r\n\r\n") or b"Host: a.example" not in answer:
                try:
                    answer += self.tls.read(65536)
                except ssl.SSLWantReadError:
                    data = await self.reader.read(65536)
                    assert data, answer
                    self.coming.write(data)
        return int(answer.split()[1])


@pytest.mark.parametrize("cuts", [[1], [4, 5, 6], [9], [60, 200], list(range(1, 120))])
async def test_a_hello_in_segments(here, cuts):
    async with Client(here) as client:
        hello, at = client.hello(), 0
        for cut in [*cuts, len(hello)]:
            client.writer.write(hello[at:cut])
            at = cut
            await asyncio.sleep(0.002)
        await client.shake_hands()
        assert await client.get() == 200


@pytest.mark.parametrize("sizes", [(1,), (3, 100, 16384), (200,)])
async def test_a_hello_in_records(here, sizes):
    async with Client(here) as client:
        client.writer.write(records(client.hello()[5:], *sizes))
        await client.shake_hands()
        assert await client.get() == 200


async def test_waiting_for_a_hello_costs_nothing(here):
    """While a part of it is there the loop has nothing to do: nobody looks at it again and again."""
    async with Client(here) as client:
        client.writer.write(client.hello()[:50])
        await here.there_are(1)
        await costs_nothing()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\x00",
        b"\x16\x02\x01\x00\x05hello",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        records(message(body(named(b"a", b"b")))),
        records(message(body((99, bytes(20000)))), 1),
        said("a.example")[:-1],
        b"\x80\x2e\x01\x03\x01" + bytes(60),
    ],
)
async def test_what_is_no_hello_is_closed(house, issue, data):
    here = await house(
        lambda url: only_safe(url, issue),
        transport={"respondingTimeouts": {"readTimeout": "300ms"}},
    )
    answer = await here.said(data)
    assert answer == b"" or answer[0] == 21  # an alert of TLS, and nothing of HTTP
    await here.there_are(0)


@pytest.mark.parametrize("data", [b"", b"\x16", said("a.example")[:100]])
async def test_a_hello_must_come_in_time(house, issue, data):
    here = await house(
        lambda url: only_safe(url, issue), transport={"respondingTimeouts": {"readTimeout": "200ms"}}
    )
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert await here.said(data) == b""
    assert 0.15 < loop.time() - begun < 2


async def test_a_handshake_must_end_in_time(house, issue):
    here = await house(
        lambda url: only_safe(url, issue), transport={"respondingTimeouts": {"readTimeout": "200ms"}}
    )
    await here.said(said("a.example"))
    await here.there_are(0)


async def test_a_client_that_ends_within_its_hello(here):
    reader, writer = await asyncio.open_connection(*here.address)
    writer.write(said("a.example")[:80])
    writer.write_eof()
    try:
        assert await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionResetError:
        pass
    writer.close()
    await here.there_are(0)


async def test_random_first_flights(here):
    """Whatever is said, the proxy goes on, and nothing is left of it."""
    chance = random.Random(7)
    hello = said("a.example", ("http/1.1",))
    flights = [chance.randbytes(chance.randrange(1, 300)) for _ in range(40)]
    for _ in range(80):
        changed = bytearray(hello)
        for _ in range(chance.randrange(1, 6)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        flights.append(bytes(changed[: chance.randrange(5, len(changed) + 1)]))

    async def one(flight):
        reader, writer = await asyncio.open_connection(*here.address)
        try:
            writer.write(flight)
            writer.write_eof()
            async with asyncio.timeout(10):
                await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    await asyncio.gather(*(one(flight) for flight in flights))
    assert (await here.get("a.example")).status == 200
    await here.there_are(0)


# --- limits, reloads, the end -------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["silent", "within its hello", "within its handshake"])
async def test_at_a_limit_who_does_nothing_makes_room(house, issue, stage):
    here = await house(
        lambda url: {**only_safe(url, issue), "core": {"limits": {"connectionsPerEntryPoint": 1}}}
    )
    async with Client(here) as idle:
        hello = idle.hello()
        idle.writer.write({"silent": b"", "within its hello": hello[:40]}.get(stage, hello))
        await here.there_are(1)
        assert (await here.get("a.example")).status == 200
        await here.there_are(0)


async def test_the_first_tls_router_changes_how_connections_are_accepted(house, issue, backend):
    plain = document(backend.url, {"plain": {"rule": "Host(`p.example`)"}})
    both = document(
        backend.url,
        {"plain": {"rule": "Host(`p.example`)"}, "safe": {"rule": "Host(`a.example`)", "tls": {}}},
        {"certificates": [pair(issue("a.example"))]},
    )
    here = await house(lambda url: plain)
    stop = asyncio.Event()
    statuses = []

    async def ask():
        while not stop.is_set():
            statuses.append((await here.plain("p.example"))[0])

    asking = [asyncio.create_task(ask()) for _ in range(8)]
    reader, writer = await asyncio.open_connection(*here.address)  # kept over all changes
    for dynamic in (both, plain, both, plain, both):
        await here.proxy.apply(dynamic)
        more = len(statuses) + 2 * len(asking)
        await eventually(lambda enough=more: len(statuses) >= enough)
        writer.write(b"GET / HTTP/1.1\r\nHost: p.example\r\n\r\n")
        assert b" 200 " in await asyncio.wait_for(reader.readline(), 10)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert (await here.get("a.example")).status == 200
    stop.set()
    await asyncio.gather(*asking)
    writer.close()
    assert len(statuses) > 50
    assert set(statuses) == {200}


async def test_who_waits_while_the_generation_changes_gets_the_new_one(house, issue, backend):
    here = await house(lambda url: only_safe(url, issue))
    async with Client(here, "b.example") as client:
        hello = client.hello()
        client.writer.write(hello[:70])
        await here.there_are(1)
        routers = {"r": {"rule": "Host(`a.example`)", "tls": {}}}
        tls = {"certificates": [pair(issue("b.example"))]}
        await here.proxy.apply(document(backend.url, routers, tls))
        client.writer.write(hello[70:])
        await client.shake_hands()
        assert client.tls.getpeercert()["subjectAltName"] == (("DNS", "b.example"),)
        assert await client.get() == 200
