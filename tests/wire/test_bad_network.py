"""Networks that dribble, cut and stall, on either side of the proxy."""

import pytest

from tests.faults import NONE, Fault, Relay
from tests.waiting import patient
from tests.wire.rig import Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 11\r\n\r\nhello world",
    b"HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: z\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 11\r\n\r\nhello world",
]


@pytest.fixture
async def relayed(house):
    """Call it with faults: a backend behind a relay, and a route to the relay."""
    relays = []

    async def relayed(*answers, up=NONE, down=NONE, **pool):
        backend = house.backend(*answers)
        relay = await Relay.to(backend.address, up, down)
        relays.append(relay)
        host, port = relay.address
        house.route(backend, **({"host": host, "port": port} | pool))
        return backend, relay

    yield relayed
    for relay in relays:
        await relay.close()


async def final(client, method=b"GET"):
    while (answer := await client.answer(method)).status < 200:
        pass
    return answer


@pytest.mark.parametrize("dribble", [1, 2, 3, 7])
@pytest.mark.parametrize("said", ANSWERS)
async def test_a_server_that_dribbles(house, relayed, said, dribble):
    await relayed(said, up=Fault(dribble=dribble), down=Fault(dribble=dribble))
    client = await house.client()
    for asked in (GET, POST, GET):
        await client.send(asked)
        answer = await final(client)
        assert (answer.status, answer.body) == (200, b"hello world")
        assert answer.trailer == (b"X: y\r\n" if b"X: y" in said else b"")


@pytest.mark.parametrize("said", ANSWERS)
async def test_an_answer_cut_at_every_place(house, relayed, said):
    """Short is never taken for whole, and the proxy is none the worse."""
    for cut in range(len(said)):
        house.routes.clear()
        await relayed(said, down=Fault(cut=cut, reset=cut % 2 == 1))
        client = await house.client()
        await client.send(GET)
        try:
            answer = await final(client)
        except (AssertionError, ConnectionResetError):
            continue       # cut off within the answer
        assert answer.status in (500, 502)
        client.close()


@pytest.mark.parametrize("asked", [GET, POST])
async def test_a_request_cut_at_every_place(house, relayed, asked):
    """The server's side of the wire breaks while it is asked."""
    for cut in range(0, 200, 3):
        house.routes.clear()
        await relayed(ANSWERS[0], up=Fault(cut=cut, reset=cut % 2 == 1))
        client = await house.client()
        await client.send(asked)
        assert (await final(client)).status in (200, 500, 502)
        client.close()


async def test_a_server_that_stalls_within_its_answer(house, relayed):
    _, relay = await relayed(ANSWERS[0], down=Fault(stall=50))
    client = await house.client()
    await client.send(GET)
    await patient(relay.stalled.wait())
    head = await client.head()
    relay.go_on.set()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert await client.read(11) == b"hello world"


async def test_a_server_that_stalls_before_its_answer(house, relayed):
    _, relay = await relayed(ANSWERS[0], down=Fault(stall=0), header_timeout=0.1)
    client = await house.client()
    assert (await client.ask(GET)).status == 504
    relay.go_on.set()
    assert (await client.ask(GET)).status == 200


@pytest.mark.parametrize("dribble", [1, 5])
async def test_a_client_that_dribbles(house, dribble):
    house.route(house.backend(ANSWERS[1]))
    relay = await Relay.to(house.address, Fault(dribble=dribble), Fault(dribble=dribble))
    client = await Wire.to(relay.address)
    for asked in (GET, POST, GET + POST):
        await client.send(asked)
        for _ in range(2 if asked == GET + POST else 1):
            answer = await client.answer()
            assert (answer.body, answer.trailer) == (b"hello world", b"X: y\r\n")
    client.close()
    await relay.close()


async def test_a_client_cut_at_every_place(house):
    house.route(house.backend(ANSWERS[0]))
    for cut in range(len(POST)):
        relay = await Relay.to(house.address, Fault(cut=cut, reset=cut % 2 == 1))
        client = await Wire.to(relay.address)
        await client.send(POST)
        await client.is_cut_off()
        client.close()
        await relay.close()
    assert house.count("2xx") == 0
