"""A request answered by the proxy itself, through a real connection: compiled beside the plain twin.

The twin does what any plain Python server must: parse, frame, write. Both are told by the loop that something
has come, and pay for the same system calls.
"""

import logging
import socket

import pytest
import uvloop

from fastproxy._core.acceptor import Acceptor
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


def turn(loop):
    """Let the loop do what there is to do, and come back."""
    loop.call_soon(loop.stop)
    loop.run_forever()


class Compiled:
    """The proxy, without a route."""

    def __init__(self, loop, listener):
        self.loop = loop
        self.entry = EntryPoint(loop, Switch(), 0, "web", log=logging.getLogger("bench"))
        self.acceptor = Acceptor(self.entry, listener.fileno(), lambda number: None)
        self.acceptor.start()
        while not self.entry.connections:
            turn(loop)

    def close(self):
        self.acceptor.stop()
        self.entry.abort()
        turn(self.loop)


class Plain:
    """The same in plain Python."""

    def __init__(self, loop, listener):
        self.loop = loop
        self.sock = listener.accept()[0]
        loop.add_reader(self.sock, self.receive)

    def receive(self):
        data = self.sock.recv(65536)
        for at in range(0, len(data), len(GET)):
            head = twin.request(data[at : at + len(GET)])
            framing.of_request(head)
            self.sock.sendall(NOT_FOUND)

    def close(self):
        self.loop.remove_reader(self.sock)
        self.sock.close()


@pytest.mark.parametrize("ahead", [1, 16], ids=["one", "sixteen ahead"])
@pytest.mark.parametrize("side", [Compiled, Plain], ids=["compiled", "twin"])
def test_not_found(benchmark, ahead, side):
    benchmark.group = f"exchange: {ahead} not found"
    loop = uvloop.new_event_loop()
    asked = GET * ahead
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with socket.create_connection(listener.getsockname(), 5) as client:
            server = side(loop, listener)

            def ask():
                client.sendall(asked)
                turn(loop)
                return client.recv(65536)

            try:
                assert benchmark(ask).count(b"404 page not found") == ahead
            finally:
                server.close()
    loop.close()
