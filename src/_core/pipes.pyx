"""Pipes of the kernel, a limited number for each loop.

What is in a pipe is the kernel's, up to PIPE_SIZE for each; so MOST_PIPES times that is what all of them can hold.
Whoever gets none copies.
"""

from posix.unistd cimport close

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <unistd.h>
    """
    int O_NONBLOCK
    int O_CLOEXEC
    int F_SETPIPE_SZ
    int pipe2(int* ends, int flags) nogil
    int fcntl(int fd, int command, int value) nogil


cdef class Pipes:
    """The pipes of one loop."""

    def __cinit__(self):
        self.most = MOST_PIPES

    def __dealloc__(self):
        while self.spares:
            self.spares -= 1
            close(self.spare[self.spares].in_end)
            close(self.spare[self.spares].out_end)

    cdef bint take(self, Pipe* pipe, bint may_grow) noexcept:
        """Get one that is empty. False: there are as many as may be, or the system has none."""
        cdef int[2] ends
        if self.spares:
            self.spares -= 1
            pipe[0] = self.spare[self.spares]
            return True
        if not may_grow or self.made >= self.most or pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0:
            return False
        fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE)    # or it stays as small as the system makes it
        pipe.out_end = ends[0]
        pipe.in_end = ends[1]
        self.made += 1
        return True

    cdef void give(self, Pipe* pipe, bint is_empty) noexcept:
        """Give one back; what is in it is lost."""
        if is_empty and self.spares < MOST_SPARE:
            self.spare[self.spares] = pipe[0]
            self.spares += 1
            return
        self.made -= 1
        close(pipe.in_end)
        close(pipe.out_end)
