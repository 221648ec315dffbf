"""What a connection costs while nothing happens on it."""

import asyncio
import ssl

from .fleet import Running
from .machine import memory_of

REQUEST = b"GET /small HTTP/1.1\r\nHost: bench.example\r\n\r\n"
AT_ONCE = 64


def bytes_per_connection(running: Running, connections: int) -> float:
    """Open *connections*, ask once on each; return what the proxy's own memory grew by for each of them."""
    return asyncio.run(_measure(running, connections))


async def _measure(running: Running, connections: int) -> float:
    # First what grows once and for all: buffers, connections to the backend.
    context = trusting() if running.site.is_secure else None
    await _close(await _open(running.port, AT_ONCE, context))
    await asyncio.sleep(0.5)
    before = memory_of(running.pid).uss
    held = await _open(running.port, connections, context)
    await asyncio.sleep(0.5)
    after = memory_of(running.pid).uss
    await _close(held)
    return (after - before) / connections


def trusting() -> ssl.SSLContext:
    """Return the context of a client that believes everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _open(port: int, count: int, context: ssl.SSLContext | None) -> list[asyncio.StreamWriter]:
    writers: list[asyncio.StreamWriter] = []
    for first in range(0, count, AT_ONCE):
        writers += await asyncio.gather(*(_ask(port, context) for _ in range(min(AT_ONCE, count - first))))
    return writers


async def _ask(port: int, context: ssl.SSLContext | None) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"bench: port {port} answered {head.splitlines()[0]!r}")
    await reader.readuntil(b"\n")       # the backend's answer is one line
    return writer


async def _close(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
