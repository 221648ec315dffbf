"""A watched descriptor is told of when it is ready, and only then."""

import asyncio
import gc
import os
import socket
import weakref

import pytest
import uvloop

from fastproxy._core.watch import Watch

READABLE, WRITABLE = 1, 4
SECONDS = 5.0


@pytest.fixture
def pair():
    one, two = socket.socketpair()
    one.setblocking(False)
    two.setblocking(False)
    with one, two:
        yield one, two


class Told:
    """What was told, and a way to wait for it."""

    def __init__(self, loop, act=None):
        self.events = []
        self.loop = loop
        self.act = act
        self.first = loop.create_future()

    def __call__(self, fd, events):
        self.events.append(events)
        if self.act is not None:
            self.act()
        if not self.first.done():
            self.first.set_result(events)

    async def wait(self):
        return await asyncio.wait_for(asyncio.shield(self.first), SECONDS)


def run(coroutine):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


def test_it_is_told_of_what_comes(pair):
    async def main():
        told = Told(asyncio.get_running_loop(), lambda: pair[0].recv(10))
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), told)
        assert watch.want(READABLE)
        await turns()
        assert told.events == []
        pair[1].send(b"x")
        assert await told.wait() == READABLE
        await turns()
        assert told.events == [READABLE]
        watch.close()
    run(main())


def test_it_is_told_of_room_and_of_nothing_when_nothing_is_wanted(pair):
    async def main():
        told = Told(asyncio.get_running_loop(), lambda: watch.want(0))
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), told)
        pair[1].send(b"x")
        await turns()
        assert told.events == []
        assert watch.want(WRITABLE)
        assert await told.wait() == WRITABLE
        await turns()
        assert told.events == [WRITABLE]
        assert watch.wanted == 0
        watch.close()
    run(main())


def test_both_may_be_wanted(pair):
    async def main():
        told = Told(asyncio.get_running_loop(), lambda: sum(told.events) >= 3 and watch.want(0))
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), told)
        pair[1].send(b"x")
        watch.want(READABLE | WRITABLE)
        while watch.wanted:
            await asyncio.sleep(0)
        seen = 0
        for events in told.events:
            seen |= events
        assert seen == READABLE | WRITABLE
        watch.close()
    run(main())


def test_nothing_is_told_once_it_is_closed(pair):
    async def main():
        told = Told(asyncio.get_running_loop())
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), told)
        watch.want(READABLE)
        pair[1].send(b"x")
        watch.close()
        await turns()
        assert told.events == []
        assert not watch.want(READABLE)
        watch.close()      # twice is once
    run(main())


def test_it_may_be_closed_while_it_is_told(pair):
    async def main():
        told = Told(asyncio.get_running_loop(), lambda: watch.close())
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), told)
        watch.want(READABLE)
        pair[1].send(b"x")
        await told.wait()
        await turns()
        assert told.events == [READABLE]
    run(main())


def test_the_end_of_the_other_side_is_readable(pair):
    async def main():
        told = Told(asyncio.get_running_loop(), lambda: watch.want(0))
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), told)
        watch.want(READABLE)
        pair[1].close()
        assert await told.wait() == READABLE
        assert pair[0].recv(10) == b""
        watch.close()
    run(main())


def test_an_error_is_told_as_what_was_wanted_and_watching_goes_on():
    """A datagram to nobody comes back as an error of the socket, which says so to whoever reads."""
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            nobody.bind(("127.0.0.1", 0))
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            sock.connect(nobody.getsockname())
            nobody.close()
            errors = []

            def take():
                try:
                    errors.append(sock.recv(10))
                except OSError as error:
                    errors.append(type(error))

            told = Told(asyncio.get_running_loop(), take)
            watch = Watch.open_for(asyncio.get_running_loop(), sock.fileno(), told)
            watch.want(READABLE)
            sock.send(b"x")
            assert await told.wait() == READABLE
            assert errors == [ConnectionRefusedError]
            told.first = asyncio.get_running_loop().create_future()
            sock.send(b"y")
            await told.wait()
            assert errors == [ConnectionRefusedError] * 2
            watch.close()
    run(main())


def test_a_descriptor_that_is_none_cannot_be_watched():
    async def main():
        one, two = os.pipe()
        os.close(one)
        os.close(two)
        watch = Watch.open_for(asyncio.get_running_loop(), one, print)
        assert not watch.want(READABLE)
        assert watch.wanted == 0
        watch.close()
    run(main())


def test_a_copy_of_a_descriptor_that_is_left_open_is_not_watched_on(pair):
    """The kernel watches what a descriptor stands for, as long as any of its copies is open."""
    async def main():
        told = Told(asyncio.get_running_loop())
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), told)
        watch.want(READABLE)
        with pair[0].dup():
            watch.close()
            pair[0].close()
            del watch
            pair[1].send(b"x")
            await turns()
        assert told.events == []
    run(main())


