# Pipes of the kernel, through which bytes go from one socket to another without being copied.

cdef enum:
    PIPE_SIZE = 262144         # bytes that one holds
    MOST_PIPES = 64            # of one loop
    MOST_SPARE = 8             # kept while nobody needs them


cdef struct Pipe:
    int in_end
    int out_end


cdef class Pipes:
    # Those of one loop.
    cdef Pipe[MOST_SPARE] spare
    cdef readonly int spares
    cdef readonly int made             # there are, spare ones too
    cdef public int most

    cdef bint take(self, Pipe* pipe, bint may_grow) noexcept
    cdef void give(self, Pipe* pipe, bint is_empty) noexcept
