"""The pipe between supervisor and worker: every message comes out as it went in, however it was cut."""

import asyncio
import contextlib
import os
import resource
import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy import loops
from fastproxy.config import delta
from fastproxy.config.dynamic import Configuration, HttpRouter
from fastproxy.config.http import HttpConfiguration
from fastproxy.config.static import EntryPoint, StaticConfiguration
from fastproxy.pipe import (
    Abort,
    Applied,
    Asked,
    Change,
    Closed,
    Drain,
    Drained,
    Frames,
    Lend,
    Pipe,
    Ready,
    Reopen,
    Setup,
    State,
    TakeBack,
    ToSupervisor,
    ToWorker,
    Trouble,
    frame,
)


def configuration(*names):
    made = {name: HttpRouter(rule=f"Host(`{name}`)", service="s@file") for name in names}
    return Configuration(http=HttpConfiguration(routers=made), broken={"http.routers": {"x@file": "no rule"}})


STATIC = StaticConfiguration(entry_points={"web": EntryPoint(address=":80"), "": EntryPoint(address=":0")})
CHANGE = delta.difference(configuration("a", "b"), configuration("b", "c"))
TO_WORKER = [
    Setup(3, STATIC, {"web": 7}, 8),
    State(1, configuration("a", "b")),
    Change(2, CHANGE),
    Lend(2, ("web", "api")),
    TakeBack(2),
    Drain(),
    Drain(("web",)),
    Abort(),
    Reopen(),
]
TO_SUPERVISOR = [
    Applied(2, 1.5, 1, 2, 3, 1, (Trouble("router", "a@file", "no service"),), (), ""),
    Ready(("requests", "2xx")),
    Asked(),
    Closed("web"),
    Drained(3),
]


@pytest.mark.parametrize(("messages", "expected"), [(TO_WORKER, ToWorker), (TO_SUPERVISOR, ToSupervisor)])
@given(size=st.integers(1, 200))
def test_messages_come_out_as_they_went_in(messages, expected, size):
    data = b"".join(map(frame, messages))
    frames = Frames(expected)
    got = [message for at in range(0, len(data), size) for message in frames.feed(data[at : at + size])]
    assert got == messages


def test_a_change_leads_from_one_state_to_the_next():
    (change,) = Frames(ToWorker).feed(frame(Change(2, CHANGE)))
    assert delta.apply(configuration("a", "b"), change.delta) == configuration("b", "c")


def test_a_message_for_the_other_side_is_refused():
    with pytest.raises(msgspec.ValidationError):
        Frames(ToWorker).feed(frame(Drained(1)))


@pytest.fixture(params=[loops.run, asyncio.run])
def run(request):
    """The loop of the supervisor and its workers, and that of the standard library."""
    return request.param


async def connected(on_message, on_end):
    ours, theirs = socket.socketpair()
    pipe = Pipe(ToSupervisor, on_message, on_end)
    pipe.start(ours)
    return pipe, theirs


def test_the_end_of_the_other_side_is_told_once(run):
    async def play():
        ended, got = asyncio.Event(), []
        pipe, other = await connected(got.append, ended.set)
        other.sendall(frame(Closed("web")))
        other.close()
        await ended.wait()
        assert got == [Closed("web")]
        pipe.send(Drain())  # to nobody: nothing happens
        pipe.close()

    run(play())


def test_what_makes_no_sense_ends_the_pipe(run):
    async def play():
        ended, got = asyncio.Event(), []
        _, other = await connected(got.append, ended.set)
        other.sendall(b"\x02\0\0\0\xc1\xc1" + frame(Closed("web")))
        await ended.wait()
        assert got == []
        assert other.recv(1) == b""
        other.close()

    run(play())


