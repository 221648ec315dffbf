"""A client, servers and a proxy on the loopback, for promises about changes under way."""

import asyncio

import pytest

from tests.proxies import proxies
from tests.reload.peers import STATIC, Backend, Client


@pytest.fixture
async def backend():
    """Make servers: `await backend("one")`."""
    made = []

    async def make(name):
        made.append(await Backend(name).start())
        return made[-1]

    yield make
    for each in made:
        await each.stop()


@pytest.fixture
async def connect():
    """Connect to a proxy: `await connect(proxy)`."""
    writers = []

    async def make(proxy, name=""):
        reader, writer = await asyncio.open_connection(*proxy.address(name))
        writers.append(writer)
        return Client(reader, writer)

    yield make
    for writer in writers:
        writer.close()


@pytest.fixture
async def proxy():
    """Start proxies: `await proxy(document(...))`; they end with the test."""
    async with proxies(STATIC) as make:
        yield make
