"""A small HTTP/1.1 backend that answers who it is and what request it saw.

For the demo, and for whoever wants to see what a proxy makes of a request: `fastproxy.whoami.serve`.
"""

import asyncio
import os
import socket
from typing import NamedTuple

MAX_HEAD = 65_536       # bytes; a longer head is answered 431
HEX = b"0123456789abcdefABCDEF"
BODY_PIECE = 65_536     # bytes of a body read, and dropped, at a time


class _Refused(Exception):
    """The request cannot be answered as it is: (status, phrase)."""


class _Request(NamedTuple):
    line: str                           # "GET /a HTTP/1.1"
    fields: list[tuple[str, str]]       # as received, in their order

    def value(self, name: str) -> str:
        """Return the values of the field *name* (lower case), folded and joined; "" when there is none."""
        return ",".join(value.lower() for key, value in self.fields if key.lower() == name)

    @property
    def method(self) -> str:
        return self.line.partition(" ")[0]

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with this request."""
        asked = {option.strip() for option in self.value("connection").split(",")}
        return "close" in asked or (self.line.endswith("HTTP/1.0") and "keep-alive" not in asked)


async def serve(name: str, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """Listen on *host*:*port* (0: any free one), answer as *name*. Raises OSError when the port is taken."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _converse(name, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass        # the client left; nobody is there to be told
        finally:
            writer.close()

    return await asyncio.start_server(talk, host, port, limit=MAX_HEAD)


async def _converse(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, one after the other, until either side ends it."""
    try:
        while True:
            request = await _read_head(reader)
            if request is None:
                return
            if request.value("expect") == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            received = await _drop_body(request, reader)
            text = _describe(name, request, received, writer)
            writer.write(_answer("200 OK", text, request.is_last, request.method == "HEAD"))
            await writer.drain()
            if request.is_last:
                return
    except _Refused as refused:
        writer.write(_answer(str(refused), f"{refused}\n", True, False))
        await writer.drain()


async def _read_head(reader: asyncio.StreamReader) -> _Request | None:
    """Return the next request, or None when the client closed the connection between two."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _Refused("431 Request Header Fields Too Large") from None
    except asyncio.IncompleteReadError as rest:
        if rest.partial:
            raise
        return None
    line, *rows = raw[:-4].decode("latin-1").split("\r\n")
    cut = (row.partition(":") for row in rows)
    fields = [(key, value.strip(" \t")) for key, colon, value in cut if colon]
    if line.count(" ") != 2 or not line.endswith(("HTTP/1.1", "HTTP/1.0")) or len(fields) != len(rows):
        raise _Refused("400 Bad Request")
    return _Request(line, fields)


async def _drop_body(request: _Request, reader: asyncio.StreamReader) -> int:
    """Read the body and forget it; return its length in bytes."""
    if request.value("transfer-encoding"):
        return await _drop_chunks(reader)
    length = request.value("content-length")
    if length and not length.isdecimal():
        raise _Refused("400 Bad Request")
    await _drop(reader, int(length or 0))
    return int(length or 0)


async def _drop_chunks(reader: asyncio.StreamReader) -> int:
    total = 0
    while size := _chunk_size(await _line(reader)):
        await _drop(reader, size + 2)       # the chunk and the end of its line
        total += size
    while await _line(reader):
        pass                                # trailers
    return total


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n"))[:-2]
    except asyncio.LimitOverrunError:
        raise _Refused("400 Bad Request") from None


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(HEX):
        raise _Refused("400 Bad Request")
    return int(digits, 16)


async def _drop(reader: asyncio.StreamReader, size: int) -> None:
    while size:
        size -= len(await reader.readexactly(min(size, BODY_PIECE)))


def _describe(name: str, request: _Request, received: int, writer: asyncio.StreamWriter) -> str:
    """Return the answer's text: who we are, then the request, field by field."""
    host, port = writer.get_extra_info("peername")[:2]
    address, own_port = writer.get_extra_info("sockname")[:2]
    return "\n".join([
        f"Name: {name}",
        f"Hostname: {socket.gethostname()}",
        f"Process: {os.getpid()}",
        f"Address: {address}:{own_port}",
        f"RemoteAddr: {host}:{port}",
        request.line,
        *(f"{key}: {value}" for key, value in request.fields),
        *([f"({received} bytes of body)"] if received else []),
        "",
    ])


def _answer(status: str, text: str, last: bool, head_only: bool) -> bytes:
    body = text.encode("latin-1")       # the bytes that were received
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/plain", f"Content-Length: {len(body)}"]
    if last:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if head_only else body)
