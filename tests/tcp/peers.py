"""Servers and clients of plain connections, and documents to put a proxy between them."""

import asyncio
import contextlib
import socket
import struct

from tests.waiting import PATIENCE, eventually

STATIC = {"entryPoints": {"db": {"address": "127.0.0.1:0"}}}


class Server:
    """A server that says its name, then answers what it is sent in capitals, and `bye` at the end.

    greets: whether it speaks first.
    """

    def __init__(self, name="one", greets=True):
        self.name, self.greets = name, greets
        self.peers = []
        """What came before the first line's end, of each connection, in the order of their first lines."""
        self.open = 0
        self.closed = asyncio.Event()

    async def start(self, host="127.0.0.1", **options):
        self.server = await asyncio.start_server(self.serve, host, 0, **options)
        self.address = address_of(self.server)
        return self

    async def serve(self, reader, writer):
        self.open += 1
        with contextlib.suppress(ConnectionError):
            if self.greets:
                writer.write(self.name.encode() + b"\n")
            while line := await reader.readline():
                self.peers.append(line)
                writer.write(line.upper())
            writer.write(b"bye")
            await writer.drain()
        writer.close()
        self.open -= 1
        self.closed.set()

    async def stop(self):
        self.server.close()


class Client:
    """One connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, data):
        self.writer.write(data)

    def end(self):
        """Say that no more comes."""
        self.writer.write_eof()

    def close(self):
        self.writer.close()

    def reset(self):
        """Close with a reset."""
        own = self.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def line(self):
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readline()

    async def rest(self):
        """Return what comes until the other side ends; b"" after a reset too."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


def address_of(listening):
    """Return where a server, or a bound socket, is reached: `127.0.0.1:41234`."""
    bound = listening.sockets[0] if hasattr(listening, "sockets") else listening
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def there_are(proxy, count, name="db"):
    """Wait until an entry point has so many connections."""
    entry = proxy._listeners[name].entry
    await eventually(lambda: entry.connections == count, f"{count} connections")


async def drains(proxy, name="db"):
    """Wait until an entry point of a proxy that is being stopped takes nobody more."""
    entry = proxy._listeners[name].entry
    await eventually(lambda: entry.is_draining, "draining to begin")


def servers(*addresses, **options):
    return {"loadBalancer": {"servers": [{"address": each} for each in addresses], **options}}


def document(*addresses, rule="HostSNI(`*`)", router=None, **sections):
    """Return a document with one router, `db`, to one service, `db`; sections: others of `tcp`."""
    return {
        "tcp": {
            "routers": {"db": {"rule": rule, "service": "db", **(router or {})}},
            "services": {"db": servers(*addresses)},
            **sections,
        }
    }


def free_port():
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
