"""The end of a connection of TLS: a client has a moment for its farewell, and all the time that it reads."""

import asyncio
import socket
import time

import pytest

from tests.tls.test_first_flight import Client
from tests.tls.test_https import only_safe
from tests.waiting import PATIENCE

BODY = 200_000


@pytest.fixture
async def here(house, issue):
    timeouts = {"idleTimeout": "100ms", "readTimeout": "20s"}
    return await house(lambda url: only_safe(url, issue), transport={"respondingTimeouts": timeouts})


async def ask(client, body=b""):
    client.writer.write(client.hello())
    await client.shake_hands()
    head = b"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body)
    client.tls.write(head + body)
    client.writer.write(client.going.read())


async def lets_go(client):
    """Wait until a client that says no farewell is let go of; return how many seconds that took."""
    await ask(client)
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while await client.reader.read(65536):
            pass
    return time.monotonic() - began


async def test_a_client_without_a_farewell_is_let_go_and_a_slow_reader_is_not_cut_off(here):
    """What was sent before the end is received, though it takes longer than the moment for a farewell."""
    async with Client(here) as client, Client(here) as other:
        own = client.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await ask(client, b"x" * BODY)
        assert await lets_go(other) > 0.1
        async with asyncio.timeout(2 * PATIENCE):
            while data := await client.reader.read(65536):
                client.coming.write(data)
        client.coming.write_eof()
        told = b""
        while more := client.tls.read(65536):  # raises if the end is not that of TLS
            told += more
        assert told.endswith(b"x" * BODY)
