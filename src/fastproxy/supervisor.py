"""The supervisor: the process that a user starts. It owns sockets, providers and signals, and serves nothing.

Everything that can be wrong is found in this order, each before anything of the next has happened: static
configuration, first dynamic configuration, log, sockets, workers. What is wrong by then is exit status 1.
"""

import asyncio
import contextlib
import gc
import logging
import os
import platform
import resource
import signal
import socket
import sys
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from . import loops
from .config import internal
from .config.dynamic import Configuration
from .config.merge import Merged, Merger
from .config.sources import StaticReading
from .config.static import StaticConfiguration
from .config.values import SECOND
from .conflicts import Conflicts
from .errors import ConfigError
from .health import Health
from .internals import Internals
from .launch import SIGNALS
from .memory import MemoryWatch
from .observe import accesslog
from .observe import log as process_log
from .observe.log import fields
from .pipe import Applied
from .providers.base import Provider
from .providers.file import FileProvider
from .pulse import Pulse
from .selfsigned import Fallback
from .serving import Serving, Told
from .shared import Shared
from .sockets import BindError, Listeners, bind_all, close_all, shown_address
from .systemd import give_signs_of_life, given_sockets, notify, reloading
from .upgrade import Predecessor, UpgradeError, start_successor, tell_predecessor
from .watcher import Watcher
from .workers import Refused, StartError, Workers

log = logging.getLogger(__name__)

NICENESS = 10
"""Of the threads that read documents: a large one takes a core for a while, and workers need it more."""

LOG_PATIENCE = 1.0
"""Seconds for which a log line of the supervisor may wait for whoever reads standard output."""

MOST_WORKERS = 16
"""Workers that there may be at the least, however few there are at the start; and four for each core."""

TOTALS = ("requests", "refused", "2xx", "3xx", "4xx", "5xx", "gone", "bytes_in", "bytes_out")
DATAGRAM_TOTALS = ("datagrams_in", "datagrams_out", "datagrams_lost")
"""Counters whose sums are told at the end; the latter where there are entry points for UDP."""


def run_daemon(reading: StaticReading) -> int:
    """Be the daemon with a static configuration until a signal ends it; returns the exit status."""
    static = reading.configuration
    assert static is not None
    providers: list[Provider] = []
    first: dict[str, Configuration] = {}
    if static.providers.file is not None:
        provider = FileProvider(static.providers.file)
        found = provider.read()
        if found.configuration is None:
            error = ConfigError(found.problems)
            print(error, file=sys.stderr)
            tell_predecessor(str(error))
            return 1
        providers.append(provider)
        first[provider.name] = found.configuration
    notices = [(logging.WARNING, str(problem)) for problem in reading.problems]
    notices.insert(0, (logging.INFO, f"static configuration: {reading.source}"))
    return _run(static, providers, first, notices)


def run_fixed(static: StaticConfiguration, provider: str, configuration: Configuration) -> int:
    """Be a proxy whose dynamic configuration never changes; provider: what its names end in."""
    return _run(static, [], {provider: configuration}, [])


def _run(
    static: StaticConfiguration,
    providers: Sequence[Provider],
    first: Mapping[str, Configuration],
    notices: Sequence[tuple[int, str]],
) -> int:
    _fill_standard_descriptors()
    try:
        predecessor = Predecessor.of_environment()
    except (UpgradeError, OSError, ValueError, KeyError, TypeError) as error:
        return _failed(f"nothing can be taken over: {error}")
    try:
        return _run_after(predecessor, static, providers, first, notices)
    except StartFailed as failure:
        if predecessor is not None:
            predecessor.fail(str(failure))
        return _failed(str(failure), static if failure.has_log else None)


