"""Datagrams: sessions, who answers them, and when they are over."""

import asyncio
import contextlib
import socket

import pytest

from tests.tcp.peers import drains, free_port
from tests.waiting import PATIENCE, eventually

STATIC = {"entryPoints": {"dns": {"address": "127.0.0.1:0/udp", "udp": {"timeout": "10s"}}}}


def static(timeout="10s", address="127.0.0.1:0/udp", **core):
    point = {"address": address, "udp": {"timeout": timeout}}
    return {"entryPoints": {"dns": point}, **({"core": core} if core else {})}


class Backend(asyncio.DatagramProtocol):
    """A server that answers its name and what it is sent."""

    def __init__(self, name):
        self.name = name
        self.clients = []
        """Where each datagram came from."""

        self.received = []

    def connection_made(self, transport):
        self.transport = transport
        host, port = transport.get_extra_info("sockname")[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def datagram_received(self, data, address):
        self.clients.append(address)
        self.received.append(data)
        if data != b"quiet":
            self.transport.sendto(self.name.encode() + b" " + data, address)


class Client:
    """A client with an address of its own."""

    def __init__(self, house, host="127.0.0.1", family=socket.AF_INET, to=None):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.socket.connect(to or house.address("dns"))

    def send(self, data):
        self.socket.send(data)

    async def answer(self):
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self.socket, 70000)

    async def ask(self, data=b"?"):
        self.send(data)
        return await self.answer()


@pytest.fixture
async def backend():
    made = []

    async def make(name="one", host="127.0.0.1"):
        loop = asyncio.get_running_loop()
        made.append((await loop.create_datagram_endpoint(lambda: Backend(name), (host, 0)))[1])
        return made[-1]

    yield make
    for each in made:
        each.transport.close()


