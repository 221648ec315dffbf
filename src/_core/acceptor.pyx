"""A socket on which clients are accepted; where a doorman decides about them, their first bytes are looked at."""

import os

from libc.errno cimport EAGAIN, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from posix.unistd cimport close

from .arrival cimport look_at
from .downstream cimport Downstream, newcomer
from .sockaddr cimport sockaddr
from .transport cimport carry
from .watch cimport READABLE

cdef extern from "sys/socket.h" nogil:
    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int accept4(int fd, sockaddr* address, unsigned int* size, int flags)

cdef enum:
    ACCEPTS_A_TURN = 16


cdef class Acceptor:
    """Accepts for an entry point, on a socket that listens and does not block.

    Nothing ends it but stop(): a client that is gone before it is accepted is passed over, and what the kernel has to
    say about the network goes to nobody.
    """

    def __cinit__(self):
        self.fd = -1

    def __init__(self, EntryPoint entry not None, int fd, object short not None):
        """fd: a copy of it is made. OSError.

        short: called with the error after which accepting stops: there are no descriptors, or there is no memory;
        EINVAL: somebody who has the socket too has shut it down.
        """
        self.entry = entry
        self.fd = os.dup(fd)
        self.short = short

    def __dealloc__(self):
        # Of one that nobody has stopped. Others may have the same socket, and then the kernel would go on telling.
        if self.watch is not None:
            self.watch.close()
        if self.fd >= 0:
            close(self.fd)

    def start(self):
        """Accept from now on. OSError."""
        cdef Watch watch
        if self.watch is not None:
            return
        watch = Watch.__new__(Watch)
        if not watch.open(self.entry.engine.loop, self.fd, self, on_ready) or not watch.want(READABLE):
            raise OSError("a socket cannot be watched")
        self.watch = watch

    def stop(self):
        """Accept nobody more, for good. May be called twice."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1

    def take_waiting(self, int most):
        """Accept those that wait now, so many of them at most."""
        self.take(most)

    cdef int take(self, int most) noexcept:
        """Accept; returns the error that ended it, 0 for none."""
        cdef EntryPoint entry = self.entry
        cdef int fd, number, _each
        for _each in range(most):
            if entry.held or self.fd < 0:
                return 0           # a limit is reached, and accepting rests; or it is over
            fd = accept4(self.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                number = errno
                if number == EAGAIN:
                    return 0
                if (number == EMFILE or number == ENFILE or number == ENOBUFS or number == ENOMEM
                        or number == EINVAL):
                    return number
                continue
            receive(entry, fd)
        return 0


cdef void on_ready(object owner, int fd, int events) noexcept:
    cdef Acceptor acceptor = <Acceptor>owner
    cdef int number = acceptor.take(ACCEPTS_A_TURN)
    if number:
        acceptor.stop()
        try:
            acceptor.short(number)
        except Exception:
            pass


cdef void receive(EntryPoint entry, int fd) noexcept:
    """A client was accepted."""
    cdef Downstream connection
    cdef tuple doormen = entry.switch.current.doormen
    try:
        connection = newcomer(entry)
        if entry.index < <Py_ssize_t>len(doormen) and doormen[entry.index] is not None:
            look_at(connection)
    except Exception as error:
        close(fd)
        try:
            entry.engine.log.error("a client cannot be served: %r", error, exc_info=error)
        except Exception:
            pass
        return
    carry(entry.engine, connection, fd)