def _run_after(
    predecessor: Predecessor | None,
    static: StaticConfiguration,
    providers: Sequence[Provider],
    first: Mapping[str, Configuration],
    notices: Sequence[tuple[int, str]],
) -> int:
    """Run on the sockets that another program or systemd gives, and those that are bound. StartFailed."""
    try:
        process_log.start(static.log, patience=LOG_PATIENCE)
    except OSError as error:
        reason = f"log.filePath: cannot write {static.log.file_path}: {_reason(error)}"
        raise StartFailed(reason, has_log=False) from None
    try:
        if static.access_log is not None:
            accesslog.check(static.access_log)
    except OSError as error:
        place = (static.access_log and static.access_log.file_path) or "standard output"
        raise StartFailed(f"accessLog.filePath: cannot write {place}: {_reason(error)}") from None
    slots = static.core.workers or usable_cores()
    told = fields(
        version=version("fastproxy"),
        python=platform.python_version(),
        pid=os.getpid(),
        workers=slots,
        open_files=_raise_open_files(),
    )
    log.info("fastproxy starts", extra=told)
    for level, notice in notices:
        log.log(level, "%s", notice)
    try:
        given = predecessor.given if predecessor is not None else given_sockets(static.entry_points)
        listeners = bind_all(static.entry_points, slots, given)
        shared = Shared.make(most_workers(max(slots, *map(len, listeners.values()))))
    except (BindError, OSError) as error:
        raise StartFailed(str(error)) from None
    if predecessor is not None:
        log.info("it is to take over from process %d", predecessor.pid)
        predecessor.forget(listeners.values())
    supervisor = Supervisor(static, listeners, shared, providers, first, slots, predecessor)
    try:
        return loops.run(supervisor.run())
    finally:
        close_all(listeners)
        shared.close()


def _fill_standard_descriptors() -> None:
    """Put /dev/null where standard input, output or error is closed: a socket there would get log lines."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free is this one
            os.set_inheritable(number, True)


def _raise_open_files() -> int:
    """Allow this process and the workers as many open files as the system lets us, as programs in Go do.

    Returns how many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft  # a system whose hard limit is more than it takes
    return hard


def usable_cores() -> int:
    """Return how many cores this process may run on: `core.workers: auto`."""
    return len(os.sched_getaffinity(0))


def most_workers(count: int) -> int:
    """Return how many workers there may ever be, if `count` are started: memory is laid out for them."""
    return max(count, MOST_WORKERS, 4 * usable_cores())


class StartFailed(Exception):
    """There is no start. The message says why."""

    def __init__(self, message: str, *, has_log: bool = True) -> None:
        """has_log: whether the log can tell it too."""
        super().__init__(message)
        self.has_log = has_log


def _failed(message: str, static: StaticConfiguration | None = None) -> int:
    """Tell why there is no start, on standard error, and in the log too if that is a file."""
    print(f"fastproxy: {message}", file=sys.stderr)
    if static is not None and static.log.file_path:
        log.error(message)
    return 1


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


