# Words in memory that all workers of an instance share: in-flight counts and token buckets. Atomic, no locks.

cdef extern from *:
    """
    static inline long long fp_load(const long long *at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
    static inline void fp_store(long long *at, long long value) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }
    static inline void fp_add(long long *at, long long more) { __atomic_add_fetch(at, more, __ATOMIC_SEQ_CST); }
    static inline int fp_swap(long long *at, long long *expected, long long desired) {
        return __atomic_compare_exchange_n(at, expected, desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    """
    long long fp_load(const long long* at) noexcept nogil
    void fp_store(long long* at, long long value) noexcept nogil
    void fp_add(long long* at, long long more) noexcept nogil
    bint fp_swap(long long* at, long long* expected, long long desired) noexcept nogil


cdef long long* words_of(object memory, Py_ssize_t count) except NULL


cdef class InFlight:
    # Counts of what is under way, exact over all workers.
    cdef long long* rows               # borrowed from `memory`: a row for each cell, a word in it for each worker
    cdef Py_ssize_t width              # words of a row
    cdef readonly Py_ssize_t cells     # rows
    cdef readonly int workers
    cdef readonly int worker           # whose word of each row is ours
    cdef object memory

    cdef bint take(self, Py_ssize_t cell, long long limit) noexcept nogil
    cdef void leave(self, Py_ssize_t cell) noexcept nogil
    cdef long long total(self, Py_ssize_t cell) noexcept nogil


cdef struct Rate:
    # How a bucket fills, in 64ths of a nanosecond.
    long long interval                 # between two tokens; 0: no limit
    long long depth                    # of a full bucket: burst times interval
    long long patience                 # the longest that somebody is made to wait


cdef class Buckets:
    # Token buckets, one word each, exact over all workers.
    cdef long long* words              # borrowed from `memory`
    cdef readonly Py_ssize_t cells
    cdef long long began               # nanoseconds of the monotonic clock when the memory was made
    cdef object memory

    cdef bint reserve(self, Py_ssize_t cell, const Rate* rate, long long* wait) noexcept nogil
    cdef bint reserve_at(self, Py_ssize_t cell, const Rate* rate, long long time, long long* wait) noexcept nogil


cdef Rate rate_of(double tokens, long long burst) noexcept nogil
