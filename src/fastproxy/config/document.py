"""A dynamic document: text in, Configuration out, with every problem; unchanged objects come out the same.

A document is refused as a whole when its text cannot be read, holds a key twice, or has a section that is
none. Everything else is the matter of the one object that it stands in: that is broken, the others live.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import structs

from ..collector import quiet_collector
from ..errors import Problem
from .blocks import Block, Blocks, Cut, NotInBlocks
from .decode import Reader, plan_of, section_reader
from .dynamic import KINDS, SECTIONS, Configuration
from .findings import Findings, Where, shown_path, unknown
from .static import StaticConfiguration
from .texts import TEMPLATE, Format, load
from .tls import name_of

_STATIC_ROOTS = frozenset(name.lower() for name in plan_of(StaticConfiguration).names())


class Reading(NamedTuple):
    """What came of one text."""

    configuration: Configuration | None
    """None: the document is refused as a whole."""

    problems: list[Problem]
    """All of them, sorted by place; also those that only break one object, and warnings."""


class Named(NamedTuple):
    """One object of a section: `routers.shop`. Either `made` is there, or the reason why not."""

    name: str
    made: Any
    reason: str


# --- one object -------------------------------------------------------------------------------------------


def read_named(reader: Reader, name: str, value: Any, where: Where, findings: Findings) -> Named:
    """Read one named object by itself."""
    here: Where = (where, name, name)
    first, errors = len(findings.found), findings.errors
    if "@" in name:
        findings.error(here, f'"{name}" holds an @, which only references may', on_key=True)
    made = reader(value, here, findings)
    if findings.errors == errors:
        return Named(name, made, "")
    return Named(name, None, _reason(findings, first, here))


def _reason(findings: Findings, first: int, here: Where) -> str:
    """Say in one line why an object is broken: its errors, with their places in it."""
    told = []
    for found in findings.found[first:]:
        if found.severity == "error":
            path = shown_path(found.where, below=here)
            told.append(f"{path}: {found.message}" if path else found.message)
    return "; ".join(told)


# --- the whole document -----------------------------------------------------------------------------------


class _Collector:
    """Gathers named objects into a Configuration."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self._broken: dict[str, dict[str, str]] = {}

    def add(self, kind: str, objects: list[Named]) -> None:
        """Add the objects of one kind."""
        self.tables[kind] = {name: made for name, made, reason in objects if not reason}
        self._broken[kind] = {name: reason for name, _, reason in objects if reason}

    def configuration(self) -> Configuration:
        """Return everything that was added."""
        return Configuration.of(self.tables, self._broken)


CERTIFICATES = "tls.certificates"
"""The one kind whose objects stand in a list: each gets a name of its own making."""


class Kind(NamedTuple):
    """One section of objects: `routers` in `http`."""

    section: str
    name: str
    read: Reader

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"


def _kinds(section: str) -> dict[str, Kind]:
    """Return the kinds of objects in a section, by their names in small letters."""
    options = dict.fromkeys(plan_of(SECTIONS[section]).options.values())
    return {
        option.name.lower(): Kind(section, option.name, section_reader(option.of_map))
        for option in options
        if option.of_map is not None
    }


_KINDS = {section: _kinds(section) for section in SECTIONS}
_SECTIONS = {root: tuple(kind.name for kind in kinds.values()) for root, kinds in _KINDS.items()}


def decode(raw: Mapping[str, Any], findings: Findings) -> Configuration | None:
    """Read a whole dynamic document. None: it is refused, and the findings say why."""
    collector, refused = _Collector(), False
    for key, value in raw.items():
        where: Where = (None, key, key.lower())
        if key.lower() in _KINDS:
            refused |= not _decode_section(_KINDS[key.lower()], value, where, collector, findings)
        elif key.lower() not in _STATIC_ROOTS and not key.startswith("x-"):
            message = unknown("section", key, _KINDS)
            advice = "" if message.endswith("?") else "; keys of your own begin with x-"
            findings.error((None, key, key), message + advice, on_key=True)
            refused = True
    return None if refused else collector.configuration()


def _decode_section(
    kinds: Mapping[str, Kind], value: Any, where: Where, collector: _Collector, findings: Findings
) -> bool:
    """Read a section such as `http`; return whether it can be used at all."""
    sections = _mapping(value, where, findings)
    usable = sections is not None
    for key, objects in (sections or {}).items():
        kind = kinds.get(key.lower())
        if kind is None:
            names = [each.name for each in kinds.values()]
            findings.error((where, key, key), unknown("section", key, names), on_key=True)
            usable = False
            continue
        here = (where, key, kind.name)
        made = _read_kind(kind, objects, here, findings)
        if kind.path in collector.tables:
            findings.error(here, f'duplicate key: "{key}" says {kind.name} a second time', on_key=True)
            usable = False
        elif made is None:
            usable = False
        else:
            collector.add(kind.path, made)
    return usable


def _read_kind(kind: Kind, objects: Any, here: Where, findings: Findings) -> list[Named] | None:
    """Read all objects of a kind; None: there is something else in their place."""
    if kind.path == CERTIFICATES:
        return _read_certificates(kind, objects, here, findings)
    named = _mapping(objects, here, findings)
    if named is None:
        return None
    return [read_named(kind.read, name, each, here, findings) for name, each in named.items()]


