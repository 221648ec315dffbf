"""A server and a client that do what a test says, and documents to put a proxy between them."""

import asyncio
import contextlib

PATIENCE = 10.0
"""Seconds after which something that must happen has failed to."""


class Backend:
    """A server that answers its own name and the path; `hold` makes it wait before the answer."""

    def __init__(self, name):
        self.name = name
        self.opened = 0
        self.writers = set()
        self._asked = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    def hold(self):
        self.go.clear()
        self._asked.clear()

    async def asked(self):
        """Wait until a request is there."""
        async with asyncio.timeout(PATIENCE):
            await self._asked.wait()

    async def serve(self, reader, writer):
        self.opened += 1
        self.writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self._asked.set()
                await self.go.wait()
                body = f"{self.name} {head.split()[1].decode()}".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        self.writers.discard(writer)
        writer.close()

    async def stop(self):
        self.go.set()
        self.server.close()
        for writer in list(self.writers):
            writer.close()


class Client:
    """One connection that asks one request after the other."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, target="/", host="a.example"):
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    async def answer(self):
        """Return status and body."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            body = await self.reader.readexactly(int(fields[b"content-length"]))
        return int(head.split()[1]), body.decode()

    async def get(self, target="/", host="a.example"):
        self.send(target, host)
        return await self.answer()


STATIC = {"entryPoints": {"web": {"address": "127.0.0.1:0"}}}


def document(routers, services, **others):
    """Return a dynamic document: name -> (rule, service) or router; name -> urls or service."""
    return {
        "http": {
            "routers": {
                name: dict(zip(("rule", "service"), each, strict=True)) if isinstance(each, tuple) else each
                for name, each in routers.items()
            },
            "services": {
                name: {"loadBalancer": {"servers": [{"url": url} for url in each]}}
                if isinstance(each, (list, tuple))
                else each
                for name, each in services.items()
            },
            **others,
        }
    }
