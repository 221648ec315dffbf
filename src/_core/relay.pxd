# A client's connection passed on whole to a server of a TCP service.

from .port cimport Connection
from .proxyline cimport Line
from .splice cimport Splice
from .table cimport Route
from .upstream cimport Upstream


cdef class Relay(Splice):
    cdef object dialling               # the task that connects to the server; None: it is over
    cdef bytes early                   # what the client sent meanwhile, of a read's size at most; None: nothing
    cdef bint ended_early              # the client said meanwhile that no more comes
    cdef Line line                     # ends of the client's connection, for servers that want to be told

    cdef void begin(self) noexcept
    cdef void connected(self, Upstream server) noexcept
    cdef void failed(self, object error) noexcept
    cdef void end(self) noexcept


cdef void relay(Connection client, Route route, const Line* ends) noexcept
