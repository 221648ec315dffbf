# A client's connection passed on whole to a server of a TCP service.

from .connection cimport Connection
from .proxyline cimport Line
from .splice cimport Splice
from .table cimport Route
from .upstream cimport Upstream


cdef enum:
    SSL_REQUEST_SIZE = 8

cdef const char* SSL_REQUEST           # what a client of PostgreSQL says to begin TLS


cdef class Relay(Splice):
    cdef object dialling               # the task that connects to the server; None: it is over
    cdef bytes early                   # what the client sent meanwhile, of a read's size at most; None: nothing
    cdef bint ended_early              # the client said meanwhile that no more comes
    cdef Line line                     # ends of the client's connection, for servers that want to be told

    cdef bint asks_tls                 # the server has not said yet whether it speaks TLS for PostgreSQL

    cdef void begin(self) noexcept
    cdef bytes header(self)
    cdef void go_on(self) noexcept
    cdef void connected(self, Upstream server) noexcept
    cdef void failed(self, object error) noexcept
    cdef void end(self) noexcept


cdef void relay(Connection client, Route route, const Line* ends, bint asks_tls) noexcept