@pytest.mark.parametrize("act", [
    lambda watch: watch.close(),
    lambda watch: watch.want(0),
    lambda watch: watch.want(WRITABLE) and watch.want(0),
])
def test_what_the_first_to_be_told_forbids_is_not_told_to_the_next(act):
    """Both are ready at once; whoever is told first ends the other."""
    async def main():
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(2)]
        told = []
        watches = {}
        for number, (one, two) in enumerate(pairs):
            def tell(fd, events, number=number):
                told.append(number)
                act(watches.pop(1 - number))
                pairs[number][0].recv(1)
            watches[number] = Watch.open_for(loop, one.fileno(), tell)
            watches[number].want(READABLE)
            two.send(b"x")
        await turns()
        assert len(told) == 1
        watches.popitem()[1].close()
        for sockets in pairs:
            for each in sockets:
                each.close()
    run(main())


def test_more_than_are_told_in_one_turn_are_all_told():
    async def main():
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(300)]
        told = []
        watches = []
        for one, two in pairs:
            def tell(fd, events, one=one):
                told.append(fd)
                one.recv(1)
            watches.append(Watch.open_for(loop, one.fileno(), tell))
            watches[-1].want(READABLE)
            two.send(b"x")
        await turns(6)
        assert sorted(told) == sorted(one.fileno() for one, _ in pairs)
        for watch, sockets in zip(watches, pairs, strict=True):
            watch.close()
            for each in sockets:
                each.close()
    run(main())


def test_a_failure_of_whoever_is_told_goes_to_the_loop(pair):
    async def main():
        loop = asyncio.get_running_loop()
        heard = loop.create_future()
        loop.set_exception_handler(lambda loop, about: heard.set_result(about["exception"]))

        def fail():
            watch.close()
            raise LookupError("gone")
        watch = Watch.open_for(loop, pair[0].fileno(), Told(loop, fail))
        watch.want(READABLE)
        pair[1].send(b"x")
        assert isinstance(await asyncio.wait_for(heard, SECONDS), LookupError)
    run(main())


def test_an_open_watch_in_a_cycle_goes_with_it(pair):
    async def main():
        loop = asyncio.get_running_loop()
        told = Told(loop)
        told.watch = Watch.open_for(loop, pair[0].fileno(), told.__call__)
        told.watch.want(READABLE)
        events = told.events
        del told
        gc.collect()
        pair[1].send(b"x")
        await turns()
        return events
    assert run(main()) == []


def test_a_loop_of_asyncio_is_refused(pair):
    async def main():
        with pytest.raises(OSError, match="cannot be watched"):
            Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), print)
    asyncio.run(main())


def test_a_loop_that_is_closed_leaves_a_watch_harmless(pair):
    """Whoever forgot to close it hears nothing any more, and nothing breaks when it goes."""
    async def main():
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), print)
        watch.close()
        return watch

    watch = run(main())
    assert not watch.want(READABLE)
    del watch
    gc.collect()


@pytest.mark.parametrize("wanted", [0, READABLE, READABLE | WRITABLE])
def test_a_loop_closes_what_nobody_has_closed(pair, wanted):
    async def main():
        watches = [
            Watch.open_for(asyncio.get_running_loop(), pair[number].fileno(), lambda fd, events: None)
            for number in (0, 1)
        ]
        for watch in watches:
            watch.want(wanted)
        return watches

    loop = uvloop.new_event_loop()
    watches = loop.run_until_complete(main())
    watches[0].close()
    loop.close()
    assert loop.is_closed()
    assert not watches[1].want(READABLE)
    loop.close()       # twice is once
    again = run(main())
    assert not again[0].want(READABLE)


def test_a_loop_that_runs_is_not_closed_and_watches_on(pair):
    async def main():
        loop = asyncio.get_running_loop()
        told = Told(loop, lambda: pair[0].recv(1))
        watch = Watch.open_for(loop, pair[0].fileno(), told)
        watch.want(READABLE)
        with pytest.raises(RuntimeError, match="running"):
            loop.close()
        pair[1].send(b"x")
        assert await told.wait() == READABLE
        watch.close()
    run(main())


def test_a_watch_keeps_no_loop_alive(pair):
    loop = uvloop.new_event_loop()
    seen = weakref.ref(loop)
    watch = Watch.open_for(loop, pair[0].fileno(), print)
    loop.close()
    del loop
    gc.collect()
    assert seen() is None
    assert not watch.want(READABLE)


def test_whoever_is_told_is_not_kept_alive(pair):
    async def main():
        told = Told(asyncio.get_running_loop())
        seen = weakref.ref(told)
        watch = Watch.open_for(asyncio.get_running_loop(), pair[0].fileno(), told)
        watch.want(READABLE)
        watch.close()
        del told, watch
        gc.collect()
        assert seen() is None
    run(main())
