"""Lines on their way to a file, a pipe or a terminal: gathered, and written whole, without making anybody wait.

Several processes may write to one file (opened with O_APPEND) or pipe. What goes there in one call ends with the end
of a line, and to a pipe is no longer than what the kernel takes or refuses as a whole, so that no line stands within
another. A single line longer than PIPE_BUF is the exception, on a pipe that several write to.

A file takes what it is given. A pipe may be full: then lines wait here until it takes more, and beyond a limit are
lost, as they are when a disk is full. What is lost is counted, and said once a second.
"""

import os
import stat

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memmove

from .deadline cimport Wheel, detach, now
from .murmur cimport Murmur

cdef extern from "unistd.h" nogil:
    ssize_t c_write "write"(int fd, const void* data, size_t size)
    int c_close "close"(int fd)

cdef extern from "sys/socket.h" nogil:
    int MSG_NOSIGNAL
    int MSG_DONTWAIT
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)

cdef extern from "poll.h" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    short POLLOUT
    int poll(pollfd* asked, unsigned long count, int milliseconds)

cdef enum:
    ROOM = 131072              # bytes gathered at most before they are written, but for a giant line, twice over
    MOST_WAITING = 2097152     # bytes that wait while nobody takes them, unless lines are limited
    BYTES_OF_LINE = 1024       # where they are, bytes for each of them on average, up to
    MOST_EVER = 67108864
    ATOMIC = 4096              # PIPE_BUF of Linux

cdef double INTERVAL = 0.1     # seconds that a line waits for others at most


