"""`fastproxy check`: every problem of static and dynamic files; no socket, no loop, no compiled core.

What one section cannot know by itself is looked for here: rules, and names that refer to nothing. That is
done on the keys and texts of a document and not on its objects, so that one mistake hides no other.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .config import internal
from .config.decode import plan_of, text_of
from .config.document import decode, read_whole
from .config.dynamic import KINDS
from .config.findings import Findings, Place, Where, nearest, shown_path, unknown
from .config.sources import DYNAMIC_ROOTS, read_static
from .config.static import PROVIDER_NAMES, FileProvider, StaticConfiguration
from .config.texts import TEMPLATE, Format, Loaded, decoded, documents_in, load
from .config.tls import DEFAULT
from .errors import Problem
from .rules.compile import compile_rule
from .rules.syntax import HTTP, TCP, Language, RuleError

_PROTOCOLS = {"http": "", "tcp": "TCP ", "udp": "UDP "}

SECTIONS = {
    kind: f"{_PROTOCOLS[kind.partition('.')[0]]}{kind.partition('.')[2].removesuffix('s')}"
    for kind in KINDS
    if not kind.startswith("tls.")
}
SECTIONS |= {"tls.options": "TLS options", "tls.stores": "TLS store"}
"""The sections of a document, `http.routers` and so on, and what an object in each is called."""

RULES = {"http.routers": HTTP, "tcp.routers": TCP}
"""Sections whose objects have rules, and the language of these."""


class Reference(NamedTuple):
    """A place in an object that names another one."""

    section: str
    option: tuple[str, ...]
    kind: str


REFERENCES = (
    Reference("http.routers", ("entryPoints",), "entry point"),
    Reference("http.routers", ("middlewares",), "middleware"),
    Reference("http.routers", ("service",), "service"),
    Reference("http.routers", ("tls", "options"), "TLS options"),
    Reference("http.services", ("loadBalancer", "serversTransport"), "serversTransport"),
    Reference("http.middlewares", ("chain", "middlewares"), "middleware"),
    Reference("tcp.routers", ("entryPoints",), "entry point"),
    Reference("tcp.routers", ("middlewares",), "TCP middleware"),
    Reference("tcp.routers", ("service",), "TCP service"),
    Reference("tcp.services", ("loadBalancer", "serversTransport"), "TCP serversTransport"),
    Reference("tcp.services", ("weighted", "services", "name"), "TCP service"),
    Reference("udp.routers", ("entryPoints",), "UDP entry point"),
    Reference("udp.routers", ("service",), "UDP service"),
    Reference("udp.services", ("weighted", "services", "name"), "UDP service"),
)


class Nest(NamedTuple):
    """A kind of objects that may be made of others of their kind."""

    section: str
    option: tuple[str, ...]
    noun: str


NESTS = (
    Nest("http.middlewares", ("chain", "middlewares"), "chain"),
    Nest("tcp.services", ("weighted", "services", "name"), "service"),
    Nest("udp.services", ("weighted", "services", "name"), "service"),
)

STATIC_ROOTS = plan_of(StaticConfiguration).names()

PLUGINS = "fastproxy.plugins"
"""The group of entry points in which packages offer their plugins."""


class Names(NamedTuple):
    """What may be referred to."""

    provider: str
    """Whose documents these are; a name without a provider is one of its own."""

    by_kind: Mapping[str, Iterable[str]]
    """Bare names by the word for their kind. A kind that is not there is not checked."""

    internal: Iterable[str] | None = None
    """The internal services that are switched on; None: they are not known, and not checked."""

    def mistake(self, kind: str, reference: str) -> str:
        """Return what is wrong with a reference, or ''."""
        if kind not in self.by_kind or not reference:
            return ""
        if kind == "TLS options" and reference == DEFAULT:
            return ""  # they are there without being declared
        name, at, provider = reference.rpartition("@")
        if not at or kind in ("entry point", "UDP entry point", "plugin"):
            name, provider = reference, self.provider
        if provider == internal.PROVIDER:
            return self._internal(kind, name)
        if provider != self.provider:
            return _foreign(name, provider, self.provider)
        return "" if name in self.by_kind[kind] else self._missing(kind, name)

    def _internal(self, kind: str, name: str) -> str:
        """Return what is wrong with a name of the provider `internal`, or ''."""
        if kind.endswith("serversTransport") and name == "default":
            return ""
        if kind != "service" or name not in internal.NAMES:
            known = [f"{each}@{internal.PROVIDER}" for each in internal.BUILT] if kind == "service" else []
            return unknown(kind, f"{name}@{internal.PROVIDER}", known)
        is_there = name in internal.BUILT if self.internal is None else name in self.internal
        return "" if is_there else internal.refusal(name)

    def _missing(self, kind: str, name: str) -> str:
        names = sorted(self.by_kind[kind])
        if nearest(name, names):
            return unknown(kind, name, names)
        known = (
            f"known: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
            if names
            else "none is declared"
        )
        return f'unknown {kind} "{name}"; {known}'


def _foreign(name: str, provider: str, own: str) -> str:
    """Return what is wrong with a name of another provider."""
    if provider in PROVIDER_NAMES.split():
        return f'"{name}@{provider}": the provider {provider} is not supported yet; there is {own}'
    return f'"{name}@{provider}": {unknown("provider", provider, [own, internal.PROVIDER])}'


class Document:
    """One dynamic file: what it says, and what is wrong with it."""

    def __init__(self, source: str, data: bytes) -> None:
        """source: the name for messages; its end tells the format."""
        self.source = source
        self.raw: Mapping[str, Any] = {}
        self._findings = Findings()
        self._loaded: Loaded | None = None
        self._lines: list[str] = []
        self._problems: list[Problem] = []
        text = decoded(data, source, self._findings)
        if text is not None:
            self._read(text)

    def _read(self, text: str) -> None:
        self._lines = text.split("\n")
        if TEMPLATE in text:
            self._problems = read_whole(text, self.source).problems
            return
        self._loaded = load(text, self.source, self._findings)
        if self._loaded.raw is not None:
            self.raw = self._loaded.raw
            decode(self.raw, self._findings)

    def problems(self) -> list[Problem]:
        """Return everything that was found, sorted by place."""
        loaded = self._loaded
        located = self._findings.problems(
            loaded.locate if loaded else lambda path, on_key: Place(self.source)
        )
        return sorted([*self._problems, *located])

    def names(self, section: str) -> Mapping[str, Where]:
        """Return the names in a section, those of broken objects too, and where they stand."""
        where, objects = _at(self.raw, *section.split("."))
        return {name: (where, name, name) for name in objects} if isinstance(objects, dict) else {}

    def find_rules(self) -> None:
        """Look for rules that cannot be used."""
        for section, language in RULES.items():
            for name in self.names(section):
                where, rule = _at(self.raw, *section.split("."), name, "rule")
                tls = _at(self.raw, *section.split("."), name, "tls")[1]
                if isinstance(rule, str) and rule:
                    self._find_rule(where, rule, language, tls is not None and text_of(tls) != "false")

    def _find_rule(self, where: Where, rule: str, language: Language, has_tls: bool) -> None:
        """Look at one rule."""
        try:
            program = compile_rule(rule, language)
        except RuleError as error:
            self._findings.error(where, error.message, place=self._place_in(where, rule, error.column))
        else:
            if language is TCP and not has_tls and any(host != "*" for host in program.hosts):
                self._findings.error(where, "has HostSNI matcher, but no TLS on router")

    def find_references(self, names: Names) -> None:
        """Look for names that refer to nothing."""
        for section, option, kind in REFERENCES:
            for owner in self.names(section):
                for where, text in texts_at(self.raw, *section.split("."), owner, *option):
                    if mistake := names.mistake(kind, text):
                        self._findings.error(where, mistake)
        for owner in self.names("http.middlewares"):
            where, plugins = _at(self.raw, "http", "middlewares", owner, "plugin")
            for name in plugins if isinstance(plugins, dict) else ():
                if mistake := names.mistake("plugin", name):
                    self._findings.error((where, name, name), mistake, on_key=True)

    def find_files(self) -> None:
        """Look for certificates, keys and authorities that are no files and no PEM texts either."""
        for where, text in self._file_options():
            if text and "-----BEGIN " not in text and not os.path.isfile(text):
                self._findings.error(where, f'"{text.splitlines()[0]}" is neither a file nor a PEM text')

    def _file_options(self) -> Iterator[tuple[Where, str]]:
        where, certificates = _at(self.raw, "tls", "certificates")
        for at, each in enumerate(certificates if isinstance(certificates, list) else ()):
            for option in ("certFile", "keyFile"):
                key = _key(each, option)
                if isinstance(each, dict) and key in each:
                    yield ((where, at, ""), key, option), text_of(each[key]) or ""
        for name in self.names("tls.stores"):
            for option in ("certFile", "keyFile"):
                yield from texts_at(self.raw, "tls", "stores", name, "defaultCertificate", option)
        for name in self.names("tls.options"):
            yield from texts_at(self.raw, "tls", "options", name, "clientAuth", "caFiles")

    def find_duplicates(self, taken: dict[tuple[str, str], str]) -> None:
        """Look for names that earlier documents have. taken: whose each name is; is added to."""
        for section, kind in SECTIONS.items():
            for name, where in self.names(section).items():
                first = taken.setdefault((section, name), self.source)
                if first != self.source:
                    message = f'{kind} "{name}" is in {first} already, which counts; this one is skipped'
                    self._findings.warning(where, message, on_key=True)

    def find_loops(self, nest: Nest, members: Mapping[str, Sequence[str]]) -> None:
        """Look for chains, or weighted services, that run back into themselves."""
        for name in self.names(nest.section):
            loop = _loop(name, members)
            if loop:
                where, _ = _at(self.raw, *nest.section.split("."), name, *nest.option[:2])
                self._findings.error(where, f"the {nest.noun} runs back into itself: {' -> '.join(loop)}")

    def members(self, nest: Nest) -> dict[str, list[str]]:
        """Return of what each chain, or weighted service, is made."""
        found = {}
        for name in self.names(nest.section):
            texts = texts_at(self.raw, *nest.section.split("."), name, *nest.option)
            members = [text for _, text in texts]
            if members:
                found[name] = members
        return found

    def _place_in(self, where: Where, text: str, column: int) -> Place | None:
        """Return the place of a character of a value that stands as it is in one line; None for any other."""
        assert self._loaded is not None
        place = self._loaded.locate(_written(where), False)
        line = self._lines[place.line - 1] if 0 < place.line <= len(self._lines) else ""
        start = line.find(text, max(place.column - 1, 0))
        if start < 0 or start > place.column + 2:  # at most three quotes before it
            return None
        return Place(self.source, place.line, start + column)


def _written(where: Where | None) -> tuple[str | int, ...]:
    return (*_written(where[0]), where[1]) if where else ()


def _at(raw: Any, *path: str) -> tuple[Where, Any]:
    """Follow a path of Traefik's names; returns the place, in the keys as written, and the value or None."""
    where: Where | None = None
    for name in path:
        key = _key(raw, name)
        where, raw = (where, key, name), raw.get(key) if isinstance(raw, dict) else None
    assert where is not None
    return where, raw


