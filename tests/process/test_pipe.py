"""The pipe between supervisor and worker: every message comes out as it went in, however it was cut."""

import asyncio
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
    Change,
    Closed,
    Drain,
    Drained,
    Frames,
    Pipe,
    Ready,
    Reopen,
    Setup,
    State,
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
    Drain(),
    Abort(),
    Reopen(),
]
TO_SUPERVISOR = [
    Applied(2, 1.5, 1, 2, 3, 1, (Trouble("router", "a@file", "no service"),), (), ""),
    Ready(("requests", "2xx")),
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
    ours.setblocking(False)
    pipe = Pipe(ToSupervisor, on_message, on_end)
    await asyncio.get_running_loop().create_unix_connection(lambda: pipe, sock=ours)
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
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
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
