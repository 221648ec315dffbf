"""A proxy in somebody's own event loop: a worker, and all that a supervisor would otherwise give it."""

import asyncio
import logging
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import loops
from .build.runtime import Runtime
from .config import internal
from .config.document import decode
from .config.dynamic import Configuration
from .config.findings import Findings, Place
from .config.merge import Merged, Merger
from .config.sources import decode_static, load_static
from .config.static import INTERNAL_ENTRY_POINT, StaticConfiguration
from .config.values import SECOND
from .conflicts import Conflicts
from .errors import ConfigError, Problem, errors_of
from .health import Health
from .internals import Internals
from .listeners import COUNTERS, COUNTERS_SIZE, AccessLog, AnyListener, access_log_of, listeners_of, reopen
from .observe import unrouted
from .providers.file import FileProvider
from .selfsigned import Fallback
from .shared import own_seat
from .sockets import Listeners, bind_all, close_all
from .switcher import Applied, Switcher, tell
from .watcher import Watcher

log = logging.getLogger(__name__)

Document = Mapping[str, Any]
"""A document as a YAML file has it: mappings, lists, texts, numbers."""


class Proxy:
    """A proxy in somebody's own event loop, which is one of uvloop.

        async with Proxy({"entryPoints": {"web": {"address": "127.0.0.1:0"}}, "http": {...}}) as proxy:
            print(proxy.url("web"))
            await proxy.apply({"http": {...}})

    The names of the objects end in `@file`, as in a file of Traefik's.
    """

    def __init__(
        self,
        config: Document | StaticConfiguration | str | os.PathLike[str],
        dynamic: Document | Configuration | None = None,
    ) -> None:
        """config: a document, in which sections of the dynamic configuration may stand too; or the path of a
        static configuration file, of which `providers.file` is followed; or a configuration that was read.
        dynamic: what to serve first, in place of what `config` says about that.

        Raises ConfigError with every problem of a configuration that cannot be used as a whole.
        """
        self.static, first = _read(config)
        self._provider = _provider(config, self.static) if dynamic is None else None
        self._merger = Merger(self.static)
        self._conflicts = Conflicts()
        self._fallback = Fallback(self.static)
        self._seat = own_seat()
        self._health = Health(self._seat.signs)
        self._merged = Configuration()
        self._first = _dynamic(dynamic) if dynamic is not None else first
        self._sockets: Listeners = {}
        self._block = bytearray(COUNTERS_SIZE)
        self._switcher: Switcher | None = None
        self._listeners: dict[str, AnyListener] = {}
        self._access_log: AccessLog | None = None
        self._following: asyncio.Task[None] | None = None
        self._internals: Internals | None = None

    # --- its life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind, apply the first configuration, accept connections.

        BindError if an entry point cannot listen; ConfigError if a file that is followed cannot be used;
        RuntimeError if it runs already, or if the running loop is none of uvloop.
        """
        if self._switcher is not None:
            raise RuntimeError("this proxy runs already")
        loops.check_running()
        first = await self._read_provider() if self._provider else self._first
        self._sockets = bind_all(self.static.entry_points, 1)
        try:
            await self._serve(first)
        except BaseException:
            await self._close()
            raise
        if self._provider is not None:
            self._following = asyncio.create_task(self._follow(self._provider))

    async def _serve(self, first: Configuration) -> None:
        """Put the first configuration in force, then accept."""
        self._block[:] = bytes(COUNTERS_SIZE)
        self._switcher = Switcher(self.static, seat=self._seat)
        self._switcher.runtime.is_down = self._health.is_down
        self._internals = Internals(self.static, lambda: self.runtime)
        await self._internals.start()
        self._access_log = access_log_of(self.static)
        self._listeners = listeners_of(
            self.static,
            self._sockets,
            self._switcher.switch,
            self._block,
            on_unrouted=unrouted.hook(),
            access_log=self._access_log,
        )
        await self._apply(first)
        for listener in self._listeners.values():
            await listener.start()

    async def stop(self, grace: float | None = None) -> int:
        """Accept no more, let requests end, close everything. Returns how many connections were cut.

        grace: seconds that requests get, by default what `transport.lifeCycle` of each entry point says; 0:
        none.
        """
        if self._switcher is None:
            return 0
        if self._following is not None:
            self._following.cancel()
        if self._internals is not None:
            self._internals.terminate()
        try:
            stopping = (listener.drain(self._refuse, grace=grace) for listener in self._listeners.values())
            cut = sum(await asyncio.gather(*stopping))
            await self._switcher.apply(Configuration())  # idle connections to servers go with their services
            return cut
        finally:
            await self._close()

    def _refuse(self, entry_point: str) -> None:
        """Let the kernel refuse clients of an entry point that accepts no more."""
        for bound in self._sockets[entry_point]:
            bound.close()

    async def _close(self) -> None:
        for listener in self._listeners.values():
            listener.abort()
        close_all(self._sockets)
        await self._health.close()
        internals, self._internals = self._internals, None
        self._switcher = self._following = None
        self._listeners = {}
        if internals is not None:
            await internals.close()
        access_log, self._access_log = self._access_log, None
        if access_log is not None:
            await asyncio.sleep(0)  # connections that were cut are told in the next turn of the loop
            access_log.journal.close()

    def reopen_logs(self) -> None:
        """Open the file of the access log again under its name, after somebody moved it away."""
        reopen(self._access_log, self.static)

    async def __aenter__(self) -> "Proxy":
        await self.start()
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self.stop(grace=None if kind is None else 0)

    # --- configuration --------------------------------------------------------------------------------

    async def apply(self, dynamic: Document | Configuration) -> Applied:
        """Serve another dynamic configuration from the next request on; returns what changed.

        dynamic: a document, or a configuration with bare names. An object that cannot be used is disabled,
        and told in what is returned; ConfigError for a document that cannot be used as a whole, and then, as
        for whatever else is raised, the last one stays.
        """
        if self._provider is not None:
            raise RuntimeError(f"this proxy follows {self._provider.place}; change that")
        return await self._apply(_dynamic(dynamic))

    async def _apply(self, configuration: Configuration) -> Applied:
        merged = self._merge({FileProvider.name: configuration})
        for warning in merged.warnings:
            log.warning("%s", warning)
        return await self._apply_merged(merged.configuration)

    def _merge(self, providers: Mapping[str, Configuration]) -> Merged:
        """Merge what the provider says, and what is there without it."""
        ours = self._internals.configuration if self._internals is not None else Configuration()
        merged = self._conflicts.settle(self._merger.merge({**providers, internal.PROVIDER: ours}))
        merged = self._health.numbered(merged)
        return merged._replace(configuration=self._fallback.added(merged.configuration))

    async def _apply_merged(self, configuration: Configuration) -> Applied:
        applied = await self._running.apply(configuration)
        self._merged = configuration
        self._health.follow()
        tell(applied)
        return applied

    async def _read_provider(self) -> Configuration:
        assert self._provider is not None
        reading = await asyncio.to_thread(self._provider.read)
        if reading.configuration is None:
            raise ConfigError(reading.problems)
        return reading.configuration

    async def _follow(self, provider: FileProvider) -> None:
        """Apply what the file says whenever it changed."""

        async def apply(configuration: Configuration) -> None:
            if configuration != self._merged:  # the provider begins with what was read at the start
                await self._apply_merged(configuration)

        throttle = self.static.providers.providers_throttle_duration / SECOND
        watcher = Watcher(self._merge, apply, throttle)
        await asyncio.gather(watcher.run(), provider.provide(watcher.publish))

    # --- looking at it --------------------------------------------------------------------------------

    @property
    def _running(self) -> Switcher:
        if self._switcher is None:
            raise RuntimeError("this proxy does not run; use it as `async with Proxy(...) as proxy`")
        return self._switcher

    @property
    def runtime(self) -> Runtime:
        """What became of each configured object: `proxy.runtime.record("http.routers", "shop@file")`."""
        return self._running.runtime

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return sum(listener.entry.connections for listener in self._listeners.values())

    @property
    def counters(self) -> dict[str, int]:
        """What was counted since the start: `requests`, `2xx`, `bytes_out` and so on."""
        return dict(zip(COUNTERS, struct.unpack(f"{len(COUNTERS)}q", self._block), strict=True))

    def address(self, entry_point: str = "") -> tuple[str, int]:
        """Return host and port to connect to. An entry point on all addresses is reached on the loopback.

        entry_point may be left out when there is one only, beside `traefik`. KeyError for an unknown name.
        """
        assert self._running
        bound = self._sockets[entry_point or self._only_entry_point()][0]
        host, port = bound.getsockname()[:2]
        return {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host), port

    def url(self, entry_point: str = "") -> str:
        """Return where to send requests, with the port that the system chose: `http://127.0.0.1:41234`."""
        host, port = self.address(entry_point)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _only_entry_point(self) -> str:
        names = [name for name in self.static.entry_points if name != INTERNAL_ENTRY_POINT]
        if len(names) != 1:
            raise KeyError(f"this proxy has the entry points {', '.join(names)}; name one of them")
        return names[0]


# --- reading ----------------------------------------------------------------------------------------


def _read(config: Any) -> tuple[StaticConfiguration, Configuration]:
    """Return the static configuration, and the dynamic one that stands in the same document."""
    if isinstance(config, StaticConfiguration):
        return config.with_implicit_entries(), Configuration()
    if isinstance(config, Mapping):
        return _usable(config, _decode_static).with_implicit_entries(), _dynamic(config)
    reading = load_static([f"--configFile={os.fspath(config)}"], {})
    _tell(reading.problems)
    assert reading.configuration is not None
    return reading.configuration, Configuration()


def _provider(config: Any, static: StaticConfiguration) -> FileProvider | None:
    """Return the provider to follow; it is one for whoever gave a path."""
    if isinstance(config, (str, Path, os.PathLike)) and static.providers.file is not None:
        return FileProvider(static.providers.file)
    return None


def _dynamic(document: Document | Configuration) -> Configuration:
    """Read a dynamic document. Raises ConfigError. What is wrong about one object disables that object."""
    return document if isinstance(document, Configuration) else _usable(document, decode)


def _decode_static(document: Document, findings: Findings) -> StaticConfiguration | None:
    made = decode_static(document, findings)
    return None if findings.errors else made


def _usable(document: Document, reader: Callable[[Document, Findings], Any]) -> Any:
    findings = Findings()
    made = reader(document, findings)
    problems = findings.problems(lambda path, on_key: Place(""))
    if made is None:
        raise ConfigError(errors_of(problems))
    _tell(problems)
    return made


def _tell(problems: Iterable[Problem]) -> None:
    for problem in problems:
        log.log(logging.WARNING if problem.severity == "warning" else logging.ERROR, "%s", problem)
