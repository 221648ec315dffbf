"""The sockets behind internal services: HTTP/1.1 over unix sockets, raw."""

import asyncio
import os
import stat
import tempfile

import pytest

from fastproxy.build.runtime import Runtime
from fastproxy.config.static import API, Ping, StaticConfiguration
from fastproxy.control import Answer, Control
from fastproxy.internals import Internals


async def echo(asked):
    return Answer(200, (("X-Path", asked.path),), f"{asked.method} {asked.query}".encode())


async def fail(asked):
    raise RuntimeError("no")


async def empty(asked):
    return Answer(204)


@pytest.fixture
async def sockets():
    control = Control({"echo": echo, "fail": fail, "empty": empty})
    yield await control.start()
    await control.close()


async def exchange(path, data):
    """Send bytes, then an end of file, and return all that comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (
            b"GET /a%2Fb?c=d HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Path: /a%2Fb\r\nContent-Length: 7\r\n\r\nGET c=d",
        ),
        (
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Path: /\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Path: /\r\nContent-Length: 5\r\n\r\nPOST "
            b"HTTP/1.1 200 OK\r\nX-Path: /2\r\nContent-Length: 4\r\n\r\nGET ",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Path: /\r\nContent-Length: 5\r\nConnection: close\r\n\r\nPOST ",
        ),
        (
            b"GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Path: /\r\nContent-Length: 4\r\nConnection: close\r\n\r\nGET ",
        ),
        (b"GET / HTTP/1.1\r\nHos", b""),
        (b"", b""),
    ],
)
async def test_requests(sockets, sent, answered):
    assert await exchange(sockets["echo"], sent) == answered


async def test_a_handler_that_fails(sockets, caplog):
    answer = await exchange(sockets["fail"], b"GET /x HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert "GET /x cannot be answered" in caplog.text


async def test_an_answer_without_body(sockets):
    assert await exchange(sockets["empty"], b"GET / HTTP/1.1\r\n\r\n") == b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_nobody_else_may_come_in(sockets):
    folder = os.path.dirname(sockets["echo"])
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


async def test_a_large_head_and_a_large_body(sockets):
    head = b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n"
    answer = await exchange(sockets["echo"], head + bytes(1_000_000))
    assert answer.endswith(b"\r\n\r\nPOST ")


async def test_nothing_is_left(monkeypatch, tmp_path):
    control = Control({"echo": echo})
    path = (await control.start())["echo"]
    reader, writer = await asyncio.open_unix_connection(path)
    await control.close()
    assert await reader.read() == b""
    writer.close()
    assert not os.path.exists(os.path.dirname(path))
    await control.close()


async def test_a_folder_for_temporary_files_that_is_too_deep(monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    control = Control({"echo": echo})
    path = (await control.start())["echo"]
    assert len(path) < 107
    assert list(deep.iterdir()) == []
    await control.close()


async def test_without_services_there_is_no_socket():
    internals = Internals(StaticConfiguration(), Runtime)
    await internals.start()
    assert internals.configuration.http.services == {}
    await internals.close()


@pytest.mark.parametrize(
    ("code", "line", "body"),
    [
        (503, b"503 Service Unavailable", b"Service Unavailable"),
        (418, b"418 I'm a teapot", b"I'm a teapot"),
        (799, b"799 ", b""),
        (204, b"204 No Content", b""),
    ],
)
async def test_ping(code, line, body):
    internals = Internals(StaticConfiguration(api=API(), ping=Ping(terminating_status_code=code)), Runtime)
    await internals.start()
    path = internals.configuration.http.services["ping"].load_balancer.servers[0].url.removeprefix("unix://")
    answer = await exchange(path, b"PUT /any?thing HTTP/1.1\r\n\r\n")
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
    internals.terminate()
    head, _, said = (await exchange(path, b"GET /ping HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + line)
    assert said == body
    await internals.close()
