"""A dynamic document cut into the blocks of its named objects, so that only changed blocks are parsed.

Most large documents have one shape: roots such as `http:`, in them sections in block style, in them one entry
after the other at the same depth; the certificates are a list of such entries. There an entry means the same
alone as in its document, and the text from its key to the next key is all that it can depend on. A document
of any other shape (flow style outside the entries, anchors, other roots, several documents) is not cut:
whoever asks reads it whole. So does every document that has a mistake in its syntax; the whole reading tells
it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from ..errors import Problem
from . import yamltext
from .findings import Findings, Place, SyntaxProblem

_NOTHING = r"(?: *(?:#[^\n]*)?\n)*"  # lines that are empty or a comment
_BEGIN = re.compile(rf"{_NOTHING}(?:--- *(?:#[^\n]*)?\n{_NOTHING})?")
_NEXT_ROOT = re.compile(r"\n(?=[^ #\n])")
_ROOT = re.compile(r"([a-z]+): *(?:#[^\n]*)?(?=\n)")
_FIRST = re.compile(rf"\n{_NOTHING}( +)(?=[^ #\n])")  # the depth of the first line that says something
_REST_OF_HEAD = re.compile(r": *(?:#[^\n]*)?(?=\n)")
_OTHER_BREAKS = ("\r", "\x85", "\u2028", "\u2029", "\n...")  # what else ends a line or the document for YAML
_LISTS = ("certificates",)
"""Sections whose entries are the items of a list."""

Sections = Mapping[str, tuple[str, ...]]
"""The roots of a document, and the names of the sections in each."""


class NotInBlocks(Exception):
    """The document has another shape, or a mistake in its syntax."""


class Block(NamedTuple):
    """One entry of a section."""

    name: str
    made: Any

    problems: tuple[Problem, ...]
    """Their lines are counted from the entry's own first line, which is 1."""


class Cut(NamedTuple):
    """One section of the document."""

    root: str
    section: str
    texts: list[str]
    """The entries, each without the blanks before its key and without its last line break."""

    depth: int
    """Columns before the keys of the entries, or before the dashes of a list."""

    line: int
    """The line of the section's head, from 1."""

    above: str
    """Lines between the head and the first entry."""

    @property
    def is_list(self) -> bool:
        return self.section in _LISTS

    def lines(self) -> Iterator[int]:
        """Yield the line in which each entry begins."""
        at = self.line + 1 + self.above.count("\n")
        for text in self.texts:
            yield at
            at += text.count("\n") + 1


def cut(text: str, sections: Sections) -> list[Cut]:
    """Cut a document into the entries of the sections in its roots. Raises NotInBlocks."""
    begin = _BEGIN.match(text)
    if begin is None or any(each in text for each in _OTHER_BREAKS):
        raise NotInBlocks
    text = text.removesuffix("\n")
    starts = [begin.end(), *(found.end() for found in _NEXT_ROOT.finditer(text, begin.end()))]
    roots: set[str] = set()
    cuts: list[Cut] = []
    line = 1 + text.count("\n", 0, begin.end())
    for start, following in pairwise([*starts, len(text) + 1]):
        part = text[start : following - 1]
        head = _ROOT.match(part)
        if head is None or head[1] not in sections or head[1] in roots:
            raise NotInBlocks
        roots.add(head[1])
        cuts += _cut_root(head[1], part, head.end(), line, sections[head[1]])
        line += part.count("\n") + 1
    return cuts


def _cut_root(root: str, text: str, end_of_head: int, line: int, sections: tuple[str, ...]) -> Iterator[Cut]:
    """Cut what belongs to a root, which begins in that line of the document."""
    first = _FIRST.match(text, end_of_head)
    if first is None:
        raise NotInBlocks
    heads = sorted(_heads(text, end_of_head, "\n" + first[1], sections))
    if not heads or heads[0][0] != first.start(1) - 1:
        raise NotInBlocks
    ends = [start for start, _, _ in heads[1:]] + [len(text)]
    lines = _line_numbers(text, [start for start, _, _ in heads])
    for (_, body, name), end, behind in zip(heads, ends, lines, strict=True):
        yield _cut_section(root, name, text[body:end], len(first[1]), line + behind - 1)


def _heads(text: str, start: int, indent: str, sections: tuple[str, ...]) -> Iterator[tuple[int, int, str]]:
    """Yield for each section that is there: where its head begins, where it ends, its name.

    Only the first head of a name counts: a second one spoils the entry in whose text it then stands.
    """
    for name in sections:
        at = text.find(f"{indent}{name}:", start)
        rest = _REST_OF_HEAD.match(text, at + len(indent) + len(name)) if at >= 0 else None
        if rest is not None:
            yield at, rest.end(), name


