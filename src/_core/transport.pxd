# A plain socket under a connection: read when there is something, written to when the kernel did not take all.

from .connection cimport Connection
from .engine cimport Engine
from .watch cimport Watch


cdef class Feed:
    # What takes the place of reading from one transport, and of what waits for another; see siphon.
    cdef Py_ssize_t held               # bytes on their way

    cdef void draw(self) noexcept              # the one has something
    cdef bint pour(self) noexcept              # the other takes more; False: not all of it
    cdef void over(self, Transport side) noexcept      # one of them is gone


cdef class Transport:
    # What uvloop's transports are to a connection, without a Python frame.
    cdef Watch watch
    cdef int fd                        # owned; NO_FD: closed
    cdef Engine engine
    cdef Connection connection         # None when it is over
    cdef list waiting                  # bytes that the kernel has not taken; None: none
    cdef Py_ssize_t begun              # bytes of the first of them that it has
    cdef bint is_dialling              # connect() has not been answered yet
    cdef bint is_reading               # the connection wants to be told what comes
    cdef bint is_ending                # it ends when nothing waits any more
    cdef bint is_leaving               # its end is told in a moment
    cdef bint ends_writing             # nothing comes behind what waits
    cdef Feed takes                    # what comes; None: the connection is told
    cdef Feed brings                   # what waits behind `waiting`; None: nothing
    cdef object error                  # for which it ended; None: as it should

    cdef bint begin(self, Engine engine, Connection connection, int fd) noexcept
    cdef void made(self) noexcept
    cdef void dialled(self) noexcept
    cdef void read(self) noexcept
    cdef void write_on(self) noexcept
    cdef void ended(self) noexcept
    cdef bint has_waiting(self) noexcept
    cdef void fill(self) noexcept
    cdef void look(self) noexcept
    cdef void refused(self, int number) noexcept
    cdef void fail(self, int number) noexcept
    cdef void leave(self, object error) noexcept
    cdef void gone(self) noexcept


cdef bint carry(Engine engine, Connection connection, int fd) noexcept
cdef int call_up(Engine engine, Connection connection, const void* address, unsigned int size) except -1
