"""Flags and environment variables to the mapping that a file would give, and back to their names.

The schema is asked on the way, for three things that a text alone does not tell: whether a flag is followed
by its value, whether a repeated flag adds to a list, and whether a word is an option (any case) or a name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from .decode import Option, Plan, plan_of
from .findings import Findings, Place, nearest
from .schema import Section

CONFIG_FILE = "configfile"
"""The flag, lower-cased, that names the file; it is no option of the configuration."""

PREFIXES = ("TRAEFIK_", "FASTPROXY_")
"""Prefixes of environment variables; a later one wins."""

_INDEX = re.compile(r"(.+)\[(\d{1,4})\]")

Path = tuple[str | int, ...]


class Tree:
    """What flags or variables say, as nested mappings, and from which of them each value came."""

    def __init__(self, root: type[Section]) -> None:
        self.raw: dict[str, Any] = {}
        self._root = root
        self._sources: dict[Path, str] = {}

    def __bool__(self) -> bool:
        return bool(self.raw)

    def put(self, segments: Sequence[str], value: str, source: str, *, add: bool = False) -> None:
        """Set an option. add: a list gets the value on top of those of earlier calls; others are replaced."""
        path, option = resolve(self._root, segments)
        holder: Any = self.raw
        for part, following in pairwise(path):
            holder = _descend(holder, part, [] if isinstance(following, int) else {})
        last = path[-1]
        if isinstance(last, int):
            _fill(holder, last)
        if option is not None and option.is_list and not isinstance(last, int):
            earlier = holder.get(last) if add else None
            values = [part.strip() for part in value.split(",")] if value.strip() else []
            holder[last] = [*(earlier or []), *values]
        elif not (value == "true" and not isinstance(last, int) and isinstance(holder.get(last), dict)):
            holder[last] = value  # `--log` beside `--log.level` says nothing more
        self._sources[path] = source

    def locate(self, path: Path, on_key: bool) -> Place:
        """Return the flag or variable that set the value at a path, or something in it or round it."""
        for size in range(len(path), -1, -1):
            for known, source in self._sources.items():
                if known[:size] == path[:size]:
                    return Place(source)
        return Place("")


def _descend(holder: Any, part: str | int, empty: Any) -> Any:
    """Return what is below `part`, made if it is not there; `true` from a flag of the section gives way."""
    if isinstance(part, int):
        _fill(holder, part)
        below = holder[part]
    else:
        below = holder.get(part)
    if type(below) is not type(empty):
        below = holder[part] = empty
    return below


def _fill(holder: list[Any], index: int) -> None:
    """Make a list long enough for an index."""
    holder.extend([None] * (index + 1 - len(holder)))


def resolve(root: type[Section], segments: Sequence[str]) -> tuple[Path, Option | None]:
    """Return a path in the spelling of the schema, and the option that it ends in, if it is known.

    Names of the user (of entry points) stay as they are.
    """
    path: list[str | int] = []
    plan: Plan | None = plan_of(root)
    names: Option | None = None  # the mapping whose key comes next
    option: Option | None = None
    for segment in segments:
        found = _INDEX.fullmatch(segment)
        word, index = (found[1], int(found[2])) if found else (segment, None)
        if names is not None:
            path.append(segment)
            plan, option = (plan_of(names.of_map), None) if names.of_map else (None, names)
            names = None
            continue
        option = plan.options.get(word.lower()) if plan else None
        path.append(option.name if option else word)
        if index is not None:
            path.append(index)
        plan = plan_of(option.of_section) if option and option.of_section else None
        names = option if option and option.is_map else None
    return tuple(path), option


# --- flags ------------------------------------------------------------------------------------------------


class Flag(NamedTuple):
    """One flag: its words, its value, and how it was written."""

    segments: list[str]
    value: str
    source: str


def split_flags(root: type[Section], arguments: Sequence[str], findings: Findings) -> list[Flag]:
    """Take a command line apart: `--a.b=v`, `-a.b=v`, `--a.b v`; a boolean or a section needs no value."""
    flags = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, sign, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or not name:
            findings.error(
                None,
                f'"{argument}" is no flag; options are written --a.b.c=value',
                place=Place("command line"),
            )
            continue
        written = argument.partition("=")[0]
        segments = name.split(".")
        if not sign:
            option = resolve(root, segments)[1]
            follows = bool(rest) and not rest[0].startswith("-")
            if option is not None and not option.takes_flag_value:
                value = "true"
            elif option is None and name.lower() != CONFIG_FILE and not follows:
                value = "true"  # unknown, or a named section: the walker says what it thinks of it
            elif rest:
                value = rest.pop(0)
            else:
                findings.error(None, f"a value is missing; write {written}=value", place=Place(written))
                continue
        flags.append(Flag(segments, value, written))
    return flags


def tree_of_flags(root: type[Section], flags: Iterable[Flag]) -> Tree:
    """Return what flags say; `--configFile` is left out."""
    tree = Tree(root)
    for flag in flags:
        if [word.lower() for word in flag.segments] != [CONFIG_FILE]:
            tree.put(flag.segments, flag.value, flag.source, add=True)
    return tree


# --- environment ------------------------------------------------------------------------------------------


def tree_of_environment(root: type[Section], environ: Mapping[str, str], findings: Findings) -> Tree:
    """Return what variables say: `TRAEFIK_ENTRYPOINTS_WEB_ADDRESS`, or `FASTPROXY_...`, which wins.

    Only variables whose first word is a section are looked at; names come out in lower case and cannot
    hold a `_`.
    """
    tree = Tree(root)
    roots = {name.lower(): name for name in plan_of(root).names()}
    for prefix in PREFIXES:
        for variable in sorted(environ):
            if not variable.startswith(prefix):
                continue
            segments = variable.removeprefix(prefix).lower().split("_")
            if segments[0] in roots:
                tree.put(segments, environ[variable], f"environment variable {variable}")
            elif len(segments) > 1 and nearest(segments[0], roots):
                meant = nearest(segments[0], roots).upper()
                place = Place(f"environment variable {variable}")
                findings.warning(None, f"has no meaning; did you mean {prefix}{meant}_...?", place=place)
    return tree
