# Idle connections to one address under one transport: the thing that outlives a reload.

from .deadline cimport Timed


cdef class Idle(Timed):
    # A connection that may lie in a pool. The upstream is one.
    cdef Pool home
    cdef Idle older                    # towards the bottom of the stack
    cdef Idle newer
    cdef bint lying                    # in the pool now

    cdef void discard(self) noexcept   # close it; it has left the pool


cdef class Pool:
    # Where and how to dial. Never changes.
    cdef readonly str scheme           # "http", "https", "unix", "tcp", "tls" or "udp"
    cdef readonly str host             # name or address without brackets; "" for unix
    cdef readonly int port
    cdef readonly str path             # of the unix socket; "" otherwise
    cdef readonly bytes place          # the sockaddr to connect to; None: a name has to be looked up
    cdef readonly object ssl           # ssl.SSLContext or None
    cdef readonly str server_name      # SNI and name to verify; "" when ssl is None
    cdef readonly int max_idle         # connections kept
    cdef readonly double idle_timeout  # seconds; 0: none
    cdef readonly double dial_timeout  # seconds; 0: none
    cdef readonly double header_timeout    # seconds to the answer's head; 0: none
    cdef readonly int most_pending     # requests that may await their answer at once

    cdef Idle top                      # newest
    cdef Idle bottom                   # oldest
    cdef readonly int idle             # connections lying here
    cdef int pending                   # requests that go here and whose answer has not begun
    cdef bint closed
    cdef object __weakref__

    cdef Idle take(self)
    cdef bint give(self, Idle connection) noexcept
    cdef void remove(self, Idle connection) noexcept
    cdef void discard_oldest(self) noexcept