def _line_numbers(text: str, offsets: list[int]) -> list[int]:
    """Return the line that begins behind each offset, from 1; the offsets are sorted."""
    lines, at, line = [], 0, 1
    for offset in offsets:
        line += text.count("\n", at, offset + 1)
        at = offset + 1
        lines.append(line)
    return lines


def _cut_section(root: str, name: str, body: str, depth_of_head: int, line: int) -> Cut:
    """Cut the lines below a section's head; `body` begins with the line break behind the head."""
    first = _FIRST.match(body)
    is_list = name in _LISTS
    # The dashes of a list may stand right below the head.
    if first is None or len(first[1]) < depth_of_head + (not is_list):
        raise NotInBlocks
    if is_list and not body.startswith("- ", first.end()):
        raise NotInBlocks
    depth = len(first[1])
    entry = "- " if is_list else r"[^ #\n]"
    above, *texts = re.split(rf"\n {{{depth}}}(?={entry})", body)
    return Cut(root, name, texts, depth, line, above)


class Blocks:
    """Remembers what was made of each block, from one reading of a document to the next.

    read: (root, section, name, value, findings) -> name of an entry and what to make of it; called for blocks
    that are new. The items of a list have no name before they are read: they get "".
    """

    def __init__(
        self, sections: Sections, read: Callable[[str, str, str, Any, Findings], tuple[str, Any]]
    ) -> None:
        self._sections, self._read = sections, read
        self._known: dict[tuple[str, str, int], dict[str, Block]] = {}
        """By root, section and depth: the same text may mean something else at another depth."""

    def read(self, text: str, source: str) -> list[tuple[Cut, list[Block]]]:
        """Return the sections of a document, each with its blocks in order. Raises NotInBlocks."""
        sections = []
        for section in cut(text, self._sections):
            known = self._known.get(_place(section), {})
            new = self._parse(section, [each for each in section.texts if each not in known], source)
            sections.append((section, [known.get(each) or new[each] for each in section.texts]))
        self._known = {_place(section): _by_text(section, blocks) for section, blocks in sections}
        return sections

    def _parse(self, section: Cut, texts: list[str], source: str) -> dict[str, Block]:
        """Parse entries together, as one document in which each begins where it does in its own."""
        if not texts:
            return {}
        indent = " " * section.depth
        together = "".join(f"{indent}{each}\n" for each in texts)
        if yamltext.has_anchors(together):
            raise NotInBlocks
        pairs = _entries(together, len(texts), section.is_list)
        column = section.depth + len("- ") * section.is_list
        blocks, line = {}, 0
        for (key_node, node), text in zip(pairs, texts, strict=True):
            if key_node.start_mark.line != line or key_node.start_mark.column != column:
                raise NotInBlocks
            blocks[text] = self._made(section, key_node, node, source)
            line += text.count("\n") + 1
        return blocks

    def _made(self, section: Cut, key_node: Any, node: Any, source: str) -> Block:
        """Make one entry."""
        findings = Findings()
        value = yamltext.Builder(source, findings).build(node, None)
        key = "" if section.is_list else yamltext.key_of(key_node)
        if findings.errors or key is None:
            raise NotInBlocks  # a key that stands twice, an unknown tag: matters of the whole document
        name, made = self._read(section.root, section.section, key, value, findings)
        if not findings.found:
            return Block(name, made, ())
        if section.is_list:
            raise NotInBlocks  # what is told of an item tells its place in the list
        first = key_node.start_mark.line
        places = yamltext.Places(node, yamltext.mark_of(key_node))

        def locate(path: tuple[str | int, ...], on_key: bool) -> Place:
            line, column = places.find(path[3:], on_key)  # behind root, section, name
            return Place(source, line - first, column)

        return Block(name, made, tuple(findings.problems(locate)))


def _entries(together: str, count: int, is_list: bool) -> list[tuple[Any, Any]]:
    """Return key and value nodes of the entries; an item of a list is both.

    Raises NotInBlocks unless there are exactly so many.
    """
    try:
        root = yamltext.compose(together)
    except SyntaxProblem:
        raise NotInBlocks from None
    nodes = getattr(root, "value", None)
    if not isinstance(nodes, list) or len(nodes) != count:
        raise NotInBlocks
    if any(isinstance(each, tuple) is is_list for each in nodes):
        raise NotInBlocks  # a list where names are expected, or the other way round
    return [(each, each) for each in nodes] if is_list else nodes


def _place(section: Cut) -> tuple[str, str, int]:
    return section.root, section.section, section.depth


def _by_text(section: Cut, blocks: list[Block]) -> dict[str, Block]:
    return dict(zip(section.texts, blocks, strict=True))
