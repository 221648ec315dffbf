"""A proxy among clients and servers that misbehave, in one event loop, and what must hold all the same.

After each batch of hostile connections: whoever was to be closed was closed within its limit; good clients
are served on every protocol; no connection, exchange, tunnel or old generation is left; nothing was raised
that nobody caught, and the log has no error; memory does not grow.

The proxy runs in this process, so that what is attacked is the core as it was built: with its checks on, or
under AddressSanitizer.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import socket
import ssl
import struct
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from fastproxy import Proxy
from fastproxy._core.exchange import in_progress
from fastproxy._core.session import living

from .flights import NAMES, SSL_REQUEST, Flight, Flights, answer, datagrams, mutated

AT_ONCE = 200
LIMIT = 10.0            # seconds to be closed in: time-outs of 0.3 s and 2 s of lingering, and a busy machine
PATIENCE = 20.0         # seconds for what good clients are owed, and for everything to be gone
STALL = 2.0             # seconds without a turn of the loop, after which a limit says nothing
WARM = 3                # batches after which nothing grows any more
MAY_GROW = 24 * 2**20   # bytes, of a process whose allocator keeps what it had
QUICK = "300ms"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
WORD = b"are you good?"
GOOD_CLIENT = "127.0.0.2"
RESET = struct.pack("ii", 1, 0)
KEPT = ("Arrival", "Downstream", "Upstream", "Relay", "Splice", "Session")


class Broken(Exception):
    """Something that must hold does not."""


# -- servers ----------------------------------------------------------------------------------------------


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
    """One that serves, and one that answers whatever the dice say."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice

    async def __aenter__(self) -> "Servers":
        self._good = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._bad = await asyncio.start_server(self._misbehave, "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: Echo(self.dice), ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._good.close()
        self._bad.close()
        self._udp.close()

    @property
    def good(self) -> str:
        return _address(self._good)

    @property
    def bad(self) -> str:
        return _address(self._bad)

    @property
    def udp(self) -> str:
        host, port = self._udp.get_extra_info("sockname")
        return f"{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(GOOD)
                await writer.drain()
        writer.close()

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


# -- the house --------------------------------------------------------------------------------------------

TIMEOUTS = {"respondingTimeouts": {"readTimeout": QUICK, "idleTimeout": QUICK}}

STATIC: dict[str, Any] = {
    "entryPoints": {
        "web": {"address": "127.0.0.1:0", "transport": TIMEOUTS, "proxyProtocol": {"insecure": True}},
        "plain": {"address": "127.0.0.1:0", "transport": TIMEOUTS},
        "db": {"address": "127.0.0.1:0", "transport": TIMEOUTS},
        "dns": {"address": "127.0.0.1:0/udp", "udp": {"timeout": QUICK}},
    },
    "core": {"limits": {"requestBody": 1048576}},
}


def document(servers: Servers, generation: int) -> dict[str, Any]:
    """Return what is served; each generation differs a little from the last."""
    good, bad = servers.good, servers.bad

    def loaded(key: str, value: str, **more: object) -> dict[str, Any]:
        return {"loadBalancer": {"servers": [{key: value}], **more}}

    def http(rule: str, service: str, *entry_points: str, **more: object) -> dict[str, Any]:
        return {"rule": rule, "service": service, "entryPoints": [*entry_points] or ["web", "plain"], **more}

    def stream(name: str, service: str, tls: dict[str, Any]) -> dict[str, Any]:
        return {"rule": f"HostSNI(`{name}`)", "service": service, "entryPoints": ["web"], "tls": tls}

    return {
        "http": {
            "routers": {
                "good": http("Host(`good.example`)", "good"),
                "safe": http("Host(`good.example`)", "good", "web", tls={}),
                "bad": http("PathPrefix(`/`)", "bad", priority=generation % 2 + 1),
                "unsafe": http("HostRegexp(`.*`)", "bad", "web", tls={}),
                **{
                    name[0]: http(f"Host(`{name.lower()}`)", "bad", "web", tls={"options": options})
                    for name, options in zip(NAMES, ("default", "mutual", "old"), strict=False)
                },
            },
            "services": {
                "good": loaded("url", f"http://{good}", serversTransport="quick"),
                "bad": loaded("url", f"http://{bad}", serversTransport="quick"),
            },
            "serversTransports": {
                "quick": {"forwardingTimeouts": {"responseHeaderTimeout": QUICK, "idleConnTimeout": QUICK}}
            },
        },
        "tcp": {
            "routers": {
                "good": {"rule": f"ClientIP(`{GOOD_CLIENT}`)", "service": "good", "entryPoints": ["db"]},
                "bad": {"rule": "HostSNI(`*`)", "service": "bad", "entryPoints": ["db"]},
                "sealed": stream("tcp.example", "good", {}),
                "ended": stream("db.example", "bad", {}),
                "passed": stream("pass.example", "bad", {"passthrough": True}),
            },
            "services": {"good": loaded("address", good), "bad": loaded("address", bad)},
        },
        "udp": {
            "routers": {"dns": {"service": "dns", "entryPoints": ["dns"]}},
            "services": {"dns": loaded("address", servers.udp)},
        },
        "tls": {
            "options": {
                "mutual": {"clientAuth": {"clientAuthType": "RequireAnyClientCert"}},
                "old": {"maxVersion": "VersionTLS12"},
            }
        },
    }


class Ears(logging.Handler):
    """Hears what the log says: counts it by its template, and keeps what is an error."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: Counter[str] = Counter()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:
            text = f"{record.msg!r} cannot be told: {error!r}"
            self.errors.append(text)
        # Who it is about stands in front; the reason behind it is what is counted.
        reason = text.split(" on entry point ")[-1] if record.levelno == logging.DEBUG else str(record.msg)
        self.told[reason[:100]] += 1
        if record.levelno >= logging.ERROR or record.exc_info:
            self.errors.append(logging.Formatter().format(record))


@contextlib.contextmanager
def listening() -> Iterator[Ears]:
    """Hear logs, what the loop is told, and what nobody could raise."""
    ears = Ears()
    loop = asyncio.get_running_loop()
    loggers = [logging.getLogger(name) for name in ("fastproxy", "asyncio")]
    before = [(each.level, each.propagate) for each in loggers]
    hook = sys.unraisablehook

    def raised(told: Any) -> None:
        ears.errors.append(f"unraisable: {told.exc_value!r} in {told.object!r}")

    def complained(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        ears.errors.append(f"loop: {context}")

    for each in loggers:
        each.addHandler(ears)
        each.propagate = False
    loggers[0].setLevel(logging.DEBUG)
    sys.unraisablehook = raised
    loop.set_exception_handler(complained)
    try:
        yield ears
    finally:
        sys.unraisablehook = hook
        loop.set_exception_handler(None)
        for each, (level, propagate) in zip(loggers, before, strict=True):
            each.removeHandler(ears)
            each.setLevel(level)
            each.propagate = propagate


# -- clients ----------------------------------------------------------------------------------------------


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
    """TLS over a client, as Python's ssl speaks it; what is sent can be spoilt."""

    def __init__(self, client: Client, name: str | None, spoil: Callable[[bytes], bytes] = bytes) -> None:
        self.client, self.spoil = client, spoil
        self.came, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CARELESS.wrap_bio(self.came, self.out, server_hostname=name)

    async def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                await self._flush()
                return
            except ssl.SSLWantReadError:
                await self._flush()
                await self._more()

    async def send(self, data: bytes) -> None:
        if data:
            self.tls.write(data)
        await self._flush()

    async def read(self) -> bytes:
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self._more()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def _flush(self) -> None:
        if self.out.pending:
            await self.client.send(self.spoil(self.out.read()))

    async def _more(self) -> None:
        data = await self.client.read()
        if data:
            self.came.write(data)
        else:
            self.came.write_eof()


# -- the siege --------------------------------------------------------------------------------------------


class Siege:
    """Batches of hostile connections against one proxy. What is said in one depends on seed and number."""

    def __init__(self, seed: int, flights: Flights) -> None:
        self.seed, self.flights = seed, flights
        self.batch = 0
        self.said: Counter[str] = Counter()
        self.generations: list[weakref.ref[Any]] = []
        self.overdue: list[str] = []
        self.stood_still = 0
        self.began = 0

    async def run(self, seconds: float, first: int = 0, size: int = 600) -> Counter[str]:
        """Attack for so long, at least one batch. Returns what the log told. Raises Broken."""
        end = time.monotonic() + seconds
        self.batch = first
        with listening() as self.ears:
            async with Servers(Random(self.seed)) as self.servers:
                self.proxy = Proxy(STATIC, self._document())
                beat = asyncio.ensure_future(self._beat())
                async with self.proxy:
                    while True:
                        try:
                            await self._attack(size)
                            await self._check(self.batch - first)
                        except Broken as broken:
                            raise Broken(f"seed {self.seed}, batch {self.batch}: {broken}") from None
                        self.batch += 1
                        if time.monotonic() >= end:
                            break
                beat.cancel()
            self._no_errors()
        return self.ears.told

    def _document(self) -> dict[str, Any]:
        return document(self.servers, self.batch)

    async def _attack(self, size: int) -> None:
        dice = Random(f"{self.seed}/{self.batch}")
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(flight: Flight, dice: Random) -> None:
            async with at_once:
                self.said[flight.kind] += 1
                if flight.kind == "datagrams":
                    await self._send_datagrams(flight)
                else:
                    await self._misbehave(flight, dice)

        async with asyncio.TaskGroup() as group:
            for _ in range(size):
                group.create_task(one(self.flights.draw(dice), Random(dice.random())))
            # In the middle of it everything is configured anew.
            self.generations.append(weakref.ref(self.proxy._switcher.switch.current))    # type: ignore[union-attr]
            applied = await self.proxy.apply(self._document())
        if self.overdue:
            raise Broken("\n  ".join([f"not closed in {LIMIT:.0f} s:", *self.overdue[:10]]))
        if applied.disabled:
            raise Broken(f"of the configuration this is disabled: {applied.disabled}")

    async def _send_datagrams(self, flight: Flight) -> None:
        """Send them from one address, reading nothing of the answers."""
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(self.proxy.address("dns"))
            for piece in flight.pieces:
                with contextlib.suppress(OSError):
                    client.send(piece)
                await asyncio.sleep(0)

    async def _misbehave(self, flight: Flight, dice: Random) -> None:
        entry = "web" if flight.over_tls else dice.choice(("web", "web", "web", "plain", "db"))
        client = Client()
        rest = dice.choice((0.0, 0.0, 0.0, 0.002, 0.05))
        ending = dice.choice(("stay", "stay", "end", "close", "reset"))
        try:
            await client.connect(self.proxy.address(entry))
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(2.0):
                    say: Any = client
                    if flight.over_tls:
                        spoilt = dice.random() < 0.2
                        say = Safe(client, dice.choice((*NAMES, None)),
                                   lambda data: mutated(dice, data) if spoilt else data)
                        await say.shake_hands()
                    for piece in flight.pieces:
                        await say.send(piece)
                        if rest:
                            await asyncio.sleep(rest)
            if ending == "end":
                with contextlib.suppress(OSError):
                    client.sock.shutdown(socket.SHUT_WR)
            if ending in ("stay", "end") and not await self._is_closed(client):
                said = b"".join(flight.pieces)
                pieces = f"{len(said)} bytes in {len(flight.pieces)} pieces"
                self.overdue.append(f"{flight.kind} on {entry}, {ending}: {said[:80]!r}, {pieces}")
            if ending == "reset":
                client.reset()
        finally:
            client.sock.close()

    # ---------------------------------------------------------------- what must hold

    async def _is_closed(self, client: Client) -> bool:
        """Read to the end; False if it does not come within the limit, while the loop goes on."""
        while True:
            before = self.stood_still
            try:
                async with asyncio.timeout(LIMIT):
                    await client.rest()
                return True
            except TimeoutError:
                await asyncio.sleep(0)
                if self.stood_still == before:
                    return False

    async def _beat(self) -> None:
        """Notice when nobody let this process run."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.1)
            if time.monotonic() - before > STALL:
                self.stood_still += 1

    async def _check(self, done: int) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._good_are_served()
        except (TimeoutError, OSError) as error:
            raise Broken(f"a good client is not served: {error!r}") from error
        await self._everything_is_gone()
        self._no_errors()
        if done == WARM:
            self.began = allocated()
        elif done > WARM and allocated() - self.began > MAY_GROW:
            raise Broken(f"memory grew from {self.began >> 20} to {allocated() >> 20} MiB")

    async def _good_are_served(self) -> None:
        line = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
        for entry, before, name in (
            ("web", b"", ""), ("web", line, ""), ("plain", b"", ""), ("db", b"", ""),
            ("web", b"", "good.example"), ("web", line, "good.example"), ("web", b"", "tcp.example"),
            ("web", SSL_REQUEST, "tcp.example"), ("web", line + SSL_REQUEST, "tcp.example"),
        ):
            client = Client(GOOD_CLIENT)
            try:
                await client.connect(self.proxy.address(entry))
                await client.send(before)
                say: Any = client
                if before.endswith(SSL_REQUEST) and await client.read() != b"S":
                    raise Broken("a good client of PostgreSQL is not told to begin TLS")
                if name:
                    say = Safe(client, name)
                    await say.shake_hands()
                await say.send(b"GET / HTTP/1.1\r\nHost: good.example\r\nConnection: close\r\n\r\n")
                told = b""
                while not told.endswith(b"good"):
                    more = await say.read()
                    if not more:
                        raise Broken(f"a good client of {entry}, {before!r}, {name!r}, is told {told!r}")
                    told += more
            finally:
                client.sock.close()
        await self._good_datagrams()

    async def _good_datagrams(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(self.proxy.address("dns"))
            while True:      # a datagram may be lost
                client.send(WORD)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        if await asyncio.get_running_loop().sock_recv(client, 100) == b"good":
                            return

    async def _everything_is_gone(self) -> None:
        end = time.monotonic() + PATIENCE
        while left := self._left():
            if time.monotonic() > end:
                raise Broken(f"left behind: {left}")
            await asyncio.sleep(0.05)

    def _left(self) -> dict[str, int]:
        """Return what should be gone, by its name."""
        left = {
            "connections": self.proxy.connections,
            "counted as open": self.proxy.counters["open"],
            "exchanges": in_progress(),
        }
        if not any(left.values()):
            gc.collect()
            left["sessions of TLS"] = living()
            left["old generations"] = sum(each() is not None for each in self.generations)
            left.update(Counter(
                name for each in gc.get_objects()
                if (name := type(each).__name__) in KEPT and type(each).__module__.startswith("fastproxy.")
            ))
        return {name: count for name, count in left.items() if count}

    def _no_errors(self) -> None:
        if self.ears.errors:
            raise Broken("\n".join(["the log tells:", *self.ears.errors[:5]]))


def allocated() -> int:
    """Return how many bytes this process has: those that the sanitizer counts, or what is resident."""
    count = getattr(ctypes.CDLL(None), "__sanitizer_get_current_allocated_bytes", None)
    if count is not None:
        count.restype = ctypes.c_size_t
        return int(count())
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def has_leaks() -> bool:
    """Let the sanitizer look for memory that nobody points to any more; it prints what it finds."""
    check = getattr(ctypes.CDLL(None), "__lsan_do_recoverable_leak_check", None)
    return check is not None and bool(check())
