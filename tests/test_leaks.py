"""What a storm leaves behind: nothing. Exchanges, connections, targets and snapshots are counted."""

import asyncio
import gc
import random
import weakref

import pytest

from fastproxy._core.awaited import Awaited
from fastproxy._core.exchange import in_progress
from tests.faults import Fault, Relay
from tests.waiting import eventually
from tests.wire.rig import House, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"

# Good, bad, and worse; what comes back is nobody's concern here.
SAID = [
    GET, GET * 20, GET[:10], b"\r\n", b"\x00", b"GET / HTTP/1.1\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\nHost: b\r\n\r\n" * 30,
    b"HEAD /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde" + GET,
    b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nabcde",
    b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nx",
    b"POST /ok HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nahead",
    b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nahead",
    b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /refused HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /fails HTTP/1.1\r\nHost: a\r\n\r\n",
]


class Plugin:
    """Waits for a turn of the loop, or for ever; or fails."""

    def __init__(self, what):
        self.what = what

    async def on_request(self, request):
        if self.what == "fails":
            raise RuntimeError("as it should")
        await asyncio.sleep(random.choice([0, 0, 3600]))

    async def on_response(self, request, response):
        await asyncio.sleep(random.choice([0, 0, 3600]))


async def serve(wire):
    """A server that does what the path says."""
    while wire.came or await wire.more():
        head = await wire.head()
        path = head.split(b" ")[1]
        if path == b"/broken":
            await wire.send(b"HTTP/1.1 2 OK\r\n\r\n")
        elif path == b"/short":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            return
        elif path == b"/silent":
            return
        elif path == b"/tunnel":
            await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
            await wire.rest()
            return
        elif b"\r\nContent-Length" in head or b"\r\nTransfer-Encoding" in head:
            await wire.send(random.choice([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
            await wire.read(5)
            await wire.send(OK)
            return
        else:
            await wire.send(OK[:-2] if head.startswith(b"HEAD") else OK)


async def misbehave(house, dice):
    """One client: says something, in pieces or not, reads some of what comes or not, and leaves somehow."""
    client = await Wire.to(house.address)
    try:
        for said in dice.sample(SAID, dice.randint(1, 3)):
            cut = dice.randint(0, len(said))
            await client.send(said[:cut], said[cut:])
            if dice.random() < 0.5:
                async with asyncio.timeout(dice.choice([0.001, 0.01])):
                    await client.more()
    except (OSError, TimeoutError):
        pass
    dice.choice([client.close, client.reset])()


async def storm(house, dice, clients):
    for _ in range(clients // 20):
        await asyncio.gather(*[misbehave(house, dice) for _ in range(20)])


@pytest.fixture
async def house():
    made = await House.open()
    yield made
    made.log.errors.clear()        # plugins failed, as they should
    await made.close()


async def build(house):
    """A generation: routes to a server that does what it is told, to nobody, and through plugins."""
    backend = house.backend().run(serve)
    relay = await Relay.to(backend.address, down=Fault(cut=20, reset=True))
    nobody = house.backend()
    nobody.sock.close()
    house.routes.clear()
    house.route(backend, rule="Host(`a`)")
    house.route(nobody, rule="Host(`a`) && Path(`/refused`)")
    house.route(backend, rule="Host(`a`) && Path(`/cut`)", host=relay.address[0], port=relay.address[1])
    house.route(backend, rule="Host(`a`) && Path(`/waits`)",
                steps=[Awaited("waits@test", Plugin("waits"), wants_response=True)])
    house.route(backend, rule="Host(`a`) && Path(`/fails`)", steps=[Awaited("fails@test", Plugin("fails"))])
    return relay


@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_leaves_nothing_behind(house, seed):
    dice = random.Random(seed)
    random.seed(seed)
    relays, generations = [], []
    for _ in range(3):
        relays.append(await build(house))
        generations.append(weakref.ref(house.switch.current))
        await storm(house, dice, 100)
    await house.is_idle()
    assert in_progress() == 0
    assert (house.entry.connections, house.count("open")) == (0, 0)
    await eventually(lambda: not any(target.in_flight for target in house.targets), "targets to be free")
    gc.collect()
    # The last one is in force; the others went with their last exchange.
    assert [generation() is None for generation in generations] == [True, True, False]
    # And the house still stands.
    client = await house.client()
    assert (await client.ask(GET)).body == b"ok"
    for relay in relays:
        await relay.close()


async def test_requests_leave_no_objects_behind(house):
    """The same work again and again needs no more memory than once."""
    house.route(house.backend(OK))
    client = await house.client()

    async def work():
        for _ in range(50):
            await client.send(GET * 3 + b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(4):
                await client.answer()
        house.backends[0].seen.clear()
        gc.collect()
        return len(gc.get_objects())

    await work()
    before = await work()
    assert await work() - before < 50
