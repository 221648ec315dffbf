"""A proxy among clients and servers that misbehave, in one event loop, and what must hold all the same.

After each batch of hostile connections: whoever was to be closed was closed within its limit; good clients
are served on every protocol; no connection, exchange, tunnel or old generation is left; nothing was raised
that nobody caught, and the log has no error; memory does not grow.

The proxy runs in this process, so that what is attacked is the core as it was built: with its checks on, or
under AddressSanitizer. Limits are in seconds of this process's own (`clock`): what a busy machine takes does
not count.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import socket
import ssl
import sys
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

from fastproxy import Proxy
from fastproxy._core.exchange import in_progress
from fastproxy._core.session import living

from .clock import Beat, own, within
from .flights import NAMES, SSL_REQUEST, Flight, Flights
from .people import WORD, Client, Safe, Servers

AT_ONCE = 200
LIMIT = 10.0            # seconds to be closed in: time-outs of 0.3 s and 2 s of lingering, and a slow build
PATIENCE = 20.0         # seconds for what good clients are owed, and for everything to be gone
STALL = 2.0             # seconds of our own in one turn of the loop
WARM = 3                # batches after which nothing grows any more
MAY_GROW = 24 * 2**20   # bytes, of a process whose allocator keeps what it had
QUICK = "300ms"
GOOD_CLIENT = "127.0.0.2"
MAY_OPEN = 8            # descriptors, of what the loop and libraries keep
KEPT = ("Arrival", "Downstream", "Upstream", "Relay", "Splice", "Session", "Transport")


class Broken(Exception):
    """Something that must hold does not."""


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

    def stream(name: str, service: str, **tls: object) -> dict[str, Any]:
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
                "sealed": stream("tcp.example", "good"),
                "ended": stream("db.example", "bad"),
                "passed": stream("pass.example", "bad", passthrough=True),
                "calm": stream("calm.example", "calm", passthrough=True),
                "base": stream("base.example", "base", passthrough=True),
            },
            "services": {
                "good": loaded("address", good),
                "bad": loaded("address", bad),
                "calm": loaded("address", servers.calm),
                "base": loaded("address", servers.base),
            },
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


# -- the siege --------------------------------------------------------------------------------------------


class Siege:
    """Batches of hostile connections against one proxy. What is said in one depends on seed and number."""

    def __init__(self, seed: int, flights: Flights) -> None:
        self.seed, self.flights = seed, flights
        self.batch = 0
        self.said: Counter[str] = Counter()
        self.generations: list[weakref.ref[Any]] = []
        self.overdue: list[str] = []
        self.began = 0
        self.opened = 0

    async def run(self, seconds: float, first: int = 0, size: int = 600) -> Counter[str]:
        """Attack for so long, at least one batch. Returns what the log told. Raises Broken."""
        end = time.monotonic() + seconds
        self.batch = first
        with listening() as self.ears:
            async with Servers(Random(self.seed)) as self.servers:
                self.proxy = Proxy(STATIC, self._document())
                async with self.proxy, Beat() as self.beat:
                    while True:
                        try:
                            await self._attack(size)
                            await self._check(self.batch - first)
                        except Broken as broken:
                            raise Broken(f"seed {self.seed}, batch {self.batch}: {broken}") from None
                        self.batch += 1
                        if time.monotonic() >= end:
                            break
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
                await asyncio.sleep(0)      # to draw them all at once would be a long turn of the loop
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
                    if flight.over_tls:
                        await self._say_safely(client, flight, dice, rest)
                    else:
                        await _say(client, flight, rest)
            if ending == "end":
                with contextlib.suppress(OSError):
                    client.sock.shutdown(socket.SHUT_WR)
            if ending in ("stay", "end") and not await within(LIMIT, client.rest()):
                said = b"".join(flight.pieces)
                pieces = f"{len(said)} bytes in {len(flight.pieces)} pieces"
                self.overdue.append(f"{flight.kind} on {entry}, {ending}: {said[:80]!r}, {pieces}")
            if ending == "reset":
                client.reset()
        finally:
            client.sock.close()

    async def _say_safely(self, client: Client, flight: Flight, dice: Random, rest: float) -> None:
        """Shake hands and speak over TLS, in one of the ways in which that can be done badly."""
        manner = dice.choice(("well", "well", "spoilt", "spoilt later", "in pieces", "hello again", "within",
                              "goodbye and more", "nonsense"))
        safe = Safe(client, dice.choice((*NAMES, None)), dice)
        if manner == "within":
            await safe.begin()
            return
        safe.is_spoilt = manner == "spoilt"
        safe.is_cut = manner == "in pieces"
        await safe.shake_hands()
        safe.is_spoilt = manner == "spoilt later"
        if manner == "hello again":
            await client.send(self.flights.hellos.flight(dice))
        if manner == "nonsense":
            await client.send(dice.randbytes(dice.choice((1, 5, 300, 20000))))
        if manner == "goodbye and more":
            await safe.say_goodbye()
        await _say(safe, flight, rest)

    # ---------------------------------------------------------------- what must hold

    async def _check(self, done: int) -> None:
        try:
            if not await within(PATIENCE, self._good_are_served()):
                raise Broken(f"good clients are not served in {PATIENCE:.0f} s")
        except OSError as error:
            raise Broken(f"a good client is not served: {error!r}") from error
        await self._everything_is_gone()
        if self.beat.longest > STALL:
            raise Broken(f"one turn of the loop took {self.beat.longest:.1f} s of our own: {self.beat.where}")
        self._no_errors()
        if done == WARM:
            self.began, self.opened = allocated(), descriptors()
        elif done > WARM and descriptors() - self.opened > MAY_OPEN:
            raise Broken(f"of descriptors there were {self.opened}, and now {descriptors()}")
        elif done > WARM and allocated() - self.began > MAY_GROW:
            raise Broken(f"memory grew from {self.began >> 20} to {allocated() >> 20} MiB")

    async def _good_are_served(self) -> None:
        line = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
        for entry, before, name in (
            ("web", b"", ""), ("web", line, ""), ("plain", b"", ""), ("db", b"", ""),
            ("web", b"", "good.example"), ("web", line, "good.example"), ("web", b"", "tcp.example"),
            ("web", SSL_REQUEST, "tcp.example"), ("web", line + SSL_REQUEST, "tcp.example"),
            ("web", b"", "calm.example"), ("web", line, "calm.example"),
            ("web", SSL_REQUEST, "base.example"), ("web", line + SSL_REQUEST, "base.example"),
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
        end = own() + PATIENCE
        while left := self._left():
            if own() > end:
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
                kind.__name__ for kind in map(type, gc.get_objects())
                if kind.__name__ in KEPT and kind.__module__.startswith("fastproxy._core.")
            ))
        return {name: count for name, count in left.items() if count}

    def _no_errors(self) -> None:
        if self.ears.errors:
            raise Broken("\n".join(["the log tells:", *self.ears.errors[:5]]))


async def _say(client: Any, flight: Flight, rest: float) -> None:
    for piece in flight.pieces:
        await client.send(piece)
        if rest:
            await asyncio.sleep(rest)


def allocated() -> int:
    """Return how many bytes this process has: those that the sanitizer counts, or what is resident."""
    count = getattr(ctypes.CDLL(None), "__sanitizer_get_current_allocated_bytes", None)
    if count is not None:
        count.restype = ctypes.c_size_t
        return int(count())
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def descriptors() -> int:
    """Return how many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def has_leaks() -> bool:
    """Let the sanitizer look for memory that nobody points to any more; it prints what it finds."""
    check = getattr(ctypes.CDLL(None), "__lsan_do_recoverable_leak_check", None)
    return check is not None and bool(check())
