# A client's connection until it is known what it speaks, and what goes for it whatever that is.

from .door cimport Guest
from .entrypoint cimport EntryPoint
from .netset cimport Address
from .proxyline cimport Line
from .table cimport Route


cdef enum Timeout:
    T_HEAD = 0         # a head is awaited, some of it may be there
    T_IDLE             # nothing is awaited
    T_EXCHANGE
    T_LINGER
    T_SHAKE            # a handshake of TLS is awaited

cdef double NEVER              # a deadline that does not come
cdef double LINGER             # seconds that a client has to read the last answer


cdef class Usher:
    # Finds out by its first bytes what a connection is; see arrival.
    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept


cdef class Client(Guest):
    cdef EntryPoint entry
    cdef Usher usher                           # None: it is known what this connection is
    cdef Route route                           # of TCP, found by its first bytes; None: it is looked for
    cdef bint asks_tls                         # its server is asked for TLS as PostgreSQL does before anything passes
    cdef str terms                             # name of the TLS options; None without TLS
    cdef tuple chain                           # certificates that the client has shown; None: none
    cdef bytearray kept                        # bytes not worked on yet: part of a head, or behind the request
    cdef bint is_lingering                     # we have said all; what still comes is thrown away
    cdef Py_ssize_t thrown_away
    cdef double made_at
    cdef bint awaits_line                      # a header of the PROXY protocol comes first, if one comes
    cdef Line ends                             # what it told
    cdef Address client
    cdef bytes client_text
    cdef int client_port
    cdef tuple tls                             # what is told of it in the access log; None: nothing

    cdef void take_place(self) noexcept
    cdef void come_in(self) noexcept
    cdef void ask_for_chain(self) noexcept
    cdef bint take_route(self) noexcept
    cdef void read_proxy(self, const char* at, Py_ssize_t size) noexcept
    cdef void keep(self, const char* at, Py_ssize_t size) noexcept
    cdef void linger(self) noexcept
    cdef void go_on(self) noexcept
    cdef bint has_unread(self) noexcept
    cdef void name_client(self) noexcept
    cdef void name_tls(self) noexcept
    cdef void note(self, object reason) noexcept
    cdef void go_in(self, const char* at, Py_ssize_t size) noexcept
    cdef void begin_tls(self, object context, const char* at, Py_ssize_t size) noexcept
    cdef void throw_away(self, Py_ssize_t size) noexcept