cdef class Journal(Timed):
    """Lines gathered for one descriptor, of which it is the owner from now on.

    log: where it says what was lost; most_lines: lines that may wait while nobody takes them, 0 for two MiB.
    """

    def __cinit__(self):
        self.fd = -1

    def __init__(self, object loop not None, Wheel wheel not None, object log, int fd, *, long long most_lines=0):
        self.loop = loop
        self.wheel = wheel
        self.losing = Murmur(loop, log, "%d lines of the access log were lost: %s")
        self.most_waiting = most_lines
        self.most = MOST_WAITING
        if most_lines > 0:
            self.most = max(MOST_WAITING, min(most_lines, MOST_EVER // BYTES_OF_LINE) * BYTES_OF_LINE)
        self.at = <char*>malloc(ROOM)
        if self.at is NULL:
            raise MemoryError()
        self.capacity = ROOM
        self.take(fd)

    def __dealloc__(self):
        free(self.at)
        if self.fd >= 0:
            c_close(self.fd)
        if self.timer.next is NULL:
            return
        if self.wheel is not None:
            self.wheel.unlink(&self.timer)
        else:
            detach(&self.timer)

    def take(self, int fd):
        """Write to this descriptor from now on."""
        mode = os.fstat(fd).st_mode
        self.kind = K_FILE if stat.S_ISREG(mode) else K_SOCKET if stat.S_ISSOCK(mode) else K_STREAM
        self.fd = fd

    # ---------------------------------------------------------------- gathering

    cdef char* reserve(self, Py_ssize_t size) noexcept:
        """Room for a line of `size` bytes, to be filled and committed; NULL: it cannot be kept, and is lost."""
        if self.fd < 0:
            self.lost += 1         # told after the end
            return NULL
        if self.is_blocked and self.most_waiting and self.waiting >= self.most_waiting:
            self.lose(1, "nobody takes them")
            return NULL
        if self.used + size <= self.capacity:
            return self.at + self.used
        return self.make_room(size)

    cdef char* make_room(self, Py_ssize_t size) noexcept:
        cdef Py_ssize_t wanted
        cdef char* grown
        if not self.is_blocked:
            self.write_out()
        if self.start:
            memmove(self.at, self.at + self.start, self.used - self.start)
            self.used -= self.start
            self.start = 0
        wanted = self.used + size
        if wanted > self.capacity:
            if wanted > self.most:
                self.lose(1, "nobody takes them" if self.is_blocked else "longer than may be kept")
                return NULL
            wanted = min(self.most, max(wanted, 2 * self.capacity))
            grown = <char*>realloc(self.at, wanted)
            if grown is NULL:
                self.lose(1, "out of memory")
                return NULL
            self.at = grown
            self.capacity = wanted
        return self.at + self.used

    cdef void commit(self, Py_ssize_t size) noexcept:
        """The line that was reserved is there, its end included."""
        self.used += size
        self.waiting += 1
        if self.is_blocked:
            return
        if self.used >= ROOM // 2:
            self.write_out()
        elif not self.is_armed:
            self.is_armed = True
            self.wheel.arm(&self.timer, self, now() + INTERVAL, 0)

    cdef void on_deadline(self, int what) noexcept:
        self.is_armed = False
        if self.is_blocked:
            self.stop_waiting()
        self.write_out()

    # ---------------------------------------------------------------- writing

    cdef void write_out(self) noexcept:
        """Write what was gathered, or as much of it as is taken now."""
        cdef ssize_t written
        while self.start < self.used:
            written = self.write_some(self.at + self.start, self.used - self.start)
            if written > 0:
                self.start += written
                self.is_torn = False
            elif written == -EAGAIN:
                self.wait()
                return
            elif written != -EINTR:
                self.drop(os.strerror(-written) if written else "nothing is taken")
                return
        self.start = 0
        self.used = 0
        self.waiting = 0
        self.is_torn = False
        self.shrink()

    cdef ssize_t write_some(self, const char* at, Py_ssize_t size) noexcept:
        """Write some of it, to a pipe whole lines; returns how much, or an errno, negative."""
        cdef ssize_t written
        cdef pollfd asked
        if self.kind == K_FILE:
            written = c_write(self.fd, at, size)
            return written if written >= 0 else -errno
        size = whole_lines(at, size)
        if self.kind == K_SOCKET:
            written = c_send(self.fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL)
            return written if written >= 0 else -errno
        # The descriptor may be one that blocks, shared with others; one that polls as writable takes ATOMIC bytes.
        asked.fd = self.fd
        asked.events = POLLOUT
        asked.revents = 0
        if poll(&asked, 1, 0) == 0:
            return -EAGAIN
        written = c_write(self.fd, at, size)
        return written if written >= 0 else -errno

    cdef void wait(self) noexcept:
        """Let lines wait until somebody takes them."""
        self.is_blocked = True
        self.waiting = lines_in(self.at + self.start, self.used - self.start)
        try:
            self.loop.add_writer(self.fd, self.on_writable)
        except Exception:
            # A device that cannot be waited for is tried again.
            self.is_armed = True
            self.wheel.arm(&self.timer, self, now() + INTERVAL, 0)

    def on_writable(self):
        """Called by the loop when the descriptor takes more."""
        self.stop_waiting()
        self.write_out()

    cdef void stop_waiting(self) noexcept:
        self.is_blocked = False
        try:
            self.loop.remove_writer(self.fd)
        except Exception:
            pass       # a loop that is closed calls nobody

    cdef void drop(self, str why) noexcept:
        """Lose what could not be written. Half a line that was is ended before the next one."""
        cdef long long lines = lines_in(self.at + self.start, self.used - self.start)
        if self.start:
            self.is_torn = self.at[self.start - 1] != 10
        elif self.is_torn:
            lines -= 1         # the end of the torn one, which is lost already
        self.start = 0
        self.used = 0
        self.waiting = 0
        if self.is_torn:
            self.at[0] = 10
            self.used = 1
        self.shrink()
        self.lose(lines, why)

    cdef void lose(self, long long lines, str why) noexcept:
        if lines <= 0:
            return
        self.lost += lines
        self.losing.add_more(lines, (why,))

    cdef void shrink(self) noexcept:
        """Give back the room of giant lines."""
        cdef char* smaller
        if self.capacity > ROOM:
            smaller = <char*>realloc(self.at, ROOM)
            if smaller is not NULL:
                self.at = smaller
                self.capacity = ROOM

    # ---------------------------------------------------------------- for Python

    def flush(self):
        """Write what was gathered now."""
        if not self.is_blocked:
            self.write_out()

    def reopen(self, int fd):
        """Write what was gathered, then to another descriptor; what nobody took of it goes there."""
        self.flush()
        if self.is_blocked:
            self.stop_waiting()
        if self.is_torn:
            self.is_torn = False
            self.start = 1
        c_close(self.fd)
        self.take(fd)
        self.write_out()

    def close(self):
        """Write what was gathered, and let go of the descriptor; what nobody takes now is lost. May be called twice."""
        if self.fd < 0:
            return
        self.flush()
        if self.is_blocked:
            self.stop_waiting()
            self.drop("nobody takes them")
        self.used = 0
        self.losing.tell()
        self.wheel.unlink(&self.timer)
        c_close(self.fd)
        self.fd = -1


cdef Py_ssize_t whole_lines(const char* at, Py_ssize_t size) noexcept nogil:
    """As many whole lines as a pipe takes or refuses as a whole; a piece of one that is longer."""
    cdef Py_ssize_t end = ATOMIC
    if size <= ATOMIC:
        return size
    while end and at[end - 1] != 10:
        end -= 1
    return end if end else ATOMIC


cdef long long lines_in(const char* at, Py_ssize_t size) noexcept nogil:
    cdef const char* end = at + size
    cdef long long lines = 0
    while at < end:
        at = <const char*>memchr(at, 10, end - at)
        if at is NULL:
            break
        at += 1
        lines += 1
    return lines
