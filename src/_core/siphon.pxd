# Bytes that go from one plain socket to another through a pipe of the kernel, and are not copied.

from .pipes cimport Pipe
from .transport cimport Feed, Transport


cdef class Siphon(Feed):
    cdef Transport source
    cdef Transport sink
    cdef Pipe pipe
    cdef bint has_pipe                 # while it is at work, and while something is held
    cdef int quiet                     # times in a row that little came

    cdef void pull(self) noexcept
    cdef bint push(self) noexcept
    cdef void leave(self) noexcept
    cdef bint take(self) noexcept
    cdef void give(self, bint is_empty) noexcept


cdef bint siphon(Transport source, Transport sink) noexcept
