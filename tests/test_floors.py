"""Imports go down the floors of the house, and only the doors that are meant lead into the core.

A file imports from lower floors, or, on its own floor and in its own folder, from files named before it. A
new file gets its place in the tables below; docs/architecture.md says what lives on each floor.
"""

import itertools
import re
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

# src/_core: a floor a paragraph, ground floor first.
CORE = """
span phrase rewrite tally deadline sockaddr pipes watch llhttp siphash shared signs murmur openssl batch

field journal ledger escape figures head hello netset proxyline index path location pool target session

message framing record

rule balance step port engine connection room transport siphon forwarded

steps_path steps_headers steps_gate awaited table upstream

snapshot

splice relay datagram entry account exchange

door entrypoint client arrival downstream acceptor
"""

# src/fastproxy: a floor a paragraph. A folder's files stand in the order in which they may see each other.
PYTHON = """
errors regex x509 usage collector

config.findings config.schema config.values config.yamltext config.tomltext config.texts config.decode
config.flags config.tls config.observability config.static config.middlewares config.http config.tcp
config.udp config.dynamic
config.internal config.contents config.blocks config.document config.sources config.merge config.delta
rules.syntax rules.keys rules.parse rules.compile rules.evaluate

plugins.api plugins.load
providers.base providers.file
observe.log observe.unrouted observe.accesslog observe.metrics
loops launch shared sockets systemd pipe succession control

middlewares listeners watcher conflicts selfsigned
reloads slot lending feed workers upgrade memory pulse

build.runtime build.work build.changes build.pages build.overlay build.pem build.transports build.estate
build.rules build.clientcert build.middlewares build.services build.certificates build.doormen build.routers
build.tcp build.udp build.state build.draft build.snapshot build.trial build.reception

explain.told explain.questions explain.candidates explain.effects explain.streams explain.connections
explain.datagrams explain.requests explain.words

switcher health serving certificates shown support api

internals app whoami demo

. worker supervisor references material rivals check healthcheck serve offline commands cli __main__
"""

# Doors: what is named before the colon is imported by what is named after it, and by nobody else.
DOORS = {
    "_core": ("build.", "switcher", "listeners"),
    "app": (".", "worker"),
    "re2": ("regex",),
}

# These floors work on a document without opening a socket.
NO_ASYNCIO = ("config.", "rules.", "errors", "regex", "check")

IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n#]+)"
    r"|c?import[ \t]+(?P<plain>[^\n#]+))",
    re.MULTILINE,
)


def floors(table: str) -> dict[str, tuple[int, int]]:
    """Return (floor, place on it) of every name in *table*."""
    paragraphs = table.strip().split("\n\n")
    rows = enumerate((text.split() for text in paragraphs), 1)
    return {name: (floor, place) for floor, row in rows for place, name in enumerate(row)}


HALVES = {"core": (SOURCE / "_core", floors(CORE)), "python": (SOURCE / "fastproxy", floors(PYTHON))}


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pyi"))


