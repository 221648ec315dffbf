"""Clients that speak by system calls alone, good servers, and servers that do whatever the dice say."""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from random import Random
from typing import Any

from fastproxy import selfsigned

from .flights import SSL_REQUEST, answer, cut, datagrams, mutated

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
WORD = b"are you good?"
PATIENCE = 1.0     # seconds that a good server waits for a client
RESET = struct.pack("ii", 1, 0)


class Echo(asyncio.DatagramProtocol):
    """Answers the good, and others with whatever the dice say."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        for each in [b"good"] if data == WORD else datagrams(self.dice):
            self.transport.sendto(each, address)


class Servers:
    """One that serves, two that do so over TLS, and one that answers whatever the dice say."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice

    async def __aenter__(self) -> "Servers":
        self._good = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._bad = await asyncio.start_server(self._misbehave, "127.0.0.1", 0)
        self._context = _server_context()
        self._calm = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._context, ssl_handshake_timeout=PATIENCE
        )
        self._base = await asyncio.start_server(self._serve_postgres, "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: Echo(self.dice), ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in (self._good, self._bad, self._calm, self._base):
            each.close()
        self._udp.close()

    @property
    def good(self) -> str:
        return _address(self._good)

    @property
    def bad(self) -> str:
        return _address(self._bad)

    @property
    def calm(self) -> str:
        """Speaks TLS."""
        return _address(self._calm)

    @property
    def base(self) -> str:
        """Speaks TLS as PostgreSQL does, when it is asked for it."""
        return _address(self._base)

    @property
    def udp(self) -> str:
        host, port = self._udp.get_extra_info("sockname")
        return f"{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            while True:
                async with asyncio.timeout(PATIENCE):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(GOOD)
                    await writer.drain()
        _part(writer)

    async def _serve_postgres(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            async with asyncio.timeout(PATIENCE):
                is_asked = await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST
            if is_asked:
                writer.write(b"S")
                await writer.start_tls(self._context, ssl_handshake_timeout=PATIENCE)
                await self._serve(reader, writer)
        _part(writer)

    async def _misbehave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, perhaps before anything was asked; then end, at once or a little later."""
        dice = self.dice
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(dice.randint(0, 3)):
                if dice.random() < 0.8:
                    async with asyncio.timeout(0.2):
                        if not await reader.read(65536):
                            break
                writer.write(answer(dice) if dice.random() < 0.8 else b"S")
                await writer.drain()
            if dice.random() < 0.3:
                writer.write_eof()
                async with asyncio.timeout(0.2):
                    await reader.read(65536)
            if dice.random() < 0.2:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.close()


def _address(server: asyncio.Server) -> str:
    host, port = server.sockets[0].getsockname()
    return f"{host}:{port}"


def _part(writer: asyncio.StreamWriter) -> None:
    """Close, and do not wait for long until the other side of TLS has heard it."""
    writer.close()
    asyncio.get_running_loop().call_later(PATIENCE, writer.transport.abort)


def _server_context() -> ssl.SSLContext:
    """Return that of a server, with a certificate that nobody checks."""
    pair = selfsigned.make()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, (pair.cert_file + pair.key_file).encode())
        made.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return made



# -- clients --------------------------------------------------------------------------------------------


def _careless() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


CARELESS = _careless()


class Client:
    """One connection, by system calls alone."""

    def __init__(self, source: str = "127.0.0.1") -> None:
        self.loop = asyncio.get_running_loop()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.bind((source, 0))

    async def connect(self, address: tuple[str, int]) -> None:
        await self.loop.sock_connect(self.sock, address)

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, data)

    async def read(self) -> bytes:
        return await self.loop.sock_recv(self.sock, 65536)

    async def rest(self) -> None:
        """Read until the other side has ended, with a reset or not."""
        with contextlib.suppress(ConnectionError):
            while await self.read():
                pass

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()


class Safe:
    """TLS over a client, as Python's ssl speaks it. What is sent can be spoilt, or cut into segments."""

    is_spoilt = False
    is_cut = False

    def __init__(self, client: Client, name: str | None, dice: Random | None = None) -> None:
        """dice: needed for what is spoilt or cut."""
        self.client, self.dice = client, dice
        self.came, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CARELESS.wrap_bio(self.came, self.out, server_hostname=name)

    async def begin(self) -> None:
        """Say hello, and take what is answered; no more."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        await self._flush()
        await self._more()

    async def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                await self._flush()
                return
            except ssl.SSLWantReadError:
                await self._flush()
                await self._more()

    async def say_goodbye(self) -> None:
        """Say that no more comes."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self._flush()
        self.say = self.client.send      # whatever follows, nobody has to hear it

    async def send(self, data: bytes) -> None:
        if self.say is not None:
            await self.say(data)
            return
        if data:
            self.tls.write(data)
        await self._flush()

    say: Any = None

    async def read(self) -> bytes:
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self._more()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def _flush(self) -> None:
        data = self.out.read()
        if self.is_spoilt and self.dice is not None:
            data = mutated(self.dice, data)
        for piece in cut(self.dice, data) if self.is_cut and self.dice is not None else [data]:
            if piece:
                await self.client.send(piece)

    async def _more(self) -> None:
        data = await self.client.read()
        if data:
            self.came.write(data)
        else:
            self.came.write_eof()
