"""An entry point goes on accepting whatever happens, and stops as its life cycle says."""

import asyncio
import contextlib
import gc
import os
import resource
import socket
import struct
from pathlib import Path

import pytest

from fastproxy._core.snapshot import Switch
from fastproxy.config.static import (
    EncodedCharacters,
    EntryPoint,
    EntryPointHTTP,
    LifeCycle,
    RespondingTimeouts,
    StaticConfiguration,
    Transport,
)
from fastproxy.listeners import COUNTERS, COUNTERS_SIZE, listeners_of
from fastproxy.sockets import bind_all, close_all
from tests.reload.peers import Client
from tests.waiting import eventually

SECOND = 1_000_000_000


def static_of(**options) -> StaticConfiguration:
    return StaticConfiguration(entry_points={"web": EntryPoint(address="127.0.0.1:0", **options)})


class House:
    """A listener without routes, its socket, and its counters."""

    def __init__(self, static):
        self.sockets = bind_all(static.entry_points, 1)
        self.bound = self.sockets["web"][0]
        self.block = bytearray(COUNTERS_SIZE)
        self.listener = listeners_of(static, self.sockets, Switch(), self.block)["web"]
        self.accepted = []

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection(*self.bound.getsockname()))

    async def get(self) -> int:
        client = await self.connect()
        status, _ = await client.get()
        client.writer.close()
        return status

    def count(self, name) -> int:
        return memoryview(self.block).cast("q")[COUNTERS.index(name)]


@pytest.fixture
async def house():
    made = []

    async def make(static=None):
        made.append(House(static or static_of()))
        await made[-1].listener.start()
        return made[-1]

    yield make
    for each in made:
        each.listener.abort()
        close_all(each.sockets)


async def test_no_route_is_404_and_is_counted(house):
    here = await house()
    assert await here.get() == 404
    assert (here.count("accepted"), here.count("4xx")) == (1, 1)


async def test_a_lack_of_descriptors_ends_nothing(house, caplog):
    here = await house()
    clients = [socket.socket() for _ in range(3)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, before[1]))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        for client in clients:
            client.setblocking(False)
            client.connect_ex(here.bound.getsockname())
        await eventually(lambda: "accepting begins again" in caplog.text)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert await here.get() == 404
    assert "the system refused a connection (Too many open files); accepting begins again" in caplog.text
    assert len(caplog.records) < 10  # it rests in between


async def test_a_socket_that_somebody_else_shuts_down_listens_again(house, caplog):
    """Whoever has it too can do that; the kernel then calls it readable, and has nobody to accept."""
    here = await house()
    with here.bound.dup() as copy:
        copy.shutdown(socket.SHUT_RD)
    await eventually(lambda: "accepting begins again" in caplog.text)
    await eventually(lambda: is_heard(here.bound))
    assert await here.get() == 404
    assert "the system refused a connection (Invalid argument)" in caplog.text
    assert len(caplog.records) < 10  # it rests in between


def is_heard(bound):
    with socket.socket() as client:
        return client.connect_ex(bound.getsockname()) == 0


async def test_a_client_that_is_gone_before_it_is_accepted_ends_nothing(house):
    here = await house()
    for _ in range(20):
        with socket.create_connection(here.bound.getsockname()) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert await here.get() == 404


async def test_a_listener_that_stopped_leaves_its_socket_to_a_successor(house):
    here = await house()
    here.listener.stop_accepting()
    await asyncio.sleep(0)
    waiting = await here.connect()  # the kernel takes it
    successor = listeners_of(static_of(), here.sockets, Switch(), None)["web"]
    await successor.start()
    assert (await waiting.get())[0] == 404
    successor.abort()


async def test_keep_alive_is_handed_on_by_the_kernel(house):
    here = await house()
    here.listener.stop_accepting()
    with socket.create_connection(here.bound.getsockname()):
        accepted, _ = here.bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 180


async def test_draining_closes_idle_connections_and_tells(house):
    here = await house()
    idle = await here.connect()
    await idle.get()
    told = []
    assert await here.listener.drain(told.append) == 0
    assert told == ["web"]
    assert await idle.reader.read() == b""


