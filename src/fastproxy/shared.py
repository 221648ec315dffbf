"""Memory that all processes of one instance map: an anonymous file, handed to the workers as a descriptor.

```
offset                 bytes                  what                          written by
0                      40                     header, below                 the supervisor, once
PAGE                   slots x BLOCK          one block for each slot       the worker that has the slot
PAGE + slots x BLOCK   words x 8, to a page   words shared by all workers   all of them, atomically
```

Everything is little-endian, 8 bytes wide and 8-aligned; a block and the shared words begin on a page, so
that no two workers write to one cache line. What a block holds is known to `_core.tally` alone; here it is a
row of words. The successor of a dead worker is given the same slot and counts on.

The shared words are for limiter buckets and in-flight counts; nobody is given one yet, so there are none.
"""

import mmap
import os
import struct

MAGIC = b"fastprox"
VERSION = 1
PAGE = 4096
BLOCK = 16 * PAGE
"""Bytes of one worker's block: 8192 counters."""

WORD = 8

_HEADER = struct.Struct("<8sQQQQ")  # magic, version, slots, bytes of a block, shared words


class Shared:
    """The mapped memory. Whoever made it or opened it closes it, after the views that it has given out."""

    def __init__(self, descriptor: int, slots: int, words: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self.words = words
        self._memory = mmap.mmap(descriptor, _size(slots, words))

    @classmethod
    def make(cls, slots: int, words: int = 0) -> "Shared":
        """Make the memory for that many workers, all zero. OSError if the system gives none."""
        descriptor = os.memfd_create("fastproxy", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _size(slots, words))
        made = cls(descriptor, slots, words)
        _HEADER.pack_into(made._memory, 0, MAGIC, VERSION, slots, BLOCK, words)
        return made

    @classmethod
    def open(cls, descriptor: int) -> "Shared":
        """Map memory that another process made. ValueError if it is none of this version."""
        header = os.pread(descriptor, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            raise ValueError(f"descriptor {descriptor} is no shared memory of fastproxy")
        magic, version, slots, block, words = _HEADER.unpack(header)
        if (magic, version, block) != (MAGIC, VERSION, BLOCK):
            found = f"version {version} with blocks of {block} bytes"
            raise ValueError(f"shared memory of {found}; known is version {VERSION} with {BLOCK}")
        return cls(descriptor, slots, words)

    def block(self, slot: int) -> memoryview:
        """Return the block of one worker, BLOCK bytes, writable. slot: from 0."""
        if not 0 <= slot < self.slots:
            raise IndexError(f"no slot {slot}; there are {self.slots}")
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

    def close(self) -> None:
        """Unmap and close. BufferError while views of blocks are in use."""
        self._memory.close()
        os.close(self.descriptor)


def _size(slots: int, words: int) -> int:
    shared = -(-words * WORD // PAGE) * PAGE
    return PAGE + slots * BLOCK + shared
