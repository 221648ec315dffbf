"""Expect: 100-continue: whoever holds its body back until it is asked for."""

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
LENGTH = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nexpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = {LENGTH: b"abcde", CHUNKED: b"5\r\nabcde\r\n0\r\n\r\n"}


async def asked(house, request):
    """Send a request that waits; return the client, and the server that has its head."""
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(request)
    server = await backend.accept()
    assert b"\r\nExpect: 100-" in await server.head()
    return client, server


@pytest.mark.parametrize("request_", [LENGTH, CHUNKED])
async def test_the_server_asks_for_the_body(house, request_):
    client, server = await asked(house, request_)
    await server.send(GO_ON)
    assert await client.head() == GO_ON
    await client.send(BODIES[request_])
    assert await server.read(len(BODIES[request_])) == BODIES[request_]
    await server.send(OK)
    assert (await client.answer()).body == b"ok"
    # Nothing stands between this request and the next.
    await client.send(request_ + BODIES[request_])
    await server.request()
    await server.send(OK)
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized", b"413 Content Too Large"])
async def test_the_server_does_not_want_the_body(house, status):
    """The answer says that the connection ends: a body that does not come cannot be told from a request."""
    client, server = await asked(house, LENGTH)
    await server.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno")
    answer = await client.answer()
    assert answer.head.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert answer.body == b"no"
    assert answer.get(b"connection") == b"close"
    await client.ends()
    await server.ends()


async def test_the_client_does_not_wait(house):
    client, server = await asked(house, LENGTH + b"abcde")
    assert await server.read(5) == b"abcde"
    await server.send(OK)
    assert (await client.answer()).status == 200


async def test_the_client_does_not_wait_and_the_server_says_so_all_the_same(house):
    client, server = await asked(house, LENGTH + b"abcde")
    await server.send(GO_ON)
    assert await client.head() == GO_ON
    assert await server.read(5) == b"abcde"
    await server.send(OK)
    assert (await client.answer()).status == 200


async def test_the_server_says_nothing(house):
    """After a second the client is told to go on; the server's word comes too late then."""
    client, server = await asked(house, LENGTH)
    assert await client.head() == GO_ON
    await client.send(b"abcde")
    assert await server.read(5) == b"abcde"
    await server.send(GO_ON + OK)
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"ok")


async def test_the_server_is_not_there(house):
    backend = house.backend()
    house.route(backend)
    backend.sock.close()
    client = await house.client()
    await client.send(LENGTH)
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (502, b"close")
    await client.ends()


async def test_the_server_closes_instead(house):
    client, server = await asked(house, LENGTH)
    server.close()
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (502, b"close")
    await client.ends()


async def test_nobody_serves_it(house):
    client = await house.client()
    await client.send(LENGTH)
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (404, b"close")
    await client.ends()


async def test_http_1_0_cannot_expect(house):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(
        b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde"
    )
    server = await backend.accept()
    assert b"Expect" not in await server.head()
    assert await server.read(5) == b"abcde"
    await server.send(GO_ON + OK)
    assert (await client.rest()).startswith(b"HTTP/1.0 200 OK\r\n")
