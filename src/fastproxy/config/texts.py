"""The text of a file, in any of its formats, to a mapping and to places in it."""

import os
from enum import Enum
from pathlib import PurePath
from typing import Any, NamedTuple

from . import tomltext, yamltext
from .findings import Findings, Locator, Mark, Place, SyntaxProblem

TEMPLATE = "{{"
"""How an action of a Go template begins."""


class Format(Enum):
    """How a file is written; told by the end of its name, in any case."""

    YAML = ".yaml .yml .json"
    TOML = ".toml"

    @classmethod
    def of(cls, name: str) -> "Format | None":
        """Return the format of a file, or None if its name has none of the known ends."""
        end = PurePath(name).suffix.lower()
        return next((each for each in cls if end and end in each.value.split()), None)


def documents_in(folder: str) -> list[str]:
    """Return the documents in a folder and below, by name, what is below at its place.

    Hidden ones are left out: Kubernetes keeps the versions of a ConfigMap in folders that begin with dots.
    Raises OSError for a folder that cannot be listed.
    """
    found = []
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            found += documents_in(entry.path)
        elif Format.of(entry.name) is not None and entry.is_file():
            found.append(entry.path)
    return found


class Loaded(NamedTuple):
    """What a text says."""

    raw: dict[str, Any] | None
    """Keys and values; None when the text cannot be read at all."""

    locate: Locator


def decoded(data: bytes, source: str, findings: Findings) -> str | None:
    """Return the text of a file: UTF-8, with or without a mark at its start. None, and a finding, if not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(errors="replace")
        place = Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        findings.error(None, f"not UTF-8: the byte 0x{data[error.start]:02x} cannot stand here", place=place)
        return None


def load(text: str, source: str, findings: Findings) -> Loaded:
    """Read a whole text. What is wrong with it goes to the findings; keys that stand twice do, too."""
    try:
        if Format.of(source) is Format.TOML:
            return _load_toml(text, source)
        return _load_yaml(text, source, findings)
    except SyntaxProblem as problem:
        findings.error(None, problem.message, place=Place(source, *problem.mark))
    except RecursionError:
        findings.error(None, yamltext.TOO_DEEP, place=Place(source, 1, 1))
    return Loaded(None, lambda path, on_key: Place(source))


def _load_toml(text: str, source: str) -> Loaded:
    raw = tomltext.load(text)
    places: list[tomltext.Places] = []  # made when the first place is asked for

    def locate(path: tuple[str | int, ...], on_key: bool) -> Place:
        if not places:
            places.append(tomltext.Places(text))
        return Place(source, *places[0].find(path, on_key))

    return Loaded(raw, locate)


def _load_yaml(text: str, source: str, findings: Findings) -> Loaded:
    root = yamltext.compose(text)
    if root is None:
        return Loaded({}, lambda path, on_key: Place(source))
    builder = yamltext.Builder(source, findings)
    build = builder.build_shared if yamltext.has_anchors(text) else builder.build
    raw = build(root, None)
    places = yamltext.Places(root)
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        mark: Mark = yamltext.mark_of(root)
        raise SyntaxProblem("not a configuration: a mapping of sections is expected", mark)

    def locate(path: tuple[str | int, ...], on_key: bool) -> Place:
        return Place(source, *places.find(path, on_key))

    return Loaded(raw, locate)
