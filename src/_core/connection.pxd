# One transport, and the bytes on their way to it and from it; with TLS, if there is any.

from .deadline cimport Deadline
from .engine cimport Engine
from .port cimport Peer
from .session cimport Session


cdef enum:
    NO_FD = -1


cdef class Connection(Peer):
    # One transport, and the bytes on their way to it. Subclasses say what the bytes mean. Of TLS they see the
    # plaintext, and its beginning and end.
    cdef readonly Engine engine
    cdef readonly object transport     # None before connection_made and after lost()
    cdef int fd                        # NO_FD before and after
    cdef Session session               # TLS with the peer, until the connection is lost; None: none
    cdef bint is_secure                # there is, or was, one
    cdef bint is_full                  # the kernel takes no more: bytes wait in the transport
    cdef bint is_paused                # we do not read
    cdef bint is_closing               # close() or abort() was called, or the connection is lost
    cdef bint sent_eof
    cdef bint got_eof
    cdef int refusal                   # the error with which the peer has refused to take more; 0: it has not
    cdef bint is_open                  # counted in engine.open
    cdef Deadline timer
    cdef Tunnel tunnel                 # None until the connection is spliced with another

    # Writing: bytes gather in engine.out until flush().
    cdef char* reserve(self, Py_ssize_t size) noexcept
    cdef void commit(self, Py_ssize_t size) noexcept
    cdef void put(self, const char* at, Py_ssize_t size) noexcept
    cdef void send(self, const char* at, Py_ssize_t size) noexcept
    cdef void give(self, const char* at, Py_ssize_t size) noexcept
    cdef void encrypt(self, const char* at, Py_ssize_t size) noexcept
    cdef void push(self) noexcept
    cdef void end_session(self) noexcept
    cdef void send_both(self, const char* first, Py_ssize_t first_size, const char* second,
                        Py_ssize_t second_size) noexcept
    cdef void queue(self, const char* at, Py_ssize_t size) noexcept
    cdef void send_eof(self) noexcept
    cdef void close(self) noexcept
    cdef void abort(self) noexcept
    cdef void arm(self, double seconds, int what) noexcept
    cdef void report(self, object error) noexcept
    cdef void opened(self) noexcept
    cdef void closed(self) noexcept
    cdef bint may_send(self) noexcept
    cdef void after_send(self, ssize_t sent, const char* first, Py_ssize_t first_size, const char* second,
                         Py_ssize_t second_size) noexcept
    cdef void refused(self, int number) noexcept

    # Reading: TLS is taken off.
    cdef void shake(self) noexcept
    cdef void decrypt(self, const char* at, Py_ssize_t size) noexcept
    cdef void hand_on(self, const char* at, Py_ssize_t size) noexcept
    cdef void end_of_reading(self) noexcept

    # What the transport tells; none of these may raise.
    cdef void received(self, Py_ssize_t size) noexcept
    cdef void ended(self) noexcept
    cdef void filled(self) noexcept
    cdef void emptied(self) noexcept
    cdef void lost(self, object error) noexcept

    # What happened. None of these may raise.
    cdef void on_shaking(self) noexcept
    cdef void on_made(self) noexcept
    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept
    cdef void on_eof(self) noexcept
    cdef void on_cut_short(self) noexcept
    cdef void on_broken(self, object error) noexcept
    cdef void on_undecrypted(self, Py_ssize_t size) noexcept
    cdef void on_lost(self, object error) noexcept
    cdef void on_full(self) noexcept
    cdef void on_writable(self) noexcept


cdef class Tunnel:
    # Takes over two connections for good; see splice.
    cdef void on_data(self, Connection side, const char* at, Py_ssize_t size) noexcept
    cdef void on_eof(self, Connection side) noexcept
    cdef void on_lost(self, Connection side) noexcept
    cdef void on_full(self, Connection side) noexcept
    cdef void on_writable(self, Connection side) noexcept
