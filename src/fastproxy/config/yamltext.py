"""YAML text to mappings, lists and text, and line and column of all that. Only this module imports yaml.

Scalars stay text (see `values.Plain`): the schema decides what they are. So the traps of YAML 1.1 do not
exist: `yes`, `on`, `0777` and `22:22` are what they look like. JSON is read as the YAML that it is.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml._yaml import CParser  # type: ignore[import-untyped]

from .findings import Findings, Mark, Place, SyntaxProblem, Where
from .values import NULLS, Plain, is_typed

TOO_MANY = 1_000_000
"""Values that a document with aliases may expand to; one that aliases multiply past that is refused."""

TOO_DEEP = "nested too deeply to be a configuration"

_ANCHOR = re.compile(r"&[A-Za-z0-9_-]")  # what libyaml takes for a name; so `a && b` in a rule is none
_BEFORE_NODE = frozenset(" \n\r\t[{,:")  # where a node, and so its anchor, may begin; or at the very start

_SCALAR, _LIST, _MAPPING = yaml.ScalarNode, yaml.SequenceNode, yaml.MappingNode
_KNOWN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
)


class _Composer(CParser):  # type: ignore[misc]
    """The C parser with its composer, without the search for implicit tags: that is four times as fast."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> None:
        """Give no tag; only what the document itself tags has one."""

    def descend_resolver(self, parent: Any, index: Any) -> None:
        """Nothing to keep for a search that is not made."""

    def ascend_resolver(self) -> None:
        """Nothing to give back."""


def compose(text: str) -> Any:
    """Return the root node of the only document in `text`, or None if there is nothing in it.

    Raises SyntaxProblem. The text holds no half surrogate pairs (nothing decoded from UTF-8 does). Its last
    line is a line, also without a line break behind it.
    """
    parser = _Composer(text if text.endswith("\n") else f"{text}\n")
    try:
        return parser.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _problem_of(error) from None
    except yaml.reader.ReaderError as error:
        mark = _mark_at(text, error.position)
        raise SyntaxProblem(f"a character that YAML does not allow: {error.reason}", mark) from None
    finally:
        parser.dispose()


def _problem_of(error: yaml.MarkedYAMLError) -> SyntaxProblem:
    """Put what the parser says into one line."""
    at = error.problem_mark or error.context_mark
    mark = (at.line + 1, at.column + 1) if at else (0, 0)
    if error.problem == "but found another document":
        return SyntaxProblem("a second document begins; a file has one", mark)
    if "nesting depth" in (error.problem or ""):  # a newer C library has a limit of its own
        return SyntaxProblem(TOO_DEEP, mark)
    said = ", ".join(part for part in (error.problem, error.context) if part)
    if "found character '\\t'" in said or "found character that cannot start any token" in said:
        said += "; indent with blanks, and quote a value that begins with @, ` or a tab"
    if error.context_mark and error.problem_mark and error.context_mark.line != error.problem_mark.line:
        said += f" in line {error.context_mark.line + 1}"
    return SyntaxProblem(f"not YAML: {said}", mark)


def _mark_at(text: str, position: int) -> Mark:
    """Return line and column of an offset in bytes, as the reader of the C library counts."""
    before = text.encode(errors="surrogatepass")[: max(position, 0)].decode(errors="replace")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def has_anchors(text: str) -> bool:
    """Tell whether the document may hold anchors, and so aliases. Errs on the side of yes."""
    before = (text[found.start() - 1] if found.start() else " " for found in _ANCHOR.finditer(text))
    return any(each in _BEFORE_NODE or ord(each) > 127 for each in before)


