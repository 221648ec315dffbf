"""A server is dialled: it does not answer, it refuses, or the client leaves meanwhile."""

import asyncio
import socket

import pytest

from tests.waiting import eventually
from tests.wire.rig import Backend, Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Deaf(Backend):
    """A server whose backlog is full: the kernel answers nobody who dials it."""

    def __init__(self) -> None:
        super().__init__()
        self.sock.listen(0)
        self.fillers = [socket.socket() for _ in range(3)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex(self.address)

    async def close(self) -> None:
        for filler in self.fillers:
            filler.close()
        await super().close()

    async def hears_again(self) -> Wire:
        """Make room, and accept who dials."""
        for filler in self.fillers:
            filler.close()
        while True:
            wire = await self.accept()
            if await wire.more():
                return wire


@pytest.fixture
def deaf(house):
    made = Deaf()
    house.backends.append(made)
    return made


async def test_a_server_that_does_not_answer_is_504_in_time(house, deaf):
    house.route(deaf, dial_timeout=0.1)
    client = await house.client()
    begun = asyncio.get_running_loop().time()
    assert (await client.ask(GET)).status == 504
    assert asyncio.get_running_loop().time() - begun >= 0.1
    assert house.entry.engine.open == 1


async def test_a_client_that_leaves_meanwhile_ends_the_dialling(house, deaf):
    house.route(deaf)
    client = await house.client()
    await client.send(GET)
    await eventually(lambda: house.targets[0].in_flight == 1)
    assert house.entry.engine.open == 2
    client.close()
    await house.is_idle()
    await eventually(lambda: house.entry.engine.open == 0)
    assert house.targets[0].in_flight == 0


async def test_what_a_client_sends_meanwhile_reaches_the_server(house, deaf):
    house.route(deaf)
    client = await house.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab")
    await eventually(lambda: house.targets[0].in_flight == 1)
    await client.send(b"cdef")
    server = await deaf.hears_again()
    assert (await server.request()).endswith(b"\r\n\r\nabcdef")
    await server.send(OK)
    assert (await client.answer()).body == b"ok"


async def test_a_server_that_refuses_is_502(house):
    backend = house.backend()
    house.route(backend)
    backend.sock.close()
    client = await house.client()
    assert (await client.ask(GET)).status == 502
    assert any("refused" in line for line in house.log.lines)
    await eventually(lambda: house.entry.engine.open == 1)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_a_server_with_an_address_of_ipv6(house):
    backend = house.backend()
    backend.sock.close()
    try:
        backend.sock = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on the loopback device")
    backend.sock.setblocking(False)
    backend.address = backend.sock.getsockname()[:2]
    backend.serve(OK)
    target = house.route(backend, host="::1")[0]
    assert target.pool.place is not None
    client = await house.client()
    assert (await client.ask(GET)).body == b"ok"


async def test_a_server_with_a_name_is_looked_up(house):
    backend = house.backend(OK)
    target = house.route(backend, host="localhost")[0]
    assert target.pool.place is None
    client = await house.client()
    assert (await client.ask(GET)).body == b"ok"


async def test_many_come_at_once(house):
    house.route(house.backend(OK))
    clients = await asyncio.gather(*(house.client() for _ in range(100)))
    answers = await asyncio.gather(*(client.ask(GET) for client in clients))
    assert {answer.status for answer in answers} == {200}
    assert house.entry.connections == 100
