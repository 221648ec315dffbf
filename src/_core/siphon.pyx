"""Bytes that go from one plain socket to another through a pipe of the kernel (splice(2)), and are not copied.

One direction of a tunnel has a siphon while much comes one after the other. What the sink does not take stays in the
pipe, and is what waits for it: it is full, and its source is paused. A pipe that is empty is given back at once, and
when little comes again and again, bytes are read and sent as before.
"""

from libc.errno cimport EAGAIN, EINTR, errno

from .engine cimport Engine
from .pipes cimport PIPE_SIZE

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    """
    unsigned int SPLICE_F_MOVE
    unsigned int SPLICE_F_NONBLOCK
    ssize_t c_splice "splice"(int from_fd, void* from_at, int to, void* to_at, size_t size, unsigned int flags) nogil

cdef enum:
    DRAWS_A_TURN = 4           # then others have their turn
    LITTLE = 16384             # bytes: below, copying costs no more
    QUIET = 4                  # times that little comes, after which there is no siphon any more


cdef class Siphon(Feed):
    """One direction, while it is bulk. It has a pipe only as long as there is something in it."""

    cdef void draw(self) noexcept:
        """Something has come."""
        cdef Transport source = self.source
        if not self.has_pipe and not self.take():
            source.read()          # as if there was no siphon
            return
        self.pull()
        if self.held == 0:
            self.give(True)
            if self.quiet >= QUIET:
                self.leave()

    cdef void pull(self) noexcept:
        cdef Transport source = self.source
        cdef ssize_t size = 0
        cdef int _time
        for _time in range(DRAWS_A_TURN):
            if self.held == 0:
                size = c_splice(source.fd, NULL, self.pipe.in_end, NULL, PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
                if size < 0:
                    if errno != EAGAIN and errno != EINTR:
                        source.fail(errno)
                    return
                if size == 0:
                    source.ended()
                    return
                self.held = size
                self.quiet = self.quiet + 1 if size < LITTLE else 0
            if not self.push():
                if not self.sink.is_leaving:
                    self.sink.look()
                    self.sink.fill()
                return
            if size < LITTLE or not source.is_reading or source.is_leaving:
                return

    cdef bint push(self) noexcept:
        """Let the sink have what the pipe holds. False: it does not take all, or it is gone."""
        cdef ssize_t size
        while self.held:
            # What a sink that is gone would raise, SIGPIPE, Python has the process ignore.
            size = c_splice(self.pipe.out_end, NULL, self.sink.fd, NULL, self.held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
            if size > 0:
                self.held -= size
            elif size == 0 or errno != EINTR:
                if size == 0 or errno != EAGAIN:
                    self.sink.fail(errno)
                return False
        return True

    cdef bint pour(self) noexcept:
        """The sink takes more, or there is nothing for it. False: it does not take all, or it is gone."""
        if self.held == 0:
            return True
        if not self.push():
            return False
        self.give(True)
        if self.source.takes is not self:
            self.leave()
        return True

    cdef void over(self, Transport side) noexcept:
        """One side is gone, or has said all. What the source has said goes on to the sink still."""
        if self.held and side is self.source:
            side.takes = None
            return
        if self.held:
            self.held = 0
            self.give(False)
        self.leave()

    cdef void leave(self) noexcept:
        """Let the bytes be read and sent again. Nothing is held."""
        if self.source.takes is self:
            self.source.takes = None
        if self.sink.brings is self:
            self.sink.brings = None

    cdef bint take(self) noexcept:
        """Get a pipe, if there are descriptors for it that no client could have."""
        cdef Engine engine = self.source.engine
        cdef int before = engine.pipes.made
        cdef bint may_grow = engine.most == 0 or engine.open + 2 <= engine.most - engine.kept
        self.has_pipe = engine.pipes.take(&self.pipe, may_grow)
        engine.open += 2 * (engine.pipes.made - before)
        return self.has_pipe

    cdef void give(self, bint is_empty) noexcept:
        """Give the pipe back, if there is one still."""
        cdef Engine engine = self.source.engine
        cdef int before = engine.pipes.made
        if self.has_pipe:
            self.has_pipe = False
            engine.pipes.give(&self.pipe, is_empty)
            engine.open += 2 * (engine.pipes.made - before)


cdef bint siphon(Transport source, Transport sink) noexcept:
    """Let bytes go through a pipe from now on. False: not from here to there."""
    cdef Siphon made
    if source.takes is not None or sink.brings is not None or source.is_ending or sink.is_ending or sink.ends_writing:
        return False
    made = Siphon.__new__(Siphon)
    made.source = source
    made.sink = sink
    source.takes = made
    sink.brings = made
    return True