def mark_of(node: Any) -> Mark:
    """Return where a node begins."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def key_of(node: Any) -> str | None:
    """Return the text of a key, or None for a key that is a list or a mapping."""
    return node.value if type(node) is _SCALAR else None


class Builder:
    """Makes mappings, lists and text out of nodes; tells duplicate keys and unknown tags as it meets them.

    one source, one builder. shift: lines before the text, when it was cut out of a larger one.
    """

    def __init__(self, source: str, findings: Findings, shift: int = 0) -> None:
        self.source, self.findings, self.shift = source, findings, shift
        self._open: set[int] = set()
        self._made: dict[int, tuple[Any, int]] = {}
        self._weight = 0

    def build(self, node: Any, where: Where | None) -> Any:
        """Return the value of a document without aliases; see `build_shared` for others."""
        kind = type(node)
        if node.tag is not None:
            self._check_tag(node, where)
        if kind is _SCALAR:
            return scalar(node)
        if kind is _LIST:
            build = self.build
            return [build(each, (where, at, "")) for at, each in enumerate(node.value)]
        return self._mapping(node, where, self.build)

    def build_shared(self, node: Any, where: Where | None) -> Any:
        """Return the value of a document with aliases: what two places share is made once.

        Refuses a value that contains itself, and aliases that multiply each other past TOO_MANY values.
        """
        known = self._made.get(id(node))
        if known is not None:
            self._weight += known[1]
            if self._weight > TOO_MANY:
                raise SyntaxProblem(f"aliases expand to more than {TOO_MANY} values", mark_of(node))
            return known[0]
        if id(node) in self._open:
            raise SyntaxProblem("an alias names a value that it stands in", mark_of(node))
        self._open.add(id(node))
        before = self._weight
        self._weight += 1
        value = self._build_children(node, where)
        self._open.discard(id(node))
        self._made[id(node)] = value, self._weight - before
        return value

    def _build_children(self, node: Any, where: Where | None) -> Any:
        if node.tag is not None:
            self._check_tag(node, where)
        if type(node) is _SCALAR:
            return scalar(node)
        if type(node) is _LIST:
            return [self.build_shared(each, (where, at, "")) for at, each in enumerate(node.value)]
        merged = self._merged(node, where)
        return {**merged, **self._mapping(node, where, self.build_shared)}

    def _mapping(self, node: Any, where: Where | None, build: Callable[[Any, Where], Any]) -> dict[str, Any]:
        """Make a mapping; the first of two equal keys stays, and the second is told."""
        values: dict[str, Any] = {}
        for key_node, each in node.value:
            key = key_of(key_node)
            if key is None:
                self._tell(key_node, where, "a list or a mapping where a name is expected")
            elif key == "<<" and key_node.style == "":
                self._check_merge(each, where)
            elif key in values:
                self._tell(key_node, (where, key, key), self._duplicate(node, key))
            else:
                values[key] = build(each, (where, key, key))
        return values

    def _duplicate(self, node: Any, key: str) -> str:
        """Say where a duplicate key stands already."""
        first = next(key_node for key_node, _ in node.value if key_of(key_node) == key)
        return f'duplicate key "{key}"; it stands in line {mark_of(first)[0] + self.shift} already'

    def _merged(self, node: Any, where: Where | None) -> dict[str, Any]:
        """Return what the merge keys (`<<: *other`) of a mapping bring in; earlier ones win."""
        values: dict[str, Any] = {}
        for source in merge_sources(node):
            values = {**self.build_shared(source, where), **values}
        return values

    def _check_merge(self, node: Any, where: Where | None) -> None:
        parts = node.value if type(node) is _LIST else [node]
        if any(type(part) is not _MAPPING for part in parts):
            self._tell(node, where, "<< takes a mapping, or a list of mappings")

    def _check_tag(self, node: Any, where: Where | None) -> None:
        if node.tag not in _KNOWN_TAGS and node.tag != "!":
            self._tell(node, where, f'the tag "{node.tag}" is not known; write the plain value')

    def _tell(self, node: Any, where: Where | None, message: str) -> None:
        line, column = mark_of(node)
        self.findings.error(where, message, place=Place(self.source, line + self.shift, column))


def scalar(node: Any) -> Any:
    """Return the value of a scalar node: text, Plain text, or None."""
    text = node.value
    if node.style == "":
        if text in NULLS:
            return None
        if is_typed(text):
            return Plain(text)
    return text


class Places:
    """Where keys and values stand below one node."""

    def __init__(self, root: Any, key_mark: Mark | None = None) -> None:
        self._root, self._key_mark = root, key_mark or mark_of(root)
        self._children: dict[int, dict[str | int, tuple[Any, Any]]] = {}

    def find(self, path: tuple[str | int, ...], on_key: bool) -> Mark:
        """Return where a path stands, or the key of the deepest part of it that is there.

        on_key: the key is wanted, otherwise its value (an empty value stands where its key does).
        """
        node, mark = self._root, self._key_mark
        for part in path:
            found = self._below(node).get(part)
            if found is None:
                return mark
            mark, node = mark_of(found[0]), found[1]
        is_empty = type(node) is _SCALAR and node.value == "" and node.style == ""
        return mark if on_key or is_empty else mark_of(node)

    def _below(self, node: Any) -> dict[str | int, tuple[Any, Any]]:
        """Return key node (in a list: the item) and value node of everything directly below `node`."""
        known = self._children.get(id(node))
        if known is None:
            known = self._children[id(node)] = self._look_below(node)
        return known

    def _look_below(self, node: Any) -> dict[str | int, tuple[Any, Any]]:
        if type(node) is _LIST:
            return {at: (each, each) for at, each in enumerate(node.value)}
        if type(node) is not _MAPPING:
            return {}
        children: dict[str | int, tuple[Any, Any]] = {}
        for key_node, each in node.value:
            key = key_of(key_node)
            if key is not None:
                children.setdefault(key, (key_node, each))
        for source in merge_sources(node):
            for name, found in self._below(source).items():
                children.setdefault(name, found)
        return children


def merge_sources(node: Any) -> list[Any]:
    """Return the mappings that the merge keys (`<<: *other`) of a mapping name."""
    sources: list[Any] = []
    for key_node, each in node.value:
        if key_of(key_node) == "<<" and key_node.style == "":
            sources += [
                part for part in (each.value if type(each) is _LIST else [each]) if type(part) is _MAPPING
            ]
    return sources
