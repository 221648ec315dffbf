"""The file provider: one dynamic document, or all in a folder, read again when something changes.

Source: `providers.file` of Traefik v3. Better than there: folders below are watched too, and a link to a file
elsewhere is followed to where its file changes.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from watchfiles import awatch

from ..config.contents import FILLED, Contents, Mark, mark_of
from ..config.document import Document, Reading, same
from ..config.dynamic import KINDS, Configuration
from ..config.findings import Findings, Place
from ..config.merge import first_wins
from ..config.static import FileProvider as Settings
from ..config.texts import decoded, documents_in
from ..errors import Problem, errors_of
from .base import Provider, Publish

logger = logging.getLogger(__name__)
logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells every change of every file near ours

DEBOUNCE = 100
"""Milliseconds after which a change is read, although its writer is still busy."""

STEP = 50
"""Milliseconds without a further change after which a change is read."""

LOOK_AGAIN = 1000
"""Milliseconds after which the files are looked at although nobody told of a change: where telling does not
work (network file systems), and for what happened before the watching began."""

Signature = dict[str, Mark]
"""What tells files from their successors, by path."""


class Told(NamedTuple):
    """A problem without its line, so that it is the same problem when lines above it come and go."""

    source: str
    path: str
    message: str

    @classmethod
    def of(cls, problem: Problem) -> "Told":
        """Return what stays of a problem from one reading to the next."""
        return cls(problem.source, problem.path, problem.message)


class FileProvider(Provider):
    """`providers.file`."""

    name = "file"

    def __init__(self, settings: Settings) -> None:
        """settings: `filename` or `directory` is set; paths are relative to the working directory."""
        self._settings = settings
        self._documents: dict[str, Document] = {}
        self._last: Configuration | None = None
        self._seen: Signature = {}
        self._contents = Contents()
        """Certificates, keys and authorities that the documents name by file."""

        self._marks: dict[str, Mark | None] = {}
        """What they were when they were read."""

        self._told: set[Told] = set()
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def place(self) -> str:
        """The file or folder, as the user wrote it."""
        return self._settings.directory or self._settings.filename

    # --- reading ------------------------------------------------------------------------------------------

    def read(self) -> Reading:
        """Read everything now, in this thread. Not while `provide` runs: it reads in a thread of its own.

        The configuration is None when a file cannot be read as a whole; in a folder that spoils all of them,
        as in Traefik. The problems name file, line and column.
        """
        self._seen = self._signature()  # before the files are opened: a change from now on is a change
        try:
            files = self._files()
        except OSError as error:
            return Reading(None, [_unreadable(self.place, error)])
        self._documents = {file: self._documents.get(file) or Document(file) for file in files}
        readings = [(file, _read_file(document)) for file, document in self._documents.items()]
        problems = [problem for _, reading in readings for problem in reading.problems]
        documents = [(file, each.configuration) for file, each in readings if each.configuration is not None]
        if len(documents) < len(readings):
            return Reading(None, problems)
        merged = first_wins(documents)
        problems += [Problem(message=warning, severity="warning") for warning in merged.warnings]
        self._last = self._with_contents(merged.configuration)
        return Reading(self._last, problems)

    def _files(self) -> list[str]:
        """Return the files to read, in order. Raises OSError for a folder that cannot be listed."""
        if self._settings.directory:
            return documents_in(self._settings.directory)
        return [self._settings.filename]

    def _with_contents(self, configuration: Configuration) -> Configuration:
        """Put the content of files in the place of their names; objects that stay equal stay the same."""
        contents = Contents(self._contents)
        tables = {kind: configuration.table(kind) for kind in KINDS}
        for kind, fill in FILLED.items():
            filled = {name: fill(each, contents) for name, each in tables[kind].items()}
            tables[kind] = same(self._last.table(kind), filled) if self._last is not None else filled
        self._contents, self._marks = contents, contents.files
        return Configuration.of(tables, configuration.broken) if self._marks else configuration

    # --- providing ----------------------------------------------------------------------------------------

    async def provide(self, publish: Publish) -> None:
        """Publish what the files say, and again whenever they changed."""
        self._wanted.set()
        watching = asyncio.create_task(self._watch()) if self._settings.watch else None
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                waiting, self._waiting = self._waiting, []
                reading = await asyncio.to_thread(self.read)
                self._tell(reading)
                if reading.configuration is not None:
                    publish(self.name, reading.configuration)
                for each in waiting:
                    if not each.done():
                        each.set_result(None)
        finally:
            if watching:
                watching.cancel()

    async def reload(self) -> None:
        """Read again now, also where `watch` is false."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wanted.set()
        await done

    def _tell(self, reading: Reading) -> None:
        """Log the problems that were not there before."""
        about = {"fields": {"providerName": self.name}}
        for problem in reading.problems:
            if Told.of(problem) not in self._told:
                level = logging.WARNING if problem.severity == "warning" else logging.ERROR
                logger.log(level, "%s", problem, extra=about)
        if reading.configuration is None:
            errors = len(errors_of(reading.problems))
            logger.error(
                "%s: refused for %d error(s); the last good one stays", self.place, errors, extra=about
            )
        self._told = {Told.of(problem) for problem in reading.problems}

    # --- watching -----------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Ask for a reading whenever a file is not what it was when it was read."""
        told = ""
        while True:
            folders = self._folders()
            try:
                async for paths in _changes(folders, recursive=bool(self._settings.directory)):
                    self._look(paths)
                    if self._folders() != folders:
                        break  # a folder came, or a link leads elsewhere now
            except OSError as error:  # no more inotify watches, a folder that may not be read
                if str(error) != told:
                    told = str(error)
                    logger.warning("%s: cannot be watched, looked at every second: %s", self.place, error)
                await asyncio.sleep(LOOK_AGAIN / 1000)
                self._look(set())

    def _look(self, changed: set[str]) -> None:
        """Ask for a reading if one of the files is among the changed, or is another than was read."""
        if (
            not self._seen.keys().isdisjoint(changed)
            or self._signature() != self._seen
            or any(mark_of(path) != mark for path, mark in self._marks.items())
        ):
            self._wanted.set()

    def _signature(self) -> Signature:
        """Return what tells the files from their successors; those that are not there are left out."""
        signature = {}
        try:
            for file in self._files():
                mark = mark_of(file)
                if mark is not None:
                    signature[os.path.abspath(file)] = mark
        except OSError:
            pass
        return signature

    def _folders(self) -> set[str]:
        """Return the folders to watch: those of the files, and those where links to files lead."""
        if self._settings.directory:
            root = os.path.abspath(self._settings.directory)
            linked = {os.path.dirname(os.path.realpath(file)) for file in self._seen}
            # what is below is watched with the root
            folders = {root} | {each for each in linked if not f"{each}/".startswith(f"{root}/")}
        else:
            file = os.path.abspath(self._settings.filename)
            folders = {os.path.dirname(file), os.path.dirname(os.path.realpath(file))}
        return {each for each in folders if os.path.isdir(each)}


async def _changes(folders: set[str], recursive: bool) -> AsyncIterator[set[str]]:
    """Yield the paths of each batch of changes, and nothing in particular every LOOK_AGAIN."""
    if not folders:
        await asyncio.sleep(LOOK_AGAIN / 1000)
        yield set()
        return
    changes = awatch(
        *folders,
        watch_filter=None,
        debounce=DEBOUNCE,
        step=STEP,
        rust_timeout=LOOK_AGAIN,
        yield_on_timeout=True,
        recursive=recursive,
    )
    async for batch in changes:
        yield {path for _, path in batch}


def _read_file(document: Document) -> Reading:
    """Read one file."""
    findings = Findings()
    try:
        data = Path(document.source).read_bytes()
    except OSError as error:
        return Reading(None, [_unreadable(document.source, error)])
    text = decoded(data, document.source, findings)
    if text is None:
        return Reading(None, findings.problems(lambda path, on_key: Place(document.source)))
    return document.read(text)


def _unreadable(path: str, error: OSError) -> Problem:
    return Problem(source=path, message=f"cannot be read: {(error.strerror or str(error)).lower()}")
