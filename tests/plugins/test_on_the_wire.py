"""A plugin between real sockets: it lets pass, answers, fails, takes too long, is left alone."""

import asyncio
import socket
import sys
from types import SimpleNamespace

import pytest

from fastproxy._core.exchange import in_progress
from fastproxy.config.document import read_whole
from fastproxy.config.dynamic import Configuration
from fastproxy.config.merge import Merger
from fastproxy.config.static import Core, EntryPoint, StaticConfiguration
from fastproxy.listeners import COUNTERS_SIZE, listeners_of
from fastproxy.plugins.api import Middleware, Response
from fastproxy.switcher import Switcher


class Doorman(Middleware):
    """Does what the query of the request says."""

    timeout = 0.2
    waiting = 0

    def __init__(self, settings):
        super().__init__(settings)
        self.cancelled = asyncio.Event()
        self.seen = []
        type(self).last = self

    async def on_request(self, request):
        self.seen.append(request)
        if request.query_string == "answer":
            return Response(401, {"X-Why": "key"}, "no\n")
        if request.query_string == "fail":
            raise KeyError("mislaid")
        if request.query_string == "refuse":
            raise ConnectionRefusedError("nobody there")
        if request.query_string == "wait":
            type(self).waiting += 1
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        await asyncio.sleep(0)
        request.set_header("X-Seen", request.method_name)
        return None

    async def on_response(self, request, response):
        await asyncio.sleep(0)
        if request.query_string == "spoil":
            raise KeyError("spoiled")
        response.set_header("X-Out", str(response.status))


DOCUMENT = """
http:
  routers:
    shop: {rule: PathPrefix(`/`), middlewares: [outer, door], service: shop}
  middlewares:
    outer: {headers: {customResponseHeaders: {X-Outer: "1"}}}
    door: {plugin: {doorman: {}}}
  services:
    shop: {loadBalancer: {servers: [{url: "http://127.0.0.1:PORT"}]}}
"""


async def echo(reader, writer):
    """Answer each request with its head and body."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0)
            text = head + await reader.readexactly(size)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Client:
    """One connection to the proxy."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def ask(self, query="", *, method="GET", body=b""):
        """Send a request and return (status line, fields, body) of its answer."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} /?{query} HTTP/1.1\r\nHost: shop.example\r\n{length}\r\n"
        self.writer.write(head.encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.rstrip().split("\r\n")
        fields = dict(each.split(": ", 1) for each in lines)
        return line, fields, await self.reader.readexactly(int(fields["Content-Length"]))


@pytest.fixture
async def connect(monkeypatch):
    """Return a function that connects to a proxy whose router has the plugin."""
    monkeypatch.setitem(sys.modules, "doorman", SimpleNamespace(Doorman=Doorman))
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    bound = socket.create_server(("127.0.0.1", 0))
    static = StaticConfiguration(
        entry_points={"web": EntryPoint(address="127.0.0.1:0")},
        core=Core(plugins={"doorman": "doorman:Doorman"}),
    )
    reading = read_whole(DOCUMENT.replace("PORT", str(server.sockets[0].getsockname()[1])), "x.yml")
    switcher = Switcher(static)
    applied = await switcher.apply(Merger(static).merge({"file": reading.configuration}).configuration)
    assert applied.disabled == ()
    [listener] = listeners_of(static, {"web": [bound]}, switcher.switch, bytearray(COUNTERS_SIZE)).values()
    await listener.start()
    clients = []

    async def connect():
        clients.append(Client(*await asyncio.open_connection(*bound.getsockname())))
        return clients[-1]

    yield connect
    for client in clients:
        client.writer.close()
    listener.stop_accepting()
    listener.abort()
    bound.close()
    server.close()
    await switcher.apply(Configuration())  # so that the connections to the server are closed
    await server.wait_closed()


async def test_a_request_passes_with_its_edits_and_its_body(connect):
    client = await connect()
    for _ in range(3):
        line, fields, body = await client.ask(method="POST", body=b"hello")
        assert line == "HTTP/1.1 200 OK"
        assert (fields["X-Out"], fields["X-Outer"]) == ("200", "1")
        assert b"\r\nX-Seen: POST\r\n" in body
        assert body.endswith(b"\r\n\r\nhello")


async def test_its_answer_is_the_answer(connect):
    client = await connect()
    await client.ask()  # so that a server's answer came before it
    line, fields, body = await client.ask("answer")
    assert (line, body) == ("HTTP/1.1 401 Unauthorized", b"no\n")
    assert fields["X-Why"] == "key"
    # Those before it in the router see the answer; its own on_response does not.
    assert fields["X-Outer"] == "1"
    assert "X-Out" not in fields


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("fail", "KeyError('mislaid')"),
        ("refuse", "ConnectionRefusedError('nobody there')"),  # its own, and not the client's
        ("wait", "TimeoutError('it took longer than 0.2 seconds')"),
        ("spoil", "KeyError('spoiled')"),
    ],
)
async def test_what_goes_wrong_is_answered_500_and_told(connect, query, told, caplog):
    client = await connect()
    await client.ask()
    line, fields, body = await client.ask(query)
    assert (line, body) == ("HTTP/1.1 500 Internal Server Error", b"Internal Server Error\n")
    assert fields["Content-Type"] == "text/plain; charset=utf-8"
    assert f"middleware door@file of router shop@file failed (client 127.0.0.1): {told}" in caplog.text
    assert (await (await connect()).ask())[0] == "HTTP/1.1 200 OK"


async def test_a_client_that_leaves_cancels_it_and_the_request_is_over(connect, monkeypatch):
    monkeypatch.setattr(Doorman, "timeout", 30.0)
    client = await connect()
    client.writer.write(b"GET /?wait HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    before = Doorman.waiting
    async with asyncio.timeout(10):
        while Doorman.waiting == before:
            await asyncio.sleep(0.01)
        client.writer.close()
        await Doorman.last.cancelled.wait()
        while in_progress():
            await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match="this request is over"):
        _ = Doorman.last.seen[-1].method_name
