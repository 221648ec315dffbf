# Who has how much under way in all workers: counts of names that nobody knew before, in memory that all share.
# Atomic, no locks.

from libc.stdint cimport uint64_t

from .murmur cimport Murmur
from .shared cimport InFlight


cdef enum:
    SET = 32                   # names that a set has room for


cdef enum Entered:
    E_LIMIT = -1               # as many are under way as may be
    E_FULL = -2                # it cannot be counted: its set is full of names that are


cdef class Ledger:
    cdef long long* claims             # borrowed from `memory`: of each worker the row that it claims, and 1; 0: none
    cdef long long* names              # the same: sets of SET words; 0: nobody's
    cdef readonly Py_ssize_t sets
    cdef InFlight counts               # a row for each word of the sets
    cdef readonly int worker
    cdef object memory
    cdef public Murmur full            # told when somebody cannot be counted; None: nobody is

    cdef Py_ssize_t enter(self, uint64_t name, long long limit) noexcept nogil
    cdef void leave(self, Py_ssize_t row) noexcept nogil
    cdef long long total(self, Py_ssize_t first, long long name) noexcept nogil
    cdef Py_ssize_t row_of(self, Py_ssize_t first, long long name) noexcept nogil
    cdef bint take_over(self, Py_ssize_t row, long long old, long long name) noexcept nogil


cdef class Place:
    # One that is under way; it is no more when the last reference goes.
    cdef Ledger ledger
    cdef Py_ssize_t row
    cdef readonly Place other          # a further one, held along with it; None: there is none


cdef Place place_in(Ledger ledger, uint64_t name, long long limit, Place other)
