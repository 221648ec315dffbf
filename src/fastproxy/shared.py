"""Memory that all processes of one instance map: an anonymous file, handed to the workers as a descriptor.

```
offset      bytes                   what                       written by
0           48                      header, below              the supervisor, once
64          8                       requests in the access log all workers, atomically
PAGE        slots x BLOCK           one block for each slot    the worker that has the slot
            CELLS x width x 8       in-flight counts           each worker its own words
            CELLS x 8               token buckets              all workers, atomically
            width x 8               claims, see below          each worker its own word
            SETS x SET x 8          names of counts by name    all workers, atomically
            SETS x SET x width x 8  counts by name             each worker its own words
            SIGNS x 8               servers that are down      the supervisor
```

Everything is little-endian, 8 bytes wide and 8-aligned; each part begins on a page, so that no two workers
write to one cache line of a block. Memory that nobody has touched takes no room.

What a block holds is known to `_core.tally` alone; here it is a row of words. The successor of a dead worker
is given the same slot and counts on.

In-flight counts and buckets are numbered by *cell*. Cell 0 counts the connections of clients, the next ones
those of each entry point in the order of their names; the others are free for what comes. A row of the
counts has a word for each slot, in whole cache lines (`width`). What is under way in all workers is the sum
of the row, and a dead worker's words are zeroed before its successor starts, so that nothing of its own is
counted for ever. How they are counted is known to `_core.shared`.

Counts by name are for clients, or whatever else nobody can number beforehand; they have rows as in-flight
counts have, and how a name finds its own is known to `_core.ledger`. The highest bit of a name says that a
worker claims its row for another name, the worker's claim (row number and 1, or 0) which row it is.
"""

import contextlib
import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

MAGIC = b"fastprox"
VERSION = 4
PAGE = 4096
BLOCK = 16 * PAGE
"""Bytes of one worker's block: 8192 counters."""

CELLS = 65536
"""In-flight counts, and token buckets."""

CONNECTIONS = 0
"""The cell of all connections of clients; those of each entry point follow."""

SETS = 2048
"""Of counts by name."""

SET = 32
"""Names in a set."""

SIGNS = 65536
"""Servers that health checks can tell of."""

WORD = 8
LINE = 8  # words of a cache line

TOLD = 64
"""Where the requests are counted that the access log tells of."""

_HEADER = struct.Struct("<8sQQQQQ")  # magic, version, slots, bytes of a block, cells, nanoseconds when made


class Seat(NamedTuple):
    """What services and middlewares of one worker share with those of the others."""

    counts: memoryview
    """Counts by name, writable."""

    signs: memoryview
    """What health checks say."""

    workers: int
    worker: int


def own_seat() -> Seat:
    """Return the seat of somebody who shares with nobody. Memory that is not touched takes no room."""
    counts, signs = (
        memoryview(mmap.mmap(-1, words * WORD)) for words in (_width(1) + SETS * SET * (1 + _width(1)), SIGNS)
    )
    return Seat(counts, signs, 1, 0)


