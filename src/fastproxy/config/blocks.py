"""A dynamic document cut into the blocks of its named objects, so that only changed blocks are parsed.

Most large documents have one shape: `http:`, in it sections in block style, in them one entry after the other
at the same depth. There an entry means the same alone as in its document, and the text from its key to the
next key is all that it can depend on. A document of any other shape (flow style outside the entries, anchors,
other sections, several documents) is not cut: whoever asks reads it whole. So does every document that has a
mistake in its syntax; the whole reading tells it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import Problem
from . import yamltext
from .findings import Findings, Place, SyntaxProblem

_NOTHING = r"(?: *(?:#[^\n]*)?\n)*"  # lines that are empty or a comment
_HEAD = re.compile(rf"{_NOTHING}(?:--- *(?:#[^\n]*)?\n{_NOTHING})?http: *(?:#[^\n]*)?(?=\n)")
_FIRST = re.compile(rf"\n{_NOTHING}( +)(?=[^ #\n])")  # the depth of the first line that says something
_REST_OF_HEAD = re.compile(r": *(?:#[^\n]*)?(?=\n)")
_OTHER_BREAKS = ("\r", "\x85", "\u2028", "\u2029", "\n...")  # what else ends a line or the document for YAML


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

    section: str
    texts: list[str]
    """The entries, each without the blanks before its key and without its last line break."""

    depth: int
    """Columns before the keys of the entries."""

    line: int
    """The line of the section's head, from 1."""

    above: str
    """Lines between the head and the first entry."""

    def lines(self) -> Iterator[int]:
        """Yield the line in which each entry begins."""
        at = self.line + 1 + self.above.count("\n")
        for text in self.texts:
            yield at
            at += text.count("\n") + 1


def cut(text: str, sections: tuple[str, ...]) -> list[Cut]:
    """Cut a document into the entries of the named sections. Raises NotInBlocks."""
    head = _HEAD.match(text)
    if head is None or any(each in text for each in _OTHER_BREAKS):
        raise NotInBlocks
    text = text.removesuffix("\n")
    first = _FIRST.match(text, head.end())
    if first is None:
        raise NotInBlocks
    heads = sorted(_heads(text, head.end(), "\n" + first[1], sections))
    if not heads or heads[0][0] != first.start(1) - 1:
        raise NotInBlocks
    ends = [start for start, _, _ in heads[1:]] + [len(text)]
    lines = _line_numbers(text, [start for start, _, _ in heads])
    return [
        _cut_section(name, text[body:end], len(first[1]), line)
        for (_, body, name), end, line in zip(heads, ends, lines, strict=True)
    ]


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


def _cut_section(name: str, body: str, depth_of_head: int, line: int) -> Cut:
    """Cut the lines below a section's head; `body` begins with the line break behind the head."""
    first = _FIRST.match(body)
    if first is None or len(first[1]) <= depth_of_head:
        raise NotInBlocks
    depth = len(first[1])
    above, *texts = re.split(rf"\n {{{depth}}}(?=[^ #\n])", body)
    return Cut(name, texts, depth, line, above)


class Blocks:
    """Remembers what was made of each block, from one reading of a document to the next.

    read: (section, name, value, findings) -> what to make of an entry; called for blocks that are new.
    """

    def __init__(self, sections: tuple[str, ...], read: Callable[[str, str, Any, Findings], Any]) -> None:
        self._sections, self._read = sections, read
        self._known: dict[str, dict[str, Block]] = {}

    def read(self, text: str, source: str) -> list[tuple[Cut, list[Block]]]:
        """Return the sections of a document, each with its blocks in order. Raises NotInBlocks."""
        sections = []
        for section in cut(text, self._sections):
            known = self._known.get(section.section, {})
            new = self._parse(section, [each for each in section.texts if each not in known], source)
            sections.append((section, [known.get(each) or new[each] for each in section.texts]))
        self._known = {section.section: _by_text(section, blocks) for section, blocks in sections}
        return sections

    def _parse(self, section: Cut, texts: list[str], source: str) -> dict[str, Block]:
        """Parse entries together, as one document in which each begins where it does in its own."""
        if not texts:
            return {}
        indent = " " * section.depth
        together = "".join(f"{indent}{each}\n" for each in texts)
        if yamltext.has_anchors(together):
            raise NotInBlocks
        pairs = _entries(together, len(texts))
        blocks, line = {}, 0
        for (key_node, node), text in zip(pairs, texts, strict=True):
            at_key = key_node.start_mark.line == line and key_node.start_mark.column == section.depth
            name = yamltext.key_of(key_node)
            if not at_key or name is None:
                raise NotInBlocks
            blocks[text] = self._made(section.section, name, key_node, node, source)
            line += text.count("\n") + 1
        return blocks

    def _made(self, section: str, name: str, key_node: Any, node: Any, source: str) -> Block:
        """Make one entry."""
        findings = Findings()
        value = yamltext.Builder(source, findings).build(node, None)
        if findings.errors:
            raise NotInBlocks  # a key that stands twice, an unknown tag: matters of the whole document
        made = self._read(section, name, value, findings)
        if not findings.found:
            return Block(name, made, ())
        first = key_node.start_mark.line
        places = yamltext.Places(node, yamltext.mark_of(key_node))

        def locate(path: tuple[str | int, ...], on_key: bool) -> Place:
            line, column = places.find(path[3:], on_key)  # behind http, section, name
            return Place(source, line - first, column)

        return Block(name, made, tuple(findings.problems(locate)))


def _entries(together: str, count: int) -> list[tuple[Any, Any]]:
    """Return key and value nodes of the entries. Raises NotInBlocks unless there are exactly so many."""
    try:
        root = yamltext.compose(together)
    except SyntaxProblem:
        raise NotInBlocks from None
    if not isinstance(getattr(root, "value", None), list) or len(root.value) != count:
        raise NotInBlocks
    if not all(isinstance(each, tuple) for each in root.value):
        raise NotInBlocks  # the items of a list
    pairs: list[tuple[Any, Any]] = root.value
    return pairs


def _by_text(section: Cut, blocks: list[Block]) -> dict[str, Block]:
    return dict(zip(section.texts, blocks, strict=True))
