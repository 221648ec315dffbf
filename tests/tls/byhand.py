"""TLS by hand, on either side: what it says is put on the wire as a test likes, and all that came is told."""

import _ssl
import asyncio
import contextlib
import ctypes
import socket
import ssl

from tests.tls.rig import PATIENCE


class CutShort(Exception):
    """The connection ended, and TLS did not."""


class ByHand:
    """One end of a connection of TLS. What `seal` and `farewell` return has yet to be sent."""

    def __init__(self, reader, writer, context, **options):
        self.reader, self.writer = reader, writer
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.coming, self.going, **options)

    @classmethod
    async def to(cls, address, context, name="a.example", receive=0):
        """Connect and shake hands. receive: bytes of the kernel's receive buffer, for a slow reader."""
        sock = socket.socket()
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        streams = await asyncio.open_connection(sock=sock)
        made = cls(*streams, context, server_hostname=name)
        await made.shake()
        return made

    async def shake(self, last=True):
        """Shake hands. last: send our last flight too, else return it."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.writer.write(self.going.read())
                await self._more()
        flight = self.going.read()
        if last:
            self.writer.write(flight)
        return flight

    async def _more(self):
        async with asyncio.timeout(PATIENCE):
            data = await self.reader.read(65536)
        if not data:
            raise CutShort
        self.coming.write(data)

    def seal(self, data):
        """Return records that say *data*."""
        self.tls.write(data)
        return self.going.read()

    def farewell(self):
        """Return what says that nothing more comes."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.going.read()

    def renewal(self):
        """Return a record that says that we write with new keys, and asks for the same (RFC 8446, 4.6.3)."""
        class Inside(ctypes.Structure):  # of CPython's object, as far as it concerns us
            _fields_ = (("head", ctypes.c_void_p * 2), ("owner", ctypes.c_void_p), ("ssl", ctypes.c_void_p))

        inside = Inside.from_address(id(self.tls._sslobj))
        renew = ctypes.CDLL(_ssl.__file__).SSL_key_update
        renew.argtypes = (ctypes.c_void_p, ctypes.c_int)
        assert renew(inside.ssl, 1) == 1
        self.tls.do_handshake()
        return self.going.read()

    def send(self, data):
        self.writer.write(data)

    async def read(self):
        """Return what is said next; b"": that nothing more comes. Raises CutShort."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self._more()
            except ssl.SSLZeroReturnError:
                return b""

    async def until(self, end):
        data = b""
        while not data.endswith(end):
            more = await self.read()
            assert more, data
            data += more
        return data

    async def rest(self):
        """Return all that is said until the end. Raises CutShort."""
        data = b""
        while more := await self.read():
            data += more
        return data

    async def closed(self):
        """Wait until the connection itself has ended; return what came of it, as bytes on the wire."""
        came = b""
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(PATIENCE):
                while data := await self.reader.read(65536):
                    came += data
        return came

    def close(self):
        self.writer.close()


@contextlib.asynccontextmanager
async def serving(context, converse, **options):
    """Serve TLS by hand: converse(peer) is called when hands are shaken; then the connection is closed.

    Gives the address. What converse raises is raised at the end, but for what the other side does.
    """
    failed, talks = [], set()

    async def serve(reader, writer):
        talks.add(asyncio.current_task())
        peer = ByHand(reader, writer, context, server_side=True, **options)
        try:
            await peer.shake()
            await converse(peer)
            await writer.drain()
        except (CutShort, ConnectionError, ssl.SSLError):
            pass
        except Exception as error:
            failed.append(error)
        finally:
            writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield made.sockets[0].getsockname()
    finally:
        made.close()
        for talk in talks:
            talk.cancel()
        if failed:
            raise failed[0]