def _key(raw: Any, name: str) -> str:
    """Return how a mapping writes a name."""
    if not isinstance(raw, dict) or name in raw:
        return name
    return next((key for key in raw if key.lower() == name.lower()), name)


def texts_at(raw: Any, *path: str) -> Iterator[tuple[Where, str]]:
    """Yield the text, or the texts of the list, at a path, each with its place."""
    *above, last = path
    where, value = _at(raw, *above)
    if isinstance(value, list):  # of sections, each with the option
        for at, each in enumerate(value):
            key = _key(each, last)
            text = text_of(each.get(key)) if isinstance(each, dict) else None
            yield ((where, at, ""), key, last), text or ""
        return
    where, value = _at(raw, *path)
    if isinstance(value, list):
        for at, each in enumerate(value):
            yield (where, at, ""), text_of(each) or ""
    elif path[-1].endswith("s"):  # a list may be written as one text with commas
        for part in (text_of(value) or "").split(","):
            yield where, part.strip()
    else:
        yield where, text_of(value) or ""


def _loop(start: str, chains: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the way from a chain back to itself, or []. Told by the first of its members only."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for name in chains.get(way[-1], ()):
            if name == start:
                return [] if min(way) != start else [*way, start]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


class Scope(NamedTuple):
    """What a static configuration says about dynamic ones."""

    entry_points: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    internal_services: tuple[str, ...] | None = None
    """Those that are switched on; None: it cannot be said."""

    udp_entry_points: tuple[str, ...] = ()


def check_documents(
    files: Iterable[tuple[str, bytes]], scope: Scope | None = None, provider: str = "file"
) -> list[Problem]:
    """Return every problem of the dynamic files of one provider: (name, content) each, in their order.

    scope: None if no static configuration is known; then entry points and plugins are not looked up.
    """
    documents = [Document(source, data) for source, data in files]
    return _problems_of(documents, names_of(documents, scope, provider))


def names_of(documents: Iterable[Document], scope: Scope | None, provider: str) -> Names:
    """Return what these documents declare, and what the static configuration does."""
    by_kind: dict[str, Iterable[str]] = {
        kind: {name for each in documents for name in each.names(section)}
        for section, kind in SECTIONS.items()
    }
    if scope is not None:
        by_kind |= {"entry point": set(scope.entry_points), "plugin": set(scope.plugins)}
        by_kind["UDP entry point"] = set(scope.udp_entry_points)
    return Names(provider, by_kind, scope.internal_services if scope is not None else None)


def _problems_of(documents: Sequence[Document], names: Names) -> list[Problem]:
    nests = [
        (nest, {name: made for each in reversed(documents) for name, made in each.members(nest).items()})
        for nest in NESTS
    ]
    taken: dict[tuple[str, str], str] = {}
    for each in documents:
        each.find_rules()
        each.find_references(names)
        each.find_files()
        each.find_duplicates(taken)
        for nest, members in nests:
            each.find_loops(nest, members)
    return [problem for each in documents for problem in each.problems()]


# --- files ------------------------------------------------------------------------------------------------


class Checked(NamedTuple):
    """What was looked at, and what was found."""

    files: list[str]
    problems: list[Problem]


def check_all(flags: Sequence[str], environ: Mapping[str, str], more: Sequence[str] = ()) -> Checked:
    """Check the static configuration that the daemon would read, and the dynamic files that it names.

    more: dynamic files to look at in place of those.
    """
    reading = read_static(flags, environ)
    made = reading.configuration
    scope = _scope(made) if made else _scope_of_raw(_loaded(reading.source)[0])
    files = list(more) or list(scope.files)
    documents, unreadable = _read(files)
    names = names_of(documents, scope, "file")
    static = sorted([*reading.problems, *_static_references(reading.source, names)])
    return Checked([reading.source, *files], [*static, *unreadable, *_problems_of(documents, names)])


def check_files(files: Sequence[str]) -> Checked:
    """Check files that are static or dynamic: their sections tell."""
    static = [file for file in files if _is_static(_loaded(file)[0])]
    found = [problem for file in static for problem in check_all([f"--configFile={file}"], {}).problems]
    documents, unreadable = _read([file for file in files if file not in static])
    return Checked(
        list(files), [*found, *unreadable, *_problems_of(documents, names_of(documents, None, "file"))]
    )


def _read(files: Iterable[str]) -> tuple[list[Document], list[Problem]]:
    """Return the dynamic files that can be read, and a problem for each that cannot."""
    documents, unreadable = [], []
    for name in files:
        try:
            documents.append(Document(name, Path(name).read_bytes()))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            unreadable.append(Problem(source=name, message=f"cannot be read: {reason}"))
    return documents, unreadable


def _static_references(source: str, names: Names) -> Iterator[Problem]:
    """Yield the middlewares of entry points that are not there; only a file tells where it names them."""
    raw, locate = _loaded(source)
    for point in _at(raw, "entryPoints")[1] or {}:
        for where, name in texts_at(raw, "entryPoints", point, "http", "middlewares"):
            if mistake := names.mistake("middleware", name):
                place = locate(_written(where), False)
                yield Problem(
                    source=place.source,
                    line=place.line,
                    column=place.column,
                    path=shown_path(where),
                    message=mistake,
                )


def _scope(made: StaticConfiguration) -> Scope:
    provider = made.providers.file
    return Scope(
        tuple(name for name, point in made.entry_points.items() if not point.is_udp),
        (*made.core.plugins, *installed_plugins()),
        tuple(dynamic_files(provider) if provider else ()),
        internal.services_of(made),
        made.udp_entry_points(),
    )


def _scope_of_raw(raw: Any) -> Scope:
    """Return what can be seen of a static configuration that has mistakes."""
    points, plugins = (_at(raw, *path)[1] for path in (("entryPoints",), ("core", "plugins")))
    named = (text_of(_at(raw, "providers", "file", name)[1]) or "" for name in ("filename", "directory"))
    provider = FileProvider(filename=next(named), directory=next(named))
    names = tuple(points) if isinstance(points, dict) else ()  # of either kind: which is which is not known
    return Scope(
        names,
        (*(plugins if isinstance(plugins, dict) else ()), *installed_plugins()),
        tuple(dynamic_files(provider)),
        udp_entry_points=names,
    )


def installed_plugins() -> list[str]:
    """Return the names of the plugins that installed packages offer. None of them is loaded."""
    from importlib.metadata import entry_points  # slow to import, and only a static configuration asks

    return sorted(point.name for point in entry_points(group=PLUGINS))


def dynamic_files(provider: FileProvider) -> list[str]:
    """Return the files that a file provider reads, in the order in which it does."""
    if not provider.directory:
        return [provider.filename] if provider.filename else []
    try:
        return documents_in(provider.directory)
    except OSError:
        return [provider.directory]  # which cannot be read either, and is told so


def _loaded(name: str) -> Loaded:
    """Return what a file says before anybody decodes it; nothing for one that cannot be read."""
    nothing = Loaded({}, lambda path, on_key: Place(name))
    try:
        text = decoded(Path(name).read_bytes(), name, Findings())
    except OSError:
        return nothing
    if text is None or Format.of(name) is None:
        return nothing
    loaded = load(text, name, Findings())
    return loaded if loaded.raw is not None else nothing


def _is_static(raw: Any) -> bool:
    """Tell whether a document has sections of a static configuration and none of a dynamic one."""
    roots = {key.lower() for key in raw}
    return not roots & DYNAMIC_ROOTS and bool(roots & {name.lower() for name in STATIC_ROOTS})
