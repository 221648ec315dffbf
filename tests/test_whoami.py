"""The backend of the demo: it says what it saw, keeps connections, and refuses what it cannot read."""

import asyncio

import pytest

from fastproxy import whoami


async def converse(*pieces: bytes) -> bytes:
    """Send *pieces* on one connection to a backend called "one", end our side, return all that comes back."""
    server = await whoami.serve("one")
    try:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        return await reader.read()
    finally:
        server.close()


async def test_says_who_it_is_and_what_it_saw():
    text = await converse(b"GET /a?b=1 HTTP/1.1\r\nHost: shop.example\r\nX-Real-Ip:  192.0.2.7 \r\n\r\n")
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body.startswith(b"Name: one\n")
    assert body.endswith(b"GET /a?b=1 HTTP/1.1\nHost: shop.example\nX-Real-Ip: 192.0.2.7\n")
    assert b"\r\nContent-Length: %d" % len(body) in head


async def test_keeps_fields_twice_given_and_foreign_bytes():
    text = await converse(b"GET / HTTP/1.1\r\nA: 1\r\na: \xe4\r\n\r\n")
    assert text.endswith(b"A: 1\na: \xe4\n")


@pytest.mark.parametrize(("body", "told"), [
    (b"Content-Length: 5\r\n\r\nhello", b"(5 bytes of body)\n"),
    (b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
     b"(13 bytes of body)\n"),
    (b"Content-Length: 0\r\n\r\n", b"Content-Length: 0\n"),
])
async def test_takes_a_body_and_then_the_next_request(body, told):
    text = await converse(b"POST / HTTP/1.1\r\n" + body, b"GET /next HTTP/1.1\r\n\r\n")
    first, second = text.split(b"HTTP/1.1 200 OK")[1:]
    assert first.endswith(told)
    assert second.endswith(b"GET /next HTTP/1.1\n")


async def test_says_go_on_to_a_client_that_waits():
    text = await converse(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", b"ab")
    assert text.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_an_answer_to_head_has_no_body():
    text = await converse(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert text.endswith(b"\r\n\r\n") and b"Content-Length: 0" not in text


@pytest.mark.parametrize("request_head", [
    b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
])
async def test_the_last_request_of_a_connection(request_head):
    text = await converse(request_head, b"GET /more HTTP/1.1\r\n\r\n")
    assert text.count(b"HTTP/1.1 200 OK") == 1
    assert b"\r\nConnection: close\r\n" in text


@pytest.mark.parametrize(("request_head", "status"), [
    (b"GET /\r\n\r\n", b"400 Bad Request"),
    (b"GET / HTTP/2.0\r\n\r\n", b"400 Bad Request"),
    (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400 Bad Request"),
    (b"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello", b"400 Bad Request"),
    (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400 Bad Request"),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", b"400 Bad Request"),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", b"400 Bad Request"),
    (b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", b"431 Request Header Fields Too Large"),
])
async def test_what_it_cannot_read_is_refused_and_the_connection_closed(request_head, status):
    text = await converse(request_head)
    assert text.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert b"\r\nConnection: close\r\n" in text
