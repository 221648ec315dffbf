"""A backend for load that must not fail: keep-alive answers, and echo connections behind an upgrade.

    python -m bench.rig.echo        prints its port; lives until its standard input ends

GET answers `Served`; a request with `Upgrade: echo` gets a 101, and then everything back that it sends.
"""

import asyncio
import sys

import uvloop

BODY = b"Served"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


class Server(asyncio.Protocol):
    """One connection of a proxy."""

    def __init__(self) -> None:
        self._bytes = b""
        self._echoes = False

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._echoes:
            self._transport.write(data)
            return
        self._bytes += data
        while not self._echoes and b"\r\n\r\n" in self._bytes:
            head, _, self._bytes = self._bytes.partition(b"\r\n\r\n")
            self._echoes = b"upgrade: echo" in head.lower()
            self._transport.write(SWITCH if self._echoes else ANSWER)
        if self._echoes and self._bytes:
            self._transport.write(self._bytes)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
