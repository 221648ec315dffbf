"""The internal services of an instance, `api@internal` and `ping@internal`, each on a socket of its own."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib.metadata import version
from typing import Any

from .api import View, answer
from .build.runtime import Runtime
from .config.dynamic import Configuration
from .config.internal import internal_configuration, services_of
from .config.static import StaticConfiguration
from .control import Answer, Control, Request, phrase_of

Run = Callable[..., Awaitable[Any]]
"""Calls a function that may take a while, with its arguments, and gives what it returns."""


async def run_here(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in the loop's own thread: where the view may change under another one."""
    return function(*arguments)


class Internals:
    """What answers for the internal services that are switched on."""

    def __init__(
        self, static: StaticConfiguration, runtime: Callable[[], Runtime], run: Run = run_here
    ) -> None:
        """runtime: gives the view that the API shows, in whatever thread `run` calls its function."""
        self._static = static
        self._runtime = runtime
        self._run = run
        self._started = datetime.now().astimezone().isoformat()
        self._version = version("fastproxy")
        self._is_terminating = False
        handlers = {"api": self._answer_api, "ping": self._answer_ping, "noop": self._answer_noop}
        self._control = Control({name: handlers[name] for name in services_of(static)})
        self.configuration = Configuration()
        """The document of the provider `internal`; empty before `start`."""

    async def start(self) -> None:
        """Listen on the sockets. OSError if there is no place for them."""
        self.configuration = internal_configuration(self._static, await self._control.start())

    async def close(self) -> None:
        await self._control.close()

    def terminate(self) -> None:
        """Say from now on that the instance stops: `ping.terminatingStatusCode`."""
        self._is_terminating = True

    async def _answer_ping(self, asked: Request) -> Answer:
        settings = self._static.ping
        status = settings.terminating_status_code if settings and self._is_terminating else 200
        return Answer(status, body=phrase_of(status).encode())

    async def _answer_noop(self, asked: Request) -> Answer:
        return Answer(418, body=phrase_of(418).encode())

    async def _answer_api(self, asked: Request) -> Answer:
        made: Answer = await self._run(self._from_view, asked)
        return made

    def _from_view(self, asked: Request) -> Answer:
        view = View(self._static, self._runtime(), self._version, self._started)
        return answer(asked.method, asked.path, asked.query, view)
