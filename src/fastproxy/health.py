"""Health checks: which servers are there, found out by one process and told to all by signs in shared memory.

A server that is to be checked gets a sign: a number, which the configuration carries to the workers
(`TcpServer.sign`), and a word in the shared memory, which balancers read: 0 up, 1 down. A check whose
settings stay the same keeps its sign through all reloads, and what is known of the server with it; any
other begins anew, with a server that is up.
Source: "TCP health check" of Traefik v3: the first check comes one interval after the beginning, one failure
is down, one success is up.
"""

import asyncio
import errno
import logging
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from msgspec import structs

from .build.runtime import TCP_SERVICES, Broken
from .build.transports import TLS, make_context, stream_tls_of
from .config.dynamic import Configuration
from .config.merge import Merged
from .config.tcp import TcpHealthCheck, TcpServer, TcpServersTLS, TcpService
from .config.values import SECOND, split_server_address, text_of_duration
from .observe.log import about

log = logging.getLogger(__name__)

UNCHECKED = -1
"""The sign of a server that nobody checks."""

MOST_AT_ONCE = 256
"""Checks that are made at the same time; others wait for their turn."""

OWN_TROUBLES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""What a server cannot help: it says nothing of its health."""


class Check(NamedTuple):
    """What is asked of whom. Equal ones are the same check."""

    service: str
    server: TcpServer
    settings: TcpHealthCheck
    tls: TcpServersTLS | None
    """How TLS is spoken to it; None: it is not."""

    @property
    def place(self) -> tuple[str, int]:
        """Where to connect to."""
        host, port = split_server_address(self.server.address)
        return host, self.settings.port or port

    @property
    def timeout(self) -> float:
        return self.settings.timeout / SECOND

    def interval(self, is_up: bool) -> float:
        """Return the seconds from the beginning of one check to that of the next."""
        settings = self.settings
        unhealthy = settings.unhealthy_interval
        return (settings.interval if is_up or unhealthy is None else unhealthy) / SECOND


class Health:
    """The checks of one instance. `numbered` may be called anywhere, everything else on the loop's thread."""

    def __init__(self, signs: memoryview) -> None:
        """signs: words of the shared memory, all zero; they are written by nobody else."""
        self._words = signs.cast("q")
        self._signs: dict[Check, int] = {}
        self._free: deque[int] = deque()
        self._unused = iter(range(len(self._words)))
        self._tasks: dict[Check, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._contexts: WeakValueDictionary[TLS, ssl.SSLContext] = WeakValueDictionary()

    # -- which there are -------------------------------------------------------------------------------------

    def numbered(self, merged: Merged) -> Merged:
        """Give each server that is to be checked its sign. A service for which none is left is broken."""
        configuration = merged.configuration
        checks = {name: list(_checks_of(name, each, configuration)) for name, each in _checked(configuration)}
        self._keep({check for each in checks.values() for check in each})
        if not checks:
            return merged
        services = dict(configuration.tcp.services)
        full: dict[str, str] = {}
        for name, each in checks.items():
            signs = [self._sign_of(check) for check in each]
            if None in signs:
                del services[name]
                full[name] = f"healthCheck: there is room for {len(self._words)} servers that are checked"
            else:
                services[name] = _with_signs(services[name], signs)
        made: Configuration = structs.replace(
            configuration,
            tcp=structs.replace(configuration.tcp, services=services),
            broken=_with_broken(configuration.broken, full),
        )
        return merged._replace(configuration=made)

    def _keep(self, wanted: set[Check]) -> None:
        """Forget the checks that are not among the wanted."""
        for check in [each for each in self._signs if each not in wanted]:
            self._free.append(self._signs.pop(check))

    def _sign_of(self, check: Check) -> int | None:
        """Return the sign of a check. None: there is none left."""
        sign = self._signs.get(check)
        if sign is None:
            # Used again as late as possible: workers may still heed it for a service that is gone.
            sign = next(self._unused, None)
            if sign is None and self._free:
                sign = self._free.popleft()
            if sign is not None:
                self._signs[check] = sign
                self._words[sign] = 0
        return sign

    def is_down(self, sign: int) -> bool:
        """Say whether the server with this sign is down."""
        return sign != UNCHECKED and self._words[sign] != 0

    # -- making them -----------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Begin the checks that are new, and end those that are gone."""
        for check in [each for each in self._tasks if each not in self._signs]:
            self._tasks.pop(check).cancel()
        for check, sign in self._signs.items():
            if check not in self._tasks:
                self._tasks[check] = asyncio.create_task(self._watch(check, sign))

    async def close(self) -> None:
        """End all checks, and let go of the shared memory; what is down is still known."""
        tasks = [*self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with self._words as words:
            self._words = memoryview(bytearray(words)).cast("q")

    async def _watch(self, check: Check, sign: int) -> None:
        """Check a server again and again, and tell when its state changes."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        while True:
            await asyncio.sleep(begun + check.interval(not self.is_down(sign)) - clock())
            async with self._turns:
                begun = clock()
                try:
                    reason = await self._asked(check)
                except OwnTrouble as trouble:
                    log.error("%s cannot be checked: %s", _called(check), trouble, extra=_about(check))
                    continue
                except Exception as error:
                    log.exception("%s cannot be checked", _called(check), extra=_about(check))
                    reason = repr(error)
            self._note(check, sign, reason)

    def _note(self, check: Check, sign: int, reason: str) -> None:
        """Write down what came of a check. reason: why it is down; empty: it is up."""
        was_down = self.is_down(sign)
        self._words[sign] = 1 if reason else 0
        if reason and was_down:
            log.debug("%s is still down: %s", _called(check), reason, extra=_about(check))
        elif reason:
            log.warning("%s is down: %s", _called(check), reason, extra=_about(check))
        elif was_down:
            log.info("%s is up again", _called(check), extra=_about(check))

    async def _asked(self, check: Check) -> str:
        """Make one check; returns why the server is down, or nothing. OwnTrouble."""
        try:
            async with asyncio.timeout(check.timeout):
                return await self._said(check)
        except TimeoutError:
            return f"no answer within {text_of_duration(check.settings.timeout)}"
        except asyncio.IncompleteReadError as error:
            return f"it ended after {_shown(error.partial)}"
        except Broken as broken:
            return str(broken)
        except ssl.SSLError as error:
            return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
        except OSError as error:
            if error.errno in OWN_TROUBLES:
                raise OwnTrouble(error.strerror) from None
            return (error.strerror or str(error) or type(error).__name__).lower()

    async def _said(self, check: Check) -> str:
        settings, tls = check.settings, {}
        if check.tls is not None:
            tls = await self._tls_of(check.tls)
        reader, writer = await asyncio.open_connection(*check.place, **tls)
        try:
            writer.write(settings.send.encode())
            await writer.drain()
            expected = settings.expect.encode()
            found = await reader.readexactly(len(expected))
        finally:
            writer.close()
        return "" if found == expected else f"it answered {_shown(found)} and not {_shown(expected)}"

    async def _tls_of(self, section: TcpServersTLS) -> dict[str, Any]:
        """Return how to open a connection with TLS. Raises Broken."""
        tls = await asyncio.to_thread(stream_tls_of, section)
        context = self._contexts.get(tls)
        if context is None:
            context = self._contexts[tls] = await asyncio.to_thread(make_context, tls)
        if context.check_hostname and not section.server_name:
            raise Broken("there is no name to verify its certificate with; set serverName")
        return {"ssl": context, "server_hostname": section.server_name, "ssl_shutdown_timeout": 1.0}


class OwnTrouble(Exception):
    """A check that cannot be made, for a reason of ours."""


def _checked(configuration: Configuration) -> Iterator[tuple[str, TcpService]]:
    """Give the services that have servers to check."""
    for name, service in configuration.tcp.services.items():
        if service.load_balancer is not None and service.load_balancer.health_check is not None:
            yield name, service


def _checks_of(name: str, service: TcpService, configuration: Configuration) -> Iterator[Check]:
    """Give the checks of a service, one for each server, in their order."""
    balancer = service.load_balancer
    assert balancer is not None
    assert balancer.health_check is not None
    transport = configuration.tcp.servers_transports.get(balancer.servers_transport)
    for server in balancer.servers:
        section = (transport.tls if transport is not None else None) or TcpServersTLS()
        yield Check(name, server, balancer.health_check, section if server.tls else None)


def _with_signs(service: TcpService, signs: list[Any]) -> TcpService:
    balancer = service.load_balancer
    assert balancer is not None
    servers = (structs.replace(each, sign=sign) for each, sign in zip(balancer.servers, signs, strict=True))
    return TcpService(load_balancer=structs.replace(balancer, servers=tuple(servers)))


def _with_broken(broken: Mapping[str, dict[str, str]], full: dict[str, str]) -> dict[str, dict[str, str]]:
    return {**broken, TCP_SERVICES: {**broken.get(TCP_SERVICES, {}), **full}} if full else dict(broken)


def _called(check: Check) -> str:
    return f"server {check.server.address} of TCP service {check.service}"


def _about(check: Check) -> dict[str, Any]:
    return about("TCP service", check.service)


def _shown(data: bytes) -> str:
    """Show what came, or should have come, in a line of the log."""
    return f"{data[:64]!r}{'...' if len(data) > 64 else ''}" if data else "nothing"
