# Descriptors that are watched by the loop's own libuv, with a compiled function for an answer.

cdef enum:
    READABLE = 1               # as UV_READABLE and
    WRITABLE = 2               # UV_WRITABLE


# Called when a descriptor is ready, or broken: then for all that was wanted. owner: kept alive meanwhile.
ctypedef void (*Ready)(object owner, int fd, int events) noexcept


cdef class Watch:
    # One descriptor. Its owner holds it, and closes it before the descriptor.
    cdef object loop           # None: not open
    cdef void* owner           # borrowed
    cdef Ready ready
    cdef void* cell            # owned: the handle of libuv
    cdef object callback       # of open_for
    cdef readonly int fd
    cdef readonly int wanted   # READABLE | WRITABLE

    cdef bint open(self, object loop, int fd, object owner, Ready ready) noexcept
    cpdef bint want(self, int events) noexcept
    cpdef void close(self) noexcept
    cdef void tell(self, int events) noexcept
