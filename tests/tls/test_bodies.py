"""What HTTP does over plain connections it does over TLS: bodies, pipelines, upgrades, slow readers."""

import asyncio
import hashlib
import socket
import time

import pytest

from tests.tls.rig import PATIENCE, Server
from tests.tls.test_https import document, pair
from tests.waiting import patient, stands_still

SIZE = 3_000_000


@pytest.fixture
async def behind(house, issue):
    """Start a proxy before a server that converses; returns a function that connects by TLS."""
    servers = []

    async def start(converse):
        server = await Server(converse).__aenter__()
        servers.append(server)
        routers = {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}
        tls = {"certificates": [pair(issue("a.example"))]}
        here = await house(lambda _: document(server.url, routers, tls))

        async def connect(**more):
            return await asyncio.open_connection(
                *here.address, ssl=here.context(), server_hostname="a.example", **more
            )

        def plainly():
            plain = socket.create_connection(here.address, PATIENCE)
            return here.context().wrap_socket(plain, server_hostname="a.example")

        connect.plainly = plainly
        return connect

    yield start
    for server in servers:
        await server.__aexit__()


GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


async def large(reader, writer):
    """Answer each request with SIZE bytes, framed as its path says."""
    while True:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if path == b"/chunked":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(SIZE // 10_000):
                writer.write(b"2710\r\n" + b"y" * 10_000 + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE)
        await writer.drain()


async def body_of(reader):
    head = await patient(reader.readuntil(b"\r\n\r\n"))
    if b"Content-Length" in head:
        return await patient(reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0])))
    body = b""
    while size := int(await patient(reader.readline()), 16):
        body += await patient(reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return body


@pytest.mark.parametrize("path", [b"/", b"/chunked"])
async def test_large_answers_on_one_connection(behind, path):
    connect = await behind(large)
    reader, writer = await connect()
    for _ in range(3):
        writer.write(GET.replace(b"GET /", b"GET " + path))
        assert len(await body_of(reader)) == SIZE
    writer.close()


async def test_pipelined_requests(behind):
    async def count(reader, writer):
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(path) + path)

    connect = await behind(count)
    reader, writer = await connect()
    writer.write(b"".join(GET.replace(b"GET /", b"GET /%d" % number) for number in range(200)))
    assert [await body_of(reader) for _ in range(200)] == [b"/%d" % number for number in range(200)]
    writer.close()


async def test_a_slow_reader_slows_the_server_down(behind):
    """What the client does not take stays with the server, but for what the kernel and TLS hold."""
    sent = 0

    async def endless(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"z" * 65536)
            await writer.drain()
            sent += 65536

    connect = await behind(endless)
    reader, writer = await connect(limit=1024)
    writer.write(GET)
    await patient(reader.readuntil(b"\r\n\r\n"))
    assert await stands_still(lambda: sent) < 32_000_000
    for _ in range(200):  # and goes on when it is read
        await patient(reader.read(65536))
    writer.transport.abort()


async def test_a_slow_reader_gets_all_of_an_answer(behind):
    """By a socket: uvloop's TLS loses what it holds for a reader that rests when the connection ends."""
    connect = await behind(large)

    def read():
        with connect.plainly() as client:
            client.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            data = client.recv(1024)
            time.sleep(0.3)  # the proxy has all it can have by then, and is done
            while more := client.recv(50_000):
                data += more
                time.sleep(0.001)
            return data.partition(b"\r\n\r\n")[2]

    assert await patient(asyncio.to_thread(read)) == b"x" * SIZE


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_requests(behind, chunked):
    async def digest(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        if b"chunked" in head:
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
        else:
            body = await reader.readexactly(SIZE)
        found = hashlib.sha256(body).hexdigest().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + found)

    connect = await behind(digest)
    reader, writer = await connect()
    body = bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % SIZE
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
    for at in range(0, SIZE, 40_000):
        piece = body[at : at + 40_000]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await patient(writer.drain())
    writer.write(b"0\r\n\r\n" if chunked else b"")
    assert await body_of(reader) == hashlib.sha256(body).hexdigest().encode()
    writer.close()


async def test_an_upgraded_connection(behind):
    ended = asyncio.Event()

    async def echo(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        ended.set()

    connect = await behind(echo)
    reader, writer = await connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
    assert b" 101 " in await patient(reader.readuntil(b"\r\n\r\n"))
    assert await patient(reader.readexactly(5)) == b"early"

    async def send():
        for _ in range(50):
            writer.write(b"e" * 40_000)
            await writer.drain()

    _, came = await patient(asyncio.gather(send(), reader.readexactly(2_000_000)))
    assert came == b"e" * 2_000_000
    writer.close()
    await patient(ended.wait())


async def test_a_refused_request_is_answered(behind):
    connect = await behind(large)
    reader, writer = await connect()
    writer.write(b"GET / HTTP/1.1\r\nNo Host\r\n\r\n" + b"x" * 100_000)
    assert (await patient(reader.read())).startswith(b"HTTP/1.1 400")
    writer.close()


async def test_a_server_that_dies_within_its_answer(behind):
    async def short(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    connect = await behind(short)
    reader, writer = await connect()
    writer.write(GET)
    await patient(reader.readuntil(b"\r\n\r\n"))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await patient(reader.readexactly(100))
    writer.close()


async def test_idle_connections_are_closed(house, issue, backend):
    here = await house(
        lambda url: document(
            url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}, {"certificates": [pair(issue("a.example"))]}
        ),
        transport={"respondingTimeouts": {"idleTimeout": "200ms"}},
    )
    reader, writer = await asyncio.open_connection(
        *here.address, ssl=here.context(), server_hostname="a.example"
    )
    writer.write(GET)
    assert await body_of(reader)
    assert await patient(reader.read()) == b""
    writer.close()