def _read_certificates(kind: Kind, objects: Any, here: Where, findings: Findings) -> list[Named] | None:
    """Read the list of certificates; a second one of the same name is skipped, with a warning."""
    if not isinstance(objects, list):
        if objects is None:
            findings.warning(here, "is empty and declares nothing", on_key=True)
            return []
        findings.error(here, "a list is expected here")
        return None
    made: dict[str, Named] = {}
    for at, each in enumerate(objects):
        where: Where = (here, at, "")
        first, errors = len(findings.found), findings.errors
        certificate = kind.read(each, where, findings)
        broken = findings.errors > errors
        name = f"[{at}]" if broken else name_of(certificate.cert_file)
        if name in made:
            findings.warning(where, f'"{name}" stands in the list already; this one is skipped')
            continue
        made[name] = Named(name, None if broken else certificate, _reason(findings, first, where))
    return list(made.values())


def _mapping(value: Any, where: Where, findings: Findings) -> dict[str, Any] | None:
    """Return a section as a mapping; empty, with a warning, if it declares nothing; None if it is none."""
    if value is None or value == {}:
        findings.warning(where, "is empty and declares nothing", on_key=True)
        return {}
    if isinstance(value, dict):
        return value
    findings.error(where, "a mapping is expected here")
    return None


def read_whole(text: str, source: str) -> Reading:
    """Read a document without looking back at earlier ones."""
    findings = Findings()
    if TEMPLATE in text:
        return Reading(None, _template_problems(text, source))
    loaded = load(text, source, findings)
    if loaded.raw is None:
        return Reading(None, findings.problems(loaded.locate))
    spoilt = findings.errors > 0
    configuration = decode(loaded.raw, findings)
    return Reading(None if spoilt else configuration, findings.problems(loaded.locate))


def _template_problems(text: str, source: str) -> list[Problem]:
    """Tell the first Go template of each line; what it would make is not known, so nothing else is told."""
    return [
        Problem(
            source=source,
            line=number,
            column=line.index(TEMPLATE) + 1,
            message="Go templates ({{ }}) are not supported yet; write what the template would give",
        )
        for number, line in enumerate(text.splitlines(), 1)
        if TEMPLATE in line
    ]


# --- the same document again and again --------------------------------------------------------------------


class Document:
    """One file, read again whenever it changed. Not to be shared between threads without a lock.

    What did not change since the last reading is neither parsed nor decoded again, and comes out as the same
    object: a change of one router out of 10 000 costs a twentieth of the first reading.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._blocks = Blocks(_SECTIONS, _read_entry)
        self._last: Configuration | None = None

    def read(self, text: str) -> Reading:
        """Read the text that the file has now. Never raises for what is in it."""
        with quiet_collector():
            reading = self._read(text)
        if reading.configuration is not None:
            self._last = reading.configuration
        return reading

    def _read(self, text: str) -> Reading:
        reading = self._read_new(text)
        if reading.configuration is None or self._last is None:
            return reading
        return reading._replace(configuration=with_same_objects(self._last, reading.configuration))

    def _read_new(self, text: str) -> Reading:
        if Format.of(self.source) is not Format.TOML and TEMPLATE not in text:
            try:
                return self._read_in_blocks(text)
            except NotInBlocks:
                pass
        return read_whole(text, self.source)

    def _read_in_blocks(self, text: str) -> Reading:
        collector, problems = _Collector(), list[Problem]()
        for cut, blocks in self._blocks.read(text, self.source):
            if len({block.name for block in blocks}) != len(blocks):
                raise NotInBlocks  # a name stands twice: the whole reading tells where
            collector.add(f"{cut.root}.{cut.section}", [block.made for block in blocks])
            if any(block.problems for block in blocks):
                problems += _shifted(cut, blocks)
        return Reading(collector.configuration(), sorted(problems))


def _read_entry(root: str, section: str, name: str, value: Any, findings: Findings) -> tuple[str, Named]:
    """Read one entry by itself; a certificate is given its name."""
    kind, where = _KINDS[root][section.lower()], ((None, root, root), section, section)
    if kind.path != CERTIFICATES:
        return name, read_named(kind.read, name, value, where, findings)
    certificate = kind.read(value, (where, 0, ""), findings)
    name = "" if findings.errors else name_of(certificate.cert_file)
    return name, Named(name, certificate, "")


def _shifted(cut: Cut, blocks: list[Block]) -> Iterator[Problem]:
    """Yield the problems of blocks with the lines that they have in the document."""
    for line, block in zip(cut.lines(), blocks, strict=True):
        for problem in block.problems:
            yield structs.replace(problem, line=problem.line + line - 1)


def with_same_objects(old: Configuration, new: Configuration) -> Configuration:
    """Return `new` with the objects of `old` in place of equal ones."""
    return Configuration.of({kind: same(old.table(kind), new.table(kind)) for kind in KINDS}, new.broken)


def same(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of `new`, with those of `old` in place of equal ones."""
    return {name: known if (known := old.get(name)) == each else each for name, each in new.items()}
