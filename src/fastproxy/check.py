"""`fastproxy check`: every problem of static and dynamic files. No socket, no loop; and no compiled core,
unless there is TLS to look at.

What one section cannot know by itself is looked for here: rules, names that refer to nothing, files, routers
in each other's way. Most of that is done on the keys and texts of a document and not on its objects, so that
one mistake hides no other.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .build.runtime import ROUTERS, TCP_ROUTERS, UDP_ROUTERS
from .config import internal
from .config.decode import plan_of, text_of
from .config.document import decode, read_whole
from .config.dynamic import KINDS, Configuration
from .config.findings import Findings, Place, Where, shown_path, written_path
from .config.merge import first_wins
from .config.sources import DYNAMIC_ROOTS, read_static
from .config.static import FileProvider, StaticConfiguration
from .config.texts import TEMPLATE, Format, Loaded, decoded, documents_in, load
from .errors import Problem
from .references import NESTS, REFERENCES, Names, Nest, loop_from
from .rivals import Rival, rivals_of
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

AUTHORITIES = (
    ("tls.options", ("clientAuth", "caFiles")),
    ("http.serversTransports", ("rootCAs",)),
    ("tcp.serversTransports", ("tls", "rootCAs")),
)
"""Sections, and where their objects name certificates of authorities."""

STATIC_ROOTS = plan_of(StaticConfiguration).names()

PLUGINS = "fastproxy.plugins"
"""The group of entry points in which packages offer their plugins."""


class Document:
    """One dynamic file: what it says, and what is wrong with it."""

    def __init__(self, source: str, data: bytes) -> None:
        """source: the name for messages; its end tells the format."""
        self.source = source
        self.raw: Mapping[str, Any] = {}
        self.made: Configuration | None = None
        """The objects that are in order; None: the document is refused."""

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
            self.made = decode(self.raw, self._findings)

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
                if section == "tcp.routers" and kind == "TLS options" and self._passes(owner):
                    continue  # then they do not count
                for where, text in texts_at(self.raw, *section.split("."), owner, *option):
                    if mistake := names.mistake(kind, text):
                        self._findings.error(where, mistake)
        for owner in self.names("http.middlewares"):
            where, plugins = _at(self.raw, "http", "middlewares", owner, "plugin")
            for name in plugins if isinstance(plugins, dict) else ():
                if mistake := names.mistake("plugin", name):
                    self._findings.error((where, name, name), mistake, on_key=True)

    def _passes(self, name: str) -> bool:
        """Tell whether a TCP router passes TLS through."""
        passes = _at(self.raw, "tcp", "routers", name, "tls", "passthrough")[1]
        return text_of(passes) in ("true", "1")

    def find_material(self) -> None:
        """Look at certificates, keys, authorities, and whether the TLS options can be had here."""
        pairs, authorities = list(self._pairs()), list(self._authorities())
        if not pairs and not authorities and not self._has_terms():
            return
        # Imported late, because it loads the core and the TLS library.
        from . import material

        for where, section in pairs:
            for fault in material.faults_of_pair(*_pair_in(section)):
                self._note(where, section, fault)
        for where, text in authorities:
            for fault in material.faults_of_authority(text):
                self._note(where, None, fault)
        self._find_twins(material.names_of)
        for path, faults in self._faults_of_objects(material):
            for fault in faults:
                option, number = fault.option.removesuffix("]").partition("[")[::2]
                where, value = _at(self.raw, *path, *filter(None, option.split(".")))
                self._note(
                    (where, int(number), "") if number and isinstance(value, list) else where, None, fault
                )

    def _has_terms(self) -> bool:
        """Tell whether some object says on which terms TLS is spoken."""
        made = self.made or Configuration()
        transports = made.http.servers_transports.values()
        return bool(made.tls.options) or any(
            each.cipher_suites or each.min_version or each.max_version for each in transports
        )

    def _faults_of_objects(self, material: Any) -> Iterator[tuple[tuple[str, ...], Iterator[Any]]]:
        """Yield what is wrong with objects that were read, and the path of each."""
        made = self.made or Configuration()
        for name, options in made.tls.options.items():
            yield ("tls", "options", name), material.faults_of_options(name, options)
        for name, transport in made.http.servers_transports.items():
            yield ("http", "serversTransports", name), material.faults_of_transport(transport)
        for name, stream in made.tcp.servers_transports.items():
            if stream.tls is not None:
                yield ("tcp", "serversTransports", name, "tls"), material.faults_of_transport(stream.tls)

    def _note(self, where: Where, section: Mapping[str, Any] | None, fault: Any) -> None:
        """Add a fault, unless it is there. section: if `where` is its place, and the fault in an option."""
        if section is not None:
            where = (where, _key(section, fault.option), fault.option)
        if all(each.where != where or each.message != fault.message for each in self._findings.found):
            add = self._findings.warning if fault.is_warning else self._findings.error
            add(where, fault.message)

    def _find_twins(self, names_of: Callable[[str], tuple[str, ...]]) -> None:
        """Look for certificates with the names of an earlier one."""
        first: dict[tuple[str, ...], int] = {}
        where, listed = _at(self.raw, "tls", "certificates")
        for at, section in enumerate(listed if isinstance(listed, list) else ()):
            names = names_of(_pair_in(section)[0]) if isinstance(section, dict) else ()
            if names and first.setdefault(names, at) != at:
                message = (
                    f"certificates[{first[names]}] is for the same names, and is taken in place of this one"
                )
                self._findings.warning((where, at, ""), message)

    def _pairs(self) -> Iterator[tuple[Where, Mapping[str, Any]]]:
        """Yield the sections that have a certificate and a key, of which both are written."""
        paths: list[tuple[str, ...]] = [("tls", "certificates")]
        paths += [("tls", "stores", name, "defaultCertificate") for name in self.names("tls.stores")]
        for name in self.names("http.serversTransports"):
            paths.append(("http", "serversTransports", name, "certificates"))
        for name in self.names("tcp.serversTransports"):
            paths.append(("tcp", "serversTransports", name, "tls", "certificates"))
        for path in paths:
            where, value = _at(self.raw, *path)
            listed: list[tuple[Where, Any]] = [(where, value)]
            if isinstance(value, list):
                listed = [((where, at, ""), each) for at, each in enumerate(value)]
            for place, each in listed:
                if isinstance(each, dict) and all(_pair_in(each)):
                    yield place, each

    def _authorities(self) -> Iterator[tuple[Where, str]]:
        for kind, option in AUTHORITIES:
            for name in self.names(kind):
                for where, text in texts_at(self.raw, *kind.split("."), name, *option):
                    if text:
                        yield where, text

    def note_rival(self, rival: Rival) -> None:
        """Add what is wrong about a router because of others."""
        where, _ = _at(self.raw, *rival.kind.split("."), rival.name, *rival.option)
        add = self._findings.error if rival.is_error else self._findings.warning
        add(where, rival.message, on_key=not rival.option)

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
            loop = loop_from(name, members)
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
        place = self._loaded.locate(written_path(where), False)
        line = self._lines[place.line - 1] if 0 < place.line <= len(self._lines) else ""
        start = line.find(text, max(place.column - 1, 0))
        if start < 0 or start > place.column + 2:  # at most three quotes before it
            return None
        return Place(self.source, place.line, start + column)


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


def _pair_in(section: Mapping[str, Any]) -> tuple[str, str]:
    """Return certFile and keyFile of a section, '' for what is not there."""
    cert_file, key_file = (
        text_of(section.get(_key(section, name))) or "" for name in ("certFile", "keyFile")
    )
    return cert_file, key_file


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


class Scope(NamedTuple):
    """What a static configuration says about dynamic ones."""

    entry_points: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    internal_services: tuple[str, ...] | None = None
    """Those that are switched on; None: it cannot be said."""

    udp_entry_points: tuple[str, ...] = ()
    static: StaticConfiguration | None = None
    """The whole; None: it has mistakes."""


def check_documents(
    files: Iterable[tuple[str, bytes]], scope: Scope | None = None, provider: str = "file"
) -> list[Problem]:
    """Return every problem of the dynamic files of one provider: (name, content) each, in their order.

    scope: None if no static configuration is known; then entry points and plugins are not looked up.
    """
    documents = [Document(source, data) for source, data in files]
    return _problems_of(documents, names_of(documents, scope, provider), scope)


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


def _problems_of(documents: Sequence[Document], names: Names, scope: Scope | None = None) -> list[Problem]:
    nests = [
        (nest, {name: made for each in reversed(documents) for name, made in each.members(nest).items()})
        for nest in NESTS
    ]
    taken: dict[tuple[str, str], str] = {}
    for each in documents:
        each.find_rules()
        each.find_references(names)
        each.find_material()
        each.find_duplicates(taken)
        for nest, members in nests:
            each.find_loops(nest, members)
    _find_rivals(documents, names.provider, scope)
    return [problem for each in documents for problem in each.problems()]


def _find_rivals(documents: Sequence[Document], provider: str, scope: Scope | None) -> None:
    """Look for routers that get in each other's way; of which is told where they are declared."""
    static = scope.static if scope is not None and scope.static is not None else StaticConfiguration()
    made = [(each.source, each.made) for each in documents if each.made is not None]
    owners: dict[tuple[str, str], Document] = {}
    for each in documents:
        for kind in (ROUTERS, TCP_ROUTERS, UDP_ROUTERS):
            for name in each.names(kind):
                owners.setdefault((kind, name), each)
    for rival in rivals_of(first_wins(made).configuration, provider, static.with_implicit_entries()):
        owners[rival.kind, rival.name].note_rival(rival)


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
    return Checked([reading.source, *files], [*static, *unreadable, *_problems_of(documents, names, scope)])


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
    """Yield the middlewares and TLS options of entry points that are not there, where a file names them."""
    raw, locate = _loaded(source)
    for point in _at(raw, "entryPoints")[1] or {}:
        for option, kind in ((("middlewares",), "middleware"), (("tls", "options"), "TLS options")):
            for where, name in texts_at(raw, "entryPoints", point, "http", *option):
                if mistake := names.mistake(kind, name):
                    place = locate(written_path(where), False)
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
        made,
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
