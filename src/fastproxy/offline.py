"""`fastproxy explain`: the runtime view that the files would give, a question, and the answer as text."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from .build.runtime import Runtime
from .build.snapshot import Builder
from .build.work import run_now
from .config import internal
from .config.dynamic import Configuration
from .config.merge import Merger
from .config.sources import load_static
from .config.static import StaticConfiguration
from .conflicts import Conflicts
from .errors import ConfigError, Problem
from .explain import Explanation, Other, Passed, Question, Way, explain
from .providers.file import FileProvider


class Read(NamedTuple):
    """What the files say, and what would serve."""

    static: StaticConfiguration
    runtime: Runtime
    problems: list[Problem]


def run(question: Question, flags: Sequence[str], as_json: bool) -> int:
    """Print an explanation, and the problems of the configuration on standard error; returns the exit status.

    Raises WrongQuestion.
    """
    try:
        found = read(flags, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    for problem in found.problems:
        print(problem, file=sys.stderr)
    made = explain(question, found.static, found.runtime)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(made)).decode() + "\n")
    else:
        print("\n".join(lines_of(made)))
    return 0 if made.is_taken else 1


def read(flags: Sequence[str], environ: Mapping[str, str]) -> Read:
    """Build what the daemon with these flags would serve. Raises ConfigError."""
    reading = load_static(flags, environ)
    static = reading.configuration
    assert static is not None
    problems = list(reading.problems)
    sockets = {name: f"/{name}" for name in internal.services_of(static)}  # that nobody will ask
    providers = {}
    if static.providers.file is not None:
        dynamic = FileProvider(static.providers.file).read()
        if dynamic.configuration is None:
            raise ConfigError(dynamic.problems)
        problems += dynamic.problems
        providers[FileProvider.name] = dynamic.configuration
    providers[internal.PROVIDER] = internal.internal_configuration(static, sockets)
    merged = Conflicts().settle(Merger(static).merge(providers))
    problems += [Problem(message=warning, severity="warning") for warning in merged.warnings]
    return Read(static, _runtime(static, merged.configuration), problems)


def _runtime(static: StaticConfiguration, configuration: Configuration) -> Runtime:
    builder = Builder(static)
    run_now(run_now(builder.build(1, configuration)).settle)
    return builder.runtime


# --- text ---------------------------------------------------------------------------------------------------


def lines_of(explanation: Explanation) -> Iterator[str]:
    """Yield an explanation as text."""
    yield f"{explanation.method} {explanation.url} from {explanation.client or 'nowhere'}"
    for way in explanation.ways:
        yield ""
        yield f"entry point {way.entry_point} ({explanation.chosen})"
        for line in _lines_of_way(way):
            yield f"  {line}"


def _lines_of_way(way: Way) -> Iterator[str]:
    if way.asked_before:
        yield f"TCP routers are asked before, and may take the connection: {', '.join(way.asked_before)}"
    if way.router:
        yield f"router {way.router} takes it"
        yield f"  {way.rule}"
        yield f"  priority {way.priority}, {'the length of its rule' if way.is_computed else 'as given'}"
    for passed in way.middlewares:
        yield from _lines_of_passed(passed)
    if way.service is not None:
        yield f"service {way.service.name}" + (f", {way.service.type}" if way.service.type else "")
        for server in way.service.servers:
            target = f", is sent {server.target}" if server.target else ""
            yield f"  {server.url}, weight {server.weight}, {server.status}{target}"
    if way.status:
        yield f"the answer is {way.status}: {way.reason}"
    elif way.request is not None:
        host = "the server's own" if way.service and way.service.names_host else way.request.host
        yield f"the server is sent {way.request.method} {way.request.target}, Host: {host}"
        yield from (f"  {change}" for change in way.request.changes)
    yield from _lines_of_others("also matches", way.beaten, way.more.get("beaten", 0))
    yield from _lines_of_others("would match, but is disabled", way.disabled, way.more.get("disabled", 0))
    yield from _lines_of_others("came close", way.near, 0)
    for other in way.unreadable:
        yield f"cannot be read: {other.name}: {'; '.join(other.why)}"


def _lines_of_passed(passed: Passed) -> Iterator[str]:
    first, *rest = passed.does
    yield f"middleware {passed.name}, {passed.type}: {first}"
    yield from (f"  {line}" for line in rest)


def _lines_of_others(what: str, others: Iterable[Other], more: int) -> Iterator[str]:
    for other in others:
        priority = f" (priority {other.priority})" if other.priority else ""
        yield f"{what}: {other.name}{priority}"
        if other.rule:
            yield f"  {other.rule}"
        yield from (f"  {why}" for why in other.why)
    if more:
        yield f"{what}: {more} more"