class Shared:
    """The mapped memory. Whoever made it or opened it closes it, after the views that it has given out."""

    def __init__(self, descriptor: int, slots: int, began: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self.began = began
        """Of the monotonic clock, in nanoseconds: when the memory was made."""

        self._memory = mmap.mmap(descriptor, _end(slots))

    @classmethod
    def make(cls, slots: int) -> "Shared":
        """Make the memory for that many workers, all zero. OSError if the system gives none."""
        descriptor = os.memfd_create("fastproxy", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _end(slots))
        made = cls(descriptor, slots, time.monotonic_ns())
        _HEADER.pack_into(made._memory, 0, MAGIC, VERSION, slots, BLOCK, CELLS, made.began)
        return made

    @classmethod
    def open(cls, descriptor: int) -> "Shared":
        """Map memory that another process made. ValueError if it is none of this version."""
        header = os.pread(descriptor, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            raise ValueError(f"descriptor {descriptor} is no shared memory of fastproxy")
        magic, version, slots, block, cells, began = _HEADER.unpack(header)
        if (magic, version, block, cells) != (MAGIC, VERSION, BLOCK, CELLS):
            found = f"version {version} with blocks of {block} bytes"
            raise ValueError(f"shared memory of {found}; known is version {VERSION} with {BLOCK}")
        return cls(descriptor, slots, began)

    def told(self) -> memoryview:
        """Return the number of requests that the access log tells of: one word, writable."""
        return memoryview(self._memory)[TOLD : TOLD + WORD]

    def block(self, slot: int) -> memoryview:
        """Return the block of one worker, BLOCK bytes, writable. slot: from 0."""
        self._check(slot)
        start = PAGE + slot * BLOCK
        return memoryview(self._memory)[start : start + BLOCK]

    def totals(self, count: int) -> list[int]:
        """Return the first `count` words of all blocks, signed, summed; a little old maybe, never torn."""
        sums = [0] * count
        for slot in range(self.slots):
            with self.block(slot)[: count * WORD] as block, block.cast("q") as words:
                for at, value in enumerate(words):
                    sums[at] += value
        return sums

    # --- in-flight counts and buckets -----------------------------------------------------------------------

    def in_flight(self) -> memoryview:
        """Return the in-flight counts: CELLS rows of words, writable."""
        return memoryview(self._memory)[_counts(self.slots) : _buckets(self.slots)]

    def buckets(self) -> memoryview:
        """Return the token buckets: CELLS words, writable."""
        return memoryview(self._memory)[_buckets(self.slots) : _names(self.slots)]

    def seat(self, slot: int) -> Seat:
        """Return the seat of the worker in a slot."""
        self._check(slot)
        counts = memoryview(self._memory)[_names(self.slots) : _signs(self.slots)]
        return Seat(counts, self.signs(), self.slots, slot)

    def signs(self) -> memoryview:
        """Return what health checks say of servers: SIGNS words, 0 where one is up; writable."""
        return memoryview(self._memory)[_signs(self.slots) : _end(self.slots)]

    def under_way(self, cell: int) -> int:
        """Return how many all workers together have under way. cell: from 0."""
        if not 0 <= cell < CELLS:
            raise IndexError(f"no cell {cell}; there are {CELLS}")
        start = _counts(self.slots) + cell * _width(self.slots) * WORD
        with memoryview(self._memory)[start : start + self.slots * WORD] as row, row.cast("q") as words:
            return sum(words)

    def forget(self, slot: int) -> None:
        """Count nothing any more of what the worker in this slot had under way. It must be dead."""
        self._check(slot)
        width = _width(self.slots)
        for words in self._touched(_counts(self.slots), _buckets(self.slots), width):
            _zero(words[slot::width])
        for words in self._touched(_rows(self.slots), _signs(self.slots), width):
            _zero(words[slot::width])
        claims = _names(self.slots)
        with self._words(claims, width) as claim, self._words(claims + width * WORD, SETS * SET) as names:
            if claim[slot]:
                names[claim[slot] - 1] &= 2**63 - 1
                claim[slot] = 0

    @contextmanager
    def _words(self, start: int, count: int) -> Iterator[memoryview]:
        end = start + count * WORD
        with memoryview(self._memory) as memory, memory[start:end] as part, part.cast("q") as words:
            yield words

    def empty(self, cell: int) -> None:
        """Fill a bucket up, for a new owner. Nobody may be using it."""
        start = _buckets(self.slots) + cell * WORD
        self._memory[start : start + WORD] = bytes(WORD)

    def _touched(self, start: int, end: int, width: int) -> Iterator[memoryview]:
        """Give the parts between two page borders that may hold anything but zeros, in whole rows."""
        step = width * WORD
        while start < end:
            try:
                data = os.lseek(self.descriptor, start, os.SEEK_DATA)
            except OSError:
                return  # none behind it
            hole = os.lseek(self.descriptor, data, os.SEEK_HOLE)
            first = start + (data - start) // step * step
            start = min(end, start + -(-(hole - start) // step) * step)
            if data < end:
                with self._words(first, (start - first) // WORD) as words:
                    yield words

    def _check(self, slot: int) -> None:
        if not 0 <= slot < self.slots:
            raise IndexError(f"no slot {slot}; there are {self.slots}")

    def close(self) -> None:
        """Close; it is unmapped when nobody has a view of it any more, as the health checks have."""
        with contextlib.suppress(BufferError):
            self._memory.close()
        os.close(self.descriptor)


def _width(slots: int) -> int:
    """Return the words of one row of in-flight counts."""
    return -(-slots // LINE) * LINE


def _counts(slots: int) -> int:
    return PAGE + slots * BLOCK


def _buckets(slots: int) -> int:
    return _counts(slots) + CELLS * _width(slots) * WORD


def _zero(words: memoryview) -> None:
    with words:
        words[:] = memoryview(bytes(words.nbytes)).cast("q")


def _names(slots: int) -> int:
    return _buckets(slots) + CELLS * WORD


def _rows(slots: int) -> int:
    return _names(slots) + (_width(slots) + SETS * SET) * WORD


def _signs(slots: int) -> int:
    return _rows(slots) + SETS * SET * _width(slots) * WORD


def _end(slots: int) -> int:
    return _signs(slots) + SIGNS * WORD
