"""A relay that stands between two ends of a connection and cuts, stalls or dribbles what passes; and nobody.

    relay = await Relay.to(address, Fault(dribble=1))
    ... connect to relay.address ...
    await relay.close()

Nothing happens by chance here: a fault is said beforehand, in bytes.
"""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

PIECE = 65536


@dataclass(frozen=True)
class Fault:
    """What happens to one direction of a connection.

    dribble: so many bytes at a time, the loop running in between; 0: as they come. cut: the connection ends
    behind so many bytes, with a reset when `reset`; -1: never. stall: nothing passes behind so many bytes
    until `Relay.go_on` is set; -1: never.
    """

    dribble: int = 0
    cut: int = -1
    reset: bool = False
    stall: int = -1


NONE = Fault()


@dataclass
class Relay:
    """Passes every connection on to one address: `up` is about bytes towards it, `down` about those back."""

    target: tuple[str, int]
    up: Fault
    down: Fault
    sock: socket.socket
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    async def to(cls, target: tuple[str, int], up: Fault = NONE, down: Fault = NONE) -> "Relay":
        sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        sock.setblocking(False)
        relay = cls(target, up, down, sock)
        relay.start(relay.receive())
        return relay

    @property
    def address(self) -> tuple[str, int]:
        return self.sock.getsockname()

    def start(self, work) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def receive(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            near, _ = await loop.sock_accept(self.sock)
            near.setblocking(False)
            self.start(self.pass_on(near))

    async def pass_on(self, near: socket.socket) -> None:
        """Serve one connection until both directions have ended, or one was cut."""
        far = socket.socket()
        try:
            far.setblocking(False)
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(far, self.target)
            ways = [asyncio.create_task(self.pour(near, far, self.up)),
                    asyncio.create_task(self.pour(far, near, self.down))]
            try:
                done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                while ways and not any(way.result() for way in done):
                    ways = [way for way in ways if not way.done()]
                    if ways:
                        done, _ = await asyncio.wait(ways)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass
        finally:
            near.close()
            far.close()

    async def pour(self, source: socket.socket, to: socket.socket, fault: Fault) -> bool:
        """Pass one direction on; True when it was cut, False when it ended."""
        loop = asyncio.get_running_loop()
        passed = 0
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(source, PIECE):
                for piece in pieces(data, passed, fault):
                    if passed == fault.stall:
                        self.stalled.set()
                        await self.go_on.wait()
                    if passed == fault.cut:
                        if fault.reset:
                            for sock in (source, to):
                                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return True
                    await loop.sock_sendall(to, piece)
                    passed += len(piece)
                    if fault.dribble:
                        await asyncio.sleep(0)
            to.shutdown(socket.SHUT_WR)
            return False
        return True

    async def close(self) -> None:
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.sock.close()


@contextlib.contextmanager
def nobody_answers() -> Iterator[tuple[str, int]]:
    """Give an address at which connections are neither taken nor refused: its backlog is full."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


def pieces(data: bytes, passed: int, fault: Fault) -> list[bytes]:
    """Cut *data*, which follows *passed* bytes, where the fault has something to do."""
    size = fault.dribble or len(data)
    places = set(range(0, len(data), size)) | {len(data)}
    places |= {at - passed for at in (fault.cut, fault.stall) if 0 <= at - passed <= len(data)}
    cuts = sorted(places)
    return [data[a:b] for a, b in itertools.pairwise(cuts)]
