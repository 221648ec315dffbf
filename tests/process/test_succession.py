"""How sessions of UDP pass from program to program: every one or none, whatever the other side does."""

import asyncio
import os
import socket

import pytest

from fastproxy import succession
from fastproxy.succession import HERE, Told, bequeath, inherit
from tests.tcp.peers import PATIENCE


class Entry:
    """Hands over the writing ends of so many pipes, and keeps those that it gets."""

    def __init__(self, count=0):
        self.pipes = [os.pipe() for _ in range(count)]
        self.gone = []
        self.got = {}
        self.has_let_go = False

    def handing_over(self):
        for number, (_, writing) in enumerate(self.pipes):
            told = Told("dns", b"client %d" % number, b"", "10.0.0.7:53", "10.0.0.7", number)
            yield told, writing, lambda number=number: self.gone.append(number)

    def let_go(self):
        self.has_let_go = True

    def adopt(self, told, descriptor):
        self.got[told.port] = (told, descriptor)

    def close(self):
        for each in [end for pipe in self.pipes for end in pipe] + [each for _, each in self.got.values()]:
            os.close(each)


@pytest.fixture
def entry():
    made = []

    def make(count=0):
        made.append(Entry(count))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.setblocking(False)
        yield ours, theirs


async def test_every_session_goes_over_though_the_link_holds_few(pair, entry):
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    old, new = entry(300), entry()
    async with asyncio.timeout(PATIENCE):
        counts = await asyncio.gather(bequeath(pair[0], {"dns": old}), inherit(pair[1], {"dns": new}))
    assert counts == [300, 300]
    assert old.gone == list(range(300)) == list(new.got)
    assert old.has_let_go
    for number, (told, descriptor) in new.got.items():
        assert told == Told("dns", b"client %d" % number, b"", "10.0.0.7:53", "10.0.0.7", number)
        os.write(descriptor, b"%d" % number)
        assert os.read(old.pipes[number][0], 10) == b"%d" % number


async def test_nobody_there_to_inherit(pair, entry):
    old = entry(2)
    pair[1].close()
    assert await bequeath(pair[0], {"dns": old}) == 0
    assert (old.gone, old.has_let_go) == ([], True)


@pytest.mark.parametrize("said", [b"", b"hello"])
async def test_an_heir_that_does_not_speak_this_language(pair, entry, monkeypatch, said):
    monkeypatch.setattr(succession, "PATIENCE", 0.05)
    old = entry(2)
    if said:
        pair[1].send(said)
    assert await bequeath(pair[0], {"dns": old}) == 0
    assert (old.gone, old.has_let_go) == ([], True)


async def test_an_heir_that_takes_nothing_does_not_hold_the_old_one(pair, entry, monkeypatch):
    monkeypatch.setattr(succession, "PATIENCE", 0.05)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    old = entry(300)
    pair[1].send(HERE)
    await bequeath(pair[0], {"dns": old})
    assert 0 < len(old.gone) < 300
    assert old.has_let_go


async def test_nothing_to_inherit(pair, entry, caplog):
    pair[0].close()
    assert await inherit(pair[1], {"dns": entry()}) == 0
    assert "cannot be taken over" not in caplog.text


@pytest.mark.parametrize("patience", ["START_PATIENCE", "PATIENCE"])
async def test_a_predecessor_that_goes_silent(pair, entry, monkeypatch, caplog, patience):
    monkeypatch.setattr(succession, patience, 0.05)
    new = entry()
    if patience == "PATIENCE":
        reading, writing = os.pipe()
        told = succession.msgspec.msgpack.encode(Told("dns", b"c", b"", "a:1", "a", 1))
        socket.send_fds(pair[0], [told], [writing])
        os.close(writing)
        os.close(reading)
    async with asyncio.timeout(PATIENCE):
        assert await inherit(pair[1], {"dns": new}) == len(new.got) == (patience == "PATIENCE")
    assert "sessions of the program before this one cannot be taken over: TimeoutError" in caplog.text


async def test_what_makes_no_sense_ends_it(pair, entry, caplog):
    pair[0].send(b"nonsense")
    assert await inherit(pair[1], {"dns": entry()}) == 0
    assert "cannot be taken over" in caplog.text


async def test_a_session_of_an_entry_point_that_is_gone_is_closed(pair, entry):
    old, new = entry(1), entry()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(bequeath(pair[0], {"dns": old}), inherit(pair[1], {"other": new}))
    assert old.gone == [0] and not new.got
    os.close(old.pipes[0][1])
    old.pipes[0] = (old.pipes[0][0], os.open(os.devnull, os.O_RDONLY))
    assert os.read(old.pipes[0][0], 1) == b""  # nobody has the other end any more
