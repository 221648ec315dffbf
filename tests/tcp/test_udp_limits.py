"""Datagrams at their limits: the largest and the smallest, errors of the network, names and descriptors."""

import asyncio
import contextlib
import os
import resource
import socket

import msgspec
import pytest

from fastproxy.succession import Told, bequeath, inherit
from tests.tcp.peers import free_port
from tests.tcp.test_udp import (  # noqa: F401
    Client,
    backend,
    client,
    document,
    is_lost,
    none_left,
    servers,
    sessions,
    static,
)
from tests.waiting import PATIENCE, costs_nothing, eventually, stands_still

IP_RECVERR = getattr(socket, "IP_RECVERR", 11)
LARGEST_OF_IPV4 = 65507
LARGEST_OF_IPV6 = 65527


def entry(house):
    return house._listeners["dns"].entry


# --- sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, LARGEST_OF_IPV4])
async def test_the_smallest_and_the_largest_pass_whole(proxy, client, size):  # noqa: F811
    """Both ways; by a plain socket, because a loop's transport sends no empty datagram."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.settimeout(PATIENCE)
        server.bind(("127.0.0.1", 0))
        house = await proxy(document(f"127.0.0.1:{server.getsockname()[1]}"), static())
        asker = client(house)
        for at in (b"x", b"y"):
            asker.send(at * size)
            data, address = await asyncio.to_thread(server.recvfrom, 70000)
            assert data == at * size
            server.sendto(data, address)
            assert await asker.answer() == at * size
        assert house.counters["accepted"] == 1


async def test_one_that_is_too_large_for_the_server_is_lost_alone(proxy, backend, client, caplog):  # noqa: F811
    one = await backend()
    house = await proxy(document(one.address), static(address="[::1]:0/udp"))
    asker = client(house, "::1", socket.AF_INET6)
    for data in (b"before", b"x" * LARGEST_OF_IPV6, b"after"):
        asker.send(data)
    assert [await asker.answer() for _ in range(2)] == [b"one before", b"one after"]
    assert len(set(one.clients)) == 1
    assert "1 datagrams were lost on entry point dns: the system does not take them" in caplog.text
    assert house.counters["datagrams_lost"] == 1


async def test_what_passed_is_counted(proxy, backend, client):  # noqa: F811
    house = await proxy(document((await backend()).address), static())
    asker = client(house)
    for data in (b"", b"abc", b"quiet"):
        asker.send(data)
    assert [await asker.answer() for _ in range(2)] == [b"one ", b"one abc"]
    await eventually(lambda: house.counters["datagrams_in"] == 3)
    counted = {"bytes_in": 8, "datagrams_out": 2, "bytes_out": 11, "datagrams_lost": 0}
    assert {name: house.counters[name] for name in counted} == counted
    assert (house.counters["accepted"], house.counters["open"]) == (1, 1)
    await house.apply({})
    other = client(house)
    other.send(b"?")
    await eventually(lambda: house.counters["datagrams_lost"] == 1)


# --- errors of the network ----------------------------------------------------------------------------------


async def test_a_storm_of_refusals_ends_sessions_and_keeps_nothing_busy(proxy, backend, client):  # noqa: F811
    house = await proxy(document(f"127.0.0.1:{free_port()}"), static())
    askers = [client(house) for _ in range(20)]
    for _ in range(50):
        for each in askers:
            each.send(b"?")
        await asyncio.sleep(0)
    await stands_still(lambda: house.counters["datagrams_in"])  # how many come, the socket's buffer decides
    await none_left(house)
    await costs_nothing()
    assert entry(house).engine.open == 0
    assert house.counters["accepted"] >= 20
    one = await backend()
    await house.apply(document(one.address))
    assert await askers[0].ask() == b"one ?"


async def test_a_server_that_goes_away_keeps_nothing_busy(proxy, backend, client):  # noqa: F811
    one = await backend()
    house = await proxy(document(one.address), static())
    asker = client(house)
    await asker.ask()
    one.transport.abort()
    await asyncio.sleep(0)
    asker.send(b"?")
    await none_left(house)
    await costs_nothing()


async def test_a_client_that_goes_away_keeps_nothing_busy(proxy, backend, client):  # noqa: F811
    """Its host refuses answers; a socket that was given may keep such errors, and nobody would fetch them."""
    one = await backend()
    house = await proxy(document(one.address), static())
    with socket.socket(type=socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        house._listeners["dns"].borrow(bound)
        asker = client(house, to=bound.getsockname())
        assert await asker.ask() == b"one ?"
        asker.socket.close()
        for _ in range(5):
            one.transport.sendto(b"news", one.clients[0])
        await eventually(lambda: house.counters["datagrams_out"] > 1)
        await costs_nothing()
        assert await client(house, to=bound.getsockname()).ask() == b"one ?"


# --- names --------------------------------------------------------------------------------------------------


class Resolver:
    """Answers when it is told to."""

    def __init__(self, monkeypatch):
        self.asked = 0
        self.answer = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self.getaddrinfo)

    async def getaddrinfo(self, host, port, **options):
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (await asyncio.shield(self.answer), port))]


@pytest.fixture
async def named(proxy, backend, monkeypatch):  # noqa: F811
    """Return a proxy before a server with a name, which is not looked up yet."""
    one = await backend()
    resolver = Resolver(monkeypatch)
    house = await proxy(document(one.address.replace("127.0.0.1", "server.example")), static("30s"))
    yield house, one, resolver
    if not resolver.answer.done():
        resolver.answer.set_result("127.0.0.1")


async def test_what_waits_for_a_name_is_limited_for_a_session(named, client):  # noqa: F811
    """An empty datagram holds memory too."""
    house, one, resolver = named
    asker = client(house)
    for at in range(1200):
        asker.send(b"")
        if at % 50 == 49:
            await eventually(lambda at=at: house.counters["datagrams_in"] == at + 1)
    assert entry(house).waiting_size == 65536
    resolver.answer.set_result("127.0.0.1")
    await eventually(lambda: entry(house).waiting_size == 0)
    assert house.counters["datagrams_lost"] == 1200 - 1024
    while (await asker.ask(b"more")) != b"one more":  # that many at once may fill the server's buffer
        pass
    assert len(set(one.clients)) == 1


async def test_what_waits_for_a_name_is_limited_for_all_sessions(named, client, caplog):  # noqa: F811
    house, _, resolver = named
    askers = [client(house) for _ in range(80)]
    for at, each in enumerate(askers):
        each.send(b"x" * 60000)
        await eventually(lambda at=at: house.counters["datagrams_in"] == at + 1)
    assert 0 < (1 << 22) - entry(house).waiting_size < 60064
    assert house.counters["datagrams_lost"] == 80 - (1 << 22) // 60064
    assert "datagrams were lost on entry point dns: the server's name is still looked up" in caplog.text
    assert (resolver.asked, sessions(house)) == (1, 80)
    resolver.answer.set_result("127.0.0.1")
    await eventually(lambda: entry(house).waiting_size == 0)
    askers.append(client(house))
    for each in askers[:3] + askers[-1:]:
        while (await each.ask(b"?")) != b"one ?":
            pass
    assert resolver.asked == 1


async def test_sessions_that_end_while_a_name_is_looked_up_leave_nothing(proxy, backend, client, monkeypatch):  # noqa: F811
    one = await backend()
    resolver = Resolver(monkeypatch)
    house = await proxy(document(one.address.replace("127.0.0.1", "server.example")), static("100ms"))
    asker = client(house)
    asker.send(b"?")
    await eventually(lambda: sessions(house) == 1)
    await none_left(house)
    assert entry(house).waiting_size == 0
    resolver.answer.set_result("127.0.0.1")
    assert await asker.ask(b"again") == b"one again"


async def test_a_name_that_cannot_be_connected_to_ends_what_waits(named, client, caplog):  # noqa: F811
    house, _, resolver = named
    client(house).send(b"?")
    await eventually(lambda: sessions(house) == 1)
    resolver.answer.set_result("nonsense")
    await none_left(house)
    assert "nonsense is no address that can be connected to" in caplog.text
    assert entry(house).waiting_size == 0


# --- from program to program --------------------------------------------------------------------------------


async def test_sessions_are_taken_over_as_far_as_there_is_room(proxy, backend, client):  # noqa: F811
    one = await backend()
    old = await proxy(document(one.address), static())
    new = await proxy({}, static(limits={"connectionsPerEntryPoint": 2}))
    for _ in range(3):
        await client(old).ask()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    async with asyncio.timeout(PATIENCE):
        counts = await asyncio.gather(bequeath(ours, old._listeners), inherit(theirs, new._listeners))
    assert counts == [3, 3]
    assert (sessions(old), sessions(new)) == (0, 2)
    assert (entry(old).engine.open, old.counters["open"], new.counters["open"]) == (2, 0, 2)
    for address in one.clients:
        one.transport.sendto(b"news", address)
    await eventually(lambda: new.counters["datagrams_out"] == 2)
    await new.stop(grace=0)
    assert entry(old).engine.open == 0


@pytest.mark.parametrize("wrong", [{"client": b""}, {"client": b"x" * 200}, {"control": b"x" * 65}])
async def test_a_session_that_makes_no_sense_is_not_taken_over(proxy, wrong):
    house = await proxy({}, static())
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        told = Told("dns", b"client", b"", "127.0.0.1:1", "127.0.0.1", 1)
        copy = os.dup(made.fileno())
        house._listeners["dns"].adopt(msgspec.structs.replace(told, **wrong), copy)
        assert sessions(house) == entry(house).engine.open == 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(copy)


# --- descriptors --------------------------------------------------------------------------------------------


async def test_clients_leave_descriptors_for_others(proxy, backend, client, caplog):  # noqa: F811
    house = await proxy(document((await backend()).address), static("200ms"))
    entry(house).engine.most, entry(house).engine.kept = 5, 2
    askers = [client(house) for _ in range(4)]
    assert [await each.ask() for each in askers[:3]] == [b"one ?"] * 3
    await is_lost(house, askers[3])
    assert "were dropped on entry point dns: descriptors for clients is 3" in caplog.text
    await none_left(house)
    assert await askers[3].ask() == b"one ?"


@contextlib.contextmanager
def no_descriptor_left():
    """Let nothing be opened in the block; what is open stays."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY)]
    try:
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in held:
            os.close(each)


async def test_a_shortage_of_descriptors_costs_new_clients_only(proxy, backend, client, caplog):  # noqa: F811
    house = await proxy(document((await backend()).address), static())
    old, new = client(house), client(house)
    assert await old.ask() == b"one ?"
    with no_descriptor_left():
        new.send(b"?")
        await eventually(lambda: house.counters["datagrams_lost"] == 1)
        assert await old.ask() == b"one ?"
    assert "1 datagrams of new clients were dropped on entry point dns: descriptors is" in caplog.text
    assert (sessions(house), entry(house).engine.open, house.counters["open"]) == (1, 1, 1)
    assert await new.ask() == b"one ?"
