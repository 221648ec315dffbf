# A connection of which nobody knows yet what it is: its first bytes are looked at, and somebody takes it over.

from .door cimport Guest
from .downstream cimport EntryPoint
from .netset cimport Address
from .proxyline cimport Line
from .table cimport Route


cdef enum Stage:
    A_LOOKING                  # waits for the first bytes
    A_LINGERING                # has been told that it is refused
    A_OVER


cdef class Handling:
    # What becomes of a connection. Frozen; in a snapshot, or made for one connection.
    cdef readonly object context       # ssl.SSLContext; None: its bytes are taken as they are

    cdef Guest guest(self, Arrival arrival)


cdef class ServeHTTP(Handling):
    cdef readonly str terms            # name of the TLS options; None: without TLS


cdef class PassOn(Handling):
    cdef readonly Route route


cdef class Refusal(Handling):
    cdef readonly int alert            # of TLS (RFC 8446, 6); 0: none
    cdef readonly str reason


cdef class Doorman:
    pass


cdef class Arrival(Guest):
    cdef readonly EntryPoint entry
    cdef readonly object sock          # socket.socket; None when somebody has taken over, or it is over
    cdef Stage stage
    cdef bint is_watching              # the loop tells us when it can be read
    cdef int wanted                    # bytes that must have come before looking again makes sense
    cdef double made_at
    cdef bint awaits_line              # a header of the PROXY protocol may come first
    cdef bint is_postgres              # it has asked for TLS as PostgreSQL does, and was told to begin
    cdef bint has_line                 # one may have come, and `ends` says what it told
    cdef Line ends

    cdef Address client(self)
    cdef void begin(self) noexcept
    cdef void look(self) noexcept
    cdef Handling begin_postgres(self)
    cdef void wait_for(self, int size) noexcept
    cdef bint take_line(self, Py_ssize_t size) except -1
    cdef void take_up(self, Handling handling) noexcept
    cdef void refuse(self, Refusal refusal) noexcept
    cdef void linger(self) noexcept
    cdef void throw_away(self) noexcept
    cdef void leave(self, str reason) noexcept
    cdef void stop_watching(self) noexcept
    cdef Handling decide(self, int first, const unsigned char* at, Py_ssize_t size)
    cdef void note(self, str reason) noexcept
