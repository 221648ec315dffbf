"""A request answered by the proxy itself, through a real socket pair: compiled beside the plain twin.

The twin does what any plain Python server must: parse, frame, write. Both pay for the same system calls.
"""

import logging
import socket

import pytest
import uvloop

from fastproxy._core.downstream import newcomer
from fastproxy._core.entrypoint import EntryPoint
from fastproxy._core.snapshot import Switch
from tests.twins import framing
from tests.twins import head as twin

pytestmark = pytest.mark.benchmark(min_time=0.0002, max_time=0.2)

GET = b"GET /catalogue HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"
NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Content-Type-Options: nosniff\r\nContent-Length: 19\r\n\r\n404 page not found\n"
)


class Transport:
    """What the core asks of a transport of uvloop, over one end of a socket pair."""

    def __init__(self, sock):
        self.sock = sock

    def get_extra_info(self, name):
        return {"socket": self.sock, "peername": ("127.0.0.1", 1)}.get(name)

    def set_write_buffer_limits(self, high, low):
        pass

    def write(self, data):
        self.sock.sendall(data)

    def abort(self):
        pass


class Plain:
    """The same in plain Python."""

    def __init__(self, sock):
        self.sock = sock

    def receive(self, data):
        head = twin.request(data)
        framing.of_request(head)
        self.sock.sendall(NOT_FOUND)


@pytest.mark.parametrize("ahead", [1, 16], ids=["one", "sixteen ahead"])
@pytest.mark.parametrize("side", ["compiled", "twin"])
def test_not_found(benchmark, ahead, side):
    benchmark.group = f"exchange: {ahead} not found"
    ours, theirs = socket.socketpair()
    loop = uvloop.new_event_loop()
    asked = GET * ahead

    def compiled():
        connection.get_buffer(-1)[: len(asked)] = asked
        connection.buffer_updated(len(asked))
        return theirs.recv(65536)

    def plain():
        for _ in range(ahead):
            server.receive(GET)
        return theirs.recv(65536)

    if side == "compiled":
        connection = newcomer(EntryPoint(loop, Switch(), 0, "web", log=logging.getLogger("bench")))
        connection.connection_made(Transport(ours))
        assert b"404 page not found" in benchmark(compiled)
        connection.connection_lost(None)
    else:
        server = Plain(ours)
        assert b"404 page not found" in benchmark(plain)
    ours.close()
    theirs.close()
    loop.close()