def name_of(path: Path, root: Path) -> str:
    """Return "config.values" for config/values.py, "config" for its __init__.py, "." for the outermost."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "."


def imports(path: Path) -> list[tuple[int, str, list[str]]]:
    """Return (line, module with its leading dots, names taken from it) of each import in *path*."""
    text = re.sub(r'""".*?"""', lambda doc: "\n" * doc[0].count("\n"), path.read_text(), flags=re.DOTALL)
    found = []
    for match in IMPORT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1 + match[0].startswith("\n")
        if match["plain"]:
            found += [(line, word.split()[0], []) for word in match["plain"].split(",")]
        else:
            found.append((line, match["base"], re.findall(r"\w+", match["names"])))
    return found


def targets(path: Path, root: Path, base: str, names: list[str]) -> list[str]:
    """Return what an import means, as names of the table, "_core" for the compiled half, else the library.

    `from ..config import static` means config.static; `from .values import Nanoseconds` the values beside it.
    """
    depth = len(base) - len(base.lstrip("."))
    if depth:
        folder = path.parent.relative_to(root).parts
        parts = [*folder[: len(folder) - depth + 1], *base.lstrip(".").split(".")]
    elif base.split(".")[0] == "fastproxy":
        parts = base.split(".")[1:]
    else:
        return [base.split(".")[0]]
    inside = [part for part in parts if part]
    if inside[:1] == ["_core"] or (not inside and "_core" in names):
        return ["_core"]
    place = root.joinpath(*inside)
    if not place.is_dir():
        return [".".join(inside)]
    below = [name for name in names if place.joinpath(name).is_dir() or list(place.glob(f"{name}.p*"))]
    return [".".join([*inside, name]) for name in below] or [".".join(inside) or "."]


def everything(half: str):
    """Yield (path, line, own name, name imported) for each import in one half of the house."""
    root, _ = HALVES[half]
    for path in files(root):
        for line, base, names in imports(path):
            for target in targets(path, root, base, names):
                yield path, line, name_of(path, root), target


def floor_of(name: str, table: dict[str, tuple[int, int]]) -> tuple[int, int] | None:
    """Return the place of *name*; a folder that stands in the table stands for all its files."""
    return table.get(name) or table.get(name.partition(".")[0])


def is_door(name: str, doors: tuple[str, ...]) -> bool:
    """Say whether *name* is one of *doors*, or lives in a folder that is one ("build.")."""
    return name in doors or any(name.startswith(door) for door in doors if door.endswith(".") and door != ".")


@pytest.mark.parametrize("half", HALVES)
def test_every_file_has_a_floor(half):
    root, table = HALVES[half]
    homeless = [
        str(path.relative_to(SOURCE))
        for path in files(root)
        if path.name != "__init__.py" and floor_of(name_of(path, root), table) is None
    ]
    assert not homeless, f"give these a place in {Path(__file__).name}: {', '.join(homeless)}"


@pytest.mark.parametrize("half", HALVES)
def test_imports_go_down(half):
    _, table = HALVES[half]
    wrong = []
    for path, line, own, target in everything(half):
        here, there = floor_of(own, table), floor_of(target, table)
        if here is None or there is None or own == target:
            continue
        same_folder = own.rpartition(".")[0] == target.rpartition(".")[0]
        if not (there[0] < here[0] or (there[0] == here[0] and same_folder and there <= here)):
            place = f"{path.relative_to(SOURCE)}:{line}"
            wrong.append(f"{place}: {own} (floor {here[0]}) imports {target} (floor {there[0]})")
    assert not wrong, "\n".join(["an import that does not go down:", *wrong])


def test_packages_are_empty():
    """Whoever imports one file of a folder gets that file, and not what its neighbours need."""
    root, _ = HALVES["python"]
    full = [str(path.relative_to(SOURCE)) for path in root.glob("*/**/__init__.py") if imports(path)]
    assert not full, f"these import something: {', '.join(full)}"


@pytest.mark.parametrize("thing", DOORS)
def test_only_the_doors_lead_there(thing):
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {own} imports {target}"
        for path, line, own, target in everything("python")
        if target == thing and not is_door(own, DOORS[thing])
    ]
    assert not wrong, "\n".join([f"only these may import {thing}: {', '.join(DOORS[thing])}", *wrong])


def test_the_core_knows_nothing_of_the_control_plane():
    _, table = HALVES["core"]
    known = {*table, *sys.stdlib_module_names, "libc", "cpython", "cython", "posix", "uvloop", "_core"}
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {own} imports {target}"
        for path, line, own, target in everything("core")
        if target not in known
    ]
    assert not wrong, "\n".join(wrong)


def test_documents_are_read_without_a_loop():
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {own} imports {target}"
        for path, line, own, target in everything("python")
        if target in ("asyncio", "uvloop", "socket") and own.startswith(NO_ASYNCIO)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_library_has_one_door():
    """A third-party library is imported by one file of ours, so that it can be replaced there."""
    _, table = HALVES["python"]
    ours = {"_core", *table, *(name.partition(".")[0] for name in table)}
    free = {*sys.stdlib_module_names, "msgspec"}  # msgspec is the language the models are written in
    users: dict[str, set[str]] = {}
    for _, _, own, target in everything("python"):
        if target.partition(".")[0] not in ours | free:
            users.setdefault(target, set()).add(own)
    shared = {library: sorted(names) for library, names in users.items() if len(names) > 1}
    assert not shared


def test_no_two_files_of_tests_have_one_name():
    """pytest knows them by it: the whole suite could not be collected, and each folder could."""
    found = sorted(Path(__file__).parent.rglob("test_*.py"), key=lambda path: path.name)
    twins = [(one, two) for one, two in itertools.pairwise(found) if one.name == two.name]
    assert not twins
