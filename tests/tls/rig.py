"""Clients of TLS and of nothing, and a server that tells what it was asked."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from tests.waiting import PATIENCE, eventually

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Answer(NamedTuple):
    status: int
    body: bytes
    common_names: tuple[str, ...]
    """DNS names of the certificate that the proxy has shown; () if it was not verified."""

    version: str
    protocol: str | None
    was_resumed: bool


class Backend:
    """Answers each request with its own head."""

    async def __aenter__(self) -> "Backend":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = "http://{}:{}".format(*self._server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                body = await reader.readexactly(length)
                told = head + body
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(told) + told)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Server:
    """A plain server whose conversation a test writes."""

    def __init__(self, converse: Converse) -> None:
        self.converse = converse

    async def __aenter__(self) -> "Server":
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = "http://{}:{}".format(*self.server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class House:
    def __init__(self, proxy: Any, authority: Any, backend: Backend) -> None:
        self.proxy, self.authority, self.backend = proxy, authority, backend

    @property
    def address(self) -> tuple[str, int]:
        return self.proxy.address("web")

    async def there_are(self, count: int) -> None:
        """Wait until the entry point has so many connections."""
        entry = self.proxy._listeners["web"].entry
        await eventually(lambda: entry.connections == count, f"{count} connections")

    def context(self, **settings: Any) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        self.authority.configure_trust(made)
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    async def get(
        self,
        name: str | None,
        path: str = "/",
        *,
        host: str | None = None,
        alpn: tuple[str, ...] = (),
        session: ssl.SSLSession | None = None,
        context: ssl.SSLContext | None = None,
        insecure: bool = False,
        certificate: Any = None,
        body: bytes = b"",
        before: Iterable[bytes] = (),
        headers: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Answer:
        """Ask over TLS. name: sent as SNI. Raises ssl.SSLError or ConnectionError if nothing comes of it."""
        context = context or self.context(**settings)
        if insecure:
            context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if certificate is not None:
            certificate.configure_cert(context)
        return await asyncio.wait_for(
            asyncio.to_thread(self._get, context, name, path, host, session, body, before, headers or {}),
            PATIENCE,
        )

    def _get(
        self,
        context: ssl.SSLContext,
        name: str | None,
        path: str,
        host: str | None,
        session: ssl.SSLSession | None,
        body: bytes,
        before: Iterable[bytes],
        headers: Mapping[str, str],
    ) -> Answer:
        with socket.create_connection(self.address, PATIENCE) as plain:
            for piece in before:
                plain.sendall(piece)
            client = context.wrap_socket(plain, server_hostname=name, session=session)
            head = (
                f"GET {path} HTTP/1.1\r\nHost: {host or name or 'nobody'}\r\nContent-Length: {len(body)}\r\n"
            )
            head += "".join(f"{field}: {value}\r\n" for field, value in headers.items())
            client.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
            data = b""
            while more := client.recv(65536):
                data += more
            self.session = client.session
            shown = client.getpeercert() or {}
            names = tuple(text for kind, text in shown.get("subjectAltName", ()) if kind != "x")
            head_, _, rest = data.partition(b"\r\n\r\n")
            if not data:
                raise ConnectionError("the connection ended without an answer")
            return Answer(
                int(head_.split()[1]),
                rest,
                names,
                client.version() or "",
                client.selected_alpn_protocol(),
                client.session_reused,
            )

    async def plain(self, host: str, path: str = "/") -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            data = await asyncio.wait_for(reader.read(), PATIENCE)
        finally:
            writer.close()
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    async def openssl(self, *arguments: str, said: bytes = b"") -> str:
        """Run `openssl s_client` against the proxy and return all that it prints."""
        address = "{}:{}".format(*self.address)
        client = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", address, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(client.communicate(said), PATIENCE)
        return out.decode(errors="replace")

    async def said(self, data: bytes) -> bytes:
        """Send bytes and return what comes until the proxy ends the connection, by a reset or not."""
        reader, writer = await asyncio.open_connection(*self.address)
        came = b""
        try:
            writer.write(data)
            async with asyncio.timeout(PATIENCE):
                while more := await reader.read(65536):
                    came += more
        except ConnectionResetError:
            pass
        finally:
            writer.close()
        return came
