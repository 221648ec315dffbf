"""Clients that people use, each with one request that begins and ends when it is told to."""

import asyncio
import contextlib
import os
import ssl
from typing import Any, NamedTuple

from tests.tcp.peers import PATIENCE

WITHOUT_SANITIZER = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
"""What programs are started with that are not ours: `make asan` preloads its libraries."""

REFUSED = None
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class Row(NamedTuple):
    """What a client is like, and who takes it."""

    number: str
    takes: str | None
    """The service; REFUSED: nobody, and the client is told by TLS or by the end of the connection."""

    name: str = ""
    """Asked for by SNI."""

    tls: bool = True
    source: str = "127.0.0.1"
    alpn: str = ""
    has_certificate: bool = False
    begins: str = ""
    """What comes before TLS: `postgres`, `smtp`, or `proxy` for a header of the PROXY protocol."""

    lacks: tuple[str, ...] = ()
    """Routers that the document does not have."""

    entry: str = "web"
    ways: tuple[str, ...] = ("openssl", "python", "curl")
    """Clients that can do that."""

    @property
    def is_known(self) -> bool:
        """Whether there is a certificate for its name."""
        return self.name.endswith(".test") and not self.name.startswith("other")


HEAD = b"PUT / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
END = b"0\r\n\r\n"


class Client:
    """One connection, with a request that has begun and ends when it is told to."""

    def __init__(self, row: Row, address: tuple[str, int], files: tuple[Any, ...]) -> None:
        self.row, self.address = row, address
        self.authority, self.certificate, self.key = map(str, files)

    async def begin(self) -> None:
        """Connect, and send the first half of a request."""

    async def end(self) -> str | None:
        """Send the rest, and return what the server says of itself; REFUSED if nothing comes of it."""
        raise NotImplementedError

    async def close(self) -> None:
        """Leave nothing behind."""

    @property
    def head(self) -> bytes:
        return HEAD % (self.row.name or "plain.test").encode()


class Python(Client):
    """Python's ssl over asyncio's streams."""

    writer: asyncio.StreamWriter | None = None
    failed = False

    async def begin(self) -> None:
        row = self.row
        self.reader, self.writer = await asyncio.open_connection(*self.address, local_addr=(row.source, 0))
        try:
            if row.begins == "proxy":
                port = self.writer.get_extra_info("sockname")[1]
                self.writer.write(b"PROXY TCP4 %s 127.0.0.1 %d 443\r\n" % (row.source.encode(), port))
            if row.begins == "postgres":
                self.writer.write(SSL_REQUEST)
                assert await self.reader.readexactly(1) == b"S"
            if row.tls:
                await self.writer.start_tls(self.context(), server_hostname=row.name or None)
            if row.takes == "first":
                self.greeting = await self.reader.readuntil(b"\r\n")
            self.writer.write(self.head)
            await self.writer.drain()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            self.failed = True

    def context(self) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=self.authority)
        if not self.row.is_known:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        if self.row.alpn:
            made.set_alpn_protocols([self.row.alpn])
        if self.row.has_certificate:
            made.load_cert_chain(self.certificate, self.key)
        return made

    async def end(self) -> str | None:
        if self.failed or self.writer is None:
            return REFUSED
        try:
            self.writer.write(END)
            return body_of(await self.reader.read())
        except (ConnectionError, ssl.SSLError):
            return REFUSED

    async def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class Program(Client):
    """A client that is a program: what it reads is sent."""

    process: asyncio.subprocess.Process | None = None

    async def begin(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=WITHOUT_SANITIZER,
        )
        self.stdin.write(self.first)

    @property
    def first(self) -> bytes:
        return self.head

    @property
    def last(self) -> bytes:
        return END

    @property
    def stdin(self) -> asyncio.StreamWriter:
        assert self.process is not None and self.process.stdin is not None
        return self.process.stdin

    def command(self) -> list[str]:
        raise NotImplementedError

    async def close(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.communicate()


class OpenSSL(Program):
    """openssl s_client."""

    def command(self) -> list[str]:
        row = self.row
        made = ["openssl", "s_client", "-quiet", "-connect", "{}:{}".format(*self.address)]
        made += ["-servername", row.name] if row.name else ["-noservername"]
        made += ["-bind", f"{row.source}:0"]
        if row.is_known:
            made += ["-CAfile", self.authority, "-verify_return_error", "-verify_hostname", row.name]
        if row.alpn:
            made += ["-alpn", row.alpn]
        if row.has_certificate:
            made += ["-cert", self.certificate, "-key", self.key]
        if row.begins in ("postgres", "smtp"):
            made += ["-starttls", row.begins]
        return made

    async def end(self) -> str | None:
        assert self.process is not None and self.process.stdout is not None
        with contextlib.suppress(ConnectionError):
            self.stdin.write(self.last)
        said = b""
        while more := await self.process.stdout.read(65536):
            said += more
            if body_of(said):
                break
        return body_of(said)


class Curl(Program):
    """curl: a request whose body it reads as it comes; or telnet, where there is no HTTP."""

    def command(self) -> list[str]:
        row = self.row
        host, port = self.address
        made = ["curl", "-sS", "--noproxy", "*", "--max-time", str(PATIENCE), "--interface", row.source]
        if row.begins == "proxy":
            made.append("--haproxy-protocol")
        if row.takes == "first":
            return [*made, "-N", f"telnet://{host}:{port}"]
        made += ["--http1.1", "-T", "-", "-H", "Expect:", "-H", "Connection: close"]
        if not row.tls:
            return [*made, "--connect-to", f"plain.test:80:{host}:{port}", "http://plain.test/"]
        made += ["--cacert", self.authority] if row.is_known else ["--insecure"]
        if not row.alpn:
            made.append("--no-alpn")
        if row.has_certificate:
            made += ["--cert", self.certificate, "--key", self.key]
        if not row.name:
            return [*made, f"https://{host}:{port}/"]
        return [*made, "--resolve", f"{row.name}:{port}:{host}", f"https://{row.name}:{port}/"]

    @property
    def first(self) -> bytes:
        return self.head if self.row.takes == "first" else b"half"

    async def end(self) -> str | None:
        assert self.process is not None
        if self.row.takes != "first":
            said, _ = await self.process.communicate(b"")
            return said.decode().strip() or REFUSED
        said, _ = await self.process.communicate(END)
        return body_of(said)


def body_of(said: bytes) -> str | None:
    return said.partition(b"\r\n\r\n")[2].decode().strip() or REFUSED


WAYS = {"openssl": OpenSSL, "python": Python, "curl": Curl}
