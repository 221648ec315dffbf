# How many clients there may be: of an entry point, of all entry points, and of a process that may open so many files.

from .engine cimport Engine
from .shared cimport InFlight


cdef enum Limit:
    L_NONE             # is reached
    L_DESCRIPTORS
    L_ALL
    L_HERE


cdef class Room:
    cdef readonly str name             # of the entry point
    cdef Engine engine
    cdef InFlight counts               # None: nobody counts
    cdef int cell                      # of this entry point's clients
    cdef int cell_of_all
    cdef readonly long long most       # clients of this entry point, in all workers; 0: no limit
    cdef readonly long long most_in_all    # of all entry points
    cdef object empty                  # future of somebody who waits until nobody is left; None: nobody does

    cdef void limit(self, InFlight counts, int cell, int cell_of_all, long long most, long long most_in_all) except *
    cdef Limit take(self, int coming) noexcept
    cdef void leave(self) noexcept
    cdef void tell_empty(self) noexcept
    cdef tuple told(self, Limit limit)
