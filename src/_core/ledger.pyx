"""Counts by name: how much each client, or whatever else has a hash, has under way in all workers.

A name is 64 bits of a hash with a secret key. Names lie in sets of 31, in one of which each has its place;
whoever enters locks the set, for the time of reading a few cache lines. A name whose counts are all zero may be
replaced by any other, so leaving needs no lock, and a dead worker leaves nothing behind but words that the
supervisor zeroes and, if it died within these few nanoseconds, a lock that the supervisor opens.

A name that finds its set full is not counted, and not let in: the limit holds for everybody who is there.
"""

cimport cython
from libc.stdint cimport uint64_t

from .shared cimport InFlight, fp_load, fp_store, fp_swap, words_of

SET_SIZE = SET
"""Words of a set."""

cdef int TRIES = 2000          # for a lock: some microseconds; its owner may have been put to sleep


cdef class Ledger:
    """The counts as one worker sees them.

    memory: a writable buffer of sets * SET words for names, and behind them as many rows of
    `shared.row_width(workers)` words, all zero at first; sets: a power of two; worker: from 0.
    """

    def __init__(self, object memory not None, Py_ssize_t sets, int workers, int worker):
        if sets < 1 or sets & (sets - 1):
            raise ValueError(f"{sets} sets; it has to be a power of two")
        self.memory = memoryview(memory)
        self.names = words_of(self.memory, sets * SET)
        self.counts = InFlight(self.memory[sets * SET * 8:], sets * SET, workers, worker)
        self.sets = sets
        self.worker = worker

    cdef Py_ssize_t enter(self, uint64_t name, long long limit) noexcept nogil:
        """Count one more under a name, if fewer than *limit* are counted by all; its row, or what is in the way."""
        cdef long long* first
        cdef long long own = <long long>name or 1
        cdef Py_ssize_t row, at = <Py_ssize_t>(name & <uint64_t>(self.sets - 1)) * SET
        if limit <= 0:
            return E_LIMIT
        first = &self.names[at]
        if not self.lock(first):
            return E_FULL
        row = self.row_of(at, own)
        if row >= 0:
            self.names[row] = own
            if not self.counts.take(row, limit):
                row = E_LIMIT
        fp_store(first, 0)
        return row

    cdef bint lock(self, long long* word) noexcept nogil:
        """Take the lock of a set, of which *word* is the first. False: somebody has it for too long."""
        cdef long long free
        cdef int _try
        for _try in range(TRIES):
            free = 0
            if fp_load(word) == 0 and fp_swap(word, &free, self.worker + 1):
                return True
        return False

    cdef Py_ssize_t row_of(self, Py_ssize_t first, long long name) noexcept nogil:
        """The row of a name, or one that it may have, of a set that is locked. E_FULL: there is none."""
        cdef Py_ssize_t row
        for row in range(first + 1, first + SET):
            if self.names[row] == name:
                return row
        for row in range(first + 1, first + SET):
            if self.names[row] == 0 or self.counts.total(row) == 0:
                return row
        return E_FULL

    cdef void leave(self, Py_ssize_t row) noexcept nogil:
        """Count one less."""
        self.counts.leave(row)

    def take(self, uint64_t name, long long limit):
        """Count one more for as long as what is returned lives; None: the limit is reached, or there is no room."""
        return place_in(self, name, limit, None)

    def count(self, uint64_t name):
        """How many are counted under a name by all workers."""
        cdef long long own = <long long>name or 1
        cdef Py_ssize_t row, at = <Py_ssize_t>(name & <uint64_t>(self.sets - 1)) * SET
        for row in range(at + 1, at + SET):
            if self.names[row] == own:
                return self.counts.total(row)
        return 0

    def under_way(self):
        """How many are counted under all names. Looks at everything there is room for."""
        return sum([self.counts.total(row) for row in range(self.sets * SET)])


@cython.no_gc                  # it refers to nothing that could refer to it, and needs its ledger to the end
cdef class Place:
    """A place that is held."""

    def __dealloc__(self):
        if self.ledger is not None:
            self.ledger.leave(self.row)


cdef Place place_in(Ledger ledger, uint64_t name, long long limit, Place other):
    """Enter a name and return the place that it has, with *other* behind it; None: it is not let in."""
    cdef Py_ssize_t row = ledger.enter(name, limit)
    cdef Place made
    if row < 0:
        if row == E_FULL and ledger.full is not None:
            ledger.full.add((ledger.sets * (SET - 1),))
        return None
    made = Place.__new__(Place)
    made.ledger = ledger
    made.row = row
    made.other = other
    return made
