# The client's connection: bytes in, heads out, pipelining, keep-alive, hand-over to splice.

from .connection cimport Connection
from .door cimport Door, Guest
from .exchange cimport Exchange
from .framing cimport Framing
from .head cimport Parsed
from .message cimport Request, Response
from .netset cimport Address, NetSet
from .proxyline cimport Line
from .table cimport Route


cdef class EntryPoint(Door):
    # Settings of one entry point.
    cdef readonly double read_timeout          # seconds; 0: none
    cdef readonly double write_timeout
    cdef readonly double idle_timeout
    cdef readonly Py_ssize_t max_head
    cdef readonly long long max_body           # bytes of a request's body; 0: no limit
    cdef readonly bint sanitize
    cdef readonly bint encode_semicolons
    cdef readonly int max_requests             # of one connection; 0: no limit
    cdef readonly double max_age               # seconds of one connection; 0: no limit
    cdef readonly bint trusts_all              # reads the PROXY protocol of everybody
    cdef readonly NetSet trusted               # of these peers; None: of nobody
    cdef Request caller                        # what rules of TCP routers see; used for one question at a time

    cdef bint expects_line(self, const Address* client) noexcept


cdef class Usher:
    # Finds out by its first bytes what a connection is; see arrival.
    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept


cdef class Downstream(Guest):
    cdef EntryPoint entry
    cdef Usher usher                           # None: it is known what this connection is
    cdef Route route                           # of TCP, found by its first bytes; None: it is looked for
    cdef bint asks_tls                         # its server is asked for TLS as PostgreSQL does before anything passes
    cdef str terms                             # name of the TLS options; None without TLS
    cdef tuple chain                           # certificates that the client has shown; None: none
    cdef Exchange exchange                     # None: a head is awaited
    cdef bytearray kept                        # bytes not worked on yet: part of a head, or behind the request
    cdef Py_ssize_t tried                      # bytes of `kept` when its head was last parsed
    cdef Py_ssize_t searched                   # bytes of `kept` in which no head ends
    cdef Framing body                          # of the request in hand
    cdef bint body_over
    cdef long long body_taken                  # bytes of it so far, without their framing
    cdef bint chunks                           # the answer's body is written in chunks
    cdef bint is_old                           # the request in hand is HTTP/1.0
    cdef bint is_last                          # close after the answer in hand
    cdef bint is_asked_to_close                # by the client, with the request in hand
    cdef bint is_pumping                       # data is being worked on further up the stack
    cdef bint is_lingering                     # we have said all; what still comes is thrown away
    cdef Py_ssize_t thrown_away
    cdef int requests                          # heads read
    cdef double made_at
    cdef double read_due                       # when the request must be whole; 1e300: no limit
    cdef double write_due                      # when the answer must be whole
    cdef bint awaits_line                      # a header of the PROXY protocol comes first, if one comes
    cdef Line ends                             # what it told
    cdef Address client
    cdef bytes client_text
    cdef int client_port
    cdef tuple tls                             # what is told of it in the access log; None: nothing

    cdef void pump(self, const char* at, Py_ssize_t size) noexcept
    cdef Py_ssize_t read_head(self, const char* at, Py_ssize_t size) noexcept
    cdef Py_ssize_t read_body(self, const char* at, Py_ssize_t size) noexcept
    cdef void take_place(self) noexcept
    cdef void come_in(self) noexcept
    cdef void ask_for_chain(self) noexcept
    cdef bint take_route(self) noexcept
    cdef void read_proxy(self, const char* at, Py_ssize_t size) noexcept
    cdef void keep(self, const char* at, Py_ssize_t size) noexcept
    cdef void begin(self, Exchange exchange) noexcept
    cdef void refuse(self, Exchange exchange) noexcept
    cdef void linger(self) noexcept
    cdef void next(self) noexcept
    cdef void go_on(self) noexcept
    cdef void client_is_gone(self) noexcept
    cdef bint has_unread(self) noexcept
    cdef void name_client(self) noexcept
    cdef void name_tls(self) noexcept
    cdef void note(self, object reason) noexcept
    cdef void go_in(self, const char* at, Py_ssize_t size) noexcept
    cdef void begin_tls(self, object context, const char* at, Py_ssize_t size) noexcept
    cdef bint is_worth_parsing(self) noexcept
    cdef void pump_kept(self) noexcept
    cdef void throw_away(self, Py_ssize_t size) noexcept
    cdef Parsed prepare(self, Exchange exchange) noexcept
    cdef void set_exchange_deadlines(self) noexcept
    cdef void arm_exchange(self) noexcept
    cdef bint write_head(self, Response response, const char* extra, Py_ssize_t extra_size) noexcept
    cdef void pass_kept_on(self) noexcept
    cdef void refuse_late(self) noexcept
    cdef void say_refused(self, int status, const char* why, bint bare) noexcept
