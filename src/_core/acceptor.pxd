# A socket on which clients are accepted.

from .entrypoint cimport EntryPoint
from .watch cimport Watch


cdef class Acceptor:
    cdef readonly EntryPoint entry
    cdef object short                  # called with the number of an error after which nobody is accepted for a while
    cdef Watch watch                   # None: nobody is accepted
    cdef int fd                        # owned

    cdef int take(self, int most) noexcept
