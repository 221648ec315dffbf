"""Much that goes from one plain socket to another goes through a pipe of the kernel: every byte of it, in
order, and nothing is left behind when a side ends, dies or is slow."""

import asyncio
import random

import pytest

from tests.faults import Fault, Relay
from tests.waiting import eventually
from tests.wire.rig import Wire
from tests.wire.test_tunnel import AGREED, HANDSHAKE, tunnel

MUCH = random.Random(4).randbytes(3_000_000)
MORE = MUCH * 4  # than the kernel keeps of a connection
SOME = 1_000_000
PIECE = 65536


async def pour(to: Wire, data: bytes, *, ends: bool = False) -> None:
    for at in range(0, len(data), PIECE):
        await to.send(data[at : at + PIECE])
    if ends:
        to.end()


def pipes(house):
    return house.entry.engine.pipes


def held(house) -> int:
    """How many pipes have something in them."""
    return pipes(house).made - pipes(house).spares


async def stuck(house, count: int = 1) -> None:
    """Wait until so many pipes have something that nobody takes."""
    await eventually(lambda: held(house) == count, f"{count} pipes to be held")


async def flood(house, *, ends: bool = False) -> tuple[Wire, Wire, asyncio.Task[None]]:
    """A tunnel whose server says MORE, of which the client has read SOME and now reads nothing."""
    backend = house.backends[0] if house.backends else house.backend()
    if not house.routes:
        house.route(backend)
    client = await house.client(receive=65536)
    await client.send(HANDSHAKE)
    server = await backend.accept()
    await server.head()
    await server.send(AGREED)
    await client.head()
    sending = asyncio.create_task(pour(server, MORE, ends=ends))
    assert await client.read(SOME) == MORE[:SOME]
    return client, server, sending


async def test_every_byte_of_both_ways_at_once(house):
    client, server = await tunnel(house)
    back = MUCH[::-1]
    sending = asyncio.gather(pour(client, MUCH, ends=True), pour(server, back, ends=True))
    assert await asyncio.gather(client.rest(), server.rest()) == [back, MUCH]
    await sending
    assert pipes(house).made > 0
    assert held(house) == 0


@pytest.mark.parametrize("fault", [Fault(dribble=1000), Fault(dribble=40_000)])
async def test_every_byte_however_it_comes(house, fault):
    backend = house.backend()
    relay = await Relay.to(backend.address, down=fault, up=fault)
    backend.address, there = relay.address, backend.address
    house.route(backend)
    backend.address = there
    client = await house.client()
    await client.send(HANDSHAKE)
    server = await backend.accept()
    await server.head()
    await server.send(AGREED)
    await client.head()
    some = MUCH[:400_000]
    sending = asyncio.gather(pour(client, some, ends=True), pour(server, some, ends=True))
    assert await asyncio.gather(client.rest(), server.rest()) == [some, some]
    await sending
    client.close()
    server.close()
    await relay.close()


async def test_little_and_much_take_turns(house):
    client, server = await tunnel(house)
    for size in (1, 500_000, 7, 2_000_000, 100, 300_000, 1, 1, 1, 1, 1, 1, 1, 900_000, 3):
        sending = asyncio.create_task(pour(server, MUCH[:size]))
        assert await client.read(size) == MUCH[:size]
        await sending
        await client.send(b"and %d back" % size)
        assert await server.until(b"back") == b"and %d back" % size


async def test_who_is_silent_holds_no_pipe(house):
    client, server = await tunnel(house)
    await client.send(b"small")
    await server.read(5)
    assert pipes(house).made == 0
    sending = asyncio.create_task(pour(client, MUCH))
    await server.skip(len(MUCH))
    await sending
    await eventually(lambda: held(house) == 0)
    assert 0 < pipes(house).made <= 8


async def test_a_slow_reader_gets_all_and_then_the_end(house):
    client, server, sending = await flood(house, ends=True)
    await stuck(house)
    assert not sending.done()
    assert await client.rest() == MORE[SOME:]
    await sending
    await client.send(b"thanks")
    assert await server.read(6) == b"thanks"


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_a_reader_that_dies_takes_its_pipe_along(house, ending):
    client, _, sending = await flood(house)
    await stuck(house)
    getattr(client, ending)()
    with pytest.raises(OSError):
        await sending
    await house.is_idle()
    assert held(house) == 0
    assert house.targets[0].in_flight == 0


async def test_what_was_said_before_the_speaker_closed_is_delivered(house):
    client, server, sending = await flood(house)
    await stuck(house)
    got = asyncio.create_task(client.skip(len(MORE) - SOME))
    await sending
    server.close()
    await got
    await client.ends()
    client.close()
    await house.is_idle()
    assert held(house) == 0


async def test_a_speaker_that_dies_ends_the_reader(house):
    client, server, sending = await flood(house)
    await stuck(house)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    server.reset()
    await client.is_cut_off()
    assert len(client.came) > 0
    assert MORE[SOME:].startswith(client.came)
    client.close()
    await house.is_idle()
    assert held(house) == 0


async def test_who_gets_no_pipe_is_copied(house):
    pipes(house).most = 0
    client, server = await tunnel(house)
    sending = asyncio.create_task(pour(server, MUCH, ends=True))
    assert await client.rest() == MUCH
    await sending
    assert pipes(house).made == 0


async def test_at_the_limit_the_others_are_copied_and_all_is_delivered(house):
    pipes(house).most = 1
    ends = [await flood(house, ends=True) for _ in range(3)]
    await stuck(house)
    assert pipes(house).made == 1
    for client, _, sending in ends:
        assert await client.rest() == MORE[SOME:]
        await sending
    assert (pipes(house).made, held(house)) == (1, 0)


async def test_no_pipe_takes_a_descriptor_from_a_client(house):
    engine = house.entry.engine
    client, server = await tunnel(house)
    engine.most = engine.open + 1
    sending = asyncio.create_task(pour(server, MUCH))
    await client.skip(len(MUCH))
    await sending
    assert pipes(house).made == 0
    engine.most = engine.open + 2
    before = engine.open
    sending = asyncio.create_task(pour(server, MUCH))
    await client.skip(len(MUCH))
    await sending
    assert (pipes(house).made, engine.open) == (1, before + 2)


async def test_not_more_is_kept_than_may_be_needed(house):
    ends = [await flood(house, ends=True) for _ in range(10)]
    await stuck(house, 10)
    for client, _, sending in ends:
        await client.skip(len(MORE) - SOME)
        await sending
    await eventually(lambda: held(house) == 0)
    assert pipes(house).made == pipes(house).spares == 8


async def test_the_end_of_all_leaves_no_pipe_with_bytes(house):
    client, _, sending = await flood(house)
    await stuck(house)
    house.entry.drain(0.02)
    assert await house.entry.wait_drained(0.02) == 1
    house.entry.abort()
    await house.is_idle()
    assert held(house) == 0
    await asyncio.gather(sending, return_exceptions=True)
    assert not await client.is_cut_off()
