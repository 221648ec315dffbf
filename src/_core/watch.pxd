# Descriptors that are watched for a loop, with a compiled function for an answer.

cdef enum:
    READABLE = 1               # as EPOLLIN
    WRITABLE = 4               # and EPOLLOUT of epoll_ctl(2)


# Called when a descriptor is ready, or broken: then for all that was wanted. owner: kept alive meanwhile.
ctypedef void (*Ready)(object owner, int fd, int events) noexcept


cdef class Lookout:
    # All that is watched for one loop.
    cdef object loop           # a weak reference
    cdef int fd                # owned: of epoll; -1: the loop is closed
    cdef void* cell            # owned: the handle of libuv that watches it
    cdef void* ready           # owned: what epoll_wait has told
    cdef int at                # which of it is being told,
    cdef int count             # and how many there are

    cdef void tell(self) noexcept
    cdef void forget(self, void* watch) noexcept
    cdef void end(self) noexcept


cdef class Watch:
    # One descriptor. Its owner holds it, and closes it before the descriptor.
    cdef Lookout lookout       # None: not open
    cdef void* owner           # borrowed
    cdef Ready ready
    cdef object callback       # of open_for
    cdef readonly int fd
    cdef readonly int wanted   # READABLE | WRITABLE

    cdef bint open(self, object loop, int fd, object owner, Ready ready) noexcept
    cpdef bint want(self, int events) noexcept
    cpdef void close(self) noexcept
