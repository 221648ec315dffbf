# A connection of which nobody knows yet what it is: its first bytes are looked at, and it is shown where it belongs.

from .client cimport Client, Usher
from .table cimport Route


cdef class Handling:
    # What becomes of a connection. Frozen; in a snapshot, or made for one connection.
    cdef readonly object context       # ssl.SSLContext; None: its bytes are taken as they are


cdef class ServeHTTP(Handling):
    cdef readonly str terms            # name of the TLS options; None: without TLS


cdef class PassOn(Handling):
    cdef readonly Route route


cdef class Refusal(Handling):
    cdef readonly int alert            # of TLS (RFC 8446, 6); 0: none
    cdef readonly str reason


cdef class Doorman:
    pass


cdef class Arrival(Usher):
    cdef Client connection             # None when it is known
    cdef Py_ssize_t wanted             # bytes that must have come before looking again makes sense
    cdef bint is_postgres              # it has asked for TLS as PostgreSQL does, and was told to begin

    cdef void wait_for(self, Py_ssize_t wanted, const char* at, Py_ssize_t size) noexcept
    cdef Handling decide(self, const char* at, Py_ssize_t size)
    cdef int show(self, Handling handling, const char* at, Py_ssize_t size) except -1


cdef int look_at(Client connection) except -1
