"""Words in memory that all workers of an instance share: in-flight counts and token buckets.

The memory itself, and which word is where, is the affair of `fastproxy.shared`. Everything here is done with
sequentially consistent atomic operations of the compiler; nobody waits for anybody.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

cdef extern from "time.h" nogil:
    ctypedef int clockid_t
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    clockid_t CLOCK_MONOTONIC
    int clock_gettime(clockid_t clock, timespec* out)

cdef enum:
    WORD = 8
    LINE = 8               # words of a cache line
    FINE = 64              # parts of a nanosecond: a million tokens a second are counted to 0.002 %
    SECOND = 1000000000

cdef int TRIES = 8
cdef long long LONGEST = 1 << 61       # a year, in 64ths of a nanosecond


cdef long long* words_of(object memory, Py_ssize_t count) except NULL:
    """Where the words of a buffer lie; ValueError if it has fewer than *count*, or they are not aligned."""
    cdef Py_buffer view
    PyObject_GetBuffer(memory, &view, PyBUF_WRITABLE)
    try:
        if view.len < count * WORD or <size_t>view.buf % WORD:
            raise ValueError(f"{count} aligned words are needed, this buffer has {view.len} bytes")
        return <long long*>view.buf
    finally:
        PyBuffer_Release(&view)


def row_width(int workers):
    """Words of one cell's row: one for each worker, in whole cache lines."""
    return (workers + LINE - 1) // LINE * LINE


cdef class InFlight:
    """Counts of what is under way in all workers, as one of them sees them.

    memory: a writable buffer of `cells` rows of `row_width(workers)` words, all zero at first; worker: from 0.
    Each worker counts in its own word of a row, and the sum of the row is the truth: so that what a killed
    worker had under way is forgotten by zeroing its words.
    """

    def __cinit__(self, object memory not None, Py_ssize_t cells, int workers, int worker):
        if not 0 <= worker < workers:
            raise ValueError(f"there is no worker {worker} among {workers}")
        self.width = (workers + LINE - 1) // LINE * LINE
        self.memory = memoryview(memory)
        self.rows = words_of(self.memory, cells * self.width)
        self.cells = cells
        self.workers = workers
        self.worker = worker

    cdef bint take(self, Py_ssize_t cell, long long limit) noexcept nogil:
        """Count one more, if fewer than *limit* are counted by all.

        Never passes the limit. Of several that come for the last place at the same moment all may step back;
        they try again, so one gets it unless this goes on for TRIES times.
        """
        cdef long long* own = &self.rows[cell * self.width + self.worker]
        cdef int _try
        for _try in range(TRIES):
            if self.total(cell) >= limit:
                return False
            fp_add(own, 1)
            if self.total(cell) <= limit:
                return True
            fp_add(own, -1)
        return False

    cdef void leave(self, Py_ssize_t cell) noexcept nogil:
        """Count one less."""
        fp_add(&self.rows[cell * self.width + self.worker], -1)

    cdef long long total(self, Py_ssize_t cell) noexcept nogil:
        """How many are counted by all workers."""
        cdef const long long* row = &self.rows[cell * self.width]
        cdef long long sum = 0
        cdef int at
        for at in range(self.workers):
            sum += fp_load(&row[at])
        return sum

    def enter(self, Py_ssize_t cell, long long limit):
        """`take` for Python. IndexError."""
        return self.take(self.checked(cell), limit)

    def end(self, Py_ssize_t cell):
        """`leave` for Python. IndexError."""
        self.leave(self.checked(cell))

    def count(self, Py_ssize_t cell):
        """`total` for Python. IndexError."""
        return self.total(self.checked(cell))

    def checked(self, Py_ssize_t cell):
        if not 0 <= cell < self.cells:
            raise IndexError(f"no cell {cell}; there are {self.cells}")
        return cell


cdef Rate rate_of(double tokens, long long burst) noexcept nogil:
    """A rate of *tokens* a second (0: no limit), in buckets of *burst* (at least 1).

    Source: rateLimit of Traefik, whose average over period this is: who lacks a part of a token waits for it,
    at most half a second or, at a rate of 1 and more, half the time between two tokens.
    """
    cdef Rate rate
    rate.interval = 0
    rate.depth = 0
    rate.patience = 0
    if tokens > 0:
        rate.interval = <long long>min(<double>SECOND * FINE / tokens + 0.5, <double>LONGEST)
        rate.depth = <long long>min(<double>rate.interval * max(1, burst), <double>LONGEST)
        rate.patience = <long long>SECOND * FINE // (2 * (<long long>tokens if tokens >= 1 else 1))
    return rate


cdef class Buckets:
    """Token buckets shared by all workers.

    memory: a writable buffer of `cells` words, all zero at first: full buckets; began: nanoseconds of the
    monotonic clock when the memory was made.

    A bucket is one word: the time at which it will be full again. To take a token is to move that time on by
    what a token takes to come, which says the same as counting tokens and when they were counted last, and is
    one atomic exchange.
    """

    def __cinit__(self, object memory not None, Py_ssize_t cells, long long began):
        self.memory = memoryview(memory)
        self.words = words_of(self.memory, cells)
        self.cells = cells
        self.began = began

    cdef bint reserve(self, Py_ssize_t cell, const Rate* rate, long long* wait) noexcept nogil:
        """Take a token now; see reserve_at."""
        cdef timespec spec
        clock_gettime(CLOCK_MONOTONIC, &spec)
        return self.reserve_at(cell, rate, <long long>spec.tv_sec * SECOND + spec.tv_nsec, wait)

    cdef bint reserve_at(self, Py_ssize_t cell, const Rate* rate, long long time, long long* wait) noexcept nogil:
        """Take a token, and set *wait* to the nanoseconds to wait for it. False: that would be too long,
        nothing was taken, *wait* says how long. time: nanoseconds of the monotonic clock."""
        cdef long long now = (time - self.began) * FINE
        cdef long long full = fp_load(&self.words[cell])
        cdef long long next, lack
        if rate.interval == 0:
            wait[0] = 0
            return True
        while True:
            next = max(full, now) + rate.interval
            lack = max(0, next - now - rate.depth)
            wait[0] = (lack + FINE - 1) // FINE
            if lack > rate.patience:
                return False
            if fp_swap(&self.words[cell], &full, next):
                return True

    def ask(self, Py_ssize_t cell, double tokens, long long burst, time=None):
        """`reserve` for Python: (whether a token was taken, seconds to wait). IndexError.

        tokens: a second; time: nanoseconds of the monotonic clock, by default now.
        """
        cdef Rate rate = rate_of(tokens, burst)
        cdef long long wait = 0
        cdef bint taken
        if not 0 <= cell < self.cells:
            raise IndexError(f"no cell {cell}; there are {self.cells}")
        if time is None:
            taken = self.reserve(cell, &rate, &wait)
        else:
            taken = self.reserve_at(cell, &rate, time, &wait)
        return taken, wait / 1e9