async def test_who_waits_in_the_kernel_when_accepting_ends_is_answered(house):
    cycle = LifeCycle(grace_time_out=2 * SECOND)
    here = await house(static_of(transport=Transport(life_cycle=cycle)))
    with contextlib.ExitStack() as stack:
        waiting = [socket.create_connection(here.bound.getsockname()) for _ in range(20)]
        for each in waiting:  # the loop has not come to any of them
            stack.enter_context(each)
            each.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await here.listener.drain(lambda name: here.bound.close()) == 0
        for each in waiting:
            assert each.recv(65536).startswith(b"HTTP/1.1 404")


async def test_who_waits_is_left_to_those_that_take_over(house):
    here = await house()
    with socket.create_connection(here.bound.getsockname()) as waiting:
        assert await here.listener.drain(lambda name: None, handed_over=True) == 0
        accepted, _ = here.bound.accept()
        assert accepted.getpeername() == waiting.getsockname()
        accepted.close()


async def test_what_does_not_end_in_the_grace_time_is_cut(house):
    cycle = LifeCycle(grace_time_out=SECOND // 100)
    here = await house(static_of(transport=Transport(life_cycle=cycle)))
    slow = await here.connect()
    slow.writer.write(b"GET / HT")
    assert await here.get() == 404  # whoever came before has been read too
    assert await here.listener.drain(lambda name: None) == 1
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await slow.reader.readexactly(1)


async def test_it_accepts_for_a_while_still_when_told_to(house):
    cycle = LifeCycle(request_accept_grace_timeout=SECOND // 5)
    here = await house(static_of(transport=Transport(life_cycle=cycle)))
    draining = asyncio.create_task(here.listener.drain(lambda name: None))
    await asyncio.sleep(0)
    assert await here.get() == 404
    assert not draining.done()
    assert await draining == 0


async def test_settings_reach_the_entry_point(house):
    timeouts = RespondingTimeouts(read_timeout=5 * SECOND, write_timeout=0, idle_timeout=-SECOND)
    characters = EncodedCharacters(allow_encoded_slash=False, allow_encoded_hash=False)
    static = static_of(
        transport=Transport(responding_timeouts=timeouts, keep_alive_max_requests=7),
        http=EntryPointHTTP(max_header_bytes=4096, sanitize_path=False, encoded_characters=characters),
    )
    entry = (await house(static)).listener.entry
    assert (entry.read_timeout, entry.write_timeout, entry.idle_timeout) == (5.0, 0.0, 0.0)
    assert (entry.max_requests, entry.max_head, entry.sanitize) == (7, 4096, False)


async def test_tables_stand_in_the_order_of_the_names():
    static = StaticConfiguration(
        entry_points={name: EntryPoint(address="127.0.0.1:0") for name in ("web", "admin", "metrics")}
    )
    sockets = bind_all(static.entry_points, 1)
    try:
        listeners = listeners_of(static, sockets, Switch(), None)
        assert {name: each.entry.index for name, each in listeners.items()} == {
            "admin": 0,
            "metrics": 1,
            "web": 2,
        }
    finally:
        close_all(sockets)


def watched(inode: int) -> list[str]:
    """Return what the kernel watches a socket for, by all that is watched in this process."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventpoll]":
                lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
                found += [line for line in lines if f"ino:{inode:x} " in line]
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="the kernel tells nothing")
@pytest.mark.parametrize("address", ["127.0.0.1:0/tcp", "127.0.0.1:0/udp"])
async def test_a_listener_that_nobody_stops_leaves_nothing_watched(address):
    """The socket stays open, for others have it too, and the kernel would tell something that is gone."""
    static = StaticConfiguration(entry_points={"web": EntryPoint(address=address)})
    sockets = bind_all(static.entry_points, 1)
    try:
        inode = os.fstat(sockets["web"][0].fileno()).st_ino
        made = listeners_of(static, sockets, Switch(), None)
        await made["web"].start()
        assert watched(inode)
        del made
        gc.collect()
        assert watched(inode) == []
    finally:
        close_all(sockets)