@pytest.fixture
def client():
    made = []

    def make(*arguments, **options):
        made.append(Client(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.socket.close()


def servers(*addresses):
    return {"loadBalancer": {"servers": [{"address": each} for each in addresses]}}


def document(*addresses, **routers):
    """Return a document with one router to one service `dns`, unless said otherwise."""
    return {
        "udp": {"routers": routers or {"dns": {"service": "dns"}}, "services": {"dns": servers(*addresses)}}
    }


def sessions(house):
    return house._listeners["dns"].entry.connections


async def none_left(house):
    await eventually(lambda: not sessions(house), "sessions to end")


# --- what passes --------------------------------------------------------------------------------------------


async def test_question_and_answer(proxy, backend, client):
    house = await proxy(document((await backend()).address), static())
    assert await client(house).ask(b"what?") == b"one what?"


@pytest.mark.parametrize("size", [0, 1, 1500, 9000, 65000])
async def test_datagrams_of_any_size_stay_whole(proxy, backend, client, size):
    house = await proxy(document((await backend()).address), static())
    assert await client(house).ask(b"x" * size) == b"one " + b"x" * size


async def test_datagrams_stay_in_order_and_with_their_session(proxy, backend, client):
    one = await backend()
    house = await proxy(document(one.address), static())
    asker = client(house)
    for at in range(100):
        asker.send(b"%d" % at)
    assert [await asker.answer() for _ in range(100)] == [b"one %d" % at for at in range(100)]
    assert len(set(one.clients)) == 1
    assert sessions(house) == 1


async def test_sessions_take_turns_and_keep_their_server(proxy, backend, client):
    addresses = [(await backend(name)).address for name in ("one", "two")]
    house = await proxy(document(*addresses), static())
    clients = [client(house) for _ in range(4)]
    first = [await each.ask() for each in clients]
    assert sorted(first) == [b"one ?", b"one ?", b"two ?", b"two ?"]
    assert [await each.ask() for each in clients] == first


async def test_every_session_has_a_source_of_its_own(proxy, backend, client):
    one = await backend()
    house = await proxy(document(one.address), static())
    for _ in range(3):
        await client(house).ask()
    assert len(set(one.clients)) == 3


async def test_weighted_services(proxy, backend, client):
    one, two = await backend("one"), await backend("two")
    udp = {
        "routers": {"dns": {"service": "all"}},
        "services": {
            "all": {"weighted": {"services": [{"name": "a", "weight": 3}, {"name": "b"}]}},
            "a": servers(one.address),
            "b": servers(two.address),
        },
    }
    house = await proxy({"udp": udp}, static())
    found = [await client(house).ask() for _ in range(8)]
    assert sorted(found) == [b"one ?"] * 6 + [b"two ?"] * 2


async def test_a_server_by_its_name(proxy, backend, client):
    address = (await backend()).address.replace("127.0.0.1", "localhost")
    house = await proxy(document(address), static())
    asker = client(house)
    for at in range(3):
        asker.send(b"%d" % at)
    assert [await asker.answer() for _ in range(3)] == [b"one 0", b"one 1", b"one 2"]


async def test_a_name_that_is_none(proxy, client, caplog):
    house = await proxy(document("nowhere.invalid:53"), static())
    client(house).send(b"?")
    await eventually(lambda: "nowhere.invalid:53 cannot be reached" in caplog.text)
    await none_left(house)


async def test_ipv6(proxy, backend, client):
    house = await proxy(document((await backend("six", "::1")).address), static(address="[::1]:0/udp"))
    assert await client(house, "::1", socket.AF_INET6).ask() == b"six ?"


@pytest.mark.parametrize("address", ["0.0.0.0:0/udp", ":0/udp"])
async def test_answers_come_from_the_address_that_was_asked(proxy, backend, client, address):
    house = await proxy(document((await backend()).address), static(address=address))
    asker = client(house, "127.0.0.2", to=("127.0.0.77", house.address("dns")[1]))
    assert await asker.ask() == b"one ?"


# --- who serves ---------------------------------------------------------------------------------------------


async def is_lost(house, asker):
    """Send a datagram that gets no session, and so no answer."""
    before = house.counters["datagrams_lost"]
    asker.send(b"?")
    await eventually(lambda: house.counters["datagrams_lost"] == before + 1)
    with pytest.raises(BlockingIOError):
        asker.socket.recv(10)


async def test_without_a_router_or_a_server_nobody_answers(proxy, backend, client):
    house = await proxy({}, static())
    await is_lost(house, client(house))
    await house.apply(document())
    await is_lost(house, client(house))
    assert sessions(house) == 0


async def test_of_several_routers_the_last_by_name_serves(proxy, backend, client, caplog):
    one, two = await backend("one"), await backend("two")
    udp = {
        "routers": {"a": {"service": "one"}, "b": {"service": "two", "entryPoints": ["dns"]}},
        "services": {"one": servers(one.address), "two": servers(two.address)},
    }
    house = await proxy({"udp": udp}, static())
    assert await client(house).ask() == b"two ?"
    record = house._switcher.runtime.record("udp.routers", "a@file")
    assert record.status == "warning"
    assert record.error == ('entryPoint "dns" is served by router b@file: of several the last by name',)
    await house.apply({"udp": {**udp, "routers": {"a": udp["routers"]["a"]}}})
    assert await client(house).ask() == b"one ?"
    assert house._switcher.runtime.record("udp.routers", "a@file").status == "enabled"


async def test_a_change_leaves_sessions_with_their_server(proxy, backend, client):
    one, two = await backend("one"), await backend("two")
    house = await proxy(document(one.address), static())
    before = client(house)
    assert await before.ask() == b"one ?"
    await house.apply(document(two.address))
    assert await before.ask() == b"one ?"
    assert await client(house).ask() == b"two ?"
    await house.apply({})
    assert await before.ask() == b"one ?"
    await is_lost(house, client(house))


# --- the end ------------------------------------------------------------------------------------------------


async def test_a_session_that_is_idle_is_over(proxy, backend, client):
    one = await backend()
    house = await proxy(document(one.address), static("100ms"))
    asker = client(house)
    await asker.ask()
    await none_left(house)
    await asker.ask()
    assert len(set(one.clients)) == 2


async def test_traffic_in_either_direction_keeps_a_session(proxy, backend, client):
    one = await backend()
    house = await proxy(document(one.address), static("300ms"))
    asker = client(house)
    await asker.ask()
    ours = one.clients[0]
    for sends in ("server", "client"):
        idle = client(house)  # its session ends when one would that nothing keeps
        await idle.ask()
        assert sessions(house) == 2
        while sessions(house) == 2:
            if sends == "server":
                one.transport.sendto(b"news", ours)
                assert await asker.answer() == b"news"
            else:
                asker.send(b"quiet")
            await asyncio.sleep(0.01)
    await asker.ask()
    assert one.clients[-1] == ours


async def test_a_server_that_is_not_there_ends_the_session(proxy, backend, client):
    one = await backend()
    house = await proxy(document(f"127.0.0.1:{free_port()}"), static())
    asker = client(house)
    asker.send(b"?")
    await none_left(house)
    await house.apply(document(one.address))
    assert await asker.ask() == b"one ?"


async def test_the_end_waits_for_sessions_as_long_as_it_may(proxy, backend, client):
    house = await proxy(document((await backend()).address), static("200ms"))
    asker = client(house)
    await asker.ask()
    stopping = asyncio.create_task(house.stop(grace=PATIENCE))
    await drains(house, "dns")
    assert await asker.ask() == b"one ?"
    async with asyncio.timeout(PATIENCE / 2):
        assert await stopping == 0


async def test_the_end_cuts_what_takes_too_long(proxy, backend, client):
    house = await proxy(document((await backend()).address), static())
    await client(house).ask()
    assert await house.stop(grace=0.05) == 1


# --- limits -------------------------------------------------------------------------------------------------


async def test_no_more_sessions_than_the_limit(proxy, backend, client, caplog):
    limits = {"limits": {"connectionsPerEntryPoint": 2}}
    house = await proxy(document((await backend()).address), static("150ms", **limits))
    clients = [client(house) for _ in range(3)]
    assert [await each.ask() for each in clients[:2]] == [b"one ?"] * 2
    await is_lost(house, clients[2])
    assert sessions(house) <= 2
    assert (
        "datagrams of new clients were dropped on entry point dns: core.limits.connectionsPerEntryPoint is 2"
        in (caplog.text)
    )
    await none_left(house)
    assert await clients[2].ask() == b"one ?"


async def test_tcp_and_udp_on_one_port(proxy, backend, client, connect, server):
    port = free_port()
    points = {
        "dns": {"address": f"127.0.0.1:{port}/udp"},
        "db": {"address": f"127.0.0.1:{port}"},
    }
    tcp = {
        "routers": {"db": {"rule": "HostSNI(`*`)", "service": "db"}},
        "services": {"db": servers((await server("tcp")).address)},
    }
    house = await proxy({**document((await backend()).address), "tcp": tcp}, {"entryPoints": points})
    assert await client(house).ask() == b"one ?"
    assert await (await connect(house, "db")).line() == b"tcp\n"


async def test_a_flood_of_clients_leaves_nothing(proxy, backend, client):
    house = await proxy(document((await backend()).address), static("100ms"))
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.sendto(b"x", house.address("dns"))
        await eventually(lambda: sessions(house))
        await none_left(house)
    assert house._listeners["dns"].entry.engine.open == 0
