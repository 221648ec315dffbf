"""Clients that notice everything: each request's fate is told, and connections can be found by their port."""

import asyncio
import random
import time
from dataclasses import dataclass, field

REQUEST = b"GET / HTTP/1.1\r\nHost: chaos.example\r\n\r\n"
UPGRADE = b"GET /echo HTTP/1.1\r\nHost: chaos.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
PATIENCE = 30.0         # seconds after which a request has failed
THINK = 0.3             # seconds that every third client waits at most between two requests


@dataclass(eq=False)
class Connection:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    doomed: bool = False        # it was in a worker when that was killed
    asked: int = 0

    @property
    def port(self) -> int:
        """Our own port, by which the system's table of connections has it."""
        return self.writer.get_extra_info("sockname")[1]


@dataclass
class Failure:
    """A request that was not answered as it should."""

    at: float                   # seconds since the load began
    what: str
    excused: bool               # its connection was in a worker that was killed


@dataclass
class Fates:
    """What became of all requests."""

    began: float = field(default_factory=time.monotonic)
    answered: int = 0
    reconnected: int = 0        # connections found closed before a request was written
    failures: list[Failure] = field(default_factory=list)

    @property
    def excused(self) -> int:
        return sum(each.excused for each in self.failures)

    def fail(self, what: str, excused: bool = False) -> None:
        self.failures.append(Failure(time.monotonic() - self.began, what, excused))


class Clients:
    """Clients that ask one request after the other, each on a connection of its own that it keeps."""

    def __init__(self, port: int, count: int, seed: int) -> None:
        self._port = port
        self._count = count
        self._seed = seed
        self.fates = Fates()
        self._open: dict[int, Connection] = {}

    async def run(self, until: asyncio.Event) -> None:
        """Ask until told otherwise."""
        self.fates.began = time.monotonic()
        await asyncio.gather(*(self._ask_on(number, until) for number in range(self._count)))

    def doom(self, ports: set[int]) -> int:
        """Note that the worker which has these connections is killed; returns how many are ours."""
        hit = [self._open[port] for port in ports if port in self._open]
        for each in hit:
            each.doomed = True
        return len(hit)

    async def _ask_on(self, number: int, until: asyncio.Event) -> None:
        chance = random.Random(self._seed * 1000 + number)
        connection = None
        while not until.is_set():
            if number % 3 == 0:
                await asyncio.sleep(chance.uniform(0.0, THINK))
            if connection is not None and connection.reader.at_eof():
                self.fates.reconnected += 1
                connection = self._close(connection)
            if connection is None:
                connection = await self._connect()
            if connection is not None and not await self._ask(connection):
                connection = self._close(connection)
        if connection is not None:
            self._close(connection)

    async def _connect(self) -> Connection | None:
        try:
            opening = asyncio.open_connection("127.0.0.1", self._port)
            made = Connection(*await asyncio.wait_for(opening, PATIENCE))
        except (OSError, TimeoutError) as error:
            self.fates.fail(f"connect: {error!r}")
            await asyncio.sleep(0.1)
            return None
        self._open[made.port] = made
        return made

    def _close(self, connection: Connection) -> None:
        if self._open.get(connection.port) is connection:
            del self._open[connection.port]
        connection.writer.close()

    async def _ask(self, connection: Connection) -> bool:
        """Ask once; returns whether the connection can be used again."""
        if connection.reader.exception() is not None:
            self.fates.reconnected += 1     # a reset, before anything was asked
            return False
        connection.writer.write(REQUEST)
        try:
            async with asyncio.timeout(PATIENCE):
                head = await connection.reader.readuntil(b"\r\n\r\n")
                body = await connection.reader.readexactly(6)
        except (OSError, EOFError, TimeoutError) as error:
            where = f"request {connection.asked + 1} of a connection, port {connection.port}"
            self.fates.fail(f"{where}: {error!r}", connection.doomed)
            return False
        connection.asked += 1
        if not head.startswith(b"HTTP/1.1 200 ") or body != b"Served":
            self.fates.fail(f"answered {head.splitlines()[0].decode()}", connection.doomed)
            return False
        self.fates.answered += 1
        return b"connection: close" not in head.lower()


class Echoes:
    """Upgraded connections, each of which says something and waits for it to come back."""

    def __init__(self, port: int, count: int, seed: int) -> None:
        self._port = port
        self._count = count
        self._seed = seed
        self.echoed = 0
        self.dropped: list[str] = []
        self.open = asyncio.Semaphore(0)

    async def run(self, until: asyncio.Event) -> None:
        """Talk until told otherwise."""
        await asyncio.gather(*(self._talk(number, until) for number in range(self._count)))

    async def _talk(self, number: int, until: asyncio.Event) -> None:
        chance = random.Random(self._seed * 1000 + number)
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(UPGRADE)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            if not head.startswith(b"HTTP/1.1 101 "):
                raise ConnectionError(head.splitlines()[0].decode())
            self.open.release()
            while not until.is_set():
                said = chance.randbytes(chance.choice((2, 200, 20_000)))
                writer.write(said)
                heard = await asyncio.wait_for(reader.readexactly(len(said)), PATIENCE)
                if heard != said:
                    raise ConnectionError("something else came back")
                self.echoed += 1
                await asyncio.sleep(chance.uniform(0.0, 0.05))
        except (OSError, EOFError, TimeoutError) as error:
            self.dropped.append(repr(error))
            self.open.release()
        finally:
            if writer is not None:
                writer.close()
