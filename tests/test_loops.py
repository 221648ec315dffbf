"""The loop keeps its word although it notes transports in a cheaper way: a descriptor in use is guarded."""

import asyncio
import gc
import os
import socket
import weakref

import pytest

from fastproxy import loops


def on_a_loop(main):
    return loops.run(main())


def test_a_descriptor_that_a_transport_uses_cannot_be_watched():
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(ours.fileno(), print)
        transport.abort()
        theirs.close()

    on_a_loop(main)


def test_a_descriptor_whose_transport_is_gone_can_be_watched():
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        number = ours.fileno()
        gone = weakref.ref(transport)
        transport.abort()
        del transport, ours
        while gone() is not None:
            await asyncio.sleep(0)
            gc.collect()
        await asyncio.sleep(0)
        again, other = socket.socketpair()
        ends = [theirs, again, other]
        if number not in (again.fileno(), other.fileno()):
            ends.append(socket.socket(fileno=os.dup2(again.fileno(), number)))
        loop.add_reader(number, print)
        loop.remove_reader(number)
        for end in ends:
            end.close()

    on_a_loop(main)


def test_everybody_else_has_the_usual_dictionary():
    assert weakref.WeakValueDictionary.__module__ == "weakref"
