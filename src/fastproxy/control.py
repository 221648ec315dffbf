"""The sockets on which a process serves its own proxy: HTTP/1.1 over unix sockets, for what is internal.

Who connects is a worker that proxies a request of somebody, so heads are well formed and already checked; all
that is refused here is what no worker sends.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

log = logging.getLogger(__name__)

HEAD_LIMIT = 1 << 24
"""Bytes of the head of a request: more than any entry point lets through."""

PATH_LIMIT = 100
"""Bytes of the path of a socket; the system takes 107."""

_NO_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_PIECE = 1 << 16


class Request(NamedTuple):
    """What is asked."""

    method: str
    path: str
    """Escaped, as it came."""

    query: str
    """Without its question mark."""


class Answer(NamedTuple):
    """What is answered."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    """Without Content-Length and Connection."""

    body: bytes = b""


Handler = Callable[[Request], Awaitable[Answer]]


class Control:
    """One socket for each handler, in a folder that only we may enter."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        """handlers: by the name of the socket."""
        self._handlers = handlers
        self._folder = ""
        self._servers: list[asyncio.AbstractServer] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> dict[str, str]:
        """Listen; returns the paths of the sockets. OSError if there is no place for them."""
        if not self._handlers:
            return {}
        self._folder = _make_folder()
        paths = {name: os.path.join(self._folder, name) for name in self._handlers}
        try:
            for name, handler in self._handlers.items():
                self._servers.append(await self._listen(paths[name], handler))
        except BaseException:
            await self.close()
            raise
        return paths

    async def _listen(self, path: str, handler: Handler) -> asyncio.AbstractServer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await _converse(reader, writer, handler)
            finally:
                self._connections.discard(task)
                writer.close()

        return await asyncio.start_unix_server(serve, path, limit=HEAD_LIMIT)

    async def close(self) -> None:
        """Listen no more, close every connection, and leave nothing behind."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""


def _make_folder() -> str:
    """Make a folder for sockets that nobody else may enter. OSError."""
    folder = tempfile.mkdtemp(prefix="fastproxy-")
    if len(os.fsencode(folder)) > PATH_LIMIT - 16:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="fastproxy-", dir="/tmp")
    return folder


# --- one connection -----------------------------------------------------------------------------------------


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    """Answer one request after the other until either side has enough."""
    with contextlib.suppress(EOFError, ConnectionError, asyncio.LimitOverrunError, asyncio.CancelledError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            asked, fields = _read_head(head)
            goes_on = await _discard_body(reader, fields)
            writer.write(_written(asked.method, await _answered(handler, asked), goes_on))
            await writer.drain()
            if not goes_on:
                return


async def _answered(handler: Handler, asked: Request) -> Answer:
    try:
        return await handler(asked)
    except Exception:
        log.exception("%s %s cannot be answered", asked.method, asked.path)
        return Answer(500, body=b"Internal Server Error")


def _read_head(head: bytes) -> tuple[Request, dict[str, str]]:
    """Take a head apart: the request, and its fields by name in lower case."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target = first.split(" ")[:2]
    path, _, query = target.partition("?")
    pairs = (line.partition(":") for line in lines)
    return Request(method, path, query), {name.lower(): value.strip() for name, _, value in pairs}


async def _discard_body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> bool:
    """Read a body that nobody wants. Returns whether the connection can go on."""
    left = int(fields.get("content-length", 0))
    while left > 0:
        left -= len(await reader.readexactly(min(left, _PIECE)))
    return "transfer-encoding" not in fields and fields.get("connection", "").lower() != "close"


def _written(method: str, answer: Answer, goes_on: bool) -> bytes:
    """Return an answer as it is sent."""
    lines = [f"HTTP/1.1 {answer.status} {phrase_of(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    has_body = answer.status not in _NO_BODY
    if has_body:
        lines.append(f"Content-Length: {len(answer.body)}")
    if not goes_on:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head + answer.body if has_body and method != "HEAD" else head


def phrase_of(status: int) -> str:
    """Return what a status is called; '' for one without a name."""
    if status == HTTPStatus.IM_A_TEAPOT:
        return "I'm a teapot"  # as Go writes it
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
