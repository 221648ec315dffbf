# Lines on their way to a file, a pipe or a terminal: gathered, and written whole, without making anybody wait.

from .deadline cimport Deadline, Timed, Wheel
from .murmur cimport Murmur


cdef enum Kind:
    K_FILE             # takes all there is room for, at once
    K_SOCKET
    K_STREAM           # a pipe, a terminal, a device


cdef class Journal(Timed):
    cdef object loop
    cdef Wheel wheel
    cdef Deadline timer                # armed while lines wait
    cdef bint is_armed
    cdef Murmur losing
    cdef int fd                        # owned; -1: closed
    cdef Kind kind
    cdef char* at                      # owned
    cdef Py_ssize_t capacity
    cdef Py_ssize_t start              # what lies before it is written
    cdef Py_ssize_t used
    cdef long long waiting             # lines gathered since all was written
    cdef long long most_waiting        # lines that may wait while nobody takes them; 0: bytes decide
    cdef Py_ssize_t most               # bytes that may wait
    cdef bint is_blocked               # nobody takes them now
    cdef bint is_torn                  # what was written last is half a line; its end is first in the buffer
    cdef readonly long long lost       # lines

    cdef char* reserve(self, Py_ssize_t size) noexcept
    cdef char* make_room(self, Py_ssize_t size) noexcept
    cdef void commit(self, Py_ssize_t size) noexcept
    cdef void write_out(self) noexcept
    cdef ssize_t write_some(self, const char* at, Py_ssize_t size) noexcept
    cdef void wait(self) noexcept
    cdef void stop_waiting(self) noexcept
    cdef void drop(self, str why) noexcept
    cdef void lose(self, long long lines, str why) noexcept
    cdef void shrink(self) noexcept
