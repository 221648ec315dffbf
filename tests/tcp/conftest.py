"""Servers, clients and a proxy on the loopback, for whole connections."""

import asyncio

import pytest

from tests.proxies import proxies
from tests.tcp.peers import STATIC, Client, Server


@pytest.fixture
async def server():
    """Start servers: `await server("one")`."""
    made = []

    async def make(name="one", **options):
        greets = options.pop("greets", True)
        made.append(await Server(name, greets).start(**options))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


@pytest.fixture
async def proxy():
    """Start proxies: `await proxy(document(...))`; they end with the test."""
    async with proxies(STATIC) as make:
        yield make


@pytest.fixture
async def connect():
    """Connect to a proxy: `await connect(proxy)`."""
    clients = []

    async def make(proxy, name="", **options):
        clients.append(Client(*await asyncio.open_connection(*proxy.address(name), **options)))
        return clients[-1]

    yield make
    for each in clients:
        each.close()