class Supervisor:
    """One instance, from its start to its end."""

    def __init__(
        self,
        static: StaticConfiguration,
        listeners: Listeners,
        shared: Shared,
        providers: Sequence[Provider],
        first: Mapping[str, Configuration],
        workers: int,
        predecessor: Predecessor | None = None,
    ) -> None:
        """listeners, shared: stay the caller's. first: what each provider says at the start.

        workers: how many to start. predecessor: whose sockets are among the listeners.
        """
        self._static = static
        self._listeners = listeners
        self._shared = shared
        self._providers = providers
        self._first = first
        links = predecessor.links if predecessor is not None else ()
        self._workers = Workers(static, listeners, shared, count=workers, links=links)
        self._links: Sequence[socket.socket] = ()
        """By which our workers hand their sessions of UDP over to those of the program that follows."""

        self._merger = Merger(static)
        self._conflicts = Conflicts()
        self._fallback = Fallback(static)
        self._health = Health(shared.signs())
        self._serving = Serving(static.entry_points, self._health.is_down)
        self._workers.on_applied = self._on_applied
        self._internals = Internals(static, self._serving.runtime, asyncio.to_thread)
        self._configuration = Configuration()
        self._asked_to_stop = asyncio.Event()
        self._aborting: asyncio.Future[None] | None = None
        self._predecessor = predecessor
        self._upgrading: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._is_ready = False
        self._meanwhile: set[signal.Signals] = set()
        """Signals to read or to open something again that have come since an upgrade began."""

        self._handed_over: Sequence[str] = ()
        """Entry points on whose sockets another program accepts when this one ends."""

        if predecessor is not None:
            kept = {id(each) for each in predecessor.given.values()}
            self._handed_over = [name for name, each in listeners.items() if id(each) in kept]

    async def run(self) -> int:
        """Start, serve until told to stop, drain. Returns the exit status."""
        try:
            return await self._run()
        finally:
            await self._health.close()
            await self._internals.close()

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(4, "fastproxy", initializer=_step_back))
        self._handle_signals(loop)
        serving = asyncio.create_task(self._serve())
        asked = asyncio.create_task(self._asked_to_stop.wait())
        await asyncio.wait((serving, asked), return_when=asyncio.FIRST_COMPLETED)
        if serving.done() and (error := serving.exception()):
            asked.cancel()
            return await self._fail(error)
        serving.cancel()
        await self._drain()
        return 0

    async def _serve(self) -> None:
        """Start the workers, then pass on what the providers say. StartError if the start fails."""
        await self._internals.start()
        merged = self._merge(self._first)
        for warning in merged.warnings:
            log.warning("%s", warning)
        self._configuration = merged.configuration
        await self._workers.start(merged.configuration)
        self._health.follow()
        if self._predecessor is not None:
            await self._take_over(self._predecessor)
        self._tell_ready()
        gc.collect()
        gc.freeze()  # what was read at the start stays; no collection needs to look at it again
        throttle = self._static.providers.providers_throttle_duration / SECOND
        watcher = Watcher(self._merge, self._apply, throttle)
        providing = (_guarded(each.name, each.provide(watcher.publish)) for each in self._providers)
        limits = self._static.core.limits
        pulse = Pulse(self._workers, limits.worker_silence / SECOND)
        tasks = [
            _guarded("watcher", watcher.run()),
            _guarded("pulse", pulse.run()),
            *providing,
            give_signs_of_life(),
        ]
        if most := limits.worker_memory:
            tasks.append(_guarded("memory watch", MemoryWatch(self._workers, most).run()))
        await asyncio.gather(*tasks, asyncio.Event().wait())

    def _merge(self, providers: Mapping[str, Configuration]) -> Merged:
        """Merge what the providers say, and what is there without them."""
        said = {**providers, internal.PROVIDER: self._internals.configuration}
        merged = self._health.numbered(self._conflicts.settle(self._merger.merge(said)))
        return merged._replace(configuration=self._fallback.added(merged.configuration))

    def _on_applied(self, configuration: Configuration, message: Applied) -> None:
        self._serving.note(Told(message.generation, configuration, message.broken, message.warned))

    async def _apply(self, configuration: Configuration) -> None:
        """Pass on a configuration; not the one that the workers started with, which providers say again."""
        if configuration != self._configuration:
            self._configuration = configuration
            self._workers.apply(configuration)
            self._health.follow()

    def _tell_ready(self) -> None:
        for name, sockets in self._listeners.items():
            log.info("entry point %s listens on %s", name, shown_address(sockets[0]))
        self._is_ready = True
        log.info("fastproxy is ready")
        notify("READY=1", self._status())

    def _status(self) -> str:
        count = self._workers.count
        return f"STATUS={count} worker{'s serve' if count > 1 else ' serves'}"

    async def _take_over(self, predecessor: Predecessor) -> None:
        """Become the one to whom the sockets belong."""
        if await predecessor.follow(self._listeners.values()):
            log.info("process %d has handed over", predecessor.pid)
        else:
            log.warning("process %d has gone without a word; its sockets are taken over", predecessor.pid)
        self._handed_over = ()
        for sockets in self._listeners.values():
            sockets.is_kept = sockets.is_one  # systemd has those still

    async def _fail(self, error: BaseException) -> int:
        """Tell why the start came to nothing."""
        await self._workers.abort()
        if not isinstance(error, StartError):
            log.error("the start failed", exc_info=error)
        raise StartFailed(str(error) or repr(error))

    # -- signals and the end ---------------------------------------------------------------------------------

    def _handle_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)
        loop.add_signal_handler(signal.SIGUSR1, self._on_reopen)
        loop.add_signal_handler(signal.SIGTTIN, self._on_more)
        loop.add_signal_handler(signal.SIGTTOU, self._on_fewer)
        loop.add_signal_handler(signal.SIGUSR2, self._on_upgrade)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked by whoever started us to take over

    def _on_stop(self, number: signal.Signals) -> None:
        """Drain; at the second signal, end."""
        if self._asked_to_stop.is_set():
            log.warning("%s again: every connection is closed now", number.name)
            self._aborting = asyncio.ensure_future(self._workers.abort())
        else:
            log.info("%s: stopping, connections that are open may finish", number.name)
            notify("STOPPING=1", "STATUS=Connections that are open may finish")
            self._internals.terminate()
            self._asked_to_stop.set()

    def _on_reload(self) -> None:
        log.info("SIGHUP: the configuration is read again")
        self._meanwhile.add(signal.SIGHUP)
        if self._is_serving:
            notify(*reloading())
        self._reloading = asyncio.ensure_future(self._reload())

    async def _reload(self) -> None:
        await asyncio.gather(*(provider.reload() for provider in self._providers))
        if self._is_serving:
            notify("READY=1")

    @property
    def _is_serving(self) -> bool:
        """Whether the start is over and the end has not begun: what READY=1 says."""
        return self._is_ready and not self._asked_to_stop.is_set()

    def _on_reopen(self) -> None:
        self._meanwhile.add(signal.SIGUSR1)
        process_log.reopen()
        self._workers.reopen_logs()
        log.info("SIGUSR1: logs are opened again")

    def _on_more(self) -> None:
        try:
            slot = self._workers.add()
        except Refused as refused:
            log.warning("SIGTTIN: no worker more: %s", refused)
        else:
            log.info("SIGTTIN: %s starts, one of %d", slot.place, self._workers.count)
            notify(self._status())

    def _on_fewer(self) -> None:
        try:
            slot = self._workers.remove()
        except Refused as refused:
            log.warning("SIGTTOU: no worker fewer: %s", refused)
        else:
            log.info("SIGTTOU: %s ends when its connections have, %d go on", slot.name, self._workers.count)
            notify(self._status())

    def _on_upgrade(self) -> None:
        """Start the program anew, and end when it has taken over."""
        if os.getpid() == 1:
            log.warning(
                "SIGUSR2: no upgrade: this is process 1, and with its end everything in its container ends; "
                "start a new container beside this one"
            )
        elif self._upgrading is not None:
            log.warning("SIGUSR2: no upgrade: one is under way")
        elif not self._is_ready or self._asked_to_stop.is_set():
            log.warning("SIGUSR2: no upgrade: this program %s", "stops" if self._is_ready else "still starts")
        else:
            log.info("SIGUSR2: this program is started anew, and ends when that serves")
            self._workers.may_grow = False
            self._meanwhile.clear()
            self._upgrading = asyncio.create_task(self._upgrade())

    async def _upgrade(self) -> None:
        try:
            successor = await start_successor(self._listeners)
        except UpgradeError as error:
            log.error("SIGUSR2: the upgrade failed, and this program goes on: %s", error)
            self._upgrading = None
            self._workers.may_grow = True
            return
        self._handed_over = tuple(successor.taken)
        self._links = successor.links
        for name in successor.taken:
            self._listeners[name].is_kept = True
        notify(f"MAINPID={successor.pid}")
        successor.go()
        for number in self._meanwhile:  # what it has read or opened may be older than that
            with contextlib.suppress(ProcessLookupError):
                os.kill(successor.pid, number)
        log.info("process %d has taken over; connections that are open here may finish", successor.pid)
        self._asked_to_stop.set()

    async def _drain(self) -> None:
        """Let the workers finish, and tell what they did in their lives."""
        living = asyncio.create_task(give_signs_of_life())
        if self._upgrading is not None and not self._upgrading.done():
            self._upgrading.cancel()  # ends the program that was to follow
            await asyncio.gather(self._workers.drain(), self._upgrading, return_exceptions=True)
        else:
            if self._upgrading is not None:
                living.cancel()  # the main process is another one now
            await self._workers.drain(self._handed_over, self._links)
            for link in self._links:
                link.close()
        living.cancel()
        if self._workers.aborted:
            cut = self._workers.aborted
            were = "connection was" if cut == 1 else "connections were"
            log.warning("%d %s cut when the grace time was over", cut, were)
        names = self._workers.counters
        totals = dict(zip(names, self._shared.totals(len(names)), strict=True))
        has_udp = any(point.is_udp for point in self._static.entry_points.values())
        wanted = (*TOTALS, *DATAGRAM_TOTALS) if has_udp else TOTALS
        told = {name: totals[name] for name in wanted if name in totals}
        log.info("fastproxy has stopped", extra=fields(**told))


async def _guarded(name: str, work: Coroutine[Any, Any, Any]) -> None:
    """Do something that goes on for ever; if it ends all the same, what it did stays, and the log says so."""
    try:
        await work
        log.error("%s has ended; what it said last stays", name)
    except Exception:
        log.exception("%s has ended; what it said last stays", name)


def _step_back() -> None:
    """Leave the core to the workers. For a thread of its own: on Linux each has its own niceness."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
