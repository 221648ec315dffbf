"""Frozen dictionaries by name, made for thousands of entries that change one by one."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

FEW = 32
"""Entries of a page when a dictionary is laid out, about."""

MANY = 128
"""Entries of a page, on average, at which it is laid out anew."""

Value = TypeVar("Value")


class Pages(Generic[Value]):
    """Empty; every other one comes of `updated`. A change copies the pages that it touches."""

    __slots__ = ("_count", "_mask", "_pages")

    def __init__(self) -> None:
        self._pages: tuple[dict[str, Value], ...] = ({},)
        self._mask = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, name: str) -> Value | None:
        return self._pages[hash(name) & self._mask].get(name)

    def items(self) -> Iterator[tuple[str, Value]]:
        for page in self._pages:
            yield from page.items()

    def updated(self, changes: Mapping[str, Value | None]) -> "Pages[Value]":
        """Return the dictionary with the changes; None takes a name out, if it is there."""
        pages, copied = list(self._pages), set[int]()
        made: Pages[Value] = Pages()
        made._mask, made._count = self._mask, self._count
        for name, value in changes.items():
            at = hash(name) & self._mask
            if at not in copied:
                copied.add(at)
                pages[at] = dict(pages[at])
            page, before = pages[at], len(pages[at])
            if value is not None:
                page[name] = value
            else:
                page.pop(name, None)
            made._count += len(page) - before
        made._pages = tuple(pages)
        if made._count > MANY * len(pages):
            made._lay_out()
        return made

    def _lay_out(self) -> None:
        """Spread the entries over so many pages that each has few. Only before anybody has seen it."""
        count = 1
        while count * FEW < self._count:
            count *= 2
        pages: list[dict[str, Value]] = [{} for _ in range(count)]
        for name, value in self.items():
            pages[hash(name) & (count - 1)][name] = value
        self._pages, self._mask = tuple(pages), count - 1
