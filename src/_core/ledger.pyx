"""Counts by name: how much each client, or whatever else has a hash, has under way in all workers.

A name is 63 bits of a hash with a secret key. Names lie in sets of 32, in one of which each has its row of counts, a
word for each worker; nobody waits for anybody. What is under way under a name is the sum of all rows that have it:
two workers that meet a new name at the same moment may give it two. A row whose counts are all zero may be given
to another name. Whoever does that marks the old name as claimed first, which keeps others from counting there, and
then looks at the counts again; and whoever has counted looks at the name again. So one of the two steps back.

A dead worker leaves nothing behind but its words of the rows and perhaps one claimed name, which its own word in
`claims` tells; the supervisor clears both. A name that finds its set full is not counted, and not let in: the limit
holds for everybody who is there.
"""

cimport cython
from libc.stdint cimport uint64_t

from .shared cimport InFlight, fp_add, fp_load, fp_store, fp_swap, words_of

SET_SIZE = SET
"""Names in a set."""

cdef int TRIES = 8
cdef long long CLAIMED = <long long>(<uint64_t>1 << 63)    # beside a name: nobody may count there


cdef class Ledger:
    """The counts as one worker sees them.

    memory: a writable buffer, all zero at first, of a row of `shared.row_width(workers)` words for claims, sets * SET
    words for names, and as many rows of counts; sets: a power of two; worker: from 0.
    """

    def __init__(self, object memory not None, Py_ssize_t sets, int workers, int worker):
        cdef Py_ssize_t width = (workers + 7) // 8 * 8
        if sets < 1 or sets & (sets - 1):
            raise ValueError(f"{sets} sets; it has to be a power of two")
        self.memory = memoryview(memory)
        self.claims = words_of(self.memory, width + sets * SET)
        self.names = self.claims + width
        self.counts = InFlight(self.memory[(width + sets * SET) * 8:], sets * SET, workers, worker)
        self.sets = sets
        self.worker = worker

    cdef Py_ssize_t enter(self, uint64_t name, long long limit) noexcept nogil:
        """Count one more under a name, if fewer than *limit* are counted by all; its row, or what is in the way.

        Never passes the limit. Of several that come for the last place at the same moment all may step back; they
        try again, so one gets it unless this goes on for TRIES times.
        """
        cdef Py_ssize_t first = <Py_ssize_t>(name & <uint64_t>(self.sets - 1)) * SET, row
        cdef long long own = <long long>(name & ~(<uint64_t>1 << 63)) or 1
        cdef long long* count
        cdef int _try
        for _try in range(TRIES):
            if self.total(first, own) >= limit:
                return E_LIMIT
            row = self.row_of(first, own)
            if row == E_FULL:
                return E_FULL
            if row < 0:
                continue
            count = &self.counts.rows[row * self.counts.width + self.worker]
            fp_add(count, 1)
            if fp_load(&self.names[row]) == own and self.total(first, own) <= limit:
                return row
            fp_add(count, -1)
        return E_LIMIT

    cdef long long total(self, Py_ssize_t first, long long name) noexcept nogil:
        """How many are counted under a name in the set that begins at a row."""
        cdef long long sum = 0
        cdef Py_ssize_t row
        for row in range(first, first + SET):
            if fp_load(&self.names[row]) & ~CLAIMED == name:
                sum += self.counts.total(row)
        return sum

    cdef Py_ssize_t row_of(self, Py_ssize_t first, long long name) noexcept nogil:
        """A row that a name has, or gets. E_FULL: there is none. E_LIMIT: somebody was quicker; look again."""
        cdef Py_ssize_t row
        cdef long long found
        for row in range(first, first + SET):
            if fp_load(&self.names[row]) == name:
                return row
        for row in range(first, first + SET):
            found = fp_load(&self.names[row])
            if found == 0:
                return row if fp_swap(&self.names[row], &found, name) else E_LIMIT
            if found > 0 and self.counts.total(row) == 0:
                return row if self.take_over(row, found, name) else E_LIMIT
        return E_FULL

    cdef bint take_over(self, Py_ssize_t row, long long old, long long name) noexcept nogil:
        """Give the row of a name that nobody counts under to another. False: it is not free any more."""
        cdef bint free = False
        fp_store(&self.claims[self.worker], row + 1)
        if fp_swap(&self.names[row], &old, old | CLAIMED):
            free = self.counts.total(row) == 0
            fp_store(&self.names[row], name if free else old)
        fp_store(&self.claims[self.worker], 0)
        return free

    cdef void leave(self, Py_ssize_t row) noexcept nogil:
        """Count one less."""
        self.counts.leave(row)

    def take(self, uint64_t name, long long limit):
        """Count one more for as long as what is returned lives; None: the limit is reached, or there is no room."""
        return place_in(self, name, limit, None)

    def count(self, uint64_t name):
        """How many are counted under a name by all workers."""
        return self.total(<Py_ssize_t>(name & <uint64_t>(self.sets - 1)) * SET,
                          <long long>(name & ~(<uint64_t>1 << 63)) or 1)

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
            ledger.full.add((ledger.sets * SET,))
        return None
    made = Place.__new__(Place)
    made.ledger = ledger
    made.row = row
    made.other = other
    return made
