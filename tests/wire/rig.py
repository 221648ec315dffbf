"""Both ends of a proxy in raw bytes: a client that says anything, a server that answers anything, and between
them an entry point with routes, built by hand.

Nothing here waits for time to pass: a test reads what must come, and `eventually` watches a counter.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fastproxy._core.acceptor import Acceptor
from fastproxy._core.balance import RoundRobin
from fastproxy._core.entrypoint import EntryPoint
from fastproxy._core.exchange import in_progress
from fastproxy._core.pool import Pool
from fastproxy._core.rule import Rule
from fastproxy._core.snapshot import Snapshot, Switch
from fastproxy._core.step import Pipeline
from fastproxy._core.table import Route, Table
from fastproxy._core.tally import Tally
from fastproxy._core.target import Target
from fastproxy.rules.compile import compile_rule
from tests.twins import framing, head
from tests.waiting import eventually, patient

READ = 65536

Address = tuple[str, int] | str


@dataclass
class Answer:
    """An answer as a client reads it. `head` is as it came; `fields` have small names."""

    head: bytes
    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    trailer: bytes = b""

    def get(self, name: bytes) -> bytes | None:
        """The value of a field, None when it is not there; an AssertionError when it is there twice."""
        values = [value for known, value in self.fields if known == name]
        assert len(values) <= 1, values
        return values[0] if values else None


class Wire:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.came = b""

    @classmethod
    async def to(cls, address: Address, *, receive: int = 0) -> "Wire":
        """Connect. receive: bytes of the kernel's receive buffer, for a reader that is to be slow."""
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        wire = cls(sock)
        await patient(wire.loop.sock_connect(sock, address))
        return wire

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each with a system call of its own, the loop running in between."""
        for piece in pieces:
            await patient(self.loop.sock_sendall(self.sock, piece))
            if len(pieces) > 1:
                await asyncio.sleep(0)

    async def more(self) -> bytes:
        """Whatever comes next; b"" at the end."""
        data = await patient(self.loop.sock_recv(self.sock, READ))
        self.came += data
        return data

    async def read(self, size: int) -> bytes:
        """Exactly *size* bytes."""
        while len(self.came) < size:
            assert await self.more(), f"the end, behind {self.came!r}"
        out, self.came = self.came[:size], self.came[size:]
        return out

    async def skip(self, size: int) -> None:
        """Read *size* bytes and forget them."""
        size -= len(self.came)
        assert size >= 0
        self.came = b""
        while size:
            data = await patient(self.loop.sock_recv(self.sock, min(size, READ)))
            assert data, f"the end, {size} bytes early"
            size -= len(data)

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with *mark*."""
        while mark not in self.came:
            assert await self.more(), f"the end, behind {self.came!r}"
        return await self.read(self.came.index(mark) + len(mark))

    async def head(self) -> bytes:
        return await self.until(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while await self.more():
            pass
        out, self.came = self.came, b""
        return out

    async def is_cut_off(self) -> bool:
        """Say whether the connection ends with a reset; what comes before stays in `came`."""
        try:
            while await self.more():
                pass
        except ConnectionResetError:
            return True
        return False

    async def ends(self) -> None:
        """The other side has nothing more to say, and closes."""
        assert await self.rest() == b""

    async def request(self) -> bytes:
        """One request as it came, head and body."""
        raw = await self.head()
        kind, length = framing.of_request(head.request(raw))
        body = await self.body(kind, length)
        return raw + body

    async def body(self, kind: str, length: int) -> bytes:
        """The bytes of one body, framing included."""
        if kind == framing.UNTIL_CLOSE:
            return await self.rest()
        while (done := framing.decoded(kind, length, self.came)) is None:
            assert await self.more(), f"the end within a body: {self.came!r}"
        return await self.read(len(self.came) - len(done.behind))

    async def answer(self, method: bytes = b"GET") -> Answer:
        """One answer to a request of *method*; an interim one is an answer too."""
        raw = await self.head()
        said = head.response(raw)
        kind, length = framing.of_response(said, method == b"HEAD")
        data = await self.body(kind, length)
        done = framing.decoded(kind, length, data) or framing.Decoded(data)
        return Answer(raw, said.status, said.reason, list(said.fields), done.data, done.trailer)

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read the answer to it."""
        await self.send(request)
        return await self.answer(request.split(b" ", 1)[0])

    def end(self) -> None:
        """Say that nothing more comes."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close so that the other side gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Backend:
    """A server: tests accept its connections one by one, or let it serve by itself."""

    def __init__(self, path: str = "", *, receive: int = 0) -> None:
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(path or ("127.0.0.1", 0))
        self.sock.listen(128)
        self.sock.setblocking(False)
        self.address: Address = self.sock.getsockname()
        self.wires: list[Wire] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.seen: list[bytes] = []
        self.pools: list[Pool] = []

    async def accept(self) -> Wire:
        sock, _ = await patient(asyncio.get_running_loop().sock_accept(self.sock))
        wire = Wire(sock)
        self.wires.append(wire)
        return wire

    def serve(self, *answers: bytes) -> "Backend":
        """Answer every request on every connection: with *answers* in turn, the last one again and again."""
        waiting = list(answers)

        async def converse(wire: Wire) -> None:
            while wire.came or await wire.more():
                self.seen.append(await wire.request())
                await wire.send(waiting.pop(0) if len(waiting) > 1 else waiting[0])

        return self.run(converse)

    def run(self, converse: Callable[[Wire], Awaitable[None]]) -> "Backend":
        """Let *converse* deal with each connection."""

        async def deal(wire: Wire) -> None:
            try:
                await converse(wire)
            except (ConnectionError, TimeoutError, asyncio.CancelledError):
                pass
            finally:
                wire.close()

        async def receive() -> None:
            loop = asyncio.get_running_loop()
            while True:
                sock, _ = await loop.sock_accept(self.sock)
                wire = Wire(sock)
                self.wires.append(wire)
                self.tasks.append(asyncio.create_task(deal(wire)))

        self.tasks.append(asyncio.create_task(receive()))
        return self

    def pool(self, **settings: Any) -> Pool:
        where: dict[str, Any]
        if isinstance(self.address, str):
            where = {"scheme": "unix", "path": self.address}
        else:
            where = {"scheme": "http", "host": self.address[0], "port": self.address[1]}
        made = Pool(**(where | settings))
        self.pools.append(made)
        return made

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for wire in self.wires:
            wire.close()
        self.sock.close()


def accepting(entry: EntryPoint) -> tuple[socket.socket, Acceptor]:
    """Accept for an entry point on a new socket of 127.0.0.1."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=128)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    acceptor = Acceptor(entry, sock.fileno(), lambda number: None)
    acceptor.start()
    return sock, acceptor


@dataclass
class House:
    """An entry point on a port of its own, and the routes behind it."""

    switch: Switch
    entry: EntryPoint
    tally: Tally
    sock: socket.socket
    acceptor: Acceptor
    log: "Lines"
    routes: list[Route] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    backends: list[Backend] = field(default_factory=list)
    generation: int = 0

    @classmethod
    async def open(cls, **settings: Any) -> "House":
        loop = asyncio.get_running_loop()
        switch, tally, log = Switch(), Tally(), Lines()
        entry = EntryPoint(
            loop, switch, 0, "web", tally=tally, log=log.logger, server_name="proxy.example", **settings
        )
        sock, acceptor = accepting(entry)
        return cls(switch, entry, tally, sock, acceptor, log)

    @property
    def address(self) -> Address:
        return self.sock.getsockname()

    def count(self, name: str) -> int:
        return self.tally.snapshot()[name]

    def backend(self, *answers: bytes, **settings: Any) -> Backend:
        """A new server; with *answers* it serves by itself."""
        made = Backend(**settings)
        self.backends.append(made)
        return made.serve(*answers) if answers else made

    def route(
        self,
        *backends: Backend,
        rule: str = "PathPrefix(`/`)",
        steps: Iterable[Any] = (),
        pass_host: bool = True,
        prefix: bytes = b"",
        **pool: Any,
    ) -> list[Target]:
        """Add a route to *backends* and put it in force."""
        targets = []
        for backend in backends:
            name = backend.address if isinstance(backend.address, str) else "{}:{}".format(*backend.address)
            targets.append(
                Target(f"http://{name}", backend.pool(**pool), host=b"server.example", path_prefix=prefix)
            )
        program = compile_rule(rule)
        balancer = RoundRobin(f"s{len(self.routes)}@test", targets, pass_host=pass_host)
        self.routes.append(
            Route(
                f"r{len(self.routes)}@test",
                Rule(rule, program.tests, program.keys),
                Pipeline(steps),
                balancer,
                priority=len(rule),
            )
        )
        self.targets += targets
        self.put_in_force()
        return targets

    def put_in_force(self) -> None:
        self.generation += 1
        self.switch.swap(Snapshot(self.generation, [Table(self.routes)]))

    async def client(self, **settings: Any) -> Wire:
        wire = await Wire.to(self.address, **settings)
        self.wires.append(wire)
        return wire

    async def asked(self, *pieces: bytes, **route: Any) -> tuple[Wire, Wire]:
        """Both ends of an exchange: a client that has sent a request, and a server that has read its head.

        pieces: of the request; route: as `route` takes it.
        """
        backend = self.backend()
        self.route(backend, **route)
        client = await self.client()
        await client.send(*pieces)
        server = await backend.accept()
        await server.head()
        return client, server

    async def outwait(self) -> None:
        """Let the time pass that a head may take: a client has come, said nothing, and been let go of."""
        assert self.entry.read_timeout > 0
        await (await self.client()).ends()

    async def close(self) -> None:
        """End everything, and see that nothing is left."""
        for wire in self.wires:
            wire.close()
        for backend in self.backends:
            await backend.close()
        await self.is_idle()
        assert [target.in_flight for target in self.targets] == [0] * len(self.targets)
        assert self.count("open") == 0
        for backend in self.backends:
            for pool in backend.pools:
                pool.close()
        self.acceptor.stop()
        self.sock.close()
        assert self.log.errors == []

    async def is_idle(self) -> None:
        await eventually(lambda: in_progress() == 0, "exchanges to end")
        await eventually(lambda: self.entry.connections == 0, "connections to close")


class Lines(logging.Handler):
    """What the proxy logs. Errors that a test expects it takes out of `errors`."""

    def __init__(self) -> None:
        super().__init__()
        self.logger = logging.Logger("wire", logging.DEBUG)
        self.logger.addHandler(self)
        self.lines: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if record.levelno >= logging.ERROR:
            self.errors.append(self.format(record))
