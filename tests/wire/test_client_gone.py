"""A client that leaves, at any moment: nothing stays behind, and nobody works for it any more."""

import asyncio

import pytest

from fastproxy._core.awaited import Awaited
from fastproxy._core.exchange import in_progress
from tests.faults import nobody_answers
from tests.waiting import eventually, stands_still

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"
ENDINGS = pytest.mark.parametrize("ending", ["close", "reset", "end"])


async def gone(house):
    """What is left of a client that left: a number."""
    await house.is_idle()
    assert in_progress() == 0
    assert [target.in_flight for target in house.targets] == [0] * len(house.targets)
    assert [target.pool.idle for target in house.targets] == [0] * len(house.targets)
    assert house.count("gone") == 1


@ENDINGS
@pytest.mark.parametrize("sent", [b"", b"GET / HT", POST[:-30]])
async def test_before_its_request_is_whole(house, ending, sent):
    house.route(house.backend())
    client = await house.client()
    await client.send(sent)
    await eventually(lambda: house.entry.connections == 1)
    getattr(client, ending)()
    await house.is_idle()
    assert house.count("requests") == 0


@ENDINGS
@pytest.mark.parametrize("asked", [GET, POST])
async def test_while_the_server_thinks(house, ending, asked):
    client, server = await house.asked(asked)
    getattr(client, ending)()
    await server.is_cut_off()
    await gone(house)


@ENDINGS
@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_within_the_answer(house, ending, said):
    client, server = await house.asked(GET)
    await server.send(said)
    await client.head()
    getattr(client, ending)()
    await server.is_cut_off()
    await gone(house)


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_while_the_server_waits_for_it(house, ending):
    """The client is slow, the server paused: nobody reads from it."""

    async def flood(wire):
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            await wire.send(bytes(65536))

    house.route(house.backend().run(flood))
    client = await house.client(receive=4096)
    await client.send(GET)
    await eventually(lambda: house.count("bytes_out") > 0)
    await stands_still(lambda: house.count("bytes_out"))
    getattr(client, ending)()
    await gone(house)


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_while_it_waits_for_the_server(house, ending):
    """The server is slow, the client paused, and its end is noticed when the server reads on."""
    backend = house.backend(receive=65536)
    house.route(backend)
    client = await house.client()

    async def flood():
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            await client.send(bytes(65536))

    flooding = asyncio.create_task(flood())
    server = await backend.accept()
    await server.head()
    await stands_still(lambda: house.count("bytes_in"))
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    getattr(client, ending)()
    await server.is_cut_off()
    await gone(house)


@ENDINGS
async def test_while_the_server_is_dialled(house, ending):
    backend = house.backend()
    with nobody_answers() as backend.address:
        house.route(backend)
        client = await house.client()
        await client.send(GET)
        await eventually(lambda: house.count("dialled") == 1)
        getattr(client, ending)()
        await gone(house)


class Waits:
    """A plugin that waits for ever and says when it was told to stop."""

    def __init__(self):
        self.began = asyncio.Event()
        self.was_cancelled = asyncio.Event()

    async def on_request(self, request):
        await self.wait()

    async def on_response(self, request, response):
        await self.wait()

    async def wait(self):
        self.began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.was_cancelled.set()


@ENDINGS
async def test_while_a_plugin_looks_at_the_request(house, ending):
    waits = Waits()
    house.route(house.backend(), steps=[Awaited("waits@test", waits)])
    client = await house.client()
    await client.send(GET)
    await waits.began.wait()
    getattr(client, ending)()
    await asyncio.wait_for(waits.was_cancelled.wait(), 10)
    await gone(house)


@ENDINGS
async def test_while_a_plugin_looks_at_the_answer(house, ending):
    waits = Waits()
    step = Awaited("waits@test", waits, wants_request=False, wants_response=True)
    client, server = await house.asked(GET, steps=[step])
    await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    await waits.began.wait()
    getattr(client, ending)()
    await asyncio.wait_for(waits.was_cancelled.wait(), 10)
    await server.is_cut_off()
    await gone(house)


@pytest.mark.parametrize("behind", [GET, GET * 100])
@ENDINGS
async def test_with_requests_ahead(house, ending, behind):
    """They are not served: nobody is there to read the answers."""
    client, server = await house.asked(GET + behind)
    getattr(client, ending)()
    await server.is_cut_off()
    await gone(house)
    assert house.count("requests") == 1


@ENDINGS
async def test_between_two_requests(house, ending):
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    assert (await client.ask(GET)).body == b"ok"
    getattr(client, ending)()
    await house.is_idle()
    assert house.count("gone") == 0
    # Its server is there for others.
    assert house.targets[0].pool.idle == 1
    assert (await (await house.client()).ask(GET)).body == b"ok"
    assert len(backend.wires) == 1