def test_what_was_sent_before_the_close_arrives(run):
    async def play():
        ended = asyncio.Event()
        pipe, other = await connected(lambda message: None, ended.set)
        big = State(1, configuration(*(f"router-{number}@file" for number in range(20_000))))
        pipe.send(big)
        pipe.close()
        frames, got = Frames(ToWorker), []
        other.setblocking(False)
        while data := await asyncio.get_running_loop().sock_recv(other, 1 << 16):
            got += frames.feed(data)
        assert got == [big]
        await ended.wait()
        other.close()

    run(play())


def test_descriptors_come_with_their_message(run):
    """Also behind a message that the kernel did not take at once."""

    async def play():
        ours, theirs = socket.socketpair()
        all_came, taken = asyncio.Event(), {}

        def on_message(message):
            if isinstance(message, Lend):
                taken[message.slot] = receiver.descriptors(len(message.entry_points))
                if len(taken) == 2:
                    all_came.set()

        receiver = Pipe(ToWorker, on_message, lambda: None)
        sender = Pipe(ToSupervisor, lambda message: None, lambda: None)
        sender.start(ours)
        receiver.start(theirs)
        ends = [os.pipe() for _ in range(3)]
        readers, writers = zip(*ends, strict=True)
        sender.send(State(1, configuration(*(f"router-{number}@file" for number in range(20_000)))))
        sender.send(Lend(1, ("web", "api")), writers[:2])
        sender.send(Reopen())
        sender.send(Lend(2, ("web",)), writers[2:])
        await all_came.wait()
        for letter, descriptor in zip(b"abc", taken[1] + taken[2], strict=True):
            assert not os.get_inheritable(descriptor)
            os.write(descriptor, bytes([letter]))
        assert [os.read(each, 1) for each in readers] == [b"a", b"b", b"c"]
        for each in (*readers, *writers, *taken[1], *taken[2]):
            os.close(each)
        receiver.close()
        sender.close()

    run(play())


def test_descriptors_that_nobody_took_are_closed_with_the_pipe(run):
    async def play():
        ours, theirs = socket.socketpair()
        ended, here = asyncio.Event(), asyncio.Event()
        receiver = Pipe(ToWorker, lambda message: here.set(), ended.set)
        receiver.start(theirs)
        reader, writer = os.pipe()
        socket.send_fds(ours, [frame(Lend(1, ("web",)))], [writer])
        os.close(writer)
        await here.wait()
        ours.close()
        await ended.wait()
        assert os.read(reader, 1) == b""  # nobody has the other end any more
        os.close(reader)

    run(play())


def test_descriptors_for_which_there_is_no_room_are_not_taken_for_those_of_the_next_message(run):
    async def play():
        ours, theirs = socket.socketpair()
        taken, over = {}, asyncio.Event()

        def on_message(message):
            try:
                taken[message.slot] = receiver.descriptors(len(message.entry_points))
            except ValueError as error:
                taken[message.slot] = str(error)
            if message.slot == 2:
                over.set()
            else:
                asyncio.get_running_loop().call_soon(begin_again)

        def begin_again():
            make_room()
            socket.send_fds(ours, [frame(Lend(2, ("web",)))], [last])

        receiver = Pipe(ToWorker, on_message, lambda: None)
        receiver.start(theirs)
        first, last = os.open("/dev/null", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)
        with room_for_one_descriptor() as make_room:
            socket.send_fds(ours, [frame(Lend(1, ("web", "api")))], [first, first])
            await over.wait()
        assert taken[1] == "1 of 2 descriptors have come; no more may be open"
        assert os.read(taken[2][0], 1) == b"\0"
        for each in (first, last, *taken[2]):
            os.close(each)
        receiver.close()
        ours.close()

    run(play())


@contextlib.contextmanager
def room_for_one_descriptor():
    """Let this process open one descriptor more, until what is yielded is called."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = [os.open("/dev/null", os.O_RDONLY)]

    def make_room():
        while fillers:
            os.close(fillers.pop())

    try:
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 3, before[1]))
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.open("/dev/null", os.O_RDONLY))
        os.close(fillers.pop())
        yield make_room
    finally:
        make_room()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
