"""`fastproxy explain`: the runtime view that the files would give, and what it says to a question."""

import os
import sys
from collections.abc import Mapping, Sequence
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
from .explain import connections, datagrams, requests
from .explain.questions import ConnectionQuestion, DatagramQuestion, Question
from .explain.told import AnyExplanation
from .explain.words import lines_of
from .providers.file import FileProvider
from .selfsigned import Fallback


class Read(NamedTuple):
    """What the files say, and what would serve."""

    static: StaticConfiguration
    runtime: Runtime
    problems: list[Problem]


AnyQuestion = Question | ConnectionQuestion | DatagramQuestion


def run(question: AnyQuestion, flags: Sequence[str], as_json: bool) -> int:
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
    made = answer(question, found)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(made)).decode() + "\n")
    else:
        print("\n".join(lines_of(made)))
    return 0 if made.is_taken else 1


def answer(question: AnyQuestion, found: Read) -> AnyExplanation:
    """Explain. Raises WrongQuestion."""
    if isinstance(question, ConnectionQuestion):
        return connections.explain(question, found.static, found.runtime)
    if isinstance(question, DatagramQuestion):
        return datagrams.explain(question, found.static, found.runtime)
    return requests.explain(question, found.static, found.runtime)


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
    return Read(static, _runtime(static, Fallback(static).added(merged.configuration)), problems)


def _runtime(static: StaticConfiguration, configuration: Configuration) -> Runtime:
    builder = Builder(static)
    run_now(run_now(builder.build(1, configuration)).settle)
    return builder.runtime
